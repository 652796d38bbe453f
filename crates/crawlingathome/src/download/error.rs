use std::{
    io,
    path::{Path, PathBuf},
};

use cah_archive::ArchiveError;
use cah_source::SourceError;
use thiserror::Error;

use crate::{ClientError, RsyncError};

/// Why a shard was not downloaded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// What the URL leads to cannot be read.
    #[error(transparent)]
    Source(SourceError),
    /// The URL leads into this machine or a private network.
    #[error(
        "the tracker asks for {0}, which is not on the public Internet; allow private addresses if it is meant"
    )]
    Private(String),
    /// `rsync NAME` whose name is none.
    #[error("`{0}` names no file; expected `rsync NAME`")]
    BadName(String),
    /// `rsync NAME` of a tracker that does not tell where that is.
    #[error("the tracker names no place where `{0}` could be")]
    NoStaging(String),
    /// The tracker did not tell where that is.
    #[error(transparent)]
    Tracker(#[from] ClientError),
    /// The program `rsync` failed.
    #[error(transparent)]
    Rsync(#[from] RsyncError),
    /// The gzip of a WAT file is damaged, or ends too early.
    #[error("{location} is damaged: {reason}")]
    Damaged {
        /// The URL.
        location: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is none of a crawl.
    #[error("{location} is {reason}")]
    NotAWat {
        /// The URL.
        location: String,
        /// What it is instead.
        reason: String,
    },
    /// What was handed over is no archive, or a hostile one.
    #[error("{location} cannot be extracted: {error}")]
    Archive {
        /// The URL.
        location: String,
        /// What is wrong with it, or with this machine.
        #[source]
        error: ArchiveError,
    },
    /// This machine does not take the file: a disk that is full, a folder that is read-only.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Nothing could be asked at all.
    #[error("cannot set up a download: {0}")]
    Setup(String),
}

impl DownloadError {
    /// Whether the URL, or what it leads to, is what is wrong: nobody else can use it either. Where
    /// it is not, it may pass, or it is this machine's trouble: a network that is down, a server
    /// that is ill or asks who is there, a disk that is full, a private address that is not allowed
    /// here.
    pub fn is_of_the_url(&self) -> bool {
        match self {
            Self::Source(error) => is_of_the_source(error),
            Self::Rsync(error) => {
                matches!(error, RsyncError::NotFound(_) | RsyncError::BadAddress(_))
            }
            Self::Archive { error, .. } => error.is_of_the_archive(),
            Self::BadName(_) | Self::Damaged { .. } | Self::NotAWat { .. } => true,
            Self::Private(_)
            | Self::NoStaging(_)
            | Self::Tracker(_)
            | Self::Write { .. }
            | Self::Setup(_) => false,
        }
    }

    pub(super) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write {
            path: path.to_owned(),
            source,
        }
    }
}

/// Files of this machine are refused like private addresses; any other text that names one by
/// accident is no URL.
fn is_of_the_source(error: &SourceError) -> bool {
    match error {
        SourceError::NotFound(_)
        | SourceError::UnknownScheme(_)
        | SourceError::BadUrl { .. }
        | SourceError::NotRemote(_)
        | SourceError::NotAFile(_) => true,
        SourceError::Bucket(bad) => cah_bucket::address(&bad.place).is_err(),
        _ => false,
    }
}

impl From<SourceError> for DownloadError {
    fn from(error: SourceError) -> Self {
        let is_path =
            |location: &str| location.starts_with("file:") || Path::new(location).is_absolute();
        match error {
            SourceError::Private(location) => Self::Private(location),
            SourceError::NotRemote(location) if is_path(&location) => Self::Private(location),
            error => Self::Source(error),
        }
    }
}
