//! One worker of a kind, the job that it holds, and its calls.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crawlingathome::{ClientError, DownloadOptions, Lease};
use pyo3::prelude::*;

use crate::{
    call::{Answer, EventLoop, Outcome, call},
    errors::Failure,
    protocol::{Crawler, Protocol, Work},
};

/// What the tracker is told of a job that its worker has not completed when it asks for the next.
const LEFT_BEHIND: &str = "the worker asked for the next job without completing this one";

/// A worker and the job that it holds. Clones share both.
pub(crate) struct Of<P: Protocol> {
    pub(crate) client: P::Client,
    slot: Slot<P>,
}

/// Locked only while the interpreter is held, and so never found locked by a process that was
/// forked.
type Slot<P> = Arc<Mutex<Option<Arc<<P as Protocol>::Lease>>>>;

impl<P: Protocol> Clone for Of<P> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            slot: self.slot.clone(),
        }
    }
}

impl<P: Protocol> Of<P> {
    pub(crate) fn new(client: P::Client, lease: Option<P::Lease>) -> Self {
        Self {
            client,
            slot: Arc::new(Mutex::new(lease.map(Arc::new))),
        }
    }

    /// The same worker and job with connections and heartbeats of this process, which was forked.
    pub(crate) fn afresh(&self) -> Result<Self, ClientError> {
        let client = P::afresh(&self.client)?;
        let lease = self.held().map(|lease| P::adopt(&client, &lease));
        Ok(Self::new(client, lease))
    }

    /// Ends the heartbeats, and leaves the job with the worker.
    pub(crate) fn let_go(&self) {
        self.held().inspect(|lease| P::let_go(lease));
    }

    pub(crate) fn held(&self) -> Option<Arc<P::Lease>> {
        lock::<P>(&self.slot).clone()
    }

    pub(crate) fn job_count<'py>(
        &self,
        py: Python<'py>,
        event_loop: EventLoop<'py>,
    ) -> Answer<'py> {
        let client = self.client.clone();
        let counting = async move { Ok(P::job_count(&client).await?) };
        call(py, event_loop, counting, |count| Ok(count?))
    }

    /// Leases a job. One that is held still has failed, and falls behind: a script that cannot do it
    /// and goes on must not get it again and again.
    pub(crate) fn new_job<'py>(&self, py: Python<'py>, event_loop: EventLoop<'py>) -> Answer<'py> {
        let (client, slot) = (self.client.clone(), self.slot.clone());
        let held = lock::<P>(&slot).take();
        let leasing = async move {
            if let Some(lease) = held
                && let Err(error) = P::fail(&lease, LEFT_BEHIND).await
            {
                // It counts that when it is asked for another one.
                tracing::debug!(%error, "the tracker did not hear of a job that was left behind");
            }
            Ok(P::lease(&client).await?)
        };
        call(py, event_loop, leasing, move |lease| {
            let lease = lease?;
            let job = P::job(&lease);
            *lock::<P>(&slot) = Some(Arc::new(lease));
            Ok(job)
        })
    }

    pub(crate) fn complete<'py>(
        &self,
        py: Python<'py>,
        work: Work,
        event_loop: EventLoop<'py>,
    ) -> Answer<'py> {
        self.settle(py, event_loop, async move |lease| {
            Ok(P::complete(&lease, work).await?)
        })
    }

    pub(crate) fn flag_invalid<'py>(
        &self,
        py: Python<'py>,
        event_loop: EventLoop<'py>,
    ) -> Answer<'py> {
        self.settle(py, event_loop, async |lease| {
            Ok(P::flag_invalid(&lease).await?)
        })
    }

    pub(crate) fn fail<'py>(
        &self,
        py: Python<'py>,
        reason: String,
        event_loop: EventLoop<'py>,
    ) -> Answer<'py> {
        self.settle(py, event_loop, async move |lease| {
            Ok(P::fail(&lease, &reason).await?)
        })
    }

    pub(crate) fn give_back<'py>(
        &self,
        py: Python<'py>,
        event_loop: EventLoop<'py>,
    ) -> Answer<'py> {
        let held = lock::<P>(&self.slot).take();
        let going_back = async move {
            if let Some(lease) = held
                && let Err(error) = P::give_back(&lease).await
            {
                // It re-opens the job when the worker asks for another one.
                tracing::debug!(%error, "the tracker did not take a job back");
            }
            Ok(())
        };
        call(py, event_loop, going_back, |done| Ok(done?))
    }

    pub(crate) fn log<'py>(
        &self,
        py: Python<'py>,
        text: String,
        event_loop: EventLoop<'py>,
    ) -> Answer<'py> {
        let (client, held) = (self.client.clone(), self.held());
        let telling = async move {
            match held {
                Some(lease) => P::log_job(&lease, &text).await?,
                None => P::log(&client, &text).await?,
            }
            Ok(())
        };
        call(py, event_loop, telling, |told| Ok(told?))
    }

    pub(crate) fn is_alive<'py>(&self, py: Python<'py>, event_loop: EventLoop<'py>) -> Answer<'py> {
        let client = self.client.clone();
        let asking = async move { Ok(P::is_alive(&client).await?) };
        call(py, event_loop, asking, |alive| Ok(alive?))
    }

    /// Leaves the tracker, which re-opens the job.
    pub(crate) fn bye<'py>(&self, py: Python<'py>, event_loop: EventLoop<'py>) -> Answer<'py> {
        let held = lock::<P>(&self.slot).take();
        held.inspect(|lease| P::let_go(lease));
        let client = self.client.clone();
        let leaving = async move { Ok(P::bye(&client).await?) };
        call(py, event_loop, leaving, |left| Ok(left?))
    }

    /// A call after which the job is not held any more, if the tracker heard it.
    fn settle<'py, F>(
        &self,
        py: Python<'py>,
        event_loop: EventLoop<'py>,
        tell: impl FnOnce(Arc<P::Lease>) -> F + Send + 'static,
    ) -> Answer<'py>
    where
        F: Future<Output = Outcome<()>> + Send + 'static,
    {
        let slot = self.slot.clone();
        let held = self.held();
        let telling = {
            let held = held.clone();
            async move { tell(held.ok_or(Failure::NoJob)?).await }
        };
        call(py, event_loop, telling, move |told| {
            let is_over = told.as_ref().err().is_none_or(Failure::is_final);
            if let (Some(held), true) = (held, is_over) {
                lock::<P>(&slot).take_if(|now| Arc::ptr_eq(now, &held));
            }
            Ok(told?)
        })
    }
}

