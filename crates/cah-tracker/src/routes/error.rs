//! What a call is answered when it is not carried out.

use std::{num::NonZeroU32, time::Duration};

use axum::{
    http::{StatusCode, header},
    response::{AppendHeaders, IntoResponse, Response},
};
use cah_protocol::{TextRejected, UNKNOWN_WORKER};

use crate::store::StoreError;

/// A refusal: its status and text are part of the protocol and tell nothing of the inside.
#[derive(Debug)]
pub(super) enum ApiError {
    /// 400: the caller sent nonsense.
    BadRequest(String),
    /// 401: only operators may do that.
    Unauthorized(&'static str),
    /// 403: nobody may do that here.
    Forbidden(&'static str),
    /// 403: there are as many workers as the operator allows.
    Full(u32),
    /// 403: there are as many workers of the caller's address.
    Crowded(u32),
    /// 403: the worker finished none of its last jobs, and waits so many seconds.
    Braked(i64),
    /// 403: nothing is open.
    NoOpenJob,
    /// 403: the caller holds no job, or another one.
    NoLease,
    /// 404: the token is not known.
    UnknownWorker,
    /// 404: there is no such thing.
    NotFound(&'static str),
    /// 404: there is no job of that number.
    NoSuchJob(u64),
    /// 409: it does not fit the project as it is.
    Conflict(String),
    /// 405.
    MethodNotAllowed,
    /// 408: the caller sent too slowly.
    TooSlow,
    /// 413: more bytes than the call may have.
    TooLarge(usize),
    /// 429: the caller's address calls too often.
    TooMany {
        /// Calls a second.
        limit: NonZeroU32,
        /// Until it may call again.
        wait: Duration,
    },
    /// 429: so many files of the worker are on their way already.
    TooManyFiles(usize),
    /// 500: a bug.
    Internal,
    /// 503: the store.
    Unavailable,
    /// 503: the store, and what was done before.
    Interrupted(String),
    /// 503: the bucket for what is handed over.
    NoBucket,
    /// 503: it took too long.
    Overloaded,
    /// 507: the folder for temporary files.
    NoRoom,
    /// 507: the folder for what is handed over.
    NoStagingRoom,
    /// 507: its disk, part of which has to stay free.
    StagingFull,
}

impl ApiError {
    fn parts(self) -> (StatusCode, String) {
        let (status, text) = match self {
            Self::BadRequest(text) => return (StatusCode::BAD_REQUEST, text),
            Self::Conflict(text) => return (StatusCode::CONFLICT, sentence(&text)),
            Self::NoSuchJob(number) => {
                return (StatusCode::NOT_FOUND, format!("There is no job {number}."));
            }
            Self::Full(workers) => {
                let text = format!(
                    "This tracker has {workers} workers, as many as it takes. Please try again \
                     later."
                );
                return (StatusCode::FORBIDDEN, text);
            }
            Self::Crowded(workers) => {
                let text = format!(
                    "This address has {workers} workers, as many as the tracker takes from one. \
                     Ask its operator for more."
                );
                return (StatusCode::FORBIDDEN, text);
            }
            Self::Braked(seconds) => {
                let text = format!(
                    "This worker finished none of its last jobs. It can have another one in \
                     {seconds} s."
                );
                return (StatusCode::FORBIDDEN, text);
            }
            Self::TooLarge(bytes) => {
                let text = format!("The body of this call may have {bytes} bytes at most.");
                return (StatusCode::PAYLOAD_TOO_LARGE, text);
            }
            Self::TooMany { limit, .. } => {
                let text =
                    format!("Too many calls come from this address; {limit} a second are allowed.");
                return (StatusCode::TOO_MANY_REQUESTS, text);
            }
            Self::TooManyFiles(files) => {
                let text = format!(
                    "This worker brings {files} files already, as many as it may at the same \
                     time. Please try again in a minute."
                );
                return (StatusCode::TOO_MANY_REQUESTS, text);
            }
            Self::Interrupted(what) => {
                let text = format!("The tracker's store is not available at the moment; {what}.");
                return (StatusCode::SERVICE_UNAVAILABLE, text);
            }
            Self::Forbidden(text) => (StatusCode::FORBIDDEN, text),
            Self::Unauthorized(text) => (StatusCode::UNAUTHORIZED, text),
            Self::NoOpenJob => (
                StatusCode::FORBIDDEN,
                "No job is open at the moment. Please try again later.",
            ),
            Self::NoLease => (
                StatusCode::FORBIDDEN,
                "This worker does not have an open job, or the job was given to another worker.",
            ),
            Self::UnknownWorker => (StatusCode::NOT_FOUND, UNKNOWN_WORKER),
            Self::NotFound(text) => (StatusCode::NOT_FOUND, text),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "This address exists, but not for this HTTP method.",
            ),
            Self::TooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                "The body of the request did not arrive in time.",
            ),
            Self::Overloaded => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The tracker has too much to do at the moment. Please try again later.",
            ),
            Self::NoBucket => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The tracker's staging is not available at the moment. Please try again later.",
            ),
            Self::NoRoom => (
                StatusCode::INSUFFICIENT_STORAGE,
                "The tracker's folder for temporary files cannot be used. Free some space there, \
                 or name another folder in TMPDIR.",
            ),
            Self::NoStagingRoom => (
                StatusCode::INSUFFICIENT_STORAGE,
                "The tracker's staging takes no more files at the moment. Please try again later.",
            ),
            Self::StagingFull => (
                StatusCode::INSUFFICIENT_STORAGE,
                "The disk of the tracker's staging is nearly full, and what is left has to stay \
                 free. Please try again later; its operator can make room.",
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something went wrong in the tracker.",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The tracker's store is not available at the moment. Please try again later.",
            ),
        };
        (status, text.into())
    }
}

