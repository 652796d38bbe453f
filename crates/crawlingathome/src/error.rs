use cah_protocol::{MalformedJob, TextRejected};
use thiserror::Error;

/// Why a call to the tracker failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The tracker's address is not an http(s) URL.
    #[error("`{url}` is not the address of a tracker; give one such as http://127.0.0.1:8080")]
    InvalidUrl {
        /// What was given.
        url: String,
    },
    /// Text that the protocol does not carry, found before it was sent.
    #[error(transparent)]
    Text(#[from] TextRejected),
    /// 400: the tracker does not take an argument (`ValueError` in the reference client).
    #[error("the tracker refused the request: {0}")]
    Refused(String),
    /// 403: no job is open, or the job is not this worker's any more (`ZeroJobError`).
    #[error("the tracker has no job for this call: {0}")]
    ZeroJobs(String),
    /// 404: the tracker does not know the worker any more (`WorkerTimedOutError`).
    #[error(
        "the tracker does not know this worker any more; it was silent for too long, or said bye"
    )]
    WorkerTimedOut,
    /// Any other status (`ServerError`).
    #[error("the tracker answered with status {status}: {text}")]
    Server {
        /// The HTTP status.
        status: u16,
        /// The first line of the body.
        text: String,
    },
    /// No answer at all, for as long as the retry policy allows.
    #[error("no tracker answers at {url} ({reason}); is it running, and is the address right?")]
    Unreachable {
        /// The tracker's address.
        url: String,
        /// What the last attempt failed with.
        reason: String,
    },
    /// An answer of another shape than the protocol's.
    #[error("{url} does not answer like a Crawling@Home tracker: {reason}")]
    NotATracker {
        /// The tracker's address.
        url: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// A dump from which no worker can be loaded (`DumpError`).
    #[error("the dump cannot be loaded: {0}")]
    Dump(String),
    /// A job that makes no sense.
    #[error("the tracker sent a malformed job: {0}")]
    MalformedJob(#[from] MalformedJob),
    /// A job that is no shard of the WAT file that is handed in.
    #[error("job {0} is no shard of this WAT file")]
    NotOfTheWat(u64),
    /// The system gives no thread to [`blocking`](crate::blocking) clients.
    #[error("cannot set up a thread for the client: {0}")]
    Runtime(#[source] std::io::Error),
    /// The HTTP client itself could not be built.
    #[error("cannot set up the HTTP client: {0}")]
    Setup(#[source] reqwest::Error),
}
