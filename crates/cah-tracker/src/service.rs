//! What the tracker does, apart from how it is asked and where it is stored.

use std::sync::Arc;

use cah_protocol::WorkerType;

use crate::{
    clock::{Clock, Timestamp, seconds},
    config::Config,
    eta, names,
    store::{
        Accepted, BoardRow, Caller, Claimed, Completion, Counts, Failure, Moment, NewWorker,
        ParkedJob, Point, Reaped, Store, StoreError, WorkerView,
    },
    token::{self, TokenHash},
};

/// Draws of a display name before the tracker gives up on finding a free one.
const NAME_DRAWS: usize = 32;

/// A worker that has joined.
#[derive(Clone, Debug)]
pub struct Joined {
    /// Its name on pages.
    pub display_name: String,
    /// Its secret.
    pub token: String,
}

/// What a worker says that it has made of its job.
#[derive(Clone, Debug)]
pub enum Work {
    /// HYBRID and GPU: the number of pairs.
    Pairs(u64),
    /// CPU: where the images are.
    HandOver(String),
}

/// The figures of the project at one moment.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The counters.
    pub counts: Counts,
    /// When it will be done, in words.
    pub eta: String,
}

/// The calls of workers and pages, over a store, with settings and a clock.
pub struct Service {
    store: Arc<dyn Store>,
    config: Config,
    clock: Arc<dyn Clock>,
}

impl Service {
    /// Joins the three. The settings must have been checked.
    pub fn new(store: Arc<dyn Store>, config: Config, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            config,
            clock,
        }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Takes a worker in. The nickname must have been checked.
    pub async fn join(
        &self,
        nickname: &str,
        worker_type: WorkerType,
    ) -> Result<Joined, StoreError> {
        let token = token::draw();
        for _ in 0..NAME_DRAWS {
            let display_name = names::draw();
            let worker = NewWorker {
                caller: caller(&token, worker_type),
                display_name: display_name.clone(),
                nickname: nickname.to_owned(),
                progress: "Connected".into(),
            };
            match self.store.register(worker, self.moment()).await {
                Err(StoreError::NameTaken) => continue,
                Err(error) => return Err(error),
                Ok(()) => {
                    tracing::info!(%display_name, %worker_type, "a worker joined");
                    return Ok(Joined {
                        display_name,
                        token,
                    });
                }
            }
        }
        Err(StoreError::unavailable("no display name is free"))
    }

