//! What the tracker does, apart from how it is asked and where it is stored.

use std::{
    io::Read,
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
};

use cah_protocol::{OutcomeCounts, stage_letter};
use thiserror::Error;

use crate::{
    brake::{Brake, Who},
    clock::{Clock, Timestamp, seconds},
    config::Config,
    eta,
    machine::foreign_machine_of,
    names,
    operation::{self, RestoreError},
    store::{
        Accepted, Caller, Claim, Claimed, Completion, Counts, Excluded, Exclusion, Failure, Flag,
        HandIn, HandInBy, Kind, Moment, NewWorker, Point, Reaped, Role, Store, StoreError,
    },
    token::{self, TokenForm, TokenHash},
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
    /// The name of the first stage that it works on.
    pub stage_name: String,
}

/// What a worker says that it has made of its job.
#[derive(Clone, Debug)]
pub enum Work {
    /// HYBRID and GPU: the number of pairs.
    Pairs(u64),
    /// CPU: where the images are.
    HandOver(String),
    /// DistCompute: what the next stage gets.
    Data(String),
}

impl From<Work> for Completion {
    fn from(work: Work) -> Self {
        match work {
            Work::Pairs(pairs) => Self {
                pairs,
                ..Self::default()
            },
            // The images are in a database already: nothing is left for a GPU worker to fetch.
            Work::HandOver(url) => Self {
                closes: url.contains("postgres"),
                output: Some(url),
                ..Self::default()
            },
            Work::Data(data) => Self {
                output: Some(data),
                ..Self::default()
            },
        }
    }
}

/// Why a worker is not taken in.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The project has no work for such a worker; in words for its user.
    #[error("{0}")]
    NoSuchStage(String),
    /// The operator keeps such a worker out.
    #[error("the operator keeps this worker out")]
    Excluded,
    /// There are as many workers as the operator allows.
    #[error("the tracker has {0} workers already")]
    Full(u32),
    /// There are as many workers of its machine as the operator allows.
    #[error("{0} workers of this machine are connected already")]
    Crowded(u32),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a worker gets no job.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NoJob {
    /// It finished none of the last ones, and has to wait for so many seconds.
    #[error("the worker finished none of its last jobs and has to wait {0} s")]
    Braked(i64),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The figures of the project at one moment.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The counters.
    pub counts: Counts,
    /// When it will be done, in words.
    pub eta: String,
    /// How it came there, the oldest first and the present last.
    pub points: Vec<Point>,
}

/// The calls of workers and pages, over a store, with settings and a clock.
pub struct Service {
    store: Arc<dyn Store>,
    config: Config,
    clock: Arc<dyn Clock>,
    brake: Brake,
    /// Whom the operator keeps out, as it was last read.
    exclusions: RwLock<Arc<[Exclusion]>>,
}