/// Which files of a job are wanted, and where.
pub(crate) struct Wanted {
    pub(crate) folder: PathBuf,
    pub(crate) piece_only: bool,
    pub(crate) allow_private_addresses: Option<bool>,
}

impl<K: Crawler> Of<K> {
    /// Downloads the job's files; signs of life tell how far it is.
    pub(crate) fn download_shard<'py>(
        &self,
        py: Python<'py>,
        wanted: Wanted,
        event_loop: EventLoop<'py>,
    ) -> Answer<'py> {
        let (client, held) = (self.client.clone(), self.held());
        let downloading = async move {
            let lease = held.ok_or(Failure::NoJob)?;
            let mut options = DownloadOptions::default();
            options.piece_only = wanted.piece_only;
            options.allow_private_addresses = wanted.allow_private_addresses;
            options.progress = Some(telling_progress(lease.clone()));
            K::download(&client, lease.shard(), &wanted.folder, &options).await
        };
        call(py, event_loop, downloading, |path| Ok(path?))
    }
}

/// Tells of a download: the tracker with each sign of life, and whoever watches at each tenth.
fn telling_progress<K: Crawler>(lease: Arc<Lease<K>>) -> Arc<dyn Fn(u64, u64) + Send + Sync> {
    let tenths = AtomicU64::new(0);
    Arc::new(move |done, total| {
        lease.set_progress(&format!("Downloading shard: {done} of {total} bytes"));
        let now = (10 * done).checked_div(total).unwrap_or_default();
        if tenths.swap(now, Relaxed) < now && now < 10 {
            tracing::info!(target: "crawlingathome", "downloaded {now}0 % of the shard");
        }
    })
}

fn lock<P: Protocol>(slot: &Mutex<Option<Arc<P::Lease>>>) -> MutexGuard<'_, Option<Arc<P::Lease>>> {
    // No step under the lock leaves it half changed.
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}
