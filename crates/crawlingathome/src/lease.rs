use std::{fmt, marker::PhantomData, sync::Arc};

use cah_protocol::{OutcomeCounts, Shard};
use serde::Serialize;

use crate::{
    ClientError, CountsPairs, Cpu, Dump, Gpu, Kind,
    held::Held,
    session::{Nothing, Session},
};

/// The right to one shard, kept alive by heartbeats until it is completed or dropped.
///
/// A completion that failed because no tracker answered leaves it as it was, and may be tried again.
/// Dropping it ends the heartbeats and gives the shard back in the background; a tracker that knows
/// no such call re-opens it when the worker asks for another one, says bye, or stays silent for the
/// tracker's idle time-out.
pub struct Lease<K> {
    held: Held,
    shard: Shard,
    kind: PhantomData<fn() -> K>,
}

#[derive(Serialize)]
struct Pairs {
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcomes: Option<OutcomeCounts>,
}

#[derive(Serialize)]
struct HandOver<'a> {
    url: &'a str,
}

impl<K: Kind> Lease<K> {
    pub(crate) fn start(session: Arc<Session>, shard: Shard) -> Self {
        Self {
            held: Held::start(session, shard.number),
            shard,
            kind: PhantomData,
        }
    }

    /// The leased shard. A GPU worker's has what the CPU worker handed over as its URL.
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Sets the line that the dashboard shows for this worker; sent with the next heartbeat.
    ///
    /// What the protocol does not carry is left out: the text is cut at its longest length, and a
    /// control character becomes a blank, for a heartbeat that is refused would be none.
    pub fn set_progress(&self, progress: &str) {
        self.held.set_progress(progress);
    }

    /// Sends a line of progress now (`POST /api/updateProgress`), in one attempt, and as
    /// [`Lease::set_progress`] with every further heartbeat.
    ///
    /// # Errors
    /// Whatever the tracker says; [`ClientError::WorkerTimedOut`] where the lease is lost.
    pub async fn log(&self, progress: &str) -> Result<(), ClientError> {
        self.held.log(progress).await
    }

    /// Ends once the tracker said that it gave the shard to somebody else; never otherwise.
    pub async fn lost(&self) {
        self.held.lost().await;
    }

    /// Gives the shard back because it cannot be done, and tells why (`POST /api/failJob`), so that
    /// the tracker has it tried later, or looked at by a person.
    ///
    /// One attempt only: a tracker that does not hear it, or does not know the call, re-opens the
    /// shard when the worker asks for the next one.
    ///
    /// # Errors
    /// Whatever the tracker says.
    pub async fn fail(&self, reason: &str) -> Result<(), ClientError> {
        self.held.fail(reason).await
    }

    /// Gives the shard back without a word, as dropping does, and waits until the tracker has heard
    /// it (`POST /api/returnJob`, in one attempt).
    ///
    /// # Errors
    /// Whatever the tracker says.
    pub async fn give_back(&self) -> Result<(), ClientError> {
        self.held.give_back().await
    }

    /// The worker with this shard, to be loaded later, perhaps by another program. The shard is
    /// still held here; see [`Lease::let_go`].
    pub fn dump(&self) -> Dump {
        Dump::of(self.held.session(), K::TYPE, None).with(&self.shard)
    }

    /// Ends the heartbeats, but leaves the shard with the worker: for another process, which goes on
    /// with it from a dump.
    pub fn let_go(&self) {
        self.held.let_go();
    }
}

impl<K: CountsPairs> Lease<K> {
    /// Completes the shard with its number of pairs (`POST /api/markAsDone`).
    ///
    /// Retried until the tracker answers; a repeated completion counts once.
    ///
    /// # Errors
    /// [`ClientError::WorkerTimedOut`] or [`ClientError::ZeroJobs`] where the lease was lost.
    pub async fn complete(&self, pairs: u64) -> Result<(), ClientError> {
        self.complete_as(pairs, None).await
    }

    /// As [`Lease::complete`], and tells where the shard's candidates ended. Trackers that do not
    /// know of outcomes pass over them.
    ///
    /// # Errors
    /// As [`Lease::complete`].
    pub async fn complete_with(
        &self,
        pairs: u64,
        outcomes: OutcomeCounts,
    ) -> Result<(), ClientError> {
        self.complete_as(pairs, Some(outcomes)).await
    }

    async fn complete_as(
        &self,
        count: u64,
        outcomes: Option<OutcomeCounts>,
    ) -> Result<(), ClientError> {
        let pairs = Pairs { count, outcomes };
        self.held.settle("api/markAsDone", pairs).await
    }
}

impl Lease<Cpu> {
    /// Hands the shard's images over to GPU workers, which find them at `url`: any text that they
    /// understand (`POST /api/markAsDone`).
    ///
    /// Retried until the tracker answers.
    ///
    /// # Errors
    /// [`ClientError::WorkerTimedOut`] or [`ClientError::ZeroJobs`] where the lease was lost.
    pub async fn complete(&self, url: &str) -> Result<(), ClientError> {
        cah_protocol::check_result(url)?;
        self.held.settle("api/markAsDone", HandOver { url }).await
    }
}

impl Lease<Gpu> {
    /// Says that what was handed over cannot be used (`POST /api/gpuInvalidDownload`): the shard
    /// goes back to CPU workers.
    ///
    /// # Errors
    /// Whatever the tracker says.
    pub async fn flag_invalid(&self) -> Result<(), ClientError> {
        self.held.settle("api/gpuInvalidDownload", Nothing {}).await
    }
}

impl<K: Kind> fmt::Debug for Lease<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("type", &K::TYPE)
            .field("shard", &self.shard)
            .finish_non_exhaustive()
    }
}
