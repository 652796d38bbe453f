//! Workers of DistCompute, see [`crate::distcompute`].

use futures::FutureExt;

use super::runtime::{Guarded, Shared};
pub use crate::distcompute::Data;
use crate::{ClientConfig, ClientError, distcompute};

/// A DistCompute worker, see [`distcompute::Client`]. Clones are the same worker.
#[derive(Clone, Debug)]
pub struct Client {
    inner: distcompute::Client,
    shared: Shared,
}

impl Client {
    /// Introduces a new worker of a stage.
    ///
    /// # Errors
    /// As [`distcompute::Client::connect`], and [`ClientError::Runtime`].
    pub fn connect(config: ClientConfig, stage: &str) -> Result<Self, ClientError> {
        let shared = Shared::get()?;
        let inner = shared.wait(distcompute::Client::connect(config, stage))?;
        Ok(Self { inner, shared })
    }

    /// The same worker for async code.
    pub fn to_async(&self) -> distcompute::Client {
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

    /// The name of the project.
    pub fn project(&self) -> &str {
        self.inner.project()
    }

    /// The name of the stage.
    pub fn stage_name(&self) -> &str {
        self.inner.stage_name()
    }

    /// The number of jobs that wait at the stage.
    ///
    /// # Errors
    /// As [`distcompute::Client::job_count`].
    pub fn job_count(&self) -> Result<u64, ClientError> {
        self.shared.wait(self.inner.job_count())
    }

    /// Leases a job.
    ///
    /// # Errors
    /// As [`distcompute::Client::lease`].
    pub fn lease(&self) -> Result<Lease, ClientError> {
        let lease = self.shared.wait(self.inner.lease())?;
        Ok(Lease(Guarded::new(lease, self.shared)))
    }

    /// Tells what the worker is doing while it holds no job.
    ///
    /// # Errors
    /// As [`distcompute::Client::log`].
    pub fn log(&self, progress: &str) -> Result<(), ClientError> {
        self.shared.wait(self.inner.log(progress))
    }

    /// Whether the tracker still knows this worker.
    ///
    /// # Errors
    /// As [`distcompute::Client::is_alive`].
    pub fn is_alive(&self) -> Result<bool, ClientError> {
        self.shared.wait(self.inner.is_alive())
    }

    /// Leaves.
    ///
    /// # Errors
    /// As [`distcompute::Client::bye`].
    pub fn bye(&self) -> Result<(), ClientError> {
        self.shared.wait(self.inner.bye())
    }
}

/// The right to one job, see [`distcompute::Lease`]: kept alive by heartbeats in the background,
/// given back there when it is dropped.
#[derive(Debug)]
pub struct Lease(Guarded<distcompute::Lease>);

impl Lease {
    /// The job's number.
    pub fn number(&self) -> u64 {
        self.0.get().number()
    }

    /// What it is about.
    pub fn data(&self) -> Data {
        self.0.get().data()
    }

    /// The same as it travelled.
    pub fn text(&self) -> &str {
        self.0.get().text()
    }

    /// Sets the line that the dashboard shows for this worker.
    pub fn set_progress(&self, progress: &str) {
        self.0.get().set_progress(progress);
    }

    /// Sends a line of progress now.
    ///
    /// # Errors
    /// As [`distcompute::Lease::log`].
    pub fn log(&self, progress: &str) -> Result<(), ClientError> {
        self.0.wait(self.0.get().log(progress))
    }

    /// Whether the tracker said that it gave the job to somebody else.
    pub fn is_lost(&self) -> bool {
        self.0.get().lost().now_or_never().is_some()
    }

    /// Completes the job; `data` is the next stage's.
    ///
    /// # Errors
    /// As [`distcompute::Lease::complete`].
    pub fn complete(&self, data: impl Into<Data>) -> Result<(), ClientError> {
        self.0.wait(self.0.get().complete(data))
    }

    /// Says that the job's data cannot be used.
    ///
    /// # Errors
    /// As [`distcompute::Lease::flag_invalid`].
    pub fn flag_invalid(&self) -> Result<(), ClientError> {
        self.0.wait(self.0.get().flag_invalid())
    }

    /// Gives the job back without a word.
    ///
    /// # Errors
    /// As [`distcompute::Lease::give_back`].
    pub fn give_back(&self) -> Result<(), ClientError> {
        self.0.wait(self.0.get().give_back())
    }

    /// Ends the heartbeats, but leaves the job with the worker.
    pub fn let_go(&self) {
        self.0.get().let_go();
    }

    /// Gives the job back because it cannot be done, and tells why.
    ///
    /// # Errors
    /// As [`distcompute::Lease::fail`].
    pub fn fail(&self, reason: &str) -> Result<(), ClientError> {
        self.0.wait(self.0.get().fail(reason))
    }
}
