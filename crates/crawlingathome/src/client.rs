use std::{sync::Arc, time::Duration};

use cah_protocol::{
    ByeRequest, JobRequest, JobResponse, NewWorkerResponse, Shard, ValidateRequest, WorkerType,
    check_nickname,
};

use crate::{ClientError, Lease, RetryPolicy, api::Api};

/// How to reach a tracker, and as whom.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The tracker's address, http or https.
    pub url: String,
    /// The name on the leaderboard, at most 128 characters.
    pub nickname: String,
    /// When the first call is tried again: nobody knows yet whether there is a tracker at all.
    pub introduction: RetryPolicy,
    /// When all further calls are tried again.
    pub retry: RetryPolicy,
    /// The longest pause between two heartbeats of a lease; a tracker may ask for a shorter one.
    pub heartbeat: Duration,
}

impl ClientConfig {
    /// The usual settings: two minutes for the introduction, retries for two hours, a heartbeat a
    /// minute.
    pub fn new(url: impl Into<String>, nickname: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            nickname: nickname.into(),
            introduction: RetryPolicy {
                give_up_after: Some(Duration::from_secs(120)),
                ..RetryPolicy::default()
            },
            retry: RetryPolicy::default(),
            heartbeat: Duration::from_secs(60),
        }
    }
}

/// A worker that takes a shard the whole way from WAT to pairs. Clones are the same worker.
#[derive(Clone, Debug)]
pub struct HybridClient {
    session: Arc<Session>,
}

/// One registration at the tracker; what a [`Lease`] needs to speak for its worker.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) api: Api,
    pub(crate) identity: NewWorkerResponse,
    pub(crate) heartbeat: Duration,
}

impl HybridClient {
    const TYPE: WorkerType = WorkerType::Hybrid;

    /// Introduces a new worker to the tracker (`GET /api/new`).
    pub async fn connect(config: ClientConfig) -> Result<Self, ClientError> {
        check_nickname(&config.nickname)?;
        let api = Api::new(&config.url, config.introduction)?;
        let query = [
            ("nickname", config.nickname.as_str()),
            ("type", Self::TYPE.as_str()),
            // Any text will do; trackers that know of none but UUIDs pass over this.
            ("token_bits", "256"),
        ];
        let identity: NewWorkerResponse = api.get("api/new", &query).await?;
        let wanted = identity.heartbeat.map(Duration::from_secs);
        Ok(Self {
            session: Arc::new(Session {
                api: api.met(config.retry),
                heartbeat: wanted.map_or(config.heartbeat, |wanted| wanted.min(config.heartbeat)),
                identity,
            }),
        })
    }

    /// The name that the tracker gave this worker, `word-word-123`.
    pub fn display_name(&self) -> &str {
        &self.session.identity.display_name
    }

    /// The worker's secret.
    pub fn token(&self) -> &str {
        &self.session.identity.token
    }

    /// The number of open shards (`GET /api/jobCount`).
    pub async fn job_count(&self) -> Result<u64, ClientError> {
        self.session.api.job_count(Self::TYPE).await
    }

    /// Leases a shard (`POST /api/newJob`); one that this worker still held is re-opened.
    ///
    /// Fails with [`ClientError::ZeroJobs`] when no shard is open.
    pub async fn lease(&self) -> Result<Lease, ClientError> {
        let job: JobResponse = self
            .session
            .api
            .post("api/newJob", &self.session.request())
            .await?;
        Ok(Lease::start(self.session.clone(), Shard::try_from(job)?))
    }

    /// Whether the tracker still knows this worker (`POST /api/validateWorker`).
    pub async fn is_alive(&self) -> Result<bool, ClientError> {
        let request: ValidateRequest = self.session.request();
        self.session.api.post("api/validateWorker", &request).await
    }

    /// Leaves (`POST /api/bye`): a shard still held is re-opened at once.
    ///
    /// One attempt only, since a worker that leaves does not wait for a tracker that is away; its
    /// lease then runs out by itself.
    pub async fn bye(&self) -> Result<(), ClientError> {
        self.session.bye().await
    }
}

impl Session {
    pub(crate) fn request(&self) -> JobRequest {
        JobRequest {
            token: self.identity.token.clone(),
            worker_type: HybridClient::TYPE,
        }
    }

    pub(crate) async fn bye(&self) -> Result<(), ClientError> {
        let request: ByeRequest = self.request();
        self.api
            .command("api/bye", &request, Some(RetryPolicy::once()))
            .await
    }
}
