//! One shard after the other for a tracker, whatever the type of the worker.

mod cpu;
mod gpu;
mod hybrid;
mod lane;

pub use cpu::CpuWork;
pub use gpu::GpuWork;
pub use hybrid::HybridWork;

use std::time::Duration;

use cah_protocol::Shard;
use crawlingathome::{Client, ClientConfig, ClientError, CountsPairs, Kind, Lease};
use tokio_util::sync::CancellationToken;

use crate::{Observer, Progress, ShardReport, State, WorkerError, state::Desk};
use lane::Lane;

/// A person's wish to stop, in two degrees. Clones are the same wish.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    after_shard: CancellationToken,
    now: CancellationToken,
}

impl Stop {
    /// Stops once the shards under way are done.
    pub fn after_shard(&self) {
        self.after_shard.cancel();
    }

    /// Gives the shards under way back and stops.
    pub fn now(&self) {
        self.after_shard.cancel();
        self.now.cancel();
    }

    /// Whether a stop of any degree was asked for.
    pub fn is_wanted(&self) -> bool {
        self.after_shard.is_cancelled()
    }
}

/// What a type of worker does with a shard.
pub trait Work: Sync {
    /// The type.
    type Kind: Kind;

    /// Does everything but telling the tracker.
    fn make(
        &self,
        job: &Job<'_, Self::Kind>,
    ) -> impl Future<Output = Result<ShardReport, WorkerError>> + Send;

    /// Tells the tracker that the shard is done.
    fn complete(
        lease: &Lease<Self::Kind>,
        report: &ShardReport,
    ) -> impl Future<Output = Result<(), ClientError>> + Send;

    /// Tells the tracker that the shard cannot be done.
    fn refuse(
        lease: &Lease<Self::Kind>,
        error: &WorkerError,
    ) -> impl Future<Output = Result<(), ClientError>> + Send {
        let reason = error.to_string();
        async move { lease.fail(&reason).await }
    }
}

/// A shard that is worked on for a tracker.
#[derive(Debug)]
pub struct Job<'a, K: Kind> {
    client: &'a Client<K>,
    shard: &'a Shard,
    desk: &'a Desk,
    progress: &'a Progress,
}

/// How a worker works for a tracker.
#[derive(Debug)]
pub struct Terms {
    /// The tracker, and whom the work is counted for.
    pub tracker: ClientConfig,
    /// What a worker that was killed goes on from.
    pub state: State,
    /// Shards that are worked on at the same time.
    pub at_once: usize,
    /// The pause after which the worker asks again instead of leaving when no shard is open: shards
    /// of workers that vanished open again.
    pub wait: Option<Duration>,
    /// When to stop.
    pub stop: Stop,
}

impl Terms {
    /// The most shards that a worker has at the same time.
    pub const MOST_AT_ONCE: usize = 64;
}

/// Leases shards and works them through until none is open, or a stop is wanted; then says bye.
///
/// A shard that cannot be done, because its WAT file or what was handed over cannot be read, goes
/// back to the tracker with the reason, and the worker goes on with the next one; the number of such
/// shards is returned.
///
/// A lease that ran out costs its shard's work, not the worker: it introduces itself anew and goes
/// on; a tracker that is away just then is waited for. Whatever ends the worker, the shards that it
/// holds are given back, the one that ended it with the reason, as it may well be the shard that is
/// wrong; only a worker that is killed leaves them, and goes on with them from its state when it is
/// started again.
pub async fn volunteer<W: Work>(
    work: &W,
    terms: Terms,
    observer: &dyn Observer,
) -> Result<u64, WorkerError> {
    let at_once = terms.at_once.clamp(1, Terms::MOST_AT_ONCE);
    let left = (0..Terms::MOST_AT_ONCE).filter(|lane| terms.state.had_lane(*lane));
    let left: Vec<usize> = left.collect();
    // All of them before any is given up: another worker's state stays as it is.
    for lane in &left {
        lane::check_owner::<W::Kind>(&terms.state.desk(*lane), &terms.tracker)?;
    }
    for lane in left.into_iter().filter(|lane| *lane >= at_once) {
        lane::give_up::<W::Kind>(&terms.state.desk(lane), &terms.tracker).await;
    }
    let of = &terms;
    let lanes = (0..at_once).map(|number| async move {
        let desk = of.state.desk(number);
        Lane::new(work, of, &desk, observer).run().await
    });
    let ended = futures::future::join_all(lanes).await;
    let failures = ended.into_iter().sum();
    terms.state.close();
    failures
}

/// Tells the tracker how many pairs a shard has, and where its other candidates ended.
async fn complete_pairs<K: CountsPairs>(
    lease: &Lease<K>,
    report: &ShardReport,
) -> Result<(), ClientError> {
    let manifest = report.manifest();
    let manifest = manifest.expect("who counts pairs writes a manifest");
    let outcomes = manifest.outcomes.clone();
    lease.complete_with(manifest.pairs, outcomes).await
}