impl Service {
    /// Joins the three. The settings must have been checked.
    pub fn new(store: Arc<dyn Store>, config: Config, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            config,
            clock,
            brake: Brake::default(),
            exclusions: RwLock::new(Arc::new([])),
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

    /// Takes a worker in. The nickname must have been checked; `counts` are the project's counters
    /// of just now.
    ///
    /// # Errors
    /// [`JoinError::NoSuchStage`] where the project has no work for such a worker;
    /// [`JoinError::Excluded`], [`JoinError::Full`] and [`JoinError::Crowded`].
    pub async fn join(
        &self,
        nickname: &str,
        role: impl Into<Role>,
        address: IpAddr,
        token: TokenForm,
        counts: &Counts,
    ) -> Result<Joined, JoinError> {
        let role = role.into();
        check_role(role, counts).map_err(JoinError::NoSuchStage)?;
        let most = self.config.max_workers_per_address;
        let places = foreign_machine_of(address).map(|_| most);
        if counts.workers >= u64::from(self.config.max_workers) {
            return Err(JoinError::Full(self.config.max_workers));
        }
        let token = token::draw(token);
        for _ in 0..NAME_DRAWS {
            let display_name = names::draw();
            let worker = NewWorker {
                token: TokenHash::of(&token),
                upload_key: TokenHash::of(&token::upload_key(&token)),
                role,
                display_name: display_name.clone(),
                address,
                places,
                nickname: nickname.to_owned(),
                progress: "Connected".into(),
            };
            match self.store.register(worker, self.moment()).await {
                Err(StoreError::NameTaken) => continue,
                Err(StoreError::Excluded) => return Err(JoinError::Excluded),
                Err(StoreError::Crowded(places)) => return Err(JoinError::Crowded(places)),
                Err(error) => return Err(error.into()),
                Ok(()) => {
                    tracing::info!(%display_name, ?role, %address, "a worker joined");
                    return Ok(Joined {
                        display_name,
                        token,
                        stage_name: stage_name(role, counts),
                    });
                }
            }
        }
        Err(StoreError::unavailable("no display name is free").into())
    }

    /// Whether the worker is connected; hears from it if so.
    pub async fn is_connected(&self, caller: Caller) -> Result<bool, StoreError> {
        match self.store.beat(caller, None, self.moment()).await {
            Ok(_) => Ok(true),
            Err(StoreError::UnknownWorker) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes note of what the worker is doing. The text must have been checked.
    pub async fn progress(&self, caller: Caller, progress: String) -> Result<Role, StoreError> {
        self.store.beat(caller, Some(progress), self.moment()).await
    }

    /// Leases the next open job to a worker that calls from `address`.
    ///
    /// # Errors
    /// [`NoJob::Braked`] for a worker that brings nothing.
    pub async fn new_job(&self, caller: Caller, address: IpAddr) -> Result<Claimed, NoJob> {
        let who = who(caller, address);
        if let Some(pause) = self.brake.pause(who, self.now()) {
            // It calls, and so it lives.
            self.store.beat(caller, None, self.moment()).await?;
            return Err(NoJob::Braked(pause));
        }
        let claim = Claim {
            order: self.config.claim_order,
            max_failures: self.config.max_failures,
        };
        let claimed = self.store.claim(caller, claim, self.moment()).await?;
        self.brake.took(who, self.now());
        Ok(claimed)
    }

    /// Accepts the result of the job that the worker holds, with where its candidates ended, as far
    /// as it tells. `number` is that job where the worker
    /// names it: a worker that lost its lease in between is then found out.
    pub async fn complete(
        &self,
        caller: Caller,
        address: IpAddr,
        work: Work,
        outcomes: OutcomeCounts,
        number: Option<u64>,
    ) -> Result<Accepted, StoreError> {
        let completion = Completion {
            number,
            outcomes,
            ..work.into()
        };
        let accepted = self
            .store
            .complete(caller, completion, self.moment())
            .await?;
        self.brake.finished(who(caller, address));
        Ok(accepted)
    }

    /// Takes note that the input of the job that the worker holds is no good. The job goes back a
    /// stage: at once where the worker is of Crawling@Home, after the reports of several workers
    /// where it is of DistCompute. `number` is as for [`Service::complete`].
    pub async fn flag(
        &self,
        caller: Caller,
        address: IpAddr,
        number: Option<u64>,
    ) -> Result<Accepted, StoreError> {
        let flag = Flag {
            number,
            reports: self.config.flag_reports,
            max_failures: self.config.max_failures,
        };
        let accepted = self.store.flag(caller, flag, self.moment()).await?;
        self.brake.gave_back(who(caller, address), self.now());
        Ok(accepted)
    }

    /// Takes back a job that the worker cannot do. The message must have been checked.
    pub async fn fail(
        &self,
        caller: Caller,
        address: IpAddr,
        message: String,
        number: Option<u64>,
    ) -> Result<Accepted, StoreError> {
        let failure = Failure {
            number,
            max_failures: self.config.max_failures,
            message,
        };
        let accepted = self.store.fail(caller, failure, self.moment()).await?;
        self.brake.gave_back(who(caller, address), self.now());
        Ok(accepted)
    }

    /// Opens a job again that its worker does not want to go on with.
    pub async fn give_back(
        &self,
        caller: Caller,
        address: IpAddr,
        number: Option<u64>,
    ) -> Result<Accepted, StoreError> {
        let accepted = self.store.give_back(caller, number, self.moment()).await?;
        self.brake.gave_back(who(caller, address), self.now());
        Ok(accepted)
    }

    /// Accepts results of whole WAT files.
    pub async fn hand_in(&self, results: Vec<HandIn>, by: HandInBy) -> Result<u64, StoreError> {
        self.store.hand_in(results, by, self.now()).await
    }

    /// What it is built on, for calls that pass through as they are.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Lets a worker go; its job is re-opened.
    pub async fn leave(&self, caller: Caller, address: IpAddr) -> Result<Role, StoreError> {
        let role = self.store.leave(caller, self.moment()).await?;
        self.brake.left(who(caller, address), self.now());
        Ok(role)
    }

    /// The counters.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        self.store.counts().await
    }

    /// The counters, what they promise, and the last points of the series before them.
    pub async fn project_progress(&self, points: u32) -> Result<Progress, StoreError> {
        let stored = self.store.points(points.max(eta::INTERVALS + 1));
        let (counts, mut points) = tokio::try_join!(self.store.counts(), stored)?;
        let interval = seconds(self.config.series_interval);
        let eta = eta::text(&points, counts.total(), counts.closed, interval);
        let present = Point {
            at: self.now(),
            closed: counts.closed,
            pairs: counts.pairs,
        };
        if points.last().is_none_or(|last| last.at < present.at) {
            points.push(present);
        }
        Ok(Progress {
            counts,
            eta,
            points,
        })
    }

    /// Whether the tracker can serve.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }

    /// Gives everyone who was connected when the tracker stopped a whole idle time to call again.
    pub async fn grant_grace(&self) -> Result<(), StoreError> {
        let Moment { now, until } = self.moment();
        self.store.grant_grace(now, until).await
    }

    /// Removes the workers that were silent for too long and re-opens their jobs.
    pub async fn reap(&self) -> Result<Reaped, StoreError> {
        let max_failures = self.config.max_failures;
        let idle = seconds(self.config.idle_timeout);
        self.brake.forget_older(self.now().saturating_sub(idle));
        let reaped = self.store.reap(self.now(), max_failures).await?;
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
        self.store.flush(self.now()).await
    }

    /// Whether the operator keeps such a caller out, as far as is known who it is.
    pub fn keeps_out(&self, nickname: Option<&str>, address: Option<IpAddr>) -> bool {
        let exclusions = self
            .exclusions
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        exclusions
            .iter()
            .any(|excluded| excluded.whom.means(nickname, address))
    }

    /// Learns whom the operator keeps out, also through another tracker.
    pub async fn read_exclusions(&self) -> Result<(), StoreError> {
        let read: Arc<[Exclusion]> = self.store.exclusions().await?.into();
        *self
            .exclusions
            .write()
            .unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    /// Keeps somebody out from now on, and removes the connected workers that are meant. Returns
    /// how many these were.
    ///
    /// # Errors
    /// See [`operation::check_excluded`].
    pub async fn exclude(&self, whom: Excluded, reason: String) -> Result<u64, StoreError> {
        operation::check_excluded(&whom, &self.config.trusted_proxies)?;
        let exclusion = Exclusion {
            whom,
            reason,
            at: self.now(),
        };
        let gone = self.store.exclude(exclusion).await?;
        self.read_exclusions().await?;
        Ok(gone)
    }

    /// Lets somebody in again; whether it was kept out.
    pub async fn readmit(&self, whom: Excluded) -> Result<bool, StoreError> {
        let was_out = self.store.readmit(whom).await?;
        self.read_exclusions().await?;
        Ok(was_out)
    }

    /// Replaces everything by a backup; its workers have a whole idle time to call.
    ///
    /// # Errors
    /// See [`operation::restore`].
    pub async fn restore(
        &self,
        backup: impl Read + Send + 'static,
        replace: bool,
    ) -> Result<(), RestoreError> {
        operation::restore(&*self.store, backup, replace, self.moment().until).await
    }

    fn moment(&self) -> Moment {
        let now = self.now();
        Moment {
            now,
            until: now.saturating_add(seconds(self.config.idle_timeout)),
        }
    }
}

fn who(caller: Caller, address: IpAddr) -> Who {
    Who {
        worker: caller.token,
        machine: foreign_machine_of(address),
    }
}

/// Whether the project has work for such a worker; what is wrong otherwise.
fn check_role(role: Role, counts: &Counts) -> Result<(), String> {
    let stages = counts.stages.len();
    let letters = format!(
        "{} to {}",
        stage_letter(0),
        stage_letter(u8::try_from(stages.saturating_sub(1)).unwrap_or(u8::MAX))
    );
    if matches!(role, Role::Crawler(_)) && counts.kind == Some(Kind::Data) {
        return Err(format!(
            "This project has no shards of Common Crawl; its workers name a stage, {letters}."
        ));
    }
    match role.span(stages) {
        Some(_) => Ok(()),
        None => Err(format!(
            "This project has no such stage; its stages are {letters}."
        )),
    }
}

/// The name of the first stage that a role works on.
fn stage_name(role: Role, counts: &Counts) -> String {
    let span = role.span(counts.stages.len());
    let stage = span.and_then(|span| counts.stages.get(usize::from(span.first)));
    stage.map_or_else(String::new, |stage| stage.name.clone())
}
