//! Where a project is: in a store that nobody serves, or behind the tracker that serves it.

use std::{fs::File, path::PathBuf, sync::Arc};

use anyhow::{Context, Result, bail};
use cah_tracker::{
    operation,
    store::{self, Store},
};
use reqwest::{Body, Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::io::ReaderStream;

/// The variable that the admin token is taken from.
pub(super) const TOKEN_VARIABLE: &str = "CAH_ADMIN_TOKEN";

/// A store or a tracker.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where jobs and workers are kept: sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE
    #[arg(
        long,
        env = "CAH_STORE",
        hide_env_values = true,
        value_name = "STORE",
        required_unless_present = "tracker"
    )]
    store: Option<String>,

    /// The tracker that serves the project, instead of a store
    #[arg(long, value_name = "URL")]
    tracker: Option<Url>,

    /// The file with the tracker's admin token; without it CAH_ADMIN_TOKEN has the token
    #[arg(long, value_name = "FILE", requires = "tracker")]
    admin_token_file: Option<PathBuf>,
}

/// A project that can be worked on.
pub(super) enum Project {
    Store(Arc<dyn Store>),
    Tracker(Tracker),
}

impl Args {
    pub(super) async fn open(self) -> Result<Project> {
        match (self.store, self.tracker) {
            // `--tracker` counts where CAH_STORE is set for other commands.
            (_, Some(url)) => Ok(Project::Tracker(Tracker {
                url,
                token: admin_token(self.admin_token_file)?,
                client: reqwest::Client::builder().build()?,
            })),
            (Some(store), None) => Ok(Project::Store(store::open(&store).await?)),
            (None, None) => bail!("name the project with --store or --tracker"),
        }
    }
}

/// The token from a file or else the environment.
pub(super) fn admin_token(file: Option<PathBuf>) -> Result<String> {
    match file {
        Some(file) => std::fs::read_to_string(&file)
            .map(|text| text.trim().to_owned())
            .with_context(|| format!("cannot read the admin token in {}", file.display())),
        None => std::env::var(TOKEN_VARIABLE).with_context(|| {
            format!("the admin token is needed: name its file with --admin-token-file, or put it into {TOKEN_VARIABLE}")
        }),
    }
}

/// The admin calls of a tracker.
pub(super) struct Tracker {
    url: Url,
    token: String,
    client: reqwest::Client,
}

impl Tracker {
    pub(super) async fn get<T: DeserializeOwned>(&self, call: &str) -> Result<T> {
        let answer = self.send(self.request(Method::GET, call, &[])).await?;
        answer.json().await.context("the tracker's answer is none")
    }

    pub(super) async fn post<T: DeserializeOwned>(&self, call: &str, body: Value) -> Result<T> {
        let request = self.request(Method::POST, call, &[]).json(&body);
        let answer = self.send(request).await?;
        answer.json().await.context("the tracker's answer is none")
    }

    /// Sends a file or list, with the parameters that say what it is.
    pub(super) async fn upload<T: DeserializeOwned>(
        &self,
        call: &str,
        parameters: &[(&str, String)],
        body: impl Into<Body>,
    ) -> Result<T> {
        let request = self.request(Method::POST, call, parameters).body(body);
        let answer = self.send(request).await?;
        answer.json().await.context("the tracker's answer is none")
    }

    /// An answer that may be long.
    pub(super) async fn download(
        &self,
        call: &str,
        parameters: &[(&str, String)],
    ) -> Result<Response> {
        self.send(self.request(Method::GET, call, parameters)).await
    }

    fn request(&self, method: Method, call: &str, parameters: &[(&str, String)]) -> RequestBuilder {
        let base = self.url.as_str().trim_end_matches('/');
        self.client
            .request(method, format!("{base}/admin/{call}"))
            .query(parameters)
            .bearer_auth(&self.token)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let answer = request
            .send()
            .await
            .with_context(|| format!("the tracker at {} does not answer", self.url))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        match answer.text().await.unwrap_or_default() {
            text if text.is_empty() => bail!("the tracker answered {status}"),
            text => bail!("the tracker refused: {text}"),
        }
    }
}

impl Project {
    /// Lets go of the store; what was changed is safe before.
    pub(super) async fn close(self) {
        if let Self::Store(store) = self {
            store.close().await;
        }
    }

    pub(super) async fn status(&self) -> Result<operation::Status> {
        match self {
            Self::Store(store) => Ok(operation::status(&**store).await?),
            Self::Tracker(tracker) => tracker.get("status").await,
        }
    }
}

/// Opens a file that will be read, with its name in the error.
pub(super) fn open_file(path: &PathBuf) -> Result<File> {
    File::open(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The body of a call that sends a file.
pub(super) fn file_body(file: File) -> Body {
    Body::wrap_stream(ReaderStream::new(tokio::fs::File::from_std(file)))
}
