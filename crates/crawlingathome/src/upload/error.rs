use std::{io, path::PathBuf};

use thiserror::Error;

use crate::{ClientError, RsyncError};

/// Why a file was not brought to the upload address. Addresses are shown without their paths, which
/// may have a key in them.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UploadError {
    /// The file to be uploaded.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A tracker whose operator takes no files.
    #[error("the tracker names no upload address; bring the file elsewhere and hand in its URL")]
    NoAddress,
    /// A text that is no address of a kind that is known.
    #[error("the upload address {0} is none of http(s)://, s3://, file:// and rsync://")]
    UnknownAddress(String),
    /// The address leads into this machine or a private network.
    #[error(
        "the upload address {0} is not on the public Internet; allow private addresses if it is meant"
    )]
    Private(String),
    /// The server does not take the file.
    #[error("{place} does not take the file: status {status}: {text}")]
    Refused {
        /// The server.
        place: String,
        /// The HTTP status.
        status: u16,
        /// The first line of its answer.
        text: String,
    },
    /// The file did not arrive, for as long as the retry policy allows.
    #[error("uploading to {place} failed: {reason}")]
    Broken {
        /// The server or bucket.
        place: String,
        /// What the last attempt failed with.
        reason: String,
    },
    /// The folder that the address names does not take the file.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The program `rsync` failed.
    #[error(transparent)]
    Rsync(#[from] RsyncError),
    /// The tracker did not tell the upload address anew.
    #[error(transparent)]
    Tracker(#[from] ClientError),
    /// Nothing could be sent at all.
    #[error("cannot set up an upload: {0}")]
    Setup(String),
}

impl UploadError {
    /// Whether the same attempt may go well later.
    pub(super) fn can_pass(&self) -> bool {
        match self {
            Self::Broken { .. } => true,
            Self::Refused { status, .. } => *status >= 500 || matches!(*status, 408 | 429),
            Self::Rsync(RsyncError::Failed { .. }) => true,
            _ => false,
        }
    }
}
