//! Where a WAT file comes from: a path, an http(s) URL or an object in a bucket.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, path::Path as ObjectPath};
use reqwest::{StatusCode, header};
use thiserror::Error;
use tokio::io::AsyncSeekExt;
use tokio_util::io::ReaderStream;
use url::Url;

/// How often a transfer that breaks is taken up again where it stopped.
const RESUMES: u32 = 6;

/// The pause before the first resume; doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// No server that still sends is silent for this long.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes that are read from a local file at a time.
const FILE_CHUNK: usize = 256 << 10;

/// Why a WAT file cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The file is not there.
    #[error("there is no WAT file at {0}; is the path or URL right?")]
    NotFound(String),
    /// A location of another kind.
    #[error("cannot read a WAT file from {0}; give a path, or a URL with http, https or s3")]
    UnknownScheme(String),
    /// A URL that is none.
    #[error("`{location}` is not a URL: {reason}")]
    BadUrl {
        /// What was given.
        location: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder, or something else that has no bytes.
    #[error("{0} is not a file; name the WAT file itself")]
    NotAFile(String),
    /// The server refuses.
    #[error("{location} answered with status {status}; is the URL public?")]
    Status {
        /// The URL.
        location: String,
        /// The HTTP status.
        status: u16,
    },
    /// The server does not tell how long the file is, so that it has no middle.
    #[error(
        "{0} does not tell its length, so that it cannot be cut in two; download the file first"
    )]
    NoLength(String),
    /// The file is another one than when its length was asked.
    #[error("{0} changed while it was read; start again")]
    Changed(String),
    /// The transfer failed for good.
    #[error("reading {location} failed: {reason}")]
    Broken {
        /// The path or URL.
        location: String,
        /// What failed.
        reason: String,
    },
}

type Result<T> = std::result::Result<T, SourceError>;

/// A WAT file whose length is known and that can be read from any offset. Clones are the same file.
#[derive(Clone, Debug)]
pub struct WatSource {
    location: Arc<str>,
    place: Place,
    length: u64,
}

#[derive(Clone, Debug)]
enum Place {
    File(PathBuf),
    Web(reqwest::Client, Url),
    Bucket(Arc<dyn ObjectStore>, ObjectPath),
}

impl WatSource {
    /// Finds the file at `location` and asks for its length in bytes.
    pub async fn open(location: &str) -> Result<Self> {
        let place = Place::parse(location)?;
        let length = place.length(location).await?;
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

    /// The length of the file as it lies there, compressed or not, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The bytes from `start` to the end of the file.
    ///
    /// A transfer that breaks is taken up where it stopped; after a few failures without a byte
    /// between them the stream ends with an error. A file that ends early is an error as well.
    pub fn read_from(&self, start: u64) -> impl Stream<Item = Result<Bytes>> + Send + use<> {
        let reading = Reading {
            source: self.clone(),
            position: start,
            bytes: None,
            failures: 0,
        };
        futures::stream::try_unfold(reading, |mut reading| async move {
            Ok(reading.next().await?.map(|bytes| (bytes, reading)))
        })
    }

    fn broken(&self, error: impl std::fmt::Display) -> SourceError {
        broken(&self.location, error)
    }
}

/// A transfer under way.
struct Reading {
    source: WatSource,
    position: u64,
    bytes: Option<BoxStream<'static, Result<Bytes>>>,
    failures: u32,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.position < self.source.length {
            match self.attempt().await {
                Ok(bytes) => {
                    self.position += bytes.len() as u64;
                    self.failures = 0;
                    return Ok(Some(bytes));
                }
                Err(error) => self.pause_after(error).await?,
            }
        }
        Ok(None)
    }

    async fn attempt(&mut self) -> Result<Bytes> {
        let bytes = match &mut self.bytes {
            Some(bytes) => bytes,
            none => none.insert(self.source.place.bytes(&self.source, self.position).await?),
        };
        match bytes.next().await {
            Some(bytes) => bytes,
            None => Err(self.source.broken(format!(
                "it ended after {} of {} bytes",
                self.position, self.source.length
            ))),
        }
    }

