use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use cah_protocol::Shard;
use crawlingathome::UploadError;
use thiserror::Error;

use crate::SourceError;

/// Why a worker stops, or a shard cannot be finished. What happens to single candidates is no
/// error but an [`Outcome`](cah_protocol::Outcome).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The WAT file cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The WAT file is not one.
    #[error("{location}: {error}")]
    Wat {
        /// Which file.
        location: String,
        /// What is wrong with it.
        #[source]
        error: cah_wat::Error,
    },
    /// The WAT file ends in the middle of a record.
    #[error("{0} ends in the middle of a record; it is truncated, download it again")]
    Truncated(String),
    /// A setting of the downloader makes no sense.
    #[error(transparent)]
    Fetch(#[from] cah_fetch::ConfigError),
    /// The model failed.
    #[error(transparent)]
    Clip(#[from] Arc<cah_clip::ClipError>),
    /// The dataset cannot be written.
    #[error(transparent)]
    Dataset(#[from] cah_dataset::DatasetError),
    /// The tracker cannot be reached, or refuses.
    #[error(transparent)]
    Tracker(#[from] crawlingathome::ClientError),
    /// What a CPU worker handed over cannot be downloaded.
    #[error(transparent)]
    Download(#[from] crawlingathome::DownloadError),
    /// The images cannot be brought to where the tracker says.
    #[error(transparent)]
    Upload(crawlingathome::UploadError),
    /// The tracker gave the shard to somebody else.
    #[error("the lease of shard {} ran out, somebody else has it now", .0.number)]
    LeaseLost(Shard),
    /// Worker after worker ended in the middle of the shard, by a panic or for want of memory perhaps.
    #[error(
        "shard {number}: {times} times in a row the worker ended in the middle of it, and got no further"
    )]
    Deadly {
        /// The shard's number.
        number: u64,
        /// How often.
        times: u32,
    },
    /// The machine refuses what the worker needs.
    #[error("cannot start the worker's threads: {0}")]
    Threads(#[source] io::Error),
    /// A WAT file that is another one than when its shard was begun.
    #[error("{0} has changed since its shard was begun; it has to be done from the beginning")]
    WatChanged(String),
    /// The worker's state cannot be kept.
    #[error("cannot keep the worker's state in {path}: {cause}; give another place with --state")]
    State {
        /// The file or folder.
        path: String,
        /// What the file system said.
        cause: io::Error,
    },
    /// Another process has the state.
    #[error("another worker keeps its state in {}; give each one a place of its own", .0.display())]
    StateInUse(PathBuf),
    /// The state is that of a worker for another tracker, type or nickname.
    #[error("the state in {place} is of {whose}; give another place, or remove it")]
    StateOfAnother {
        /// The file.
        place: String,
        /// Whose it is.
        whose: String,
    },
}

impl From<UploadError> for WorkerError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Tracker(error) => Self::Tracker(error),
            error => Self::Upload(error),
        }
    }
}

impl WorkerError {
    pub(crate) fn state(path: &Path, cause: io::Error) -> Self {
        let path = path.display().to_string();
        Self::State { path, cause }
    }
}
