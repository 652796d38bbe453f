//! Where a project is: in a store that nobody serves, or behind the tracker that serves it.

use std::{
    env::VarError,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Error, Result, anyhow, bail};
use cah_tracker::{
    Secret, operation,
    store::{self, Store},
};
use futures::StreamExt;
use reqwest::{Body, Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::{
    io::AsyncRead,
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::io::ReaderStream;

/// The variable that the admin token is taken from.
pub(super) const TOKEN_VARIABLE: &str = "CAH_ADMIN_TOKEN";

/// Characters of a refusal that are shown.
const MAX_REFUSAL: usize = 500;

/// How long a tracker may be silent.
#[derive(Clone, Copy)]
struct Patience {
    /// Until a connection is there.
    connect: Duration,
    /// Where it answers soon, or sends what it has: longer than its own calls may take.
    soon: Duration,
    /// Where it does something with a whole project before it answers.
    long: Duration,
}

const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(15),
    soon: Duration::from_secs(90),
    long: Duration::from_secs(3_600),
};

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

/// Where a project is.
pub(super) enum Place {
    /// The address of a store.
    Store(String),
    Tracker(Tracker),
}

/// A project that can be worked on.
pub(super) enum Project {
    Store(Arc<dyn Store>),
    Tracker(Tracker),
}

impl Args {
    pub(super) fn find(self) -> Result<Place> {
        match (self.store, self.tracker) {
            // `--tracker` counts where CAH_STORE is set for other commands.
            (_, Some(url)) => {
                let token = needed_token(self.admin_token_file)?;
                Ok(Place::Tracker(Tracker::new(url, token, PATIENCE)?))
            }
            (Some(store), None) => Ok(Place::Store(store)),
            (None, None) => bail!("name the project with --store or --tracker"),
        }
    }

    /// Opens a project that is there.
    pub(super) async fn open(self) -> Result<Project> {
        Ok(match self.find()? {
            Place::Store(address) => Project::Store(store::open_existing(&address).await?),
            Place::Tracker(tracker) => Project::Tracker(tracker),
        })
    }

    /// Opens a project, in a store that is made where there is none.
    pub(super) async fn open_or_make(self) -> Result<Project> {
        Ok(match self.find()? {
            Place::Store(address) => Project::Store(store::open(&address).await?),
            Place::Tracker(tracker) => Project::Tracker(tracker),
        })
    }
}

/// The token from a file or else the environment, with its source in what is wrong with it.
pub(super) fn admin_token(file: Option<PathBuf>) -> Result<Option<String>> {
    let (source, text) = match file {
        Some(file) => {
            let name = file.display().to_string();
            let text = std::fs::read_to_string(&file);
            (
                name.clone(),
                text.with_context(|| format!("cannot read the admin token in {name}"))?,
            )
        }
        None => match std::env::var(TOKEN_VARIABLE) {
            Ok(text) if !text.trim().is_empty() => (TOKEN_VARIABLE.to_owned(), text),
            Ok(_) | Err(VarError::NotPresent) => return Ok(None),
            Err(error) => bail!("{TOKEN_VARIABLE}: {error}"),
        },
    };
    Secret::new(&text).with_context(|| format!("the admin token in {source}"))?;
    Ok(Some(text.trim().to_owned()))
}

fn needed_token(file: Option<PathBuf>) -> Result<String> {
    admin_token(file)?.with_context(|| {
        format!("the admin token is needed: name its file with --admin-token-file, or put it into {TOKEN_VARIABLE}")
    })
}

/// The admin calls of a tracker.
pub(super) struct Tracker {
    url: Url,
    token: String,
    client: reqwest::Client,
    patience: Patience,
}

impl Tracker {
    fn new(url: Url, token: String, patience: Patience) -> Result<Self> {
        let client = reqwest::Client::builder()
            .connect_timeout(patience.connect)
            // A machine that is gone is not waited for as long as one that works.
            .tcp_keepalive(Duration::from_secs(30));
        Ok(Self {
            url,
            token,
            client: client.build()?,
            patience,
        })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, call: &str) -> Result<T> {
        self.soon(self.request(Method::GET, call, &[])).await
    }

    pub(super) async fn post<T: DeserializeOwned>(&self, call: &str, body: Value) -> Result<T> {
        let request = self.request(Method::POST, call, &[]).json(&body);
        self.soon(request).await
    }

    async fn soon<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        let patience = self.patience.soon;
        let read = timeout(patience, self.read(request)).await;
        read.unwrap_or_else(|_| Err(self.silent(patience)))
    }

    /// Sends a file or list, with the parameters that say what it is. It may take as long as it
    /// needs while anything of it is sent.
    pub(super) async fn upload<T: DeserializeOwned>(
        &self,
        call: &str,
        parameters: &[(&str, String)],
        content: impl AsyncRead + Send + 'static,
    ) -> Result<T> {
        let moved = Arc::new(Notify::new());
        let moves = Arc::clone(&moved);
        let parts = ReaderStream::new(content).inspect(move |_| moves.notify_one());
        let request = self.request(Method::POST, call, parameters);
        let mut read = pin!(self.read(request.body(Body::wrap_stream(parts))));
        loop {
            tokio::select! {
                answer = &mut read => return answer,
                () = moved.notified() => {}
                () = sleep(self.patience.long) => return Err(self.silent(self.patience.long)),
            }
        }
    }

    /// Writes an answer that may be long as it comes.
    pub(super) async fn download(
        &self,
        call: &str,
        parameters: &[(&str, String)],
        mut to: impl Write,
    ) -> Result<()> {
        let Patience { soon, long, .. } = self.patience;
        let request = self.request(Method::GET, call, parameters);
        let answer = timeout(long, self.send(request)).await;
        let answer = answer.unwrap_or_else(|_| Err(self.silent(long)))?;
        let mut bytes = answer.bytes_stream();
        while let Some(bytes) = timeout(soon, bytes.next())
            .await
            .map_err(|_| self.silent(soon))?
        {
            to.write_all(&bytes.map_err(reqwest::Error::without_url)?)?;
        }
        Ok(to.flush()?)
    }

    fn request(&self, method: Method, call: &str, parameters: &[(&str, String)]) -> RequestBuilder {
        let base = self.url.as_str().trim_end_matches('/');
        self.client
            .request(method, format!("{base}/admin/{call}"))
            .query(parameters)
            .bearer_auth(&self.token)
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        let answer = self.send(request).await?.json().await;
        answer
            .map_err(reqwest::Error::without_url)
            .with_context(|| format!("what answers at {} is no tracker", self.name()))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let answer = request.send().await;
        let answer = answer
            .map_err(reqwest::Error::without_url)
            .with_context(|| format!("the tracker at {} does not answer", self.name()))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        match refusal(answer).await {
            text if text.is_empty() => bail!("the tracker answered {status}"),
            text => bail!("the tracker refused: {text}"),
        }
    }

    /// What is said of a tracker that has been silent for so long.
    fn silent(&self, patience: Duration) -> Error {
        let (name, seconds) = (self.name(), patience.as_secs());
        anyhow!(
            "the tracker at {name} has been silent for {seconds} s; see its log, and whether \
             {name}readyz answers, before you try again"
        )
    }

    /// The address without what might be a password in it.
    fn name(&self) -> String {
        let mut url = self.url.clone();
        // Addresses that cannot have them have none.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.into()
    }
}

