//! Files behind http(s).

use std::time::Duration;

use cah_fetch::{ErrorKind, FetchError, Guard};
use cah_protocol::is_loopback;
use futures::{StreamExt, TryStreamExt};
use reqwest::{Client, Response, StatusCode, header};
use url::Url;

use crate::{
    error::{Result, SourceError},
    reading::Opened,
};

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

    /// Asks for the first byte: its answer tells the length, where the server does at all.
    pub(super) async fn length(&self, location: &str) -> Result<Option<u64>> {
        let answer = self.get(location, Some("bytes=0-0".into())).await?;
        match answer.status() {
            StatusCode::PARTIAL_CONTENT => Ok(told_range(&answer).and_then(|range| range.total)),
            StatusCode::OK => Ok(answer.content_length()),
            StatusCode::RANGE_NOT_SATISFIABLE => Ok(Some(0)),
            status => Err(status_error(location, status)),
        }
    }

    /// The bytes from `start` to the end of a file that had this length.
    pub(super) async fn bytes(
        &self,
        location: &str,
        start: u64,
        length: Option<u64>,
    ) -> Result<Opened> {
        // A server that tells no length may cut a range anywhere: it is asked for the file as
        // everybody asks.
        let range = (start > 0 || length.is_some()).then(|| format!("bytes={start}-"));
        let answer = self.get(location, range).await?;
        let (total, at) = match answer.status() {
            StatusCode::PARTIAL_CONTENT => (total_from(&answer, location, start)?, start),
            // What is sent anew without a length may well be another file.
            StatusCode::OK if start > 0 && length.is_none() => {
                return Err(SourceError::CutOff(location.into()));
            }
            // A server without ranges sends everything; what is before the start is thrown away.
            StatusCode::OK => (answer.content_length(), 0),
            StatusCode::RANGE_NOT_SATISFIABLE => return Err(SourceError::Changed(location.into())),
            status => return Err(status_error(location, status)),
        };
        if let (Some(total), Some(length)) = (total, length)
            && total != length
        {
            return Err(SourceError::Changed(location.into()));
        }
        let location = location.to_owned();
        let bytes = answer.bytes_stream();
        let bytes = bytes.map_err(move |error| web_error(&location, &error));
        let bytes = bytes.boxed();
        Ok(Opened { bytes, at })
    }

    async fn get(&self, location: &str, range: Option<String>) -> Result<Response> {
        if let Some(guard) = &self.guard {
            let checked = guard.check(self.url.as_str()).await;
            checked.map_err(|error| refused(location, &error))?;
        }
        let mut request = self.client.get(self.url.clone());
        if let Some(range) = range {
            request = request.header(header::RANGE, range);
        }
        let answer = request.send().await;
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