    async fn pause_after(&mut self, error: SourceError) -> Result<()> {
        self.bytes = None;
        let can_pass = matches!(error, SourceError::Broken { .. })
            || matches!(error, SourceError::Status { status, .. } if status >= 500 || status == 429);
        if !can_pass || self.failures == RESUMES || matches!(self.source.place, Place::File(_)) {
            return Err(error);
        }
        let pause = FIRST_PAUSE * 2u32.pow(self.failures);
        self.failures += 1;
        tracing::warn!("{error}; going on from byte {} in {pause:?}", self.position);
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

impl Place {
    fn parse(location: &str) -> Result<Self> {
        let Some((scheme, _)) = location.split_once("://") else {
            return Ok(Place::File(location.into()));
        };
        let bad = |reason: String| SourceError::BadUrl {
            location: location.into(),
            reason,
        };
        let url = Url::parse(location).map_err(|error| bad(error.to_string()))?;
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => Ok(Place::Web(
                web_client().map_err(|e| broken(location, e))?,
                url,
            )),
            "file" => url
                .to_file_path()
                .map(Place::File)
                .map_err(|()| bad("a file URL is absolute, like file:///folder/file".into())),
            "s3" | "s3a" => object_store::parse_url_opts(&url, std::env::vars())
                .map(|(store, path)| Place::Bucket(Arc::from(store), path))
                .map_err(|error| bad(error.to_string())),
            _ => Err(SourceError::UnknownScheme(location.into())),
        }
    }

    async fn length(&self, location: &str) -> Result<u64> {
        match self {
            Place::File(path) => {
                let metadata = tokio::fs::metadata(path)
                    .await
                    .map_err(|error| file_error(location, &error))?;
                if !metadata.is_file() {
                    return Err(SourceError::NotAFile(location.into()));
                }
                Ok(metadata.len())
            }
            Place::Web(client, url) => web_length(client, url, location).await,
            Place::Bucket(store, path) => store
                .head(path)
                .await
                .map(|meta| meta.size)
                .map_err(|error| bucket_error(location, error)),
        }
    }

    async fn bytes(
        &self,
        source: &WatSource,
        start: u64,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        let source = source.clone();
        match self {
            Place::File(path) => {
                let broken = move |error: std::io::Error| file_error(&source.location, &error);
                let mut file = tokio::fs::File::open(path).await.map_err(&broken)?;
                file.seek(std::io::SeekFrom::Start(start))
                    .await
                    .map_err(&broken)?;
                Ok(ReaderStream::with_capacity(file, FILE_CHUNK)
                    .map_err(broken)
                    .boxed())
            }
            Place::Web(client, url) => web_bytes(client, url, source, start).await,
            Place::Bucket(store, path) => {
                let options = GetOptions {
                    range: Some(GetRange::Offset(start)),
                    ..GetOptions::default()
                };
                let broken = move |error| bucket_error(&source.location, error);
                let answer = store.get_opts(path, options).await.map_err(&broken)?;
                Ok(answer.into_stream().map_err(broken).boxed())
            }
        }
    }
}

fn web_client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .user_agent(concat!("crawlingathome/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(READ_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        // The file itself is what is compressed; it has to arrive as it lies there.
        .no_gzip()
        .build()
}

/// Asks for the first byte: its answer tells the length, and whether ranges are served.
async fn web_length(client: &reqwest::Client, url: &Url, location: &str) -> Result<u64> {
    let answer = client
        .get(url.clone())
        .header(header::RANGE, "bytes=0-0")
        .send()
        .await
        .map_err(|error| web_error(location, &error))?;
    match answer.status() {
        StatusCode::PARTIAL_CONTENT => total_length(&answer),
        StatusCode::OK => answer.content_length(),
        StatusCode::RANGE_NOT_SATISFIABLE => Some(0),
        status => return Err(status_error(location, status)),
    }
    .ok_or_else(|| SourceError::NoLength(location.into()))
}

async fn web_bytes(
    client: &reqwest::Client,
    url: &Url,
    source: WatSource,
    start: u64,
) -> Result<BoxStream<'static, Result<Bytes>>> {
    let answer = client
        .get(url.clone())
        .header(header::RANGE, format!("bytes={start}-"))
        .send()
        .await
        .map_err(|error| web_error(&source.location, &error))?;
    let (total, skip) = match answer.status() {
        StatusCode::PARTIAL_CONTENT => (total_length(&answer), 0),
        // A server without ranges sends everything; what is before the start is thrown away.
        StatusCode::OK => (answer.content_length(), start),
        status => return Err(status_error(&source.location, status)),
    };
    if total.is_some_and(|total| total != source.length) {
        return Err(SourceError::Changed(source.location.to_string()));
    }
    let bytes = answer
        .bytes_stream()
        .map_err(move |error| web_error(&source.location, &error));
    Ok(skip_bytes(bytes, skip).boxed())
}

/// The length of the whole file, from `Content-Range: bytes 0-0/1234`.
fn total_length(answer: &reqwest::Response) -> Option<u64> {
    let range = answer.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.rsplit_once('/')?.1.trim().parse().ok()
}

fn skip_bytes(
    bytes: impl Stream<Item = Result<Bytes>> + Send,
    mut skip: u64,
) -> impl Stream<Item = Result<Bytes>> + Send {
    bytes
        .map_ok(move |mut bytes| {
            let skipped = bytes.len().min(usize::try_from(skip).unwrap_or(usize::MAX));
            skip -= skipped as u64;
            bytes.split_off(skipped)
        })
        .try_filter(|bytes| std::future::ready(!bytes.is_empty()))
}

fn status_error(location: &str, status: StatusCode) -> SourceError {
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => SourceError::NotFound(location.into()),
        status => SourceError::Status {
            location: location.into(),
            status: status.as_u16(),
        },
    }
}

fn web_error(location: &str, error: &reqwest::Error) -> SourceError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    broken(location, cause)
}

fn file_error(location: &str, error: &std::io::Error) -> SourceError {
    match error.kind() {
        std::io::ErrorKind::NotFound => SourceError::NotFound(location.into()),
        _ => broken(location, error),
    }
}

fn bucket_error(location: &str, error: object_store::Error) -> SourceError {
    match error {
        object_store::Error::NotFound { .. } => SourceError::NotFound(location.into()),
        other => broken(location, other),
    }
}

fn broken(location: &str, error: impl std::fmt::Display) -> SourceError {
    SourceError::Broken {
        location: location.into(),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_before_the_start_are_thrown_away() {
        for (skip, left) in [(0, "abcdef"), (1, "bcdef"), (4, "ef"), (9, "")] {
            let chunks = ["ab", "cd", "ef"].map(|text| Ok(Bytes::from(text)));
            let stream = skip_bytes(futures::stream::iter(chunks), skip);
            let read: Vec<Bytes> = stream.try_collect().await.unwrap();
            assert_eq!(read.concat(), left.as_bytes());
        }
    }
}