/// A reason as a sentence.
pub(super) fn sentence(reason: &str) -> String {
    let mut chars = reason.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), chars.as_str())
}

/// Rounded up: who calls again after that is not too early.
fn whole_seconds(wait: Duration) -> String {
    wait.as_nanos().div_ceil(1_000_000_000).to_string()
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let header = match &self {
            Self::Unauthorized(_) => Some((header::WWW_AUTHENTICATE, "Bearer".to_owned())),
            Self::TooMany { wait, .. } => Some((header::RETRY_AFTER, whole_seconds(*wait))),
            _ => None,
        };
        let (status, text) = self.parts();
        (status, AppendHeaders(header), text).into_response()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::UnknownWorker => Self::UnknownWorker,
            StoreError::NoOpenJob => Self::NoOpenJob,
            StoreError::NoLease => Self::NoLease,
            StoreError::NoSuchJob(number) => Self::NoSuchJob(number),
            StoreError::Conflict(text) => Self::Conflict(text),
            StoreError::NameTaken
            | StoreError::Excluded
            | StoreError::Crowded(_)
            | StoreError::NoStore(_)
            | StoreError::Open { .. }
            | StoreError::Unavailable(_) => {
                tracing::error!(%error, "the store did not do what it was asked");
                Self::Unavailable
            }
        }
    }
}

impl From<TextRejected> for ApiError {
    fn from(rejected: TextRejected) -> Self {
        Self::BadRequest(format!("{rejected}."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::staging::StagingError;

    #[test]
    fn who_finds_the_disk_full_is_told_so() {
        let (status, text) = ApiError::from(StagingError::NoRoom).parts();
        assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE);
        assert!(text.contains("disk") && text.contains("later"), "{text}");
    }

    #[test]
    fn who_waits_as_told_is_not_too_early() {
        let told =
            [0, 1_000, 1_001, 59_999].map(|millis| whole_seconds(Duration::from_millis(millis)));
        assert_eq!(told, ["0", "1", "2", "60"]);
    }
}
