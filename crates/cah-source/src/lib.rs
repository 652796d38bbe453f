//! Files to be read, wherever they are: a path, an http(s) URL or an object in a bucket.
//!
//! A [`Source`] is read from any offset to its end; a transfer that breaks is taken up where it
//! stopped.

mod bucket_file;
mod error;
mod pace;
mod reading;
mod retry;
mod web;

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use cah_fetch::Guard;
use futures::{Stream, StreamExt, TryStreamExt};
use tokio::io::AsyncSeekExt;
use tokio_util::io::ReaderStream;
use url::Url;

use self::{
    bucket_file::BucketFile,
    error::Result,
    reading::{Opened, Reading},
    retry::Retries,
    web::WebFile,
};
pub use self::{
    error::SourceError,
    pace::{GRACE, SLOWEST_PER_SECOND},
};

/// Bytes that are read from a local file at a time.
const CHUNK: usize = 256 << 10;

/// A file whose length is known and that can be read from any offset. Clones are the same file.
#[derive(Clone, Debug)]
pub struct Source {
    file: AnySource,
    length: u64,
}

/// A file that may be read without knowing how long it is: some servers make what they send while
/// they send it. Clones are the same file.
#[derive(Clone, Debug)]
pub struct AnySource {
    location: Arc<str>,
    place: Place,
    length: Option<u64>,
}

#[derive(Clone, Debug)]
enum Place {
    File(PathBuf),
    Web(WebFile),
    Bucket(BucketFile),
}

impl Source {
    /// Finds the file at `location`, wherever that is, and asks for its length in bytes. For
    /// locations that this machine's user chose; see [`Source::open_leased`].
    ///
    /// What fails and may go well later is tried again for half a minute.
    pub async fn open(location: &str) -> Result<Self> {
        Self::open_within(location, None).await
    }

    /// As [`Source::open`], for a location that a tracker chose: files of this machine are not
    /// read, and of http(s) only what `guard` lets pass, redirects included.
    pub async fn open_leased(location: &str, guard: &Guard) -> Result<Self> {
        Self::open_within(location, Some(guard)).await
    }

    /// The two in one: for a location that a tracker chose where there is a `guard`.
    pub async fn open_within(location: &str, guard: Option<&Guard>) -> Result<Self> {
        let file = AnySource::open_within(location, guard).await?;
        let length = file.needed_length()?;
        Ok(Self { file, length })
    }

    /// What the file is called, as it was given.
    pub fn location(&self) -> &str {
        self.file.location()
    }

    /// The length of the file as it lies there, compressed or not, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The bytes from `start` to the end of the file.
    ///
    /// A transfer that breaks is taken up where it stopped; after a few failures without a byte
    /// between them the stream ends with an error, and so it does where less than 32 KiB a second
    /// come for long. A file that ends early is an error as well.
    pub fn read_from(&self, start: u64) -> impl Stream<Item = Result<Bytes>> + Send + use<> {
        self.file.read_from(start)
    }
}

impl AnySource {
    /// As [`Source::open_within`]; a file that tells no length will do.
    pub async fn open_within(location: &str, guard: Option<&Guard>) -> Result<Self> {
        let place = Place::parse(location, guard)?;
        let mut retries = Retries::default();
        let length = loop {
            match place.length(location).await {
                Ok(length) => break length,
                Err(error) => retries.pause_after(error).await?,
            }
        };
        Ok(Self {
            location: location.into(),
            place,
            length,
        })
    }

    /// What the file is called, as it was given.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// The length of the file as it lies there, in bytes, where its server tells it.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The length, for what cannot be done without.
    ///
    /// # Errors
    /// [`SourceError::NoLength`].
    pub fn needed_length(&self) -> Result<u64> {
        let unknown = || SourceError::NoLength(self.location.to_string());
        self.length.ok_or_else(unknown)
    }

