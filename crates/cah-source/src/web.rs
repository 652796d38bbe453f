//! Files behind http(s).

use std::time::Duration;

use bytes::Bytes;
use cah_fetch::{ErrorKind, FetchError, Guard};
use cah_protocol::is_loopback;
use futures::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use reqwest::{Client, Response, StatusCode, header};
use url::Url;

use crate::error::{Result, SourceError};

/// No server that still sends is silent for this long.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// A file on a web server.
#[derive(Clone, Debug)]
pub(super) struct WebFile {
    client: Client,
    url: Url,
    /// Where a tracker chose the URL.
    guard: Option<Guard>,
}

impl WebFile {
    pub(super) fn new(url: Url, guard: Option<&Guard>) -> reqwest::Result<Self> {
        let client = Client::builder()
            .user_agent(concat!("crawlingathome/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(READ_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            // The file itself is what is compressed; it has to arrive as it lies there.
            .no_gzip();
        let client = match guard {
            Some(guard) => guard.watch(client),
            // Whatever proxy the environment names, `localhost` is another machine there.
            None if url.host_str().is_some_and(is_loopback) => client.no_proxy(),
            None => client,
        };
        Ok(Self {
            client: client.build()?,
            url,
            guard: guard.cloned(),
        })
    }

    /// Asks for the first byte: its answer tells the length, and whether ranges are served.
    pub(super) async fn length(&self, location: &str) -> Result<u64> {
        let answer = self.get(location, "bytes=0-0".into()).await?;
        match answer.status() {
            StatusCode::PARTIAL_CONTENT => told_range(&answer).and_then(|range| range.total),
            StatusCode::OK => answer.content_length(),
            StatusCode::RANGE_NOT_SATISFIABLE => Some(0),
            status => return Err(status_error(location, status)),
        }
        .ok_or_else(|| SourceError::NoLength(location.into()))
    }

    /// The bytes from `start` to the end of a file that had this length.
    pub(super) async fn bytes(
        &self,
        location: &str,
        start: u64,
        length: u64,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        let answer = self.get(location, format!("bytes={start}-")).await?;
        let (total, skip) = match answer.status() {
            StatusCode::PARTIAL_CONTENT => (total_from(&answer, location, start)?, 0),
            // A server without ranges sends everything; what is before the start is thrown away.
            StatusCode::OK => (answer.content_length(), start),
            StatusCode::RANGE_NOT_SATISFIABLE => return Err(SourceError::Changed(location.into())),
            status => return Err(status_error(location, status)),
        };
        if total.is_some_and(|total| total != length) {
            return Err(SourceError::Changed(location.into()));
        }
        let location = location.to_owned();
        let bytes = answer
            .bytes_stream()
            .map_err(move |error| web_error(&location, &error));
        Ok(skip_bytes(bytes, skip).boxed())
    }

    async fn get(&self, location: &str, range: String) -> Result<Response> {
        if let Some(guard) = &self.guard {
            let checked = guard.check(self.url.as_str()).await;
            checked.map_err(|error| refused(location, &error))?;
        }
        let request = self.client.get(self.url.clone());
        let answer = request.header(header::RANGE, range).send().await;
        answer.map_err(|error| web_error(location, &error))
    }
}

/// What a `Content-Range` says, such as `bytes 5-9/1234`.
struct ToldRange {
    start: u64,
    /// The length of the whole file, where the server knows it.
    total: Option<u64>,
}

fn told_range(answer: &Response) -> Option<ToldRange> {
    let range = answer.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (_unit, range) = range.trim().split_once(' ')?;
    let (bytes, total) = range.split_once('/')?;
    let (start, _end) = bytes.split_once('-')?;
    Some(ToldRange {
        start: start.trim().parse().ok()?,
        total: total.trim().parse().ok(),
    })
}

/// The length that an answer with part of the file tells, if that is the part that was asked for:
/// bytes from elsewhere would be taken for a damaged record, and the pairs in it lost.
fn total_from(answer: &Response, location: &str, start: u64) -> Result<Option<u64>> {
    match told_range(answer) {
        Some(range) if range.start == start => Ok(range.total),
        _ => Err(SourceError::OtherBytes {
            location: location.into(),
            asked: start,
        }),
    }
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

fn refused(location: &str, error: &FetchError) -> SourceError {
    match error.kind() {
        ErrorKind::PrivateAddress => SourceError::Private(location.into()),
        ErrorKind::InvalidUrl => SourceError::BadUrl {
            location: location.into(),
            reason: error.to_string(),
        },
        _ => SourceError::broken(location, error),
    }
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
    match error.is_redirect() {
        true => SourceError::BadRedirect {
            location: location.into(),
            reason: cause.to_string(),
        },
        false => SourceError::broken(location, cause),
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