/// The first line of a refusal: a tracker's own have no more, and whatever else stands at the
/// address may say anything.
async fn refusal(answer: Response) -> String {
    let mut text = Vec::new();
    let mut parts = answer.bytes_stream();
    while let Some(Ok(part)) = parts.next().await
        && text.len() < MAX_REFUSAL
    {
        text.extend_from_slice(&part);
    }
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().unwrap_or_default().trim();
    let clean = line.chars().filter(|c| !c.is_control());
    clean.take(MAX_REFUSAL).collect()
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
pub(super) fn open_file(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::{io::Cursor, net::TcpListener};

    use super::*;

    #[tokio::test]
    async fn a_tracker_that_says_nothing_is_not_waited_for() {
        // It takes connections, as a machine does whose programs are stuck.
        let mute = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://user:geheim@{}/", mute.local_addr().unwrap());
        let patience = Patience {
            connect: PATIENCE.connect,
            soon: Duration::from_millis(50),
            long: Duration::from_millis(50),
        };
        let tracker = Tracker::new(url.parse().unwrap(), "token".into(), patience).unwrap();
        let refused = [
            tracker.get("status").await,
            tracker.post("init", Value::Null).await,
            tracker.upload("import", &[], Cursor::new("a list")).await,
            tracker
                .download("export", &[], Vec::new())
                .await
                .map(|()| Value::Null),
        ];
        for refused in refused {
            let said = refused.unwrap_err().to_string();
            assert!(
                said.contains("has been silent") && said.contains("/readyz"),
                "{said}"
            );
            assert!(!said.contains("geheim") && !said.contains('\n'), "{said}");
        }
    }
}
