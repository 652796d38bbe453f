//! What the headers of an answer mean; no IO.

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, LOCATION},
};

use crate::{
    error::{FetchError, RedirectFault, shorten},
    optout::Wishes,
    retry,
};

/// What to do with an answer whose headers are there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Read the body.
    Read { content_type: Option<String> },
    /// Go on at this `Location`.
    GoTo(HeaderValue),
}

/// Judges an answer before its body is read.
///
/// An error status comes before the opt-outs, since pages that say "not found" mostly say
/// `noindex` as well; on successes and redirects the opt-outs come first.
pub(crate) fn judge(
    status: StatusCode,
    headers: &HeaderMap,
    wishes: &Wishes,
) -> Result<Verdict, FetchError> {
    let redirect = is_redirect(status);
    if !redirect && !is_success(status) {
        let retry_after = retry::retry_after(headers);
        let code = status.as_u16();
        return Err(FetchError::Status { code, retry_after });
    }
    if let Some(opt_out) = wishes.find(headers) {
        return Err(FetchError::OptedOut(opt_out));
    }
    if redirect {
        let location = headers.get(LOCATION).cloned();
        let location = location.ok_or(FetchError::BadRedirect(RedirectFault::NoLocation))?;
        return Ok(Verdict::GoTo(location));
    }
    let content_type = content_type(headers);
    match &content_type {
        Some(named) if !may_be_image(named) => Err(FetchError::WrongContentType(shorten(named))),
        _ => Ok(Verdict::Read { content_type }),
    }
}

/// 300, 304 and 305 lead nowhere that a crawler could go.
fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Only these carry the whole image: 202 and 204 have none, 206 a part that was not asked for.
fn is_success(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203)
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?;
    let text = String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// Only a type that says plainly something else is refused: servers that do not know a file's
/// type send a stream of octets or words that are no type, and the decoder knows better.
fn may_be_image(content_type: &str) -> bool {
    let essence = content_type.split([';', ',']).next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    match essence.split_once('/') {
        Some(("image" | "binary", _)) => true,
        Some(("application", kind)) => matches!(kind, "octet-stream" | "x-octet-stream"),
        Some(_) => false,
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use rstest::rstest;

    use super::*;
    use crate::optout::{OptOut, OptOuts};

    fn verdict(status: u16, pairs: &[(&'static str, &'static str)]) -> Result<Verdict, FetchError> {
        let headers = pairs
            .iter()
            .map(|(name, value)| {
                let value = HeaderValue::from_static(value);
                (HeaderName::from_static(name), value)
            })
            .collect();
        let wishes = Wishes::new(OptOuts::default(), vec!["crawlingathome".to_owned()]);
        judge(StatusCode::from_u16(status).unwrap(), &headers, &wishes)
    }

    #[rstest]
    #[case("image/jpeg", true)]
    #[case("IMAGE/PNG; charset=binary", true)]
    #[case("image/svg+xml", true)]
    #[case("application/octet-stream", true)]
    #[case("binary/octet-stream", true)]
    #[case("jpeg", true)]
    #[case("text/html; charset=utf-8", false)]
    #[case("text/plain", false)]
    #[case("application/json", false)]
    #[case("application/pdf", false)]
    #[case("video/mp4", false)]
    #[case("multipart/mixed; boundary=image/png", false)]
    fn content_types(#[case] named: &'static str, #[case] accepted: bool) {
        let result = verdict(200, &[("content-type", named)]);
        let expected = match accepted {
            true => Ok(Verdict::Read {
                content_type: Some(named.to_owned()),
            }),
            false => Err(FetchError::WrongContentType(named.to_owned())),
        };
        assert_eq!(result, expected);
    }

    #[rstest]
    #[case(&[])]
    #[case(&[("content-type", "")])]
    #[case(&[("content-type", "  ")])]
    fn no_type_is_for_the_decoder(#[case] headers: &[(&'static str, &'static str)]) {
        let content_type = None;
        assert_eq!(verdict(200, headers), Ok(Verdict::Read { content_type }));
    }

    #[test]
    fn opt_outs_count_on_successes_and_redirects_and_not_on_errors() {
        let noai = ("x-robots-tag", "noai");
        let opted_out = Err(FetchError::OptedOut(OptOut::Noai));
        assert_eq!(verdict(200, &[noai]), opted_out);
        assert_eq!(
            verdict(200, &[noai, ("content-type", "text/html")]),
            opted_out
        );
        assert_eq!(verdict(302, &[noai, ("location", "/a")]), opted_out);
        let status = FetchError::Status {
            code: 404,
            retry_after: None,
        };
        assert_eq!(verdict(404, &[noai]), Err(status));
    }

    #[test]
    fn redirects_need_a_location() {
        let there = HeaderValue::from_static("/there");
        for status in [301, 302, 303, 307, 308] {
            assert_eq!(
                verdict(status, &[("location", "/there")]),
                Ok(Verdict::GoTo(there.clone()))
            );
            assert_eq!(
                verdict(status, &[]),
                Err(FetchError::BadRedirect(RedirectFault::NoLocation))
            );
        }
    }

    #[rstest]
    fn other_statuses_are_errors(
        #[values(
            202, 204, 206, 300, 304, 400, 401, 403, 404, 410, 418, 500, 503, 599, 999
        )]
        code: u16,
    ) {
        let result = verdict(code, &[("location", "/there"), ("retry-after", "3")]);
        let retry_after = Some(std::time::Duration::from_secs(3));
        assert_eq!(result, Err(FetchError::Status { code, retry_after }));
    }
}
