//! What a call is answered when it is not carried out.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use cah_protocol::{TextRejected, UNKNOWN_WORKER};

use crate::store::StoreError;

/// A refusal: its status and text are part of the protocol and tell nothing of the inside.
#[derive(Debug)]
pub(super) enum ApiError {
    /// 400: the caller sent nonsense.
    BadRequest(String),
    /// 403: nothing is open.
    NoOpenJob,
    /// 403: the caller holds no job, or another one.
    NoLease,
    /// 404: the token is not known.
    UnknownWorker,
    /// 404: there is no such thing.
    NotFound(&'static str),
    /// 405.
    MethodNotAllowed,
    /// 413.
    TooLarge,
    /// 500: a bug.
    Internal,
    /// 503: the store.
    Unavailable,
}

impl ApiError {
    fn parts(self) -> (StatusCode, String) {
        let (status, text) = match self {
            Self::BadRequest(text) => return (StatusCode::BAD_REQUEST, text),
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
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "The body of the request is larger than 2 MiB.",
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

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.parts().into_response()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::UnknownWorker => Self::UnknownWorker,
            StoreError::NoOpenJob => Self::NoOpenJob,
            StoreError::NoLease => Self::NoLease,
            StoreError::NameTaken | StoreError::Open { .. } | StoreError::Unavailable(_) => {
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
