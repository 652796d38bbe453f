//! One attempt of one call after the other: HTTP in, typed answers and errors out.

use std::time::Duration;

use cah_protocol::{UNKNOWN_WORKER, is_loopback};
use reqwest::{RequestBuilder, Response, StatusCode, Url, header, redirect};
use serde::{Serialize, de::DeserializeOwned};

use crate::{ClientError, RetryPolicy};

/// No call of the protocol takes a tracker this long.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The tracker as a set of calls.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    base: Url,
    retry: RetryPolicy,
    /// Whether a tracker has answered at this address. What then looks like none is a proxy whose
    /// tracker is away, and passes.
    met: bool,
}

impl Api {
    pub(crate) fn new(url: &str, retry: RetryPolicy) -> Result<Self, ClientError> {
        let base = parse_base(url)?;
        Ok(Self {
            http: http_for(&base)?,
            base,
            retry,
            met: false,
        })
    }

    /// The same with connections of its own.
    pub(crate) fn afresh(&self) -> Result<Self, ClientError> {
        Ok(Self {
            http: http_for(&self.base)?,
            ..self.clone()
        })
    }

    /// The same, after a tracker has answered; further calls are patient by `retry`.
    pub(crate) fn met(self, retry: RetryPolicy) -> Self {
        Self {
            retry,
            met: true,
            ..self
        }
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, ClientError> {
        let text = self.get_text(path, query).await?;
        self.parse(&text)
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let text = self.post_text(path, body, self.retry).await?;
        self.parse(&text)
    }

    /// The same in one attempt.
    pub(crate) async fn post_once<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let text = self.post_text(path, body, RetryPolicy::once()).await?;
        self.parse(&text)
    }

    pub(crate) async fn get_text(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<String, ClientError> {
        self.call(|http| http.get(self.url(path)).query(query), self.retry)
            .await
    }

    /// A call whose answer is nothing but that it is `done`.
    pub(crate) async fn command(
        &self,
        path: &str,
        body: &impl Serialize,
        done: &str,
        retry: Option<RetryPolicy>,
    ) -> Result<(), ClientError> {
        let text = self
            .post_text(path, body, retry.unwrap_or(self.retry))
            .await?;
        if text.trim() == done {
            return Ok(());
        }
        Err(self.not_a_tracker(format!("expected `{done}`, got `{}`", first_line(&text))))
    }

    pub(crate) async fn post_text(
        &self,
        path: &str,
        body: &impl Serialize,
        retry: RetryPolicy,
    ) -> Result<String, ClientError> {
        self.call(|http| http.post(self.url(path)).json(body), retry)
            .await
    }

    /// When calls are tried again.
    pub(crate) fn retry(&self) -> RetryPolicy {
        self.retry
    }

    /// The tracker's address.
    pub(crate) fn base(&self) -> &str {
        self.base.as_str()
    }

    async fn call(
        &self,
        request: impl Fn(&reqwest::Client) -> RequestBuilder,
        retry: RetryPolicy,
    ) -> Result<String, ClientError> {
        let attempt = || self.attempt(request(&self.http));
        self.patiently(retry, attempt).await
    }

    /// Makes attempts until one is answered for good, or it is time to give up.
    pub(crate) async fn patiently<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        retry: RetryPolicy,
        attempt: impl Fn() -> F,
    ) -> Result<T, ClientError> {
        retry.run(attempt, |error| self.can_pass(error)).await
    }

    /// Whether the same call may succeed later.
    fn can_pass(&self, error: &ClientError) -> bool {
        match error {
            ClientError::Unreachable { .. } => true,
            ClientError::Server { status, .. } => *status >= 500 || *status == 429,
            ClientError::NotATracker { .. } => self.met,
            _ => false,
        }
    }

    async fn attempt(&self, request: RequestBuilder) -> Result<String, ClientError> {
        let unreachable = |error: reqwest::Error| ClientError::Unreachable {
            url: self.base.to_string(),
            reason: root_cause(&error),
        };
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let elsewhere = new_location(&answer);
        let text = answer.text().await.map_err(unreachable)?;
        match status {
            // Nothing of the protocol looks so. Some proxies give their own pages any of these.
            StatusCode::OK | StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN
                if looks_like_html(&text) =>
            {
                let page = first_line(&text);
                Err(self.not_a_tracker(format!("it says {} `{page}`", status.as_u16())))
            }
            StatusCode::OK => Ok(text),
            StatusCode::BAD_REQUEST => Err(ClientError::Refused(first_line(&text))),
            StatusCode::FORBIDDEN => Err(ClientError::ZeroJobs(first_line(&text))),
            StatusCode::NOT_FOUND if is_unknown_worker(&text) => Err(ClientError::WorkerTimedOut),
            StatusCode::NOT_FOUND => Err(self.not_a_tracker(format!(
                "it says 404 `{}`; is the path right?",
                first_line(&text)
            ))),
            _ if status.is_redirection() => Err(self.not_a_tracker(format!(
                "it sends elsewhere, to `{elsewhere}`; give that address"
            ))),
            other => Err(ClientError::Server {
                status: other.as_u16(),
                text: first_line(&text),
            }),
        }
    }

    fn parse<T: DeserializeOwned>(&self, text: &str) -> Result<T, ClientError> {
        // Python trackers write booleans as `True` and `False`; everything else is JSON.
        let json = match text.trim() {
            "True" => "true",
            "False" => "false",
            other => other,
        };
        serde_json::from_str(json)
            .map_err(|error| self.not_a_tracker(format!("{error} in `{}`", first_line(text))))
    }

    fn not_a_tracker(&self, reason: String) -> ClientError {
        ClientError::NotATracker {
            url: self.base.to_string(),
            reason,
        }
    }

    fn url(&self, path: &str) -> Url {
        self.base
            .join(path)
            .expect("the base is an http URL and the paths are constants")
    }
}

fn http_for(base: &Url) -> Result<reqwest::Client, ClientError> {
    let mut http = reqwest::Client::builder()
        .user_agent(concat!("crawlingathome/", env!("CARGO_PKG_VERSION")))
        .timeout(CALL_TIMEOUT)
        // A redirect would turn a POST into a GET: the person is told the right address.
        .redirect(redirect::Policy::none());
    // No proxy of the environment leads to this machine itself.
    if base.host_str().is_some_and(is_loopback) {
        http = http.no_proxy();
    }
    http.build().map_err(ClientError::Setup)
}

/// Reads the tracker's address; paths are joined below it.
fn parse_base(url: &str) -> Result<Url, ClientError> {
    let invalid = || ClientError::InvalidUrl { url: url.into() };
    let mut base = Url::parse(url.trim()).map_err(|_| invalid())?;
    if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
        return Err(invalid());
    }
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", base.path()));
    }
    Ok(base)
}

/// Whether a 404 is the protocol's own. Proxies and web servers word theirs otherwise.
fn is_unknown_worker(text: &str) -> bool {
    let (sentence, _) = UNKNOWN_WORKER
        .split_once('.')
        .unwrap_or((UNKNOWN_WORKER, ""));
    !looks_like_html(text) && text.contains(sentence)
}

fn new_location(answer: &Response) -> String {
    let location = answer.headers().get(header::LOCATION);
    let location = location.and_then(|value| value.to_str().ok());
    first_line(location.unwrap_or_default())
}

pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn looks_like_html(text: &str) -> bool {
    text.trim_start().starts_with('<')
}

pub(crate) fn first_line(text: &str) -> String {
    text.lines()
        .next()
        .unwrap_or("")
        .chars()
        .take(200)
        .collect()
}
