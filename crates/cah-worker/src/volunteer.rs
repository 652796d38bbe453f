//! One shard after the other for a tracker.

use std::{convert::Infallible, time::Duration};

use cah_dataset::Store;
use crawlingathome::{ClientError, HybridClient, Lease};
use tokio_util::sync::CancellationToken;

use crate::{Observer, Pipeline, Progress, ShardReport, WorkerError};

/// How often the tracker hears what a worker is doing, at the latest with the next heartbeat.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// How long a worker that leaves waits for the tracker's answer.
const GOODBYE: Duration = Duration::from_secs(3);

/// A person's wish to stop, in two degrees. Clones are the same wish.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    after_shard: CancellationToken,
    now: CancellationToken,
}

impl Stop {
    /// Stops once the shard under way is done.
    pub fn after_shard(&self) {
        self.after_shard.cancel();
    }

    /// Gives the shard under way back and stops.
    pub fn now(&self) {
        self.after_shard.cancel();
        self.now.cancel();
    }

    /// Whether a stop of any degree was asked for.
    pub fn is_wanted(&self) -> bool {
        self.after_shard.is_cancelled()
    }
}

/// Leases shards and works them through until none is open, or `stop` is wanted; then says bye.
///
/// With `wait`, the worker asks again after that pause instead of leaving when no shard is open:
/// shards of workers that vanished open again.
///
/// A lease that ran out costs its shard's work, not the worker: it introduces itself anew with
/// `connect` and goes on. Whatever ends the worker, the shard that it holds is given back.
pub async fn volunteer<C>(
    connect: impl Fn() -> C,
    pipeline: &Pipeline,
    store: &Store,
    wait: Option<Duration>,
    stop: &Stop,
    observer: &dyn Observer,
) -> Result<(), WorkerError>
where
    C: Future<Output = Result<HybridClient, ClientError>>,
{
    while !stop.is_wanted() {
        let Some(client) = stop.now.run_until_cancelled(connect()).await else {
            break;
        };
        let client = client?;
        let work = work(&client, pipeline, store, wait, stop, observer);
        let end = stop.now.run_until_cancelled(work).await;
        // The tracker may be away; then the lease runs out by itself.
        let _ = tokio::time::timeout(GOODBYE, client.bye()).await;
        match end {
            Some(Err(error)) if is_forgotten(&error) => tracing::warn!("{error}; starting anew"),
            Some(Err(error)) => return Err(error),
            Some(Ok(())) | None => break,
        }
    }
    Ok(())
}

/// Whether the tracker gave up on a worker that was silent for too long.
fn is_forgotten(error: &WorkerError) -> bool {
    matches!(
        error,
        WorkerError::LeaseLost(_) | WorkerError::Tracker(ClientError::WorkerTimedOut)
    )
}

async fn work(
    client: &HybridClient,
    pipeline: &Pipeline,
    store: &Store,
    wait: Option<Duration>,
    stop: &Stop,
    observer: &dyn Observer,
) -> Result<(), WorkerError> {
    while !stop.is_wanted() {
        match (client.lease().await, wait) {
            (Ok(lease), _) => observer.finished(&shard(lease, pipeline, store, observer).await?),
            (Err(ClientError::ZeroJobs(_)), None) => break,
            (Err(ClientError::ZeroJobs(_)), Some(pause)) => {
                let asleep = tokio::time::sleep(pause);
                stop.after_shard.run_until_cancelled(asleep).await;
            }
            (Err(error), _) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn shard(
    lease: Lease,
    pipeline: &Pipeline,
    store: &Store,
    observer: &dyn Observer,
) -> Result<ShardReport, WorkerError> {
    let shard = lease.shard().clone();
    let progress = Progress::default();
    observer.started(&shard, &progress);
    let report = tokio::select! {
        report = pipeline.run(&shard, store, &progress) => report?,
        () = lease.lost() => return Err(WorkerError::LeaseLost(shard)),
        never = tell(&lease, &progress) => match never {},
    };
    match lease.complete(report.manifest.pairs).await {
        Err(ClientError::WorkerTimedOut | ClientError::ZeroJobs(_)) => {
            Err(WorkerError::LeaseLost(shard))
        }
        Err(error) => Err(error.into()),
        Ok(()) => Ok(report),
    }
}

/// Keeps the lease's line of progress up to date; does not end.
async fn tell(lease: &Lease, progress: &Progress) -> Infallible {
    let mut ticks = tokio::time::interval(PROGRESS_EVERY);
    loop {
        ticks.tick().await;
        lease.set_progress(progress.line());
    }
}
