//! One shard after the other for a tracker.

use std::{convert::Infallible, time::Duration};

use cah_dataset::Store;
use crawlingathome::{ClientError, Hybrid, HybridClient, Lease};
use tokio_util::sync::CancellationToken;

use crate::{Observer, Pipeline, Progress, ShardReport, WorkerError};

/// When the tracker first hears how far a shard is: there is something to tell by then.
const FIRST_PROGRESS: Duration = Duration::from_secs(2);

/// How often it hears more.
const PROGRESS_EVERY: Duration = Duration::from_secs(15);

/// The pause before a worker that the tracker forgot introduces itself anew.
const ANEW: Duration = Duration::from_secs(2);

/// The pause after a shard that could not be done; doubled for each further one in a row, for then
/// it may be the place of the WAT files that is away, and not one of them.
const FIRST_FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// The longest such pause.
const LONGEST_FAILURE_PAUSE: Duration = Duration::from_secs(60);

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
/// A shard whose WAT file cannot be read goes back to the tracker with the reason, and the worker
/// goes on with the next one; the number of such shards is returned.
///
/// A lease that ran out costs its shard's work, not the worker: it introduces itself anew with
/// `connect` and goes on; a tracker that is away just then is waited for. Whatever ends the worker,
/// the shard that it holds is given back.
pub async fn volunteer<C>(
    connect: impl Fn() -> C,
    pipeline: &Pipeline,
    store: &Store,
    wait: Option<Duration>,
    stop: &Stop,
    observer: &dyn Observer,
) -> Result<u64, WorkerError>
where
    C: Future<Output = Result<HybridClient, ClientError>>,
{
    let mut failures = Failures::default();
    let mut known = false;
    while !stop.is_wanted() {
        let client = match stop.after_shard.run_until_cancelled(connect()).await {
            None => break,
            Some(Err(error @ ClientError::Unreachable { .. })) if known => {
                tracing::warn!("{error}");
                continue;
            }
            Some(client) => client?,
        };
        known = true;
        let work = work(
            &client,
            pipeline,
            store,
            wait,
            stop,
            observer,
            &mut failures,
        );
        let end = stop.now.run_until_cancelled(work).await;
        // The tracker may be away; then the lease runs out by itself.
        let _ = tokio::time::timeout(GOODBYE, client.bye()).await;
        match end {
            Some(Err(error)) if is_forgotten(&error) => {
                tracing::warn!("{error}; starting anew");
                let pause = tokio::time::sleep(ANEW);
                stop.after_shard.run_until_cancelled(pause).await;
            }
            Some(Err(error)) => return Err(error),
            Some(Ok(())) | None => break,
        }
    }
    Ok(failures.altogether)
}

/// Shards that could not be done.
#[derive(Default)]
struct Failures {
    altogether: u64,
    in_a_row: u32,
}

impl Failures {
    /// Counts one more, and tells how long to pause after it.
    fn add(&mut self) -> Duration {
        self.altogether += 1;
        let factor = 1 << self.in_a_row.min(16);
        self.in_a_row += 1;
        (FIRST_FAILURE_PAUSE * factor).min(LONGEST_FAILURE_PAUSE)
    }
}

/// Whether the shard is what is wrong: another one may well be done.
fn is_of_the_shard(error: &WorkerError) -> bool {
    matches!(
        error,
        WorkerError::Source(_) | WorkerError::Wat { .. } | WorkerError::Truncated(_)
    )
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
    failures: &mut Failures,
) -> Result<(), WorkerError> {
    // A tracker that is away is not waited for once nothing more is wanted of it. A lease that was
    // under way just then goes back with the worker's bye.
    while let Some(lease) = stop.after_shard.run_until_cancelled(client.lease()).await {
        match (lease, wait) {
            (Ok(lease), _) => match shard(lease, pipeline, store, observer).await {
                Ok(report) => {
                    failures.in_a_row = 0;
                    observer.finished(&report);
                }
                Err(error) if is_of_the_shard(&error) => {
                    let pause = failures.add();
                    tracing::warn!("{error}; the shard went back, going on in {pause:?}");
                    let asleep = tokio::time::sleep(pause);
                    stop.after_shard.run_until_cancelled(asleep).await;
                }
                Err(error) => return Err(error),
            },
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
    lease: Lease<Hybrid>,
    pipeline: &Pipeline,
    store: &Store,
    observer: &dyn Observer,
) -> Result<ShardReport, WorkerError> {
    let shard = lease.shard().clone();
    let progress = Progress::default();
    observer.started(&shard, &progress);
    let result = tokio::select! {
        result = pipeline.run(&shard, store, &progress) => result,
        () = lease.lost() => return Err(WorkerError::LeaseLost(shard)),
        never = tell(&lease, &progress) => match never {},
    };
    let report = match result {
        Ok(report) => report,
        Err(error) if is_of_the_shard(&error) => {
            if let Err(unheard) = lease.fail(&error.to_string()).await {
                tracing::debug!("the tracker did not hear of a failure: {unheard}");
            }
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    let (pairs, outcomes) = (report.manifest.pairs, report.manifest.outcomes.clone());
    match lease.complete_with(pairs, outcomes).await {
        Err(ClientError::WorkerTimedOut | ClientError::ZeroJobs(_)) => {
            Err(WorkerError::LeaseLost(shard))
        }
        Err(error) => Err(error.into()),
        Ok(()) => Ok(report),
    }
}

/// Tells the tracker how far the shard is; does not end.
async fn tell(lease: &Lease<Hybrid>, progress: &Progress) -> Infallible {
    let first = tokio::time::Instant::now() + FIRST_PROGRESS;
    let mut ticks = tokio::time::interval_at(first, PROGRESS_EVERY);
    loop {
        ticks.tick().await;
        if let Err(error) = lease.log(&progress.line()).await {
            // The heartbeats see to the lease, whatever is wrong.
            tracing::debug!("no progress told: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_after_failures_grow_to_a_limit() {
        let mut failures = Failures::default();
        let pauses: Vec<u64> = (0..9).map(|_| failures.add().as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        failures.in_a_row = 0;
        assert_eq!(failures.add(), FIRST_FAILURE_PAUSE);
        assert_eq!(failures.altogether, 10);
    }
}