    /// As [`Source::read_from`]. Without a length the file ends where its server says so, and a
    /// transfer that breaks is taken up only where there are ranges.
    pub fn read_from(&self, start: u64) -> impl Stream<Item = Result<Bytes>> + Send + use<> {
        let source = self.clone();
        let open = move |start| {
            let source = source.clone();
            async move { source.bytes(start).await }
        };
        let reading = Reading::new(self.clone(), start, open);
        futures::stream::try_unfold(reading, |mut reading| async move {
            Ok(reading.next().await?.map(|bytes| (bytes, reading)))
        })
    }

    async fn bytes(&self, start: u64) -> Result<Opened> {
        let location = self.location.clone();
        match &self.place {
            Place::File(path) => file_bytes(path.clone(), location, start).await,
            Place::Web(file) => file.bytes(&location, start, self.length).await,
            Place::Bucket(file) => {
                let length = self.needed_length()?;
                let bytes = file.clone().bytes(location, start, length);
                Ok(Opened { bytes, at: start })
            }
        }
    }

    /// The error of a transfer that ended after so many bytes, before the file did.
    fn ended_at(&self, position: u64, length: u64) -> SourceError {
        match self.place {
            // What a file of this machine has lost does not come back.
            Place::File(_) => SourceError::Changed(self.location.to_string()),
            _ => {
                let reason = format!("it ended after {position} of {length} bytes");
                SourceError::broken(&self.location, reason)
            }
        }
    }
}

impl Place {
    fn parse(location: &str, guard: Option<&Guard>) -> Result<Self> {
        match (Self::anywhere(location, guard)?, guard) {
            (Place::File(_), Some(_)) => Err(SourceError::NotRemote(location.into())),
            (place, _) => Ok(place),
        }
    }

    fn anywhere(location: &str, guard: Option<&Guard>) -> Result<Self> {
        let Some((scheme, _)) = location.split_once("://") else {
            return Ok(Place::File(location.into()));
        };
        let bad = |reason: String| SourceError::BadUrl {
            location: location.into(),
            reason,
        };
        let url = || Url::parse(location).map_err(|error| bad(error.to_string()));
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => WebFile::new(url()?, guard)
                .map(Place::Web)
                .map_err(|error| SourceError::broken(location, error)),
            "file" => url()?
                .to_file_path()
                .map(Place::File)
                .map_err(|()| bad("a file URL is absolute, like file:///folder/file".into())),
            "s3" | "s3a" => BucketFile::new(location).map(Place::Bucket),
            _ => Err(SourceError::UnknownScheme(location.into())),
        }
    }

    /// The length of the file; only web servers may tell none.
    async fn length(&self, location: &str) -> Result<Option<u64>> {
        match self {
            Place::File(path) => file_length(path, location).await.map(Some),
            Place::Web(file) => file.length(location).await,
            Place::Bucket(file) => file.length(location).await.map(Some),
        }
    }
}

async fn file_length(path: &std::path::Path, location: &str) -> Result<u64> {
    let metadata = tokio::fs::metadata(path).await;
    let metadata = metadata.map_err(|error| file_error(location, &error))?;
    match metadata.is_file() {
        true => Ok(metadata.len()),
        false => Err(SourceError::NotAFile(location.into())),
    }
}

async fn file_bytes(path: PathBuf, location: Arc<str>, start: u64) -> Result<Opened> {
    let unreadable = move |error: std::io::Error| file_error(&location, &error);
    let mut file = tokio::fs::File::open(path).await.map_err(&unreadable)?;
    file.seek(std::io::SeekFrom::Start(start))
        .await
        .map_err(&unreadable)?;
    let bytes = ReaderStream::with_capacity(file, CHUNK);
    let bytes = bytes.map_err(unreadable).boxed();
    Ok(Opened { bytes, at: start })
}

fn file_error(location: &str, error: &std::io::Error) -> SourceError {
    match error.kind() {
        std::io::ErrorKind::NotFound => SourceError::NotFound(location.into()),
        _ => SourceError::Unreadable {
            location: location.into(),
            reason: error.to_string(),
        },
    }
}