    /// Whether the worker is connected; hears from it if so.
    pub async fn is_connected(
        &self,
        token: &str,
        worker_type: WorkerType,
    ) -> Result<bool, StoreError> {
        match self.beat(token, worker_type, None).await {
            Ok(()) => Ok(true),
            Err(StoreError::UnknownWorker) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes note of what the worker is doing. The text must have been checked.
    pub async fn progress(
        &self,
        token: &str,
        worker_type: WorkerType,
        progress: String,
    ) -> Result<(), StoreError> {
        self.beat(token, worker_type, Some(progress)).await
    }

    async fn beat(
        &self,
        token: &str,
        worker_type: WorkerType,
        progress: Option<String>,
    ) -> Result<(), StoreError> {
        let caller = caller(token, worker_type);
        self.store.beat(caller, progress, self.moment()).await
    }

    /// Leases the oldest open job.
    pub async fn new_job(
        &self,
        token: &str,
        worker_type: WorkerType,
    ) -> Result<Claimed, StoreError> {
        let caller = caller(token, worker_type);
        self.store.claim(caller, self.moment()).await
    }

    /// Accepts the result of the job that the worker holds. `number` is that job where the worker
    /// names it: a worker that lost its lease in between is then found out.
    pub async fn complete(
        &self,
        token: &str,
        worker_type: WorkerType,
        work: Work,
        number: Option<u64>,
    ) -> Result<Accepted, StoreError> {
        let completion = match work {
            Work::Pairs(pairs) => Completion {
                pairs,
                closes: true,
                ..Completion::default()
            },
            // The images are in a database already: nothing is left for a GPU worker to fetch.
            Work::HandOver(url) => Completion {
                closes: url.contains("postgres"),
                output: Some(url),
                ..Completion::default()
            },
        };
        let caller = caller(token, worker_type);
        let completion = Completion {
            number,
            ..completion
        };
        self.store.complete(caller, completion, self.moment()).await
    }

    /// Sends the job that the worker holds back a stage.
    pub async fn flag(&self, token: &str, worker_type: WorkerType) -> Result<Accepted, StoreError> {
        let caller = caller(token, worker_type);
        self.store.flag(caller, self.moment()).await
    }

    /// Takes back a job that the worker cannot do. The message must have been checked.
    pub async fn fail(
        &self,
        token: &str,
        worker_type: WorkerType,
        message: String,
        number: Option<u64>,
    ) -> Result<Accepted, StoreError> {
        let failure = Failure {
            number,
            limit: self.config.max_failures,
            message,
        };
        let caller = caller(token, worker_type);
        self.store.fail(caller, failure, self.moment()).await
    }

    /// The first parked jobs.
    pub async fn parked(&self, limit: u32) -> Result<Vec<ParkedJob>, StoreError> {
        self.store.parked(limit).await
    }

    /// Lets a worker go; its job is re-opened.
    pub async fn leave(&self, token: &str, worker_type: WorkerType) -> Result<(), StoreError> {
        let caller = caller(token, worker_type);
        self.store.leave(caller, self.moment()).await
    }

    /// The counters.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        self.store.counts().await
    }

    /// The counters and what they promise.
    pub async fn project_progress(&self) -> Result<Progress, StoreError> {
        let counts = self.store.counts().await?;
        let points = self.store.points(eta::INTERVALS + 1).await?;
        let interval = seconds(self.config.series_interval);
        let eta = eta::text(&points, counts.total(), counts.closed, interval);
        Ok(Progress { counts, eta })
    }

    /// The last points of the series, the oldest first, and the present as the newest.
    pub async fn history(&self, limit: u32) -> Result<Vec<Point>, StoreError> {
        let counts = self.store.counts().await?;
        let mut points = self.store.points(limit).await?;
        let present = Point {
            at: self.now(),
            closed: counts.closed,
            pairs: counts.pairs,
        };
        if points.last().is_none_or(|last| last.at < present.at) {
            points.push(present);
        }
        Ok(points)
    }

    /// The first connected workers.
    pub async fn workers(&self, limit: u32) -> Result<Vec<WorkerView>, StoreError> {
        self.store.workers(limit).await
    }

    /// One connected worker.
    pub async fn worker(
        &self,
        worker_type: WorkerType,
        display_name: &str,
    ) -> Result<Option<WorkerView>, StoreError> {
        let name = display_name.to_owned();
        self.store.worker(worker_type.into(), name).await
    }

    /// The leaderboard of those who find pairs (HYBRID and GPU), or of CPU workers.
    pub async fn leaderboard(
        &self,
        worker_type: WorkerType,
        limit: u32,
    ) -> Result<Vec<BoardRow>, StoreError> {
        let stage = crate::store::Span::from(worker_type).last;
        self.store.leaderboard(stage, limit).await
    }

    /// Whether the tracker can serve.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }

    /// Gives everyone who was connected when the tracker stopped a whole idle time to call again.
    pub async fn grant_grace(&self) -> Result<(), StoreError> {
        self.store.grant_grace(self.moment().until).await
    }

    /// Removes the workers that were silent for too long and re-opens their jobs.
    pub async fn reap(&self) -> Result<Reaped, StoreError> {
        let reaped = self.store.reap(self.now()).await?;
        if reaped.workers > 0 {
            tracing::info!(
                workers = reaped.workers,
                jobs = reaped.jobs,
                "removed workers that fell silent, re-opened their jobs"
            );
        }
        Ok(reaped)
    }

    /// Keeps a point of the series if the last one is an interval old.
    pub async fn record_point_if_due(&self) -> Result<(), StoreError> {
        let now = self.now();
        let last = self.store.points(1).await?;
        let interval = seconds(self.config.series_interval);
        match last.first() {
            Some(last) if (0..interval).contains(&now.saturating_sub(last.at)) => Ok(()),
            _ => self.store.record_point(now).await,
        }
    }

    /// Stores what was heard from workers.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.store.flush().await
    }

    fn moment(&self) -> Moment {
        let now = self.now();
        Moment {
            now,
            until: now.saturating_add(seconds(self.config.idle_timeout)),
        }
    }
}

fn caller(token: &str, worker_type: WorkerType) -> Caller {
    Caller {
        token: TokenHash::of(token),
        span: worker_type.into(),
    }
}
