//! One of the shards that a worker has at once, and the next one after it.

use std::{convert::Infallible, error::Error, io, iter, time::Duration};

use cah_dataset::DatasetError;
use cah_task::blocking;
use crawlingathome::{
    Client, ClientConfig, ClientError, DownloadError, Dump, Kind, Lease, UploadError,
};

use super::{Job, Terms, Work};
use crate::{
    Observer, Progress, ShardReport, WorkerError,
    state::{Desk, address_of},
};

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

/// The pause before a worker asks again that gets no shard although some are open: others were
/// quicker, or the tracker lets it wait because nothing came of its last ones.
const HELD_BACK: Duration = Duration::from_secs(5);

/// How long a worker that leaves waits for the tracker's answer.
const GOODBYE: Duration = Duration::from_secs(3);

/// How often a worker that was killed goes on with the same shard without getting on. Then it may be
/// the shard that ends it, and would for ever.
const MOST_IN_VAIN: u32 = 3;

/// How many shards in a row may fail before a full disk is the machine's trouble. Until then it may
/// be what was handed over, which a small file can make as large as it likes.
const FULL_IN_A_ROW: u32 = 3;

/// A worker of the tracker's, which has one shard at a time.
pub(super) struct Lane<'a, W> {
    work: &'a W,
    terms: &'a Terms,
    desk: &'a Desk,
    observer: &'a dyn Observer,
    failures: Failures,
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

    /// Whether another shard may well be done after this error.
    fn may_go_on(&self, error: &WorkerError) -> bool {
        is_of_the_shard(error) || (fills_the_disk(error) && self.in_a_row < FULL_IN_A_ROW)
    }
}

/// Whether the shard is what is wrong: another one may well be done.
fn is_of_the_shard(error: &WorkerError) -> bool {
    match error {
        WorkerError::Source(_)
        | WorkerError::Wat { .. }
        | WorkerError::Truncated(_)
        | WorkerError::WatChanged(_)
        | WorkerError::Deadly { .. }
        | WorkerError::Dataset(DatasetError::BadHandOver { .. })
        // Too large, mostly.
        | WorkerError::Upload(UploadError::Refused { .. }) => true,
        WorkerError::Download(error) => {
            error.is_of_the_url()
                || matches!(
                    error,
                    DownloadError::Source(_)
                        | DownloadError::Private(_)
                        | DownloadError::NoStaging(_)
                        | DownloadError::Tracker(_)
                        | DownloadError::Rsync(_)
                )
        }
        _ => false,
    }
}

/// Whether a download found no room on the disk. What there was of it is removed by now.
fn fills_the_disk(error: &WorkerError) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let WorkerError::Download(error) = error else {
        return false;
    };
    let causes = iter::successors(Some(error as &dyn Error), |error| (*error).source());
    let mut causes = causes.filter_map(|error| error.downcast_ref::<io::Error>());
    causes.any(|error| matches!(error.kind(), FileTooLarge | QuotaExceeded | StorageFull))
}

/// Whether the tracker gave up on a worker that was silent for too long.
fn is_forgotten(error: &WorkerError) -> bool {
    matches!(
        error,
        WorkerError::LeaseLost(_) | WorkerError::Tracker(ClientError::WorkerTimedOut)
    )
}

/// Whether the tracker does not answer: for now, where it has before.
fn is_away(error: &WorkerError) -> bool {
    matches!(error, WorkerError::Tracker(ClientError::Unreachable { .. }))
}

impl<'a, W: Work> Lane<'a, W> {
    pub(super) fn new(
        work: &'a W,
        terms: &'a Terms,
        desk: &'a Desk,
        observer: &'a dyn Observer,
    ) -> Self {
        Self {
            work,
            terms,
            desk,
            observer,
            failures: Failures::default(),
        }
    }

    /// Works until there is nothing to do, a stop is wanted or something breaks, which stops the
    /// other lanes, too. Returns how many shards could not be done.
    pub(super) async fn run(mut self) -> Result<u64, WorkerError> {
        let worked = self.work_on().await;
        if worked.is_err() {
            self.terms.stop.now();
        }
        worked.map(|()| self.failures.altogether)
    }

