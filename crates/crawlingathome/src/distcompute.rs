//! Workers of DistCompute: one stage of a project whose jobs are data of any kind.

use std::sync::Arc;

use cah_protocol::{
    check_nickname, check_result,
    distcompute::{JSON_PREFIX, JobResponse, NewWorkerResponse},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    ClientConfig, ClientError,
    api::Api,
    held::{Held, send_progress},
    session::{Asking, Dialect, Nothing, Session},
};

/// What a job is about, or what was made of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Text, as it is.
    Text(String),
    /// JSON, which travels as text behind `<!json!>`.
    Json(Value),
}

impl Data {
    /// Reads what travelled. What claims to be JSON and is none is text.
    pub fn from_wire(text: String) -> Self {
        let json = text.strip_prefix(JSON_PREFIX);
        match json.and_then(|json| serde_json::from_str(json).ok()) {
            Some(value) => Self::Json(value),
            None => Self::Text(text),
        }
    }

    /// As it travels.
    pub fn to_wire(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Json(value) => format!("{JSON_PREFIX}{value}"),
        }
    }
}

impl From<&str> for Data {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

/// A DistCompute worker. Clones are the same worker.
#[derive(Clone, Debug)]
pub struct Client {
    session: Arc<Session>,
    stage: Arc<str>,
    project: Arc<str>,
    stage_name: Arc<str>,
}

impl Client {
    /// Introduces a new worker of a stage, named by its letter or name (`GET /api/new`).
    ///
    /// # Errors
    /// [`ClientError::Refused`] for a stage that the project does not have.
    pub async fn connect(config: ClientConfig, stage: &str) -> Result<Self, ClientError> {
        check_nickname(&config.nickname)?;
        let api = Api::new(&config.url, config.introduction)?;
        let query = [
            ("nickname", config.nickname.as_str()),
            ("stage", stage),
            ("token_bits", "256"),
        ];
        let identity: NewWorkerResponse = api.get("api/new", &query).await?;
        let session = Session {
            api: api.met(config.retry),
            dialect: Dialect::Stage,
            heartbeat: config.heartbeat(identity.heartbeat),
            token: identity.token,
            display_name: identity.display_name,
            nickname: config.nickname,
            asking: Asking::default(),
        };
        Ok(Self {
            session: Arc::new(session),
            stage: stage.into(),
            project: identity.project.into(),
            stage_name: identity.stage_name.into(),
        })
    }

    /// The name that the tracker gave this worker.
    pub fn display_name(&self) -> &str {
        &self.session.display_name
    }

    /// The worker's secret.
    pub fn token(&self) -> &str {
        &self.session.token
    }

    /// Whom the work is counted for.
    pub fn nickname(&self) -> &str {
        &self.session.nickname
    }

    /// The tracker's address.
    pub fn url(&self) -> &str {
        self.session.api.base()
    }

    /// The name of the project.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// The name of the stage.
    pub fn stage_name(&self) -> &str {
        &self.stage_name
    }

    /// The number of jobs that wait at the stage (`GET /api/jobCount`).
    ///
    /// # Errors
    /// Whatever the tracker says.
    pub async fn job_count(&self) -> Result<u64, ClientError> {
        let query = [("stage", &*self.stage)];
        self.session.api.get("api/jobCount", &query).await
    }

    /// Leases a job (`POST /api/newJob`); see [`crate::Client::lease`].
    ///
    /// # Errors
    /// [`ClientError::ZeroJobs`] when none is open.
    pub async fn lease(&self) -> Result<Lease, ClientError> {
        let hold = |session, job: JobResponse| {
            Ok(Lease {
                held: Held::start(session, job.number),
                text: job.data,
            })
        };
        self.session.lease(hold).await
    }

    /// The same worker with connections of its own; see [`crate::Client::afresh`].
    ///
    /// # Errors
    /// [`ClientError::Setup`].
    pub fn afresh(&self) -> Result<Self, ClientError> {
        Ok(Self {
            session: Arc::new(self.session.afresh()?),
            ..self.clone()
        })
    }

