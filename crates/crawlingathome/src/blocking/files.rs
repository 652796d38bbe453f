use std::path::{Path, PathBuf};

use super::{Client, runtime::Shared};
use crate::{
    Cpu, DownloadError, DownloadOptions, Extracted, Gpu, Kind, ReadsWats, Shard, UploadError,
    UploadOptions,
};

impl<K: Kind> Client<K> {
    /// The blocking face of a worker that is there already.
    pub(super) fn over(inner: crate::Client<K>, shared: Shared) -> Self {
        Self { inner, shared }
    }
}

impl<K: ReadsWats> Client<K> {
    /// Writes a shard's WAT file, inflated, to `shard.wat` in a folder.
    ///
    /// # Errors
    /// See [`DownloadError::is_of_the_url`].
    pub fn download_shard(
        &self,
        shard: &Shard,
        folder: &Path,
        options: &DownloadOptions,
    ) -> Result<PathBuf, DownloadError> {
        let download = self.inner.download_shard(shard, folder, options);
        self.shared.wait(download)
    }
}

impl Client<Gpu> {
    /// Downloads what a CPU worker handed over, and extracts it into a folder.
    ///
    /// # Errors
    /// See [`DownloadError::is_of_the_url`].
    pub fn download_shard(
        &self,
        shard: &Shard,
        folder: &Path,
        options: &DownloadOptions,
    ) -> Result<Extracted, DownloadError> {
        let download = self.inner.download_shard(shard, folder, options);
        self.shared.wait(download)
    }
}

impl Client<Cpu> {
    /// Brings a file to the upload address, and gives what to complete the job with.
    ///
    /// # Errors
    /// As [`crate::Client::upload_with`].
    pub fn upload(&self, file: &Path) -> Result<String, UploadError> {
        self.shared.wait(self.inner.upload(file))
    }

    /// As [`upload`](Self::upload).
    ///
    /// # Errors
    /// As [`crate::Client::upload_with`].
    pub fn upload_with(&self, file: &Path, options: &UploadOptions) -> Result<String, UploadError> {
        self.shared.wait(self.inner.upload_with(file, options))
    }
}
