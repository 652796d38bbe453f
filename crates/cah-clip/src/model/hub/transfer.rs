//! One file over HTTP: redirects, continuation, verification.

use std::{
    fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{ACCEPT_ENCODING, HeaderMap, LOCATION, RANGE},
    redirect::Policy,
};
use tempfile::NamedTempFile;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use super::{super::digest::Digest, HubOptions, cache_error};
use crate::error::ClipError;

const MAX_REDIRECTS: usize = 10;
const MAX_ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a connection may be silent.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the hub is waited for where the cache would do.
const SHORT_WAIT: Duration = Duration::from_secs(5);
/// What a file is called while it is downloaded.
const INCOMPLETE: &str = ".incomplete-";
/// A download that has written nothing for so long has ended without tidying up.
const ABANDONED_AFTER: Duration = Duration::from_secs(3_600);

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

impl Failure {
    fn into_error(self, url: &str) -> ClipError {
        match self {
            Self::Final(error) => error,
            Self::Transient(reason) => ClipError::Download {
                url: url.to_owned(),
                reason,
            },
        }
    }
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

    /// Asks it once and waits a few seconds only.
    pub(super) async fn head_once(&self, url: &str) -> Result<Metadata, ClipError> {
        let request = self.request(Method::HEAD, url, 0);
        let answer = tokio::time::timeout(SHORT_WAIT, request)
            .await
            .unwrap_or_else(|_| Err(Failure::Transient("no answer".into())));
        match answer {
            Ok(answer) => Ok(answer.headers),
            Err(failure) => Err(failure.into_error(url)),
        }
    }

    /// Downloads a file to `target`, which is there only once all of it is; `false` where the hub has none.
    pub(super) async fn download(&self, url: &str, target: &Path) -> Result<bool, ClipError> {
        let folder = target.parent().unwrap_or(Path::new("."));
        tracing::info!(url, "downloading");
        // Made when there is something to write: what the hub does not have must not fail on a read-only cache.
        let mut partial = None;
        let found = self
            .persist(url, async || self.attempt(url, folder, &mut partial).await)
            .await?;
        if let Some(partial) = partial.filter(|_| found) {
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
        for _ in 1..MAX_ATTEMPTS {
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Transient(reason)) => tracing::debug!(url, reason, "trying again"),
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        attempt().await.map_err(|failure| failure.into_error(url))
    }

    /// One attempt, which continues where the last one broke off.
    async fn attempt(
        &self,
        url: &str,
        folder: &Path,
        partial: &mut Option<NamedTempFile>,
    ) -> Result<bool, Failure> {
        let have = match partial {
            Some(partial) => length(partial)?,
            None => 0,
        };
        let answer = self.request(Method::GET, url, have).await?;
        if answer.headers.status == 404 {
            return Ok(false);
        }
        let partial = match partial {
            Some(partial) => partial,
            None => partial.insert(incomplete_file(folder)?),
        };
        receive(answer, have, partial).await?;
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

/// A file for a download, which everybody may read who may read others: `tempfile`'s own mode would keep a shared
/// cache from all but one.
fn incomplete_file(folder: &Path) -> Result<NamedTempFile, Failure> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(INCOMPLETE);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
        .tempfile_in(folder)
        .map_err(|source| Failure::Final(cache_error(folder, source)))
}

/// Removes what downloads left behind that were killed. What can't be removed does no harm.
pub(super) fn remove_abandoned(folder: &Path) {
    let abandoned = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        let age = changed.map(|changed| SystemTime::now().duration_since(changed));
        name.to_string_lossy().starts_with(INCOMPLETE)
            && matches!(age, Ok(Ok(age)) if age > ABANDONED_AFTER)
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(abandoned) {
        let _ = fs::remove_file(entry.path());
    }
}

fn length(partial: &NamedTempFile) -> Result<u64, Failure> {
    let metadata = partial.as_file().metadata();
    Ok(metadata
        .map_err(|source| write_failure(partial, source))?
        .len())
}

fn write_failure(partial: &NamedTempFile, source: io::Error) -> Failure {
    Failure::Final(cache_error(partial.path(), source))
}

/// Appends an answer to the `have` bytes that are there, and verifies the whole. Where more attempts make sense, what
/// is not part of the file is taken back.
async fn receive(answer: Answer, have: u64, partial: &NamedTempFile) -> Result<(), Failure> {
    let failed = |source| write_failure(partial, source);
    let mut file = tokio::fs::File::from_std(partial.reopen().map_err(failed)?);
    if answer.headers.status == 416 {
        // The part that was asked for is not there: begin again.
        file.set_len(0).await.map_err(failed)?;
        return Err(Failure::Transient("the file has changed".into()));
    }
    let continues = answer.response.status() == StatusCode::PARTIAL_CONTENT;
    let at = if continues { have } else { 0 };
    file.set_len(at).await.map_err(failed)?;
    file.seek(io::SeekFrom::Start(at)).await.map_err(failed)?;
    let rest = answer.response.content_length();
    let expected = answer.headers.size.or(rest.map(|rest| rest + at));
    let written = copy(answer.response, &mut file).await;
    let length = at
        + written.map_err(|error| match error {
            CopyError::Read(reason) => Failure::Transient(reason),
            CopyError::Write(source) => failed(source),
        })?;
    file.sync_all().await.map_err(failed)?;
    if let Some(expected) = expected.filter(|expected| *expected != length) {
        if length > expected {
            file.set_len(0).await.map_err(failed)?;
        }
        let reason = format!("{length} bytes of {expected}");
        return Err(Failure::Transient(reason));
    }
    if let Some(sha256) = answer.headers.sha256
        && digest(partial.path().to_owned()).await.map_err(failed)? != sha256
    {
        file.set_len(0).await.map_err(failed)?;
        return Err(Failure::Transient("its SHA-256 is not the hub's".into()));
    }
    Ok(())
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
    tokio::task::spawn_blocking(move || Digest::of_file(&path))
        .await
        .map_err(io::Error::other)?
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
