use cah_protocol::Shard;
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
    Clip(#[from] cah_clip::ClipError),
    /// The dataset cannot be written.
    #[error(transparent)]
    Dataset(#[from] cah_dataset::DatasetError),
    /// The tracker cannot be reached, or refuses.
    #[error(transparent)]
    Tracker(#[from] crawlingathome::ClientError),
    /// The tracker gave the shard to somebody else.
    #[error("the lease of shard {} ran out, somebody else has it now", .0.number)]
    LeaseLost(Shard),
    /// The machine refuses what the worker needs.
    #[error("cannot start the worker's threads: {0}")]
    Threads(#[source] std::io::Error),
}
