use super::{Lease, runtime::Shared};
use crate::{ClientConfig, ClientError, Cpu, Dump, Gpu, Hybrid, Kind};

/// A worker that takes a shard the whole way from WAT to pairs.
pub type HybridClient = Client<Hybrid>;

/// A worker that takes a shard from WAT to images, for GPU workers.
pub type CpuClient = Client<Cpu>;

/// A worker that takes images, which CPU workers handed over, to pairs.
pub type GpuClient = Client<Gpu>;

/// A Crawling@Home worker, see [`crate::Client`]. Clones are the same worker.
#[derive(Debug)]
pub struct Client<K: Kind> {
    pub(super) inner: crate::Client<K>,
    pub(super) shared: Shared,
}

impl<K: Kind> Client<K> {
    /// Introduces a new worker to the tracker.
    ///
    /// # Errors
    /// As [`crate::Client::connect`], and [`ClientError::Runtime`].
    pub fn connect(config: ClientConfig) -> Result<Self, ClientError> {
        let shared = Shared::get()?;
        let inner = shared.wait(crate::Client::connect(config))?;
        Ok(Self { inner, shared })
    }

    /// The worker that was dumped, and the job that it held then.
    ///
    /// # Errors
    /// As [`crate::Client::load`], and [`ClientError::Runtime`].
    pub fn load(
        dump: &Dump,
        config: ClientConfig,
    ) -> Result<(Self, Option<Lease<K>>), ClientError> {
        let shared = Shared::get()?;
        let (inner, lease) = shared.within(|| crate::Client::load(dump, config))?;
        let lease = lease.map(|lease| Lease::new(lease, shared));
        Ok((Self { inner, shared }, lease))
    }

    /// The same worker for async code.
    pub fn to_async(&self) -> crate::Client<K> {
        self.inner.clone()
    }

    /// The name that the tracker gave this worker.
    pub fn display_name(&self) -> &str {
        self.inner.display_name()
    }

    /// The worker's secret.
    pub fn token(&self) -> &str {
        self.inner.token()
    }

    /// Whom the work is counted for.
    pub fn nickname(&self) -> &str {
        self.inner.nickname()
    }

    /// The tracker's address.
    pub fn url(&self) -> &str {
        self.inner.url()
    }

    /// Where results are brought, as the tracker said last.
    pub fn upload_address(&self) -> String {
        self.inner.upload_address()
    }

    /// Asks where to bring results from now on.
    ///
    /// # Errors
    /// As [`crate::Client::update_upload_address`].
    pub fn update_upload_address(&self) -> Result<String, ClientError> {
        self.shared.wait(self.inner.update_upload_address())
    }

    /// The number of open jobs for such a worker.
    ///
    /// # Errors
    /// As [`crate::Client::job_count`].
    pub fn job_count(&self) -> Result<u64, ClientError> {
        self.shared.wait(self.inner.job_count())
    }

    /// Leases a job.
    ///
    /// # Errors
    /// As [`crate::Client::lease`].
    pub fn lease(&self) -> Result<Lease<K>, ClientError> {
        let lease = self.shared.wait(self.inner.lease())?;
        Ok(Lease::new(lease, self.shared))
    }

    /// Tells what the worker is doing while it holds no job.
    ///
    /// # Errors
    /// As [`crate::Client::log`].
    pub fn log(&self, progress: &str) -> Result<(), ClientError> {
        self.shared.wait(self.inner.log(progress))
    }

    /// Whether the tracker still knows this worker.
    ///
    /// # Errors
    /// As [`crate::Client::is_alive`].
    pub fn is_alive(&self) -> Result<bool, ClientError> {
        self.shared.wait(self.inner.is_alive())
    }

    /// Leaves.
    ///
    /// # Errors
    /// As [`crate::Client::bye`].
    pub fn bye(&self) -> Result<(), ClientError> {
        self.shared.wait(self.inner.bye())
    }

    /// The worker without a job, to be loaded later.
    pub fn dump(&self) -> Dump {
        self.inner.dump()
    }
}

impl<K: Kind> Clone for Client<K> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: self.shared,
        }
    }
}
