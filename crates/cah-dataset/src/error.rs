//! What can go wrong between a row and the dataset.

use std::io;

use cah_bucket::{BadBucket, OneLine};
use object_store::Error as StoreError;
use parquet::errors::ParquetError;
use thiserror::Error;

/// Why a dataset was not written or read.
///
/// Each message is one line that is fit to be shown as it is: it names the file or place, the
/// cause and, where there is one, the mend. `source()` is empty for that reason.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// An address whose scheme is neither that of a folder nor of a bucket.
    #[error("`{0}` is no place for a dataset: give a folder, file:///folder or s3://bucket/prefix")]
    UnknownScheme(String),
    /// An address of a known kind that cannot be used.
    #[error("cannot use `{place}`: {why}")]
    BadAddress {
        /// The address as it was given.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// A place that does not let itself be written to, found when it was opened.
    #[error("cannot write to `{place}`: {cause}; give another place or mend its permissions")]
    Unwritable {
        /// The place as it was given.
        place: String,
        /// What the file system or the object store said.
        cause: String,
    },
    /// The disk, the quota or the limit on file sizes is used up.
    #[error("no space left for `{file}`: {cause}; free some or give another place")]
    NoSpace {
        /// The file that could not grow.
        file: String,
        /// What the file system said.
        cause: io::Error,
    },
    /// A local file could not be read or written.
    #[error("`{file}`: {cause}")]
    Io {
        /// The file.
        file: String,
        /// What the file system said.
        cause: io::Error,
    },
    /// The object store refused or could not be reached.
    #[error("`{file}`: {}", OneLine(cause))]
    Remote {
        /// The object.
        file: String,
        /// What the object store said.
        cause: Box<StoreError>,
    },
    /// Rows that do not become parquet.
    #[error("`{file}`: {cause}")]
    Encoding {
        /// The table.
        file: String,
        /// What the encoder said.
        cause: ParquetError,
    },
    /// A shard whose numbers cannot stand in a dataset.
    #[error("shard {number}: {why}")]
    BadShard {
        /// The shard's number.
        number: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A row that breaks a rule of the dataset; nothing of it was written.
    #[error("shard {number}, candidate {index}: {why}")]
    BadRow {
        /// The shard's number.
        number: u64,
        /// The candidate's index in the shard.
        index: u64,
        /// Which rule.
        why: String,
    },
    /// Columns that cannot stand beside those of cc2dataset.
    #[error("`{file}`: {why}")]
    BadColumns {
        /// The table.
        file: String,
        /// What is wrong with them.
        why: String,
    },
    /// Candidates without an outcome, or pairs without a row: a defect of the pipeline.
    #[error("shard {number} does not add up: {why}; it was not written")]
    NotConserved {
        /// The shard's number.
        number: u64,
        /// Which sum is wrong.
        why: String,
    },
    /// A complete shard of the same number that was made from something else.
    #[error("`{manifest}` is of another run: {difference}; give another place")]
    ShardTaken {
        /// The manifest that stands in the way.
        manifest: String,
        /// What differs, both values named.
        difference: String,
    },
    /// Another worker wrote the same shard at the same time; the manifest was left to it.
    #[error("`{0}` was replaced by another worker while the shard was finished")]
    Overtaken(String),
    /// Another process keeps the dataset locked.
    #[error("`{0}` is locked by another process that does not finish")]
    Locked(String),
    /// A manifest that cannot be believed.
    #[error("`{file}` is no manifest: {why}; remove it to have the shard made again")]
    BadManifest {
        /// The manifest.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// What was handed over for a shard cannot be used.
    #[error("what was handed over for shard {number} cannot be used: {why}")]
    BadHandOver {
        /// The shard's number.
        number: u64,
        /// What is wrong with it.
        why: String,
    },
    /// An earlier call failed or was dropped half-way; what was written cannot be finished.
    #[error("`{0}` was left half-written by an earlier failure; start it again")]
    Interrupted(String),
}

/// The result of everything here that can fail.
pub type Result<T, E = DatasetError> = std::result::Result<T, E>;

impl DatasetError {
    /// Names the file of an input or output error, and tells a full disk from the rest.
    pub(crate) fn io(file: impl Into<String>, cause: io::Error) -> Self {
        let file = file.into();
        match cause.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::NoSpace { file, cause },
            _ => Self::Io { file, cause },
        }
    }

    pub(crate) fn remote(file: impl Into<String>, cause: StoreError) -> Self {
        let (file, cause) = (file.into(), Box::new(cause));
        Self::Remote { file, cause }
    }

    pub(crate) fn encoding(file: impl Into<String>, cause: ParquetError) -> Self {
        let file = file.into();
        Self::Encoding { file, cause }
    }
}

impl From<BadBucket> for DatasetError {
    fn from(bad: BadBucket) -> Self {
        let BadBucket { place, why } = bad;
        Self::BadAddress { place, why }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_called_by_its_name() {
        let mut full = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let cause = full.write_all(b"x").unwrap_err();
        let error = DatasetError::io("out/images/000000001.tar", cause).to_string();
        assert!(
            error.starts_with("no space left for `out/images/000000001.tar`"),
            "{error}"
        );
    }
}
