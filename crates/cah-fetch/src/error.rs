//! Every way a fetch can fail.

use std::{fmt, time::Duration};

use crate::optout::OptOut;

/// Why a URL gave no bytes. [`kind`](FetchError::kind) is the closed list to match on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The text is not an absolute http(s) URL without credentials.
    #[error("`{url}` cannot be fetched: {reason}")]
    InvalidUrl {
        /// The text, shortened.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The host name does not resolve.
    #[error("`{host}` does not resolve: {reason}")]
    Dns {
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// The host is not on the public Internet.
    #[error("`{host}` is not on the public Internet")]
    PrivateAddress {
        /// The name or address, of the URL or of a redirect's target.
        host: String,
    },
    /// No connection to the host.
    #[error("no connection to `{host}`: {reason}")]
    Connect {
        /// The name or address.
        host: String,
        /// What the system said.
        reason: String,
    },
    /// The host's certificate or handshake is not acceptable.
    #[error("`{host}` is not to be trusted: {reason}")]
    Tls {
        /// The name or address.
        host: String,
        /// What the handshake failed on.
        reason: String,
    },
    /// A limit of time ran out.
    #[error("out of time while {0}")]
    TimedOut(Stage),
    /// A redirect that cannot be followed.
    #[error("bad redirect: {0}")]
    BadRedirect(RedirectFault),
    /// The server answered with another status than a success.
    #[error("the server answered with status {code}")]
    Status {
        /// The status.
        code: u16,
        /// How long the server wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// The owner does not want the image used.
    #[error("the owner opted out: {0}")]
    OptedOut(OptOut),
    /// The server says that the body is not an image.
    #[error("the server says that the body is `{0}`")]
    WrongContentType(String),
    /// The body is longer than the limit.
    #[error("the body is longer than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The connection broke while the answer came, or the body is shorter than announced.
    #[error("the answer of `{host}` broke off: {reason}")]
    Transfer {
        /// The name or address.
        host: String,
        /// What broke.
        reason: String,
    },
    /// What came is not HTTP, or says nonsense of itself. It is counted as
    /// [`Transfer`](ErrorKind::Transfer), but no second try would mend it.
    #[error("the answer of `{host}` is not HTTP: {reason}")]
    NotHttp {
        /// The name or address.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A [`FetchError`] without its details: a closed list for exhaustive matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// See [`FetchError::InvalidUrl`].
    InvalidUrl,
    /// See [`FetchError::Dns`].
    Dns,
    /// See [`FetchError::PrivateAddress`].
    PrivateAddress,
    /// See [`FetchError::Connect`].
    Connect,
    /// See [`FetchError::Tls`].
    Tls,
    /// See [`FetchError::TimedOut`]. Whoever never got a turn within
    /// [`Config::queue_limit`](crate::Config::queue_limit) ends here as well, although no
    /// request was sent.
    TimedOut,
    /// See [`FetchError::BadRedirect`].
    BadRedirect,
    /// See [`FetchError::Status`].
    Status(u16),
    /// See [`FetchError::OptedOut`].
    OptedOut(OptOut),
    /// See [`FetchError::WrongContentType`].
    WrongContentType,
    /// See [`FetchError::TooLarge`].
    TooLarge,
    /// See [`FetchError::Transfer`] and [`FetchError::NotHttp`].
    Transfer,
}

impl FetchError {
    /// The kind of failure, for exhaustive matches.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidUrl { .. } => ErrorKind::InvalidUrl,
            Self::Dns { .. } => ErrorKind::Dns,
            Self::PrivateAddress { .. } => ErrorKind::PrivateAddress,
            Self::Connect { .. } => ErrorKind::Connect,
            Self::Tls { .. } => ErrorKind::Tls,
            Self::TimedOut(_) => ErrorKind::TimedOut,
            Self::BadRedirect(_) => ErrorKind::BadRedirect,
            Self::Status { code, .. } => ErrorKind::Status(*code),
            Self::OptedOut(opt_out) => ErrorKind::OptedOut(*opt_out),
            Self::WrongContentType(_) => ErrorKind::WrongContentType,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::Transfer { .. } | Self::NotHttp { .. } => ErrorKind::Transfer,
        }
    }
}

/// What a fetch was doing when its time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Waiting for its turn ([`Config::queue_limit`](crate::Config::queue_limit)). Nothing is
    /// wrong with the URL: too many others of its host, or of all hosts, came before it.
    Queueing,
    /// Waiting for a connection ([`Config::connect_timeout`](crate::Config::connect_timeout)).
    Connecting,
    /// Anything after its first turn ([`Config::deadline`](crate::Config::deadline)).
    Fetching,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queueing => "queueing for the host",
            Self::Connecting => "connecting",
            Self::Fetching => "fetching",
        })
    }
}

/// What is wrong with a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RedirectFault {
    /// One more than [`Config::max_redirects`](crate::Config::max_redirects).
    TooMany,
    /// It leads to a URL that redirected already.
    Loop,
    /// It has no `Location`.
    NoLocation,
    /// Its `Location` is not a URL, or one with credentials.
    BadLocation,
    /// It leads to something other than http and https.
    OtherScheme,
}

impl fmt::Display for RedirectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "one too many",
            Self::Loop => "it leads in a circle",
            Self::NoLocation => "it has no Location",
            Self::BadLocation => "its Location is not a URL that can be fetched",
            Self::OtherScheme => "it leads away from http and https",
        })
    }
}

/// Shortens text from outside for a message, at a character's border.
pub(crate) fn shorten(text: &str) -> String {
    const LIMIT: usize = 200;
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_shortened_at_a_character() {
        assert_eq!(shorten("kurz"), "kurz");
        let long = shorten(&"ä".repeat(5_000));
        assert_eq!(long.chars().count(), 201);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn messages_are_one_line_that_names_the_thing() {
        let error = FetchError::BadRedirect(RedirectFault::Loop);
        assert_eq!(error.to_string(), "bad redirect: it leads in a circle");
        let error = FetchError::OptedOut(OptOut::Noai);
        assert_eq!(error.to_string(), "the owner opted out: X-Robots-Tag noai");
        assert_eq!(error.kind(), ErrorKind::OptedOut(OptOut::Noai));
    }
}
