//! What the HTTP client's error means: its text is not stable, the types in its chain are.

use std::{error::Error, io, iter};

use url::Url;

use crate::{
    error::{FetchError, Stage, shorten},
    names::NameError,
};

/// Turns an error of the HTTP client, met on the way to `url`, into ours.
pub(crate) fn classify(error: &reqwest::Error, url: &Url) -> FetchError {
    if let Some(name) = causes(error).find_map(|cause| cause.downcast_ref::<NameError>()) {
        return name.clone().into();
    }
    let host = host_of(url);
    let reason = reason(error);
    if error.is_builder() {
        let url = shorten(url.as_str());
        FetchError::InvalidUrl { url, reason }
    } else if !error.is_connect() && causes(error).any(is_not_http) {
        FetchError::NotHttp { host, reason }
    } else if !error.is_connect() {
        FetchError::Transfer { host, reason }
    } else if error.is_timeout() {
        FetchError::TimedOut(Stage::Connecting)
    } else if url.scheme() == "https" && causes(error).any(is_handshake) {
        FetchError::Tls { host, reason }
    } else {
        FetchError::Connect { host, reason }
    }
}

pub(crate) fn host_of(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// The error that all the others only wrap says best what happened.
fn reason(error: &reqwest::Error) -> String {
    let root = causes(error).last().map(ToString::to_string);
    shorten(&root.unwrap_or_default())
}

/// A head that no parser reads, however often it is sent.
fn is_not_http(cause: &(dyn Error + 'static)) -> bool {
    cause
        .downcast_ref::<hyper::Error>()
        .is_some_and(hyper::Error::is_parse)
}

/// A TCP connection that fails carries the system's error; what fails after it and before the
/// request is the handshake: refused by rustls, closed by the server, or not TLS at all.
fn is_handshake(cause: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{InvalidData, UnexpectedEof};
    cause.is::<rustls::Error>()
        || cause
            .downcast_ref::<io::Error>()
            .is_some_and(|io| matches!(io.kind(), InvalidData | UnexpectedEof))
}

/// The chain of causes, the outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&cause| next_cause(cause))
}

/// `io::Error::source` skips the error that it wraps, so that one is unwrapped by hand.
fn next_cause<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match cause
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(wrapped) => Some(wrapped),
        None => cause.source(),
    }
}
