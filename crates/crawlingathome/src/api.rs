//! One attempt of one call after the other: HTTP in, typed answers and errors out.

use std::time::Duration;

use cah_protocol::{SUCCESS, WorkerType};
use reqwest::{RequestBuilder, StatusCode, Url};
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
}

impl Api {
    pub(crate) fn new(url: &str, retry: RetryPolicy) -> Result<Self, ClientError> {
        Ok(Self {
            http: reqwest::Client::builder()
                .user_agent(concat!("crawlingathome/", env!("CARGO_PKG_VERSION")))
                .timeout(CALL_TIMEOUT)
                .build()
                .map_err(ClientError::Setup)?,
            base: parse_base(url)?,
            retry,
        })
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, ClientError> {
        let text = self
            .call(|http| http.get(self.url(path)).query(query), self.retry)
            .await?;
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

    /// A call whose answer is nothing but `success`.
    pub(crate) async fn command(
        &self,
        path: &str,
        body: &impl Serialize,
        retry: Option<RetryPolicy>,
    ) -> Result<(), ClientError> {
        let text = self
            .post_text(path, body, retry.unwrap_or(self.retry))
            .await?;
        if text.trim() == SUCCESS {
            return Ok(());
        }
        Err(self.not_a_tracker(format!("expected `{SUCCESS}`, got `{}`", first_line(&text))))
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

    pub(crate) async fn job_count(&self, worker_type: WorkerType) -> Result<u64, ClientError> {
        self.get("api/jobCount", &[("type", worker_type.as_str())])
            .await
    }

    async fn call(
        &self,
        request: impl Fn(&reqwest::Client) -> RequestBuilder,
        retry: RetryPolicy,
    ) -> Result<String, ClientError> {
        let mut pauses = retry.start();
        loop {
            let failure = match self.attempt(request(&self.http)).await {
                Err(failure) if can_pass(&failure) => failure,
                answer => return answer,
            };
            let Some(pause) = pauses.next() else {
                return Err(failure);
            };
            tracing::warn!("{failure}; trying again in {pause:?}");
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(&self, request: RequestBuilder) -> Result<String, ClientError> {
        let unreachable = |error: reqwest::Error| ClientError::Unreachable {
            url: self.base.to_string(),
            reason: root_cause(&error),
        };
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let text = answer.text().await.map_err(unreachable)?;
        match status {
            StatusCode::OK => Ok(text),
            StatusCode::BAD_REQUEST => Err(ClientError::Refused(first_line(&text))),
            StatusCode::FORBIDDEN => Err(ClientError::ZeroJobs(first_line(&text))),
            StatusCode::NOT_FOUND if looks_like_html(&text) => {
                Err(self.not_a_tracker("404 with a page".into()))
            }
            StatusCode::NOT_FOUND => Err(ClientError::WorkerTimedOut),
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

/// Whether the same call may succeed later.
fn can_pass(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } => true,
        ClientError::Server { status, .. } => *status >= 500 || *status == 429,
        _ => false,
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn looks_like_html(text: &str) -> bool {
    text.trim_start().starts_with('<')
}

fn first_line(text: &str) -> String {
    text.lines()
        .next()
        .unwrap_or("")
        .chars()
        .take(200)
        .collect()
}
