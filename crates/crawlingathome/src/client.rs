use std::{
    fmt,
    marker::PhantomData,
    sync::{Arc, Mutex, PoisonError},
};

use cah_protocol::{JobResponse, NewWorkerResponse, Shard, WorkerType, check_nickname};

use crate::{
    ClientConfig, ClientError, Cpu, Dump, Gpu, Hybrid, Kind, Lease,
    api::Api,
    held::send_progress,
    session::{Asking, Dialect, Session},
};

/// A worker that takes a shard the whole way from WAT to pairs.
pub type HybridClient = Client<Hybrid>;

/// A worker that takes a shard from WAT to images, for GPU workers.
pub type CpuClient = Client<Cpu>;

/// A worker that takes images, which CPU workers handed over, to pairs.
pub type GpuClient = Client<Gpu>;

/// A Crawling@Home worker. Clones are the same worker.
pub struct Client<K> {
    session: Arc<Session>,
    upload_address: Arc<Mutex<String>>,
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind> Client<K> {
    /// Introduces a new worker to the tracker (`GET /api/new`).
    ///
    /// # Errors
    /// An address that is none, a nickname that the protocol does not carry, and whatever the
    /// tracker says.
    pub async fn connect(config: ClientConfig) -> Result<Self, ClientError> {
        check_nickname(&config.nickname)?;
        let api = Api::new(&config.url, config.introduction)?;
        let query = [
            ("nickname", config.nickname.as_str()),
            ("type", K::TYPE.as_str()),
            // Any text will do; trackers that know of none but UUIDs pass over this.
            ("token_bits", "256"),
        ];
        let identity: NewWorkerResponse = api.get("api/new", &query).await?;
        let session = Session {
            api: api.met(config.retry),
            dialect: Dialect::Crawler(K::TYPE),
            heartbeat: config.heartbeat(identity.heartbeat),
            token: identity.token,
            display_name: identity.display_name,
            nickname: config.nickname,
            asking: Asking::default(),
        };
        Ok(Self::of(session, identity.upload_address))
    }

    /// The worker that was dumped, perhaps by another program, and the job that it held then. The
    /// tracker is not asked anything; `config` says how it is to be called later, its address and
    /// nickname come from the dump.
    ///
    /// # Errors
    /// [`ClientError::Dump`] for the dump of another kind of worker, and for nonsense.
    pub fn load(
        dump: &Dump,
        config: ClientConfig,
    ) -> Result<(Self, Option<Lease<K>>), ClientError> {
        dump.check_type(K::TYPE)?;
        let session = Session {
            // It was the tracker's when the dump was made.
            api: Api::new(&dump.url, config.retry)?.met(config.retry),
            dialect: Dialect::Crawler(K::TYPE),
            heartbeat: config.heartbeat(dump.heartbeat),
            token: dump.token.clone(),
            display_name: dump.display_name.clone().unwrap_or_default(),
            nickname: dump.nickname.clone(),
            asking: Asking::default(),
        };
        let client = Self::of(session, dump.upload_address.clone().unwrap_or_default());
        let shard = dump.shard()?;
        let lease = shard.map(|shard| Lease::start(client.session.clone(), shard));
        Ok((client, lease))
    }

    /// The same worker with connections of its own: for a process that was forked, which must not
    /// speak over its parent's.
    ///
    /// # Errors
    /// [`ClientError::Setup`].
    pub fn afresh(&self) -> Result<Self, ClientError> {
        // Whoever holds the lock may be a thread that this process does not have.
        let upload_address = self.upload_address.try_lock();
        let upload_address = upload_address.map_or_else(|_| String::new(), |known| known.clone());
        Ok(Self::of(self.session.afresh()?, upload_address))
    }

    /// The right to a shard of this worker's, kept alive by this client from now on; whoever held it
    /// before has to let it go, or is another process.
    pub fn adopt(&self, lease: &Lease<K>) -> Lease<K> {
        Lease::start(self.session.clone(), lease.shard().clone())
    }

    fn of(session: Session, upload_address: String) -> Self {
        Self {
            session: Arc::new(session),
            upload_address: Arc::new(Mutex::new(upload_address)),
            kind: PhantomData,
        }
    }

    #[cfg(feature = "files")]
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// The name that the tracker gave this worker, `word-word-123`; empty for a worker that was
    /// loaded from a dump of old.
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

    /// Where results are brought, as the tracker said last: any text.
    pub fn upload_address(&self) -> String {
        let address = self.upload_address.lock();
        address.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks where to bring results from now on (`GET /api/getUploadAddress`).
    ///
    /// # Errors
    /// Whatever the tracker says.
    pub async fn update_upload_address(&self) -> Result<String, ClientError> {
        let told = self.told_address(K::TYPE).await?;
        let mut address = self
            .upload_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        address.clone_from(&told);
        Ok(told)
    }

    /// What the tracker tells a worker of that type.
    pub(crate) async fn told_address(&self, worker: WorkerType) -> Result<String, ClientError> {
        let query = [("type", worker.as_str()), ("token", self.token())];
        let api = &self.session.api;
        api.get_text("api/getUploadAddress", &query).await
    }

    /// The number of open jobs for such a worker (`GET /api/jobCount`).
    ///
    /// # Errors
    /// Whatever the tracker says.
    pub async fn job_count(&self) -> Result<u64, ClientError> {
        let query = [("type", K::TYPE.as_str())];
        self.session.api.get("api/jobCount", &query).await
    }

    /// Leases a job (`POST /api/newJob`); one that this worker still held is re-opened, and counts as
    /// failed. Where this future is dropped, the job that may have been leased goes back.
    ///
    /// # Errors
    /// [`ClientError::ZeroJobs`] when none is open.
    pub async fn lease(&self) -> Result<Lease<K>, ClientError> {
        let hold = |session, job: JobResponse| Ok(Lease::start(session, Shard::try_from(job)?));
        self.session.lease(hold).await
    }

    /// Tells what the worker is doing while it holds no job (`POST /api/updateProgress`), in one
    /// attempt; see [`Lease::log`].
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

    /// Leaves (`POST /api/bye`): a job still held is re-opened at once.
    ///
    /// One attempt only, since a worker that leaves does not wait for a tracker that is away; its
    /// lease then runs out by itself.
    ///
    /// # Errors
    /// Whatever the tracker says.
    pub async fn bye(&self) -> Result<(), ClientError> {
        self.session.bye().await
    }

    /// The worker without a job, to be loaded later; [`Lease::dump`] is the same with one.
    pub fn dump(&self) -> Dump {
        Dump::of(&self.session, K::TYPE, Some(self.upload_address()))
    }
}

impl<K> Clone for Client<K> {
    fn clone(&self) -> Self {
        Self {
            session: self.session.clone(),
            upload_address: self.upload_address.clone(),
            kind: PhantomData,
        }
    }
}

impl<K: Kind> fmt::Debug for Client<K> {
    // Not the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("type", &K::TYPE)
            .field("url", &self.url())
            .field("display_name", &self.display_name())
            .finish_non_exhaustive()
    }
}
