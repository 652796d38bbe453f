//! The files of a shard: its WAT file, or what a CPU worker handed over.

mod error;
mod feed;
mod handed_over;
mod wat;

use std::{
    collections::HashSet,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use cah_archive::{Extracted, Limits};
use cah_fetch::Guard;
use cah_protocol::{Piece, Shard, WorkerType};
use cah_source::AnySource;

pub use error::DownloadError;

use crate::{Client, Gpu, Kind, ReadsWats, reach};

/// Is told how many bytes of a transfer are done, and of how many.
pub(crate) type OnProgress = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// The file that a WAT file becomes, as in the reference client.
const SHARD_FILE: &str = "shard.wat";

/// How often a tracker that draws one of its upload addresses is asked for them: one of two is then
/// missed once in 256 times, and another worker asks anew.
const DRAWS: u32 = 8;

/// How a shard is downloaded.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct DownloadOptions {
    /// Whether only the shard's own half of the WAT file is written: the records that begin in it.
    pub piece_only: bool,
    /// Whether files of this machine and addresses that are not on the public Internet may be what
    /// the tracker names. By default just where the tracker's own address is such a one.
    pub allow_private_addresses: Option<bool>,
    /// Is told how many bytes have come, and how many will, of the file as it is sent:
    /// as many as have come, where a server does not tell.
    pub progress: Option<OnProgress>,
    /// How much an archive may be that a CPU worker handed over.
    pub limits: Limits,
}

impl fmt::Debug for DownloadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DownloadOptions")
            .field("piece_only", &self.piece_only)
            .field("allow_private_addresses", &self.allow_private_addresses)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl<K: ReadsWats> Client<K> {
    /// Writes a shard's WAT file, inflated, to `shard.wat` in a folder, which is created where it
    /// is missing; gives the path.
    ///
    /// The whole file, or with [`piece_only`](DownloadOptions::piece_only) the shard's half, which
    /// only a server that tells the file's length can send. A transfer that breaks is taken up where it stopped. The file appears under its name when it
    /// is whole; an older one stays until then, and for good where the download fails. The memory
    /// that it takes is the same for a file of any length.
    ///
    /// ```no_run
    /// # async fn example(client: crawlingathome::HybridClient) -> Result<(), Box<dyn std::error::Error>> {
    /// use crawlingathome::DownloadOptions;
    ///
    /// let lease = client.lease().await?;
    /// let mut options = DownloadOptions::default();
    /// options.piece_only = true;
    /// let path = client.download_shard(lease.shard(), ".".as_ref(), &options).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`DownloadError::is_of_the_url`].
    pub async fn download_shard(
        &self,
        shard: &Shard,
        folder: &Path,
        options: &DownloadOptions,
    ) -> Result<PathBuf, DownloadError> {
        let piece = match (options.piece_only, shard.piece) {
            (false, _) => cah_wat::Piece::Whole,
            (true, Piece::First) => cah_wat::Piece::First,
            (true, Piece::Second) => cah_wat::Piece::Second,
        };
        self.download_wat(&shard.url, piece, folder, options).await
    }

    pub(crate) async fn download_wat(
        &self,
        url: &str,
        piece: cah_wat::Piece,
        folder: &Path,
        options: &DownloadOptions,
    ) -> Result<PathBuf, DownloadError> {
        let guard = self.guard(options)?;
        let source = open(url, guard.as_ref()).await?;
        wat::download(&source, piece, folder.join(SHARD_FILE), options).await
    }
}

impl Client<Gpu> {
    /// Downloads what a CPU worker handed over, and extracts the tar into a folder, which is created
    /// where it is missing.
    ///
    /// The shard's URL may be http(s), `s3://`, a file, `rsync://`, and `rsync NAME`, a file of that
    /// name, or that name with `.tar.gz` or `.tar`, below an upload address that the tracker tells CPU
    /// workers. Nothing of an archive that is refused stays; see [`cah_archive::extract`].
    ///
    /// # Errors
    /// See [`DownloadError::is_of_the_url`]: where that is true,
    /// [`flag_invalid`](crate::Lease::flag_invalid) has the shard made anew.
    pub async fn download_shard(
        &self,
        shard: &Shard,
        folder: &Path,
        options: &DownloadOptions,
    ) -> Result<Extracted, DownloadError> {
        let guard = self.guard(options)?;
        match handed_over::name_in(&shard.url)? {
            Some(name) => {
                let bases = self.where_files_are_brought().await?;
                handed_over::find(name, &bases, guard.as_ref(), folder, options).await
            }
            None => handed_over::download(&shard.url, guard.as_ref(), folder, options).await,
        }
    }

    /// The addresses that the tracker tells CPU workers, as far as it tells them to one who asks a
    /// few times; this worker's own after them, as GPU workers of old have only that.
    async fn where_files_are_brought(&self) -> Result<Vec<String>, DownloadError> {
        let mut bases = Vec::new();
        for _ in 0..DRAWS {
            bases.push(self.told_address(WorkerType::Cpu).await?);
        }
        bases.push(self.upload_address());
        let mut known = HashSet::new();
        let bases = bases.iter().map(|base| base.trim().to_owned());
        let bases = bases.filter(|base| !base.is_empty() && known.insert(base.clone()));
        Ok(bases.collect())
    }
}

impl<K: Kind> Client<K> {
    fn guard(&self, options: &DownloadOptions) -> Result<Option<Guard>, DownloadError> {
        let guard = reach::guard(self.url(), options.allow_private_addresses);
        guard.map_err(|error| DownloadError::Setup(error.to_string()))
    }
}

async fn open(location: &str, guard: Option<&Guard>) -> Result<AnySource, DownloadError> {
    let source = AnySource::open_within(location, guard).await;
    source.map_err(DownloadError::from)
}
