//! What a CPU worker hands over, brought to where the tracker wants it.

mod error;
mod http;
mod places;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use cah_fetch::Guard;
use futures::{Stream, TryStreamExt};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;
use url::Url;

pub use error::UploadError;

use crate::{Client, Cpu, RetryPolicy, download::OnProgress, reach, rsync};

/// Bytes that are read from the file at a time.
const CHUNK: usize = 256 << 10;

/// How a file is uploaded.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct UploadOptions {
    /// Whether the upload address may be a folder of this machine, or an address that is not on the
    /// public Internet. By default just where the tracker's own address is such a one.
    pub allow_private_addresses: Option<bool>,
    /// Is told how many bytes are on their way, and of how many. An attempt that is repeated begins
    /// again.
    pub progress: Option<OnProgress>,
}

impl fmt::Debug for UploadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadOptions")
            .field("allow_private_addresses", &self.allow_private_addresses)
            .finish_non_exhaustive()
    }
}

impl Client<Cpu> {
    /// Asks for the worker's [upload address](Client::update_upload_address), which may be good for
    /// one file only, brings a file there, and gives what to pass to
    /// [`Lease::complete`](crate::Lease::complete).
    ///
    /// ```no_run
    /// # async fn example(client: crawlingathome::CpuClient) -> Result<(), Box<dyn std::error::Error>> {
    /// let lease = client.lease().await?;
    /// let url = client.upload("images.tar".as_ref()).await?;
    /// lease.complete(&url).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`upload_with`](Self::upload_with).
    pub async fn upload(&self, file: &Path) -> Result<String, UploadError> {
        self.upload_with(file, &UploadOptions::default()).await
    }

    /// As [`upload`](Self::upload).
    ///
    /// By http(s) the file is `PUT`: below the address under a random name where that ends in `/`,
    /// else at the address itself, as presigned URLs want it. In buckets (`s3://`) and folders
    /// (`file://`), and where `rsync` brings it, it gets a random name. What may pass is tried again
    /// by the client's [`RetryPolicy`].
    ///
    /// # Errors
    /// What the last attempt failed with.
    pub async fn upload_with(
        &self,
        file: &Path,
        options: &UploadOptions,
    ) -> Result<String, UploadError> {
        let guard = reach::guard(self.url(), options.allow_private_addresses);
        let upload = Upload {
            length: length(file).await?,
            file: file.to_owned(),
            name: format!("{:032x}.tar", rand::random::<u128>()),
            guard: guard.map_err(|error| UploadError::Setup(error.to_string()))?,
            retry: self.session().api.retry(),
            progress: options.progress.clone(),
        };
        let address = self.update_upload_address().await?;
        upload.to(&address).await
    }
}

async fn length(file: &Path) -> Result<u64, UploadError> {
    let read_error = |source| UploadError::Read {
        path: file.to_owned(),
        source,
    };
    let metadata = tokio::fs::metadata(file).await.map_err(read_error)?;
    match metadata.is_file() {
        true => Ok(metadata.len()),
        false => Err(read_error(std::io::ErrorKind::IsADirectory.into())),
    }
}

/// One file to be brought somewhere.
struct Upload {
    file: PathBuf,
    length: u64,
    /// What it is called where its name is free.
    name: String,
    guard: Option<Guard>,
    retry: RetryPolicy,
    progress: Option<OnProgress>,
}

impl Upload {
    /// Brings it to an address of any kind.
    async fn to(&self, address: &str) -> Result<String, UploadError> {
        let address = address.trim();
        if address.is_empty() {
            return Err(UploadError::NoAddress);
        }
        if rsync::is_address(address) {
            return self.by_rsync(address).await;
        }
        let unknown = || UploadError::UnknownAddress(shown(address));
        let url = Url::parse(address).map_err(|_| unknown())?;
        match url.scheme() {
            "http" | "https" => self.by_http(url).await,
            "s3" | "s3a" => self.to_bucket(&url).await,
            "file" => {
                self.to_folder(url.to_file_path().map_err(|()| unknown())?)
                    .await
            }
            _ => Err(unknown()),
        }
    }

    async fn by_rsync(&self, address: &str) -> Result<String, UploadError> {
        let target = format!("{}{}", with_slash(address), self.name);
        let attempt = async || {
            let brought = rsync::bring(&self.file, &target, self.guard.as_ref()).await;
            brought.map_err(UploadError::Rsync)
        };
        self.retry.run(attempt, UploadError::can_pass).await?;
        Ok(format!("rsync {}", self.name))
    }

    /// The file's bytes, as many as it had when it was looked at.
    async fn bytes(
        &self,
    ) -> Result<impl Stream<Item = std::io::Result<Bytes>> + Send + use<>, UploadError> {
        let file = tokio::fs::File::open(&self.file).await;
        let file = file.map_err(|source| self.read_error(source))?;
        let (progress, length) = (self.progress.clone(), self.length);
        let mut done = 0;
        let bytes = ReaderStream::with_capacity(file.take(length), CHUNK);
        Ok(bytes.inspect_ok(move |chunk| {
            done += chunk.len() as u64;
            if let Some(progress) = &progress {
                progress(done, length);
            }
        }))
    }

    fn read_error(&self, source: std::io::Error) -> UploadError {
        UploadError::Read {
            path: self.file.clone(),
            source,
        }
    }
}

/// An address below which something can be written.
fn with_slash(address: &str) -> String {
    match address.ends_with('/') {
        true => address.to_owned(),
        false => format!("{address}/"),
    }
}

/// An address as it may be shown: where it leads, without user, path and query.
fn shown(address: &str) -> String {
    let url = Url::parse(address).ok();
    let place = url.and_then(|url| {
        let port = url
            .port()
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        Some(format!("{}://{}{port}", url.scheme(), url.host_str()?))
    });
    place.unwrap_or_else(|| "that it names".into())
}
