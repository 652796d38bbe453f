use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{CpuClient, runtime::Shared};
use crate::{ClientConfig, ClientError, DownloadError, DownloadOptions, Dump, WholeWat};

/// A worker that takes whole WAT files, see [`crate::WholeWatClient`].
#[derive(Clone, Debug)]
pub struct WholeWatClient {
    inner: crate::WholeWatClient,
    shared: Shared,
}

impl WholeWatClient {
    /// Introduces a new worker to the tracker.
    ///
    /// # Errors
    /// As [`crate::Client::connect`], and [`ClientError::Runtime`].
    pub fn connect(config: ClientConfig) -> Result<Self, ClientError> {
        let shared = Shared::get()?;
        let inner = shared.wait(crate::WholeWatClient::connect(config))?;
        Ok(Self { inner, shared })
    }

    /// The worker that was dumped, and the file that it had then.
    ///
    /// # Errors
    /// As [`crate::WholeWatClient::load`], and [`ClientError::Runtime`].
    pub fn load(
        dump: &Dump,
        config: ClientConfig,
    ) -> Result<(Self, Option<WholeWat>), ClientError> {
        let shared = Shared::get()?;
        let (inner, wat) = shared.within(|| crate::WholeWatClient::load(dump, config))?;
        Ok((Self { inner, shared }, wat))
    }

    /// The worker as the tracker knows it.
    pub fn worker(&self) -> CpuClient {
        CpuClient::over(self.inner.worker().clone(), self.shared)
    }

    /// Asks for a WAT file whose shards are both open.
    ///
    /// # Errors
    /// As [`crate::WholeWatClient::next_wat`].
    pub fn next_wat(&self) -> Result<WholeWat, ClientError> {
        self.shared.wait(self.inner.next_wat())
    }

    /// Writes the file, inflated, to `shard.wat` in a folder.
    ///
    /// # Errors
    /// See [`DownloadError::is_of_the_url`].
    pub fn download(
        &self,
        wat: &WholeWat,
        folder: &Path,
        options: &DownloadOptions,
    ) -> Result<PathBuf, DownloadError> {
        self.shared.wait(self.inner.download(wat, folder, options))
    }

    /// Hands over what was made of shards, by their numbers.
    ///
    /// # Errors
    /// As [`crate::WholeWatClient::complete`].
    pub fn complete(
        &self,
        wat: &WholeWat,
        urls: &BTreeMap<u64, String>,
    ) -> Result<u64, ClientError> {
        self.shared.wait(self.inner.complete(wat, urls))
    }

    /// The worker with a file, or without one, to be loaded later.
    pub fn dump(&self, wat: Option<&WholeWat>) -> Dump {
        self.inner.dump(wat)
    }
}
