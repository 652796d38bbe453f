//! When another try can help, and how long to wait for it.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header::RETRY_AFTER};

use crate::error::{ErrorKind, FetchError};

/// How a fetch tries again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retries {
    /// At most so often.
    pub(crate) limit: u32,
    /// The pause before the first one; it doubles with each.
    pub(crate) pause: Duration,
    /// A server that asks for more patience than this is not asked again.
    pub(crate) longest_pause: Duration,
}

impl Retries {
    /// The pause before the next try, or nothing if there should be none: it could not help, there
    /// were enough, or it would begin after the deadline (`left` from now).
    ///
    /// `jitter` in 0..1 spreads the pauses of requests that failed together.
    pub(crate) fn pause(
        &self,
        error: &FetchError,
        done: u32,
        left: Duration,
        jitter: f64,
    ) -> Option<Duration> {
        if done >= self.limit || !can_help(error) {
            return None;
        }
        let own = self.pause * 2_u32.pow(done.min(10));
        let own = own.min(self.longest_pause).mul_f64(0.5 + jitter / 2.0);
        let wanted = wanted_pause(error).unwrap_or_default();
        let pause = own.max(wanted);
        (wanted <= self.longest_pause && pause < left).then_some(pause)
    }
}

/// Whether the same request may end otherwise a moment later.
fn can_help(error: &FetchError) -> bool {
    match error {
        FetchError::Connect { .. } | FetchError::Transfer { .. } => true,
        FetchError::Status { code, .. } => matches!(code, 429 | 500 | 502 | 503 | 504),
        FetchError::InvalidUrl { .. }
        | FetchError::Dns { .. }
        | FetchError::PrivateAddress { .. }
        | FetchError::Tls { .. }
        | FetchError::TimedOut(_)
        | FetchError::BadRedirect(_)
        | FetchError::OptedOut(_)
        | FetchError::WrongContentType(_)
        | FetchError::TooLarge { .. }
        | FetchError::NotHttp { .. } => false,
    }
}

fn wanted_pause(error: &FetchError) -> Option<Duration> {
    match error {
        FetchError::Status { retry_after, .. } => *retry_after,
        _ => None,
    }
}

/// The server's complaint that it is asked too much: it slows down everything that we send it.
pub(crate) fn is_complaint(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Status(429 | 503))
}

/// `Retry-After` in seconds or as an HTTP date; a date that has passed means at once.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than a u64 holds is forever as well.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;
    use crate::{error::Stage, optout::OptOut};

    const SECOND: Duration = Duration::from_secs(1);
    const RETRIES: Retries = Retries {
        limit: 3,
        pause: SECOND,
        longest_pause: Duration::from_secs(30),
    };

    fn status(code: u16, retry_after: Option<Duration>) -> FetchError {
        FetchError::Status { code, retry_after }
    }

    fn named(value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(value).unwrap());
        retry_after(&headers)
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let host = || "a.example".to_owned();
        let reason = String::new;
        let yes = [
            FetchError::Connect {
                host: host(),
                reason: reason(),
            },
            FetchError::Transfer {
                host: host(),
                reason: reason(),
            },
        ];
        let statuses = [429, 500, 502, 503, 504];
        for error in yes
            .into_iter()
            .chain(statuses.map(|code| status(code, None)))
        {
            assert!(
                RETRIES.pause(&error, 0, 60 * SECOND, 0.0).is_some(),
                "{error}"
            );
        }
        let no = [
            FetchError::Dns {
                host: host(),
                reason: reason(),
            },
            FetchError::Tls {
                host: host(),
                reason: reason(),
            },
            FetchError::NotHttp {
                host: host(),
                reason: reason(),
            },
            FetchError::PrivateAddress { host: host() },
            FetchError::TimedOut(Stage::Fetching),
            FetchError::OptedOut(OptOut::Noai),
            FetchError::WrongContentType("text/html".to_owned()),
            FetchError::TooLarge { limit: 1 },
        ];
        let statuses = [400, 401, 403, 404, 410, 451, 501];
        for error in no
            .into_iter()
            .chain(statuses.map(|code| status(code, None)))
        {
            assert_eq!(RETRIES.pause(&error, 0, 60 * SECOND, 0.0), None, "{error}");
        }
    }

    #[test]
    fn pauses_double_and_spread() {
        let error = status(500, None);
        let pause = |done, jitter| RETRIES.pause(&error, done, 600 * SECOND, jitter);
        assert_eq!(pause(0, 0.0), Some(SECOND / 2));
        assert_eq!(pause(0, 1.0), Some(SECOND));
        assert_eq!(pause(2, 1.0), Some(4 * SECOND));
        assert_eq!(pause(3, 1.0), None, "three were enough");
        let patient = Retries {
            limit: u32::MAX,
            ..RETRIES
        };
        let pause = patient.pause(&error, 1_000_000, 600 * SECOND, 1.0);
        assert_eq!(pause, Some(RETRIES.longest_pause));
    }

    #[test]
    fn the_server_decides_up_to_our_patience() {
        let after = |seconds| status(503, Some(seconds * SECOND));
        let pause = |error, left| RETRIES.pause(&error, 0, left, 0.0);
        assert_eq!(pause(after(7), 60 * SECOND), Some(7 * SECOND));
        assert_eq!(pause(after(0), 60 * SECOND), Some(SECOND / 2));
        assert_eq!(pause(after(31), 60 * SECOND), None);
        assert_eq!(pause(after(7), 7 * SECOND), None, "the deadline is nearer");
    }

    #[rstest]
    #[case("0", Some(0))]
    #[case(" 120 ", Some(120))]
    #[case("99999999999999999999999999", Some(u64::MAX))]
    #[case("Fri, 31 Dec 1999 23:59:59 GMT", Some(0))]
    #[case("", None)]
    #[case("-1", None)]
    #[case("1.5", None)]
    #[case("soon", None)]
    fn retry_after_values(#[case] value: &str, #[case] seconds: Option<u64>) {
        assert_eq!(named(value), seconds.map(Duration::from_secs));
    }

    #[test]
    fn retry_after_dates_are_counted_from_now() {
        let date = SystemTime::now() + 1_000 * SECOND;
        let pause = named(&httpdate::fmt_http_date(date)).unwrap();
        assert!(pause > 900 * SECOND && pause <= 1_000 * SECOND, "{pause:?}");
    }
}
