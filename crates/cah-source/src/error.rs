use cah_bucket::{BadBucket, OneLine};
use thiserror::Error;

use crate::pace::SLOWEST_PER_SECOND;

/// Why a file cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The file is not there.
    #[error("there is no file at {0}; is the path or URL right?")]
    NotFound(String),
    /// A location of another kind.
    #[error("cannot read from {0}; give a path, or a URL with http, https or s3")]
    UnknownScheme(String),
    /// A URL that is none.
    #[error("`{location}` is not a URL: {reason}")]
    BadUrl {
        /// What was given.
        location: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The address of a bucket that cannot be used.
    #[error(transparent)]
    Bucket(#[from] BadBucket),
    /// A tracker names a file of the worker's own machine.
    #[error("the tracker asks for {0}; only http, https and s3 URLs are read for a tracker")]
    NotRemote(String),
    /// A tracker names a server that is not for everybody.
    #[error(
        "the tracker asks for {0}, which is not on the public Internet; if that is meant, start the worker with \
         --allow-private-addresses"
    )]
    Private(String),
    /// A folder, or something else that has no bytes.
    #[error("{0} is not a file; name the file itself")]
    NotAFile(String),
    /// The system refuses to read the file.
    #[error("cannot read {location}: {reason}")]
    Unreadable {
        /// The path.
        location: String,
        /// What the system says.
        reason: String,
    },
    /// The server refuses.
    #[error("{location} answered with status {status}; is the URL public?")]
    Status {
        /// The URL.
        location: String,
        /// The HTTP status.
        status: u16,
    },
    /// The server leads somewhere that is not followed.
    #[error("{location} redirects in vain: {reason}")]
    BadRedirect {
        /// The URL.
        location: String,
        /// What is wrong with where it leads.
        reason: String,
    },
    /// The bucket refuses.
    #[error("{0} may not be read; are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY right?")]
    Denied(String),
    /// The server does not tell how long the file is, so that it has no middle.
    #[error(
        "{0} does not tell its length, so that it cannot be cut in two; download the file first"
    )]
    NoLength(String),
    /// The transfer of a file of unknown length broke, and cannot be taken up.
    #[error(
        "{0} broke off; its server neither tells its length nor sends parts of it, so that it has to be read anew"
    )]
    CutOff(String),
    /// The file comes so slowly that it is not waited for.
    #[error(
        "{0} sends less than {kib} KiB a second for too long",
        kib = SLOWEST_PER_SECOND >> 10
    )]
    TooSlow(String),
    /// The file is another one than when its length was asked.
    #[error("{0} changed while it was read; start again")]
    Changed(String),
    /// The server sends another part of the file than it was asked for.
    #[error(
        "{location} was asked for its bytes from {asked} on and sent others; a cache or proxy on the way is broken, \
         download the file another way"
    )]
    OtherBytes {
        /// The URL.
        location: String,
        /// Where the bytes should start.
        asked: u64,
    },
    /// The transfer failed for good.
    #[error("reading {location} failed: {reason}")]
    Broken {
        /// The URL.
        location: String,
        /// What failed.
        reason: String,
    },
}

pub(crate) type Result<T> = std::result::Result<T, SourceError>;

impl SourceError {
    /// Whether the same request may go well a little later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            SourceError::Broken { .. } => true,
            SourceError::Status { status, .. } => *status >= 500 || *status == 429,
            _ => false,
        }
    }

    /// `reason` may have several lines, as the answers of buckets do.
    pub(crate) fn broken(location: &str, reason: impl std::fmt::Display) -> Self {
        SourceError::Broken {
            location: location.into(),
            reason: OneLine(reason).to_string(),
        }
    }
}
