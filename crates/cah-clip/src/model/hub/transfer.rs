//! One file over HTTP: redirects, continuation, verification.

use std::{io, path::Path, time::Duration};

use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{ACCEPT_ENCODING, HeaderMap, LOCATION, RANGE},
    redirect::Policy,
};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use super::{HubOptions, cache_error};
use crate::error::ClipError;

const MAX_REDIRECTS: usize = 10;
const MAX_ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a connection may be silent.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// An HTTP client for the hub.
#[derive(Debug)]
pub(super) struct Transfer {
    client: Client,
    endpoint: Url,
    token: Option<Secret>,
}

/// A token that no debug output shows.
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// The end of a chain of redirects.
struct Answer {
    response: Response,
    headers: Metadata,
}

/// What the hub says of a file, in the headers before the first redirect.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    pub(super) status: u16,
    pub(super) commit: Option<String>,
    size: Option<u64>,
    sha256: Option<String>,
}

impl Metadata {
    /// Takes what the headers of one more hop say; the first that says a thing is believed.
    fn learn(&mut self, headers: &HeaderMap) {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let commit = || text("x-repo-commit").map(str::to_owned);
        let size = || text("x-linked-size")?.parse().ok();
        let sha256 = || {
            let tag = text("x-linked-etag")?.trim_matches('"');
            let is_sha256 = tag.len() == 64 && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_sha256.then(|| tag.to_ascii_lowercase())
        };
        self.commit = self.commit.take().or_else(commit);
        self.size = self.size.or_else(size);
        self.sha256 = self.sha256.take().or_else(sha256);
    }
}

/// Why an attempt ended.
enum Failure {
    /// Another attempt may go better.
    Transient(String),
    /// It won't.
    Final(ClipError),
}

impl Transfer {
    pub(super) fn new(options: &HubOptions) -> Result<Self, ClipError> {
        let failed = |reason: String| ClipError::Download {
            url: options.endpoint.clone(),
            reason,
        };
        let client = Client::builder()
            .user_agent(concat!("cah-clip/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .no_gzip()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self {
            client,
            endpoint: Url::parse(&options.endpoint).map_err(|error| failed(error.to_string()))?,
            token: options.token.clone().map(Secret),
        })
    }

    /// Asks what the hub says of a file.
    pub(super) async fn head(&self, url: &str) -> Result<Metadata, ClipError> {
        self.persist(url, async || {
            let answer = self.request(Method::HEAD, url, 0).await?;
            Ok(answer.headers)
        })
        .await
    }

    /// Downloads a file to `target`, which is there only once all of it is; `false` where the hub has none.
    pub(super) async fn download(&self, url: &str, target: &Path) -> Result<bool, ClipError> {
        let folder = target.parent().unwrap_or(Path::new("."));
        let partial = tempfile::Builder::new()
            .prefix(".incomplete-")
            .tempfile_in(folder)
            .map_err(|source| cache_error(folder, source))?;
        tracing::info!(url, "downloading");
        let found = self
            .persist(url, async || self.attempt(url, &partial).await)
            .await?;
        if found {
            partial
                .persist(target)
                .map_err(|error| cache_error(target, error.error))?;
        }
        Ok(found)
    }

