//! Why a tracker does not start or run.

use std::io;

use cah_bucket::BadBucket;
use thiserror::Error;

use crate::{config::ConfigError, operation::ImportError, store::StoreError, tls::TlsError};

/// Everything that can go wrong in this crate, apart from what single calls are answered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrackerError {
    /// A setting makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A list was not imported.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The bucket for what is handed over cannot be used.
    #[error("the staging: {0}")]
    Bucket(#[from] BadBucket),
    /// The listener broke.
    #[error("the tracker cannot listen: {0}")]
    Listen(#[from] io::Error),
}