    /// The right to a job of this worker's, kept alive by this client from now on; see
    /// [`crate::Client::adopt`].
    pub fn adopt(&self, lease: &Lease) -> Lease {
        Lease {
            held: Held::start(self.session.clone(), lease.number()),
            text: lease.text.clone(),
        }
    }

    /// Tells what the worker is doing while it holds no job; see [`Lease::log`].
    ///
    /// # Errors
    /// Whatever the tracker says.
    pub async fn log(&self, progress: &str) -> Result<(), ClientError> {
        send_progress(&self.session, progress).await
    }

    /// Whether the tracker still knows this worker (`POST /api/validateWorker`).
    ///
    /// # Errors
    /// A tracker that does not answer.
    pub async fn is_alive(&self) -> Result<bool, ClientError> {
        self.session.is_alive().await
    }

    /// Leaves (`POST /api/bye`), in one attempt: a job still held is re-opened at once.
    ///
    /// # Errors
    /// Whatever the tracker says.
    pub async fn bye(&self) -> Result<(), ClientError> {
        self.session.bye().await
    }
}

/// The right to one job, kept alive by heartbeats until it is completed or dropped; see
/// [`crate::Lease`].
#[derive(Debug)]
pub struct Lease {
    held: Held,
    text: String,
}

#[derive(Serialize)]
struct Made {
    data: String,
}

impl Lease {
    /// The job's number.
    pub fn number(&self) -> u64 {
        self.held.number()
    }

    /// What it is about: what the stage before made, or at the first stage what was imported.
    pub fn data(&self) -> Data {
        Data::from_wire(self.text.clone())
    }

    /// The same as it travelled, JSON behind `<!json!>` and in the words of whoever made it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Sets the line that the dashboard shows for this worker; see
    /// [`crate::Lease::set_progress`].
    pub fn set_progress(&self, progress: &str) {
        self.held.set_progress(progress);
    }

    /// Sends a line of progress now, in one attempt; see [`crate::Lease::log`].
    ///
    /// # Errors
    /// Whatever the tracker says.
    pub async fn log(&self, progress: &str) -> Result<(), ClientError> {
        self.held.log(progress).await
    }

    /// Ends once the tracker said that it gave the job to somebody else; never otherwise.
    pub async fn lost(&self) {
        self.held.lost().await;
    }

    /// Completes the job; `data` is the next stage's (`POST /api/completeJob`). Retried until the
    /// tracker answers.
    ///
    /// # Errors
    /// [`ClientError::WorkerTimedOut`] or [`ClientError::ZeroJobs`] where the lease was lost;
    /// [`ClientError::Text`] for more than 1 MiB.
    pub async fn complete(&self, data: impl Into<Data>) -> Result<(), ClientError> {
        let data = data.into().to_wire();
        check_result(&data)?;
        self.held.settle("api/completeJob", Made { data }).await
    }

    /// Says that the job's data cannot be used (`POST /api/flagInvalidData`): once enough workers
    /// did, it goes back a stage.
    ///
    /// # Errors
    /// Whatever the tracker says.
    pub async fn flag_invalid(&self) -> Result<(), ClientError> {
        self.held.settle("api/flagInvalidData", Nothing {}).await
    }

    /// Gives the job back without a word; see [`crate::Lease::give_back`].
    ///
    /// # Errors
    /// Whatever the tracker says.
    pub async fn give_back(&self) -> Result<(), ClientError> {
        self.held.give_back().await
    }

    /// Ends the heartbeats, but leaves the job with the worker; see [`crate::Lease::let_go`].
    pub fn let_go(&self) {
        self.held.let_go();
    }

    /// Gives the job back because it cannot be done, and tells why; see [`crate::Lease::fail`].
    ///
    /// # Errors
    /// Whatever the tracker says.
    pub async fn fail(&self, reason: &str) -> Result<(), ClientError> {
        self.held.fail(reason).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn data_survives_the_wire() {
        for data in [
            Data::from(""),
            Data::from("a/b.tar"),
            Data::Json(json!({"a": [1, null, "ж"]})),
            Data::Json(json!("text")),
        ] {
            assert_eq!(Data::from_wire(data.to_wire()), data);
        }
        let broken = format!("{JSON_PREFIX}{{");
        assert_eq!(Data::from_wire(broken.clone()), Data::Text(broken));
    }
}