    async fn work_on(&mut self) -> Result<(), WorkerError> {
        let stop = &self.terms.stop;
        let mut known = false;
        while !stop.is_wanted() {
            let joining = stop.after_shard.run_until_cancelled(self.join());
            let (client, lease) = match joining.await {
                None => break,
                Some(Err(error)) if known && is_away(&error) => {
                    tracing::warn!("{error}");
                    continue;
                }
                Some(joined) => joined?,
            };
            known = true;
            let work = self.shards(&client, lease);
            let end = stop.now.run_until_cancelled(work).await;
            // The tracker may be away; then the lease runs out by itself.
            let _ = tokio::time::timeout(GOODBYE, client.bye()).await;
            self.forget().await;
            match end {
                Some(Err(error)) if is_forgotten(&error) => {
                    tracing::warn!("{error}; starting anew");
                    self.pause(ANEW).await;
                }
                Some(Err(error)) => return Err(error),
                Some(Ok(())) | None => break,
            }
        }
        Ok(())
    }

    /// Goes on as the worker that was killed, with the shard that it held, or introduces a new one.
    async fn join(&self) -> Result<(Client<W::Kind>, Option<Lease<W::Kind>>), WorkerError> {
        let tracker = &self.terms.tracker;
        let desk = self.desk.clone();
        if let Some(dump) = blocking(move || desk.worker()).await {
            if is_known::<W::Kind>(&dump, tracker).await? {
                return Ok(Client::load(&dump, tracker.clone())?);
            }
            tracing::info!("the tracker has forgotten the worker that was here before");
            self.forget().await;
        }
        let client = Client::connect(tracker.clone()).await?;
        self.keep(client.dump()).await?;
        Ok((client, None))
    }

    async fn keep(&self, dump: Dump) -> Result<(), WorkerError> {
        let desk = self.desk.clone();
        blocking(move || desk.keep(&dump)).await
    }

    async fn forget(&self) {
        let desk = self.desk.clone();
        blocking(move || desk.clear()).await;
    }

    async fn pause(&self, pause: Duration) {
        let asleep = tokio::time::sleep(pause);
        self.terms
            .stop
            .after_shard
            .run_until_cancelled(asleep)
            .await;
    }

    async fn shards(
        &mut self,
        client: &Client<W::Kind>,
        held: Option<Lease<W::Kind>>,
    ) -> Result<(), WorkerError> {
        if let Some(lease) = held {
            tracing::info!("going on with shard {}", lease.shard().number);
            let (desk, shard) = (self.desk.clone(), lease.shard().clone());
            let times = blocking(move || desk.resume(&shard)).await?;
            self.shard(client, lease, times).await?;
        }
        let stop = &self.terms.stop;
        // A tracker that is away is not waited for once nothing more is wanted of it. A lease that
        // was under way just then goes back with the worker's bye.
        while let Some(next) = stop
            .after_shard
            .run_until_cancelled(self.next(client))
            .await
        {
            let Some(lease) = next? else {
                break;
            };
            let mut dump = lease.dump();
            dump.upload_address = Some(client.upload_address());
            self.keep(dump).await?;
            self.shard(client, lease, 0).await?;
        }
        Ok(())
    }