    /// Tries until it succeeds, fails for good, or `MAX_ATTEMPTS` are over.
    async fn persist<T>(
        &self,
        url: &str,
        mut attempt: impl AsyncFnMut() -> Result<T, Failure>,
    ) -> Result<T, ClipError> {
        let mut pause = FIRST_PAUSE;
        let mut attempts = 1;
        loop {
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Transient(reason)) if attempts == MAX_ATTEMPTS => {
                    let url = url.to_owned();
                    return Err(ClipError::Download { url, reason });
                }
                Err(Failure::Transient(reason)) => {
                    tracing::debug!(url, reason, "trying again");
                }
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
            attempts += 1;
        }
    }

    /// One attempt, which continues where the last one broke off.
    async fn attempt(&self, url: &str, partial: &NamedTempFile) -> Result<bool, Failure> {
        let failed = |source| Failure::Final(cache_error(partial.path(), source));
        let file = partial.reopen().map_err(failed)?;
        let mut file = tokio::fs::File::from_std(file);
        let have = file.seek(io::SeekFrom::End(0)).await.map_err(failed)?;
        let answer = self.request(Method::GET, url, have).await?;
        if answer.headers.status == 404 {
            return Ok(false);
        }
        if answer.headers.status == 416 {
            // The part that was asked for is not there: begin again.
            file.set_len(0).await.map_err(failed)?;
            return Err(Failure::Transient("the file has changed".into()));
        }
        if answer.response.status() != StatusCode::PARTIAL_CONTENT {
            file.set_len(0).await.map_err(failed)?;
            file.rewind().await.map_err(failed)?;
        }
        let at = file.stream_position().await.map_err(failed)?;
        let rest = answer.response.content_length();
        let expected = answer.headers.size.or(rest.map(|rest| rest + at));
        let written = copy(answer.response, &mut file)
            .await
            .map_err(|error| match error {
                CopyError::Read(reason) => Failure::Transient(reason),
                CopyError::Write(source) => failed(source),
            })?;
        file.sync_all().await.map_err(failed)?;
        let length = at + written;
        if expected.is_some_and(|expected| expected != length) {
            let reason = format!("{length} bytes of {}", expected.unwrap_or_default());
            if expected < Some(length) {
                file.set_len(0).await.map_err(failed)?;
            }
            return Err(Failure::Transient(reason));
        }
        if let Some(sha256) = &answer.headers.sha256 {
            let found = digest(partial.path().to_owned()).await.map_err(failed)?;
            if found != *sha256 {
                file.set_len(0).await.map_err(failed)?;
                return Err(Failure::Transient("its SHA-256 is not the hub's".into()));
            }
        }
        Ok(true)
    }

    /// Sends a request for the bytes from `from` on and follows redirects.
    async fn request(&self, method: Method, url: &str, from: u64) -> Result<Answer, Failure> {
        let invalid = |reason: String| {
            Failure::Final(ClipError::Download {
                url: url.to_owned(),
                reason,
            })
        };
        let mut target = Url::parse(url).map_err(|error| invalid(error.to_string()))?;
        let mut headers = Metadata::default();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(method.clone(), &target, from).await?;
            headers.learn(response.headers());
            let status = response.status();
            headers.status = status.as_u16();
            if status.is_redirection() {
                target = next_hop(&target, response.headers()).map_err(invalid)?;
                continue;
            }
            return match status.as_u16() {
                200..=299 | 404 | 416 => Ok(Answer { response, headers }),
                408 | 425 | 429 | 500.. => Err(Failure::Transient(format!("{status}"))),
                status => Err(Failure::Final(ClipError::HubRefused {
                    url: url.to_owned(),
                    status,
                })),
            };
        }
        Err(invalid(format!("more than {MAX_REDIRECTS} redirects")))
    }

    async fn send(&self, method: Method, target: &Url, from: u64) -> Result<Response, Failure> {
        let mut request = self
            .client
            .request(method, target.clone())
            .header(ACCEPT_ENCODING, "identity");
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        if let Some(Secret(token)) = &self.token
            && target.origin() == self.endpoint.origin()
        {
            request = request.bearer_auth(token);
        }
        request
            .send()
            .await
            .map_err(|error| Failure::Transient(causes(&error)))
    }
}

/// Where a redirect leads to. From https it never leads to http.
fn next_hop(from: &Url, headers: &HeaderMap) -> Result<Url, String> {
    let location = headers
        .get(LOCATION)
        .and_then(|location| location.to_str().ok())
        .ok_or("a redirect without a location")?;
    let next = from.join(location).map_err(|error| error.to_string())?;
    match (from.scheme(), next.scheme()) {
        ("https", "https") | ("http", "http" | "https") => Ok(next),
        _ => Err(format!("a redirect to {next}")),
    }
}

enum CopyError {
    Read(String),
    Write(io::Error),
}

/// Writes a body to a file and returns its length.
async fn copy(mut response: Response, file: &mut tokio::fs::File) -> Result<u64, CopyError> {
    let mut written = 0;
    let result = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                file.write_all(&chunk).await.map_err(CopyError::Write)?;
                written += chunk.len() as u64;
            }
            Ok(None) => break Ok(written),
            Err(error) => break Err(CopyError::Read(causes(&error))),
        }
    };
    // What came before a break counts for the next attempt.
    file.flush().await.map_err(CopyError::Write)?;
    result
}

async fn digest(path: std::path::PathBuf) -> io::Result<String> {
    tokio::task::spawn_blocking(move || {
        let mut hash = Sha256::new();
        io::copy(&mut std::fs::File::open(path)?, &mut HashWriter(&mut hash))?;
        Ok(hash
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect())
    })
    .await
    .map_err(io::Error::other)?
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An error with its causes, without the address, which the message names already.
fn causes(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut next: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(cause) = next {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    match text.is_empty() {
        true => error.to_string(),
        false => text,
    }
}