    /// Leases the next shard; nothing where none is open, and the worker is not to wait for one.
    async fn next(&self, client: &Client<W::Kind>) -> Result<Option<Lease<W::Kind>>, ClientError> {
        loop {
            match client.lease().await {
                Err(ClientError::ZeroJobs(_)) => {}
                leased => return leased.map(Some),
            }
            let pause = match self.terms.wait {
                Some(wait) => wait,
                None if client.job_count().await? > 0 => HELD_BACK,
                None => return Ok(None),
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// One shard, which the worker has gone on with so often in vain, and a pause where it could not
    /// be done.
    async fn shard(
        &mut self,
        client: &Client<W::Kind>,
        lease: Lease<W::Kind>,
        in_vain: u32,
    ) -> Result<(), WorkerError> {
        let shard = lease.shard().clone();
        let done = self.do_shard(client, lease, in_vain).await;
        self.observer.left(&shard);
        // In this order: a job without its folder would be done again.
        self.keep(client.dump()).await?;
        let desk = self.desk.clone();
        blocking(move || desk.clear_job()).await;
        match done {
            Ok(report) => {
                self.failures.in_a_row = 0;
                self.observer.finished(&report);
            }
            Err(error) if self.failures.may_go_on(&error) => {
                let pause = self.failures.add();
                tracing::warn!("{error}; the shard went back, going on in {pause:?}");
                self.pause(pause).await;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn do_shard(
        &self,
        client: &Client<W::Kind>,
        lease: Lease<W::Kind>,
        in_vain: u32,
    ) -> Result<ShardReport, WorkerError> {
        let shard = lease.shard().clone();
        let progress = Progress::default();
        self.observer.started(&shard, &progress);
        let job = Job {
            client,
            shard: &shard,
            desk: self.desk,
            progress: &progress,
        };
        let result = tokio::select! {
            result = self.make(&job, in_vain) => result,
            () = lease.lost() => return Err(WorkerError::LeaseLost(shard)),
            never = tell(&lease, &progress) => match never {},
        };
        let done = match result {
            Ok(report) => match W::complete(&lease, &report).await {
                Err(ClientError::WorkerTimedOut | ClientError::ZeroJobs(_)) => {
                    return Err(WorkerError::LeaseLost(shard));
                }
                told => told.map(|()| report).map_err(WorkerError::from),
            },
            Err(error) => Err(error),
        };
        if let Err(error) = &done {
            refuse::<W>(&lease, error).await;
        }
        done
    }

    async fn make(&self, job: &Job<'_, W::Kind>, in_vain: u32) -> Result<ShardReport, WorkerError> {
        if in_vain > MOST_IN_VAIN {
            let (number, times) = (job.shard.number, in_vain);
            return Err(WorkerError::Deadly { number, times });
        }
        self.work.make(job).await
    }
}

/// Tells the tracker that the shard cannot be done, also where the worker ends of it: a shard that
/// was given back without a word would be the next worker's, and might end one after the other.
/// Where it is the machine that is ill, the tracker has such a worker wait.
async fn refuse<W: Work>(lease: &Lease<W::Kind>, error: &WorkerError) {
    if is_forgotten(error) || is_away(error) {
        return;
    }
    if let Err(unheard) = W::refuse(lease, error).await {
        tracing::debug!("the tracker did not hear of a failure: {unheard}");
    }
}

/// Whether the tracker knows a worker still. It is waited for as when a worker introduces itself.
async fn is_known<K: Kind>(dump: &Dump, tracker: &ClientConfig) -> Result<bool, ClientError> {
    let without_job = Dump {
        shard: None,
        ..dump.clone()
    };
    let once = ClientConfig {
        retry: tracker.introduction,
        ..tracker.clone()
    };
    let (client, _) = Client::<K>::load(&without_job, once)?;
    client.is_alive().await
}

/// Makes sure that what an earlier worker left in a lane is of one like this.
pub(super) fn check_owner<K: Kind>(desk: &Desk, ours: &ClientConfig) -> Result<(), WorkerError> {
    let Some(dump) = desk.worker() else {
        return Ok(());
    };
    let theirs = ClientConfig {
        url: dump.url,
        nickname: dump.nickname,
        ..ours.clone()
    };
    let of = |worker_type: &str, tracker: &ClientConfig| {
        let (address, nickname) = (address_of(tracker), &tracker.nickname);
        format!("a {worker_type} worker at {address} for `{nickname}`")
    };
    let whose = of(&dump._type, &theirs);
    if whose == of(K::TYPE.as_str(), ours) {
        return Ok(());
    }
    let place = desk.path().display().to_string();
    Err(WorkerError::StateOfAnother { place, whose })
}

/// Gives back what a worker held that had more lanes than this one.
pub(super) async fn give_up<K: Kind>(desk: &Desk, tracker: &ClientConfig) {
    if let Some(dump) = desk.worker()
        && let Ok((client, _)) = Client::<K>::load(
            &Dump {
                shard: None,
                ..dump
            },
            tracker.clone(),
        )
    {
        let _ = tokio::time::timeout(GOODBYE, client.bye()).await;
    }
    let desk = desk.clone();
    blocking(move || desk.clear()).await;
}

/// Tells the tracker how far the shard is; does not end.
async fn tell<K: Kind>(lease: &Lease<K>, progress: &Progress) -> Infallible {
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

    #[test]
    fn what_fills_the_disk_stops_nobody_unless_it_is_the_disk() {
        let write = |kind: io::ErrorKind| {
            WorkerError::Download(DownloadError::Write {
                path: "x".into(),
                source: kind.into(),
            })
        };
        let mut failures = Failures::default();
        for _ in 0..FULL_IN_A_ROW {
            assert!(failures.may_go_on(&write(io::ErrorKind::StorageFull)));
            assert!(!failures.may_go_on(&write(io::ErrorKind::PermissionDenied)));
            failures.add();
        }
        assert!(!failures.may_go_on(&write(io::ErrorKind::StorageFull)));
    }
}
