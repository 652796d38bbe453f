//! The embedded store: one SQLite file.
//!
//! One thread writes ([`writer`]), a few connections read ([`readers`]), and the heartbeats of
//! the connected workers are kept in memory ([`Presence`]) and stored in batches. The file is
//! locked for one process: a second one would not see what the first keeps in memory.

mod admin;
mod archive;
mod chunks;
mod contributors;
mod jobs;
mod leases;
mod parking;
mod readers;
mod schema;
mod series;
mod workers;
mod writer;

use std::{net::IpAddr, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use cah_protocol::{OutcomeCounts, Shard};
use rusqlite::Connection;
use tokio::sync::{mpsc, watch};

use super::{
    Absent, Accepted, Added, Admin, Archive, ArchiveError, BoardRow, Caller, Chunks, Claim,
    Claimed, Completion, ContributorView, Contributors, Counts, Excluded, Exclusion, Failure, Flag,
    HandIn, HandInBy, HandedOver, JobRecord, Jobs, Moment, NewWorker, ParkedJob, Point, Reaped,
    Role, Rows, Series, State, Store, StoreError, Telling, WorkerList, WorkerQuery, WorkerView,
    Workers,
    presence::{Known, Presence},
    rules,
};
use crate::{clock::Timestamp, token::TokenHash};
use readers::Readers;
use writer::{Terms, Writer};

/// How long a batch of an import may take, on a slow disk too.
const IMPORT_DEADLINE: Duration = Duration::from_secs(600);

/// How long a project may take to be read from an archive, or written to one.
const ARCHIVE_DEADLINE: Duration = Duration::from_secs(6 * 3_600);

/// Jobs and names are given to those that wait for them.
const FOR_THE_CALLER: Terms = Terms {
    deadline: writer::DEADLINE,
    alone: false,
    for_the_caller: true,
};

/// Everything in one SQLite file: WAL, synchronous=FULL, group commit.
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    presence: Arc<Presence>,
    counts: watch::Receiver<Counts>,
}

impl SqliteStore {
    /// Opens the file and takes it for this process.
    ///
    /// # Errors
    /// [`StoreError::Open`]: the folder or file cannot be used, it is no tracker's store, was
    /// made by a newer version, or another process has it. [`StoreError::NoStore`].
    pub fn open(path: impl AsRef<Path>, absent: Absent) -> Result<Self, StoreError> {
        let path = path.as_ref();
        if absent == Absent::Refuse && !schema::is_there(path) {
            return Err(StoreError::NoStore(path.display().to_string()));
        }
        let (connection, lock) = schema::open(path).map_err(|reason| StoreError::Open {
            name: path.display().to_string(),
            reason,
        })?;
        let presence = Arc::new(Presence::default());
        workers::stored(&connection)?
            .into_iter()
            .for_each(|known| presence.enter(known));
        let (publish, counts) = watch::channel(jobs::counts(&connection)?);
        Ok(Self {
            writer: Writer::start(connection, lock, publish)?,
            readers: Readers::new(path),
            presence,
            counts,
        })
    }

    /// Takes note that a worker calls, and makes a change for it unless everything was replaced
    /// before the change's turn comes: the numbers of workers are others by then.
    async fn change_for<T: Send + 'static>(
        &self,
        caller: Caller,
        moment: Moment,
        terms: Terms,
        change: impl FnOnce(&Connection, i64, Role) -> Result<T, StoreError> + Send + 'static,
        committed: impl FnOnce(&Presence, i64, &T) + Send + 'static,
    ) -> Result<T, StoreError> {
        let still_there = self.unless_replaced();
        let (worker, role) = self.presence.touch(caller, moment, None)?;
        let presence = Arc::clone(&self.presence);
        let change = move |db: &Connection| {
            still_there()?;
            change(db, worker, role)
        };
        let committed = move |made: &T| committed(&presence, worker, made);
        self.writer.call_on(terms, change, committed).await
    }

    /// A check, to be made within a change, that what is known about workers now holds then.
    fn unless_replaced(&self) -> impl FnOnce() -> Result<(), StoreError> + Send + 'static {
        let presence = Arc::clone(&self.presence);
        let known = presence.generation();
        move || match presence.generation() == known {
            true => Ok(()),
            false => Err(rules::was_replaced()),
        }
    }

    /// Makes a change for a worker that calls, and once it stands says in the worker's place what
    /// it is doing.
    async fn write_for<T: Send + 'static>(
        &self,
        caller: Caller,
        moment: Moment,
        doing: &'static str,
        change: impl FnOnce(&Connection, i64) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let note = move |presence: &Presence, worker, _: &T| presence.note(worker, doing);
        let change = move |db: &Connection, worker, _| change(db, worker);
        let terms = Terms::default();
        self.change_for(caller, moment, terms, change, note).await
    }

    /// Makes a change that needs nothing done in memory.
    async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.call(change, |_| ()).await
    }

    /// The same for a batch of an import.
    async fn import<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let terms = Terms {
            deadline: IMPORT_DEADLINE,
            ..Terms::default()
        };
        self.writer.call_on(terms, change, |_| ()).await
    }
}

#[async_trait]
impl Jobs for SqliteStore {
    async fn claim(
        &self,
        caller: Caller,
        claim: Claim,
        moment: Moment,
    ) -> Result<Claimed, StoreError> {
        let take =
            move |db: &Connection, worker, role| leases::claim(db, worker, role, claim, moment);
        let note = |presence: &Presence, worker, claimed: &Option<Claimed>| {
            if claimed.is_some() {
                presence.note(worker, "Received a job");
            }
        };
        let claimed = self
            .change_for(caller, moment, FOR_THE_CALLER, take, note)
            .await?;
        claimed.ok_or(StoreError::NoOpenJob)
    }

    async fn complete(
        &self,
        caller: Caller,
        completion: Completion,
        moment: Moment,
    ) -> Result<Accepted, StoreError> {
        self.write_for(caller, moment, "Completed a job", move |db, worker| {
            leases::complete(db, worker, &completion, moment.now)
        })
        .await
    }

    async fn flag(
        &self,
        caller: Caller,
        flag: Flag,
        moment: Moment,
    ) -> Result<Accepted, StoreError> {
        let raise = move |db: &Connection, worker, role| {
            leases::flag(db, worker, flag.by(role), moment.now)
        };
        let note =
            |presence: &Presence, worker, _: &Accepted| presence.note(worker, "Flagged a job");
        let terms = Terms::default();
        self.change_for(caller, moment, terms, raise, note).await
    }

    async fn fail(
        &self,
        caller: Caller,
        failure: Failure,
        moment: Moment,
    ) -> Result<Accepted, StoreError> {
        self.write_for(
            caller,
            moment,
            "Gave a job back that it cannot do",
            move |db, worker| leases::fail(db, worker, &failure, moment.now),
        )
        .await
    }

    async fn give_back(
        &self,
        caller: Caller,
        number: Option<u64>,
        moment: Moment,
    ) -> Result<Accepted, StoreError> {
        self.write_for(caller, moment, rules::GAVE_BACK, move |db, worker| {
            leases::give_back(db, worker, number)
        })
        .await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.writer.check()?;
        let mut counts = self.counts.borrow().clone();
        counts.workers = self.presence.len();
        Ok(counts)
    }

    async fn parked(&self, after: u64, limit: u32) -> Result<Vec<ParkedJob>, StoreError> {
        self.readers
            .call(move |db| parking::list(db, after, limit))
            .await
    }

    async fn records(&self, after: u64, limit: u32) -> Result<Vec<JobRecord>, StoreError> {
        self.readers
            .call(move |db| jobs::records(db, after, limit, Telling::ALL))
            .await
    }

    async fn record(&self, number: u64, telling: Telling) -> Result<Option<JobRecord>, StoreError> {
        let before = number.saturating_sub(1);
        let records = self
            .readers
            .call(move |db| jobs::records(db, before, 1, telling));
        Ok(rules::only(records.await?, number))
    }

    async fn handed_over(&self, addresses: Vec<String>) -> Result<Vec<HandedOver>, StoreError> {
        self.readers
            .call(move |db| chunks::handed_over(db, &addresses))
            .await
    }
}

#[async_trait]
impl Chunks for SqliteStore {
    async fn open_chunk(&self, whole: bool) -> Result<Option<String>, StoreError> {
        self.readers
            .call(move |db| chunks::open_chunk(db, whole))
            .await
    }

    async fn open_shards(&self, url: String) -> Result<Vec<Shard>, StoreError> {
        self.readers
            .call(move |db| chunks::open_shards(db, &url))
            .await
    }

    async fn hand_in(
        &self,
        results: Vec<HandIn>,
        by: HandInBy,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.write(move |db| chunks::hand_in(db, &results, &by, now))
            .await
    }
}

#[async_trait]
impl Admin for SqliteStore {
    async fn init(&self, stages: Vec<String>) -> Result<(), StoreError> {
        self.write(move |db| admin::init(db, &stages)).await
    }

    async fn add_chunks(&self, urls: Vec<String>, priority: i64) -> Result<Added, StoreError> {
        self.import(move |db| jobs::add_chunks(db, &urls, priority))
            .await
    }

    async fn add_payloads(&self, texts: Vec<String>, priority: i64) -> Result<Added, StoreError> {
        self.import(move |db| jobs::add_payloads(db, &texts, priority))
            .await
    }

    async fn requeue(&self, number: Option<u64>) -> Result<u64, StoreError> {
        self.write(move |db| parking::requeue(db, number)).await
    }

    async fn reset(&self, number: u64) -> Result<(), StoreError> {
        self.write(move |db| admin::renew(db, number, State::Open))
            .await
    }

    async fn ban(&self, number: u64) -> Result<(), StoreError> {
        self.write(move |db| admin::renew(db, number, State::Banned))
            .await
    }

    async fn banner(&self) -> Result<String, StoreError> {
        self.readers.call(admin::banner).await
    }

    async fn set_banner(&self, text: String) -> Result<(), StoreError> {
        self.write(move |db| admin::set_banner(db, &text)).await
    }

    async fn exclusions(&self) -> Result<Vec<Exclusion>, StoreError> {
        self.readers.call(admin::exclusions).await
    }

    async fn exclude(&self, exclusion: Exclusion) -> Result<u64, StoreError> {
        let presence = Arc::clone(&self.presence);
        let gone = self.writer.call(
            move |db| admin::exclude(db, &exclusion),
            move |gone| gone.iter().for_each(|worker| presence.remove(*worker)),
        );
        Ok(gone.await?.len() as u64)
    }

    async fn readmit(&self, whom: Excluded) -> Result<bool, StoreError> {
        self.write(move |db| admin::readmit(db, &whom)).await
    }

    async fn address_of(&self, display_name: String) -> Result<Option<IpAddr>, StoreError> {
        self.readers
            .call(move |db| workers::address(db, &display_name))
            .await
    }
}

#[async_trait]
impl Workers for SqliteStore {
    async fn register(&self, worker: NewWorker, moment: Moment) -> Result<(), StoreError> {
        let presence = Arc::clone(&self.presence);
        let (token, role) = (worker.token, worker.role);
        let progress = worker.progress.as_str().into();
        self.writer
            .call_on(
                FOR_THE_CALLER,
                move |db| workers::insert(db, &worker, moment),
                move |id| {
                    presence.enter(Known {
                        worker: *id,
                        token,
                        role,
                        last_seen: moment.now,
                        deadline: moment.until,
                        progress,
                    });
                },
            )
            .await
            .map(drop)
    }

    async fn beat(
        &self,
        caller: Caller,
        progress: Option<String>,
        moment: Moment,
    ) -> Result<Role, StoreError> {
        self.writer.check()?;
        let (_, role) = self.presence.touch(caller, moment, progress.as_deref())?;
        Ok(role)
    }

    async fn held_by(&self, secret: TokenHash) -> Result<u64, StoreError> {
        let read = self
            .readers
            .call(move |db| Ok(workers::held_by(db, secret)));
        read.await?
    }

    async fn leave(&self, caller: Caller, moment: Moment) -> Result<Role, StoreError> {
        let gone = |presence: &Presence, worker, _: &Role| presence.remove(worker);
        let remove = |db: &Connection, worker, role| {
            workers::remove(db, worker)?;
            Ok(role)
        };
        let terms = Terms::default();
        self.change_for(caller, moment, terms, remove, gone).await
    }

    async fn reap(&self, now: Timestamp, max_failures: u32) -> Result<Reaped, StoreError> {
        let presence = Arc::clone(&self.presence);
        let after = Arc::clone(&self.presence);
        let still_there = self.unless_replaced();
        let (_, reaped) = self
            .writer
            .call(
                // Who is late is asked on the writer's thread, so that a call that was queued
                // before this one still counts as heard.
                move |db| {
                    still_there()?;
                    let late = presence.late(now);
                    workers::reap(db, &late, max_failures, now).map(|reaped| (late, reaped))
                },
                move |(late, _)| late.iter().for_each(|worker| after.remove(*worker)),
            )
            .await?;
        Ok(reaped)
    }

    async fn grant_grace(&self, now: Timestamp, until: Timestamp) -> Result<(), StoreError> {
        self.presence.grant_grace(until);
        self.flush(now).await
    }

    async fn flush(&self, _now: Timestamp) -> Result<(), StoreError> {
        let still_there = self.unless_replaced();
        let (beats, underway) = self.presence.take_unsaved();
        if beats.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = beats.iter().map(|beat| beat.worker).collect();
        let stored = self.write(move |db| {
            still_there()?;
            workers::store_beats(db, &beats)
        });
        let stored = stored.await;
        if stored.is_ok() {
            underway.arrived(&ids);
        }
        stored
    }

    async fn workers(&self, query: WorkerQuery) -> Result<WorkerList, StoreError> {
        let presence = Arc::clone(&self.presence);
        self.readers
            .call(move |db| workers::list(db, &presence, &query))
            .await
    }

    async fn worker(
        &self,
        role: Role,
        display_name: String,
    ) -> Result<Option<WorkerView>, StoreError> {
        let presence = Arc::clone(&self.presence);
        self.readers
            .call(move |db| workers::find(db, &presence, role, &display_name))
            .await
    }
}

#[async_trait]
impl Contributors for SqliteStore {
    async fn leaderboard(&self, stage: u8, limit: u32) -> Result<Vec<BoardRow>, StoreError> {
        self.readers
            .call(move |db| contributors::leaderboard(db, stage, limit))
            .await
    }

    async fn contributor(
        &self,
        nickname: String,
        days: u32,
    ) -> Result<Option<ContributorView>, StoreError> {
        self.readers
            .call(move |db| contributors::view(db, &nickname, days))
            .await
    }

    async fn outcomes(&self) -> Result<OutcomeCounts, StoreError> {
        self.readers.call(contributors::outcomes).await
    }
}

#[async_trait]
impl Series for SqliteStore {
    async fn record_point(&self, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |db| series::record(db, now)).await
    }

    async fn points(&self, limit: u32) -> Result<Vec<Point>, StoreError> {
        self.readers.call(move |db| series::last(db, limit)).await
    }
}

#[async_trait]
impl Archive for SqliteStore {
    async fn dump(&self, rows: mpsc::Sender<Rows>) -> Result<(), StoreError> {
        self.readers
            .call_within(ARCHIVE_DEADLINE, move |db| archive::dump(db, &rows))
            .await
    }

    async fn load(
        &self,
        rows: mpsc::Receiver<Result<Rows, ArchiveError>>,
        replace: bool,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let presence = Arc::clone(&self.presence);
        let terms = Terms {
            deadline: ARCHIVE_DEADLINE,
            alone: true,
            ..Terms::default()
        };
        let load = move |db: &Connection| {
            archive::load(db, rows, replace, until)?;
            workers::stored(db)
        };
        let enter = move |known: &Vec<Known>| {
            presence.clear();
            known
                .iter()
                .cloned()
                .for_each(|known| presence.enter(known));
        };
        self.writer.call_on(terms, load, enter).await.map(drop)
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn ping(&self) -> Result<(), StoreError> {
        // A change that changes nothing still has to reach the disk.
        self.write(|db| {
            db.prepare_cached("UPDATE totals SET jobs = jobs")?
                .execute([])?;
            Ok(())
        })
        .await
    }

    async fn close(&self) {
        if let Err(error) = self.flush(0).await {
            tracing::warn!(%error, "the last heartbeats could not be stored");
        }
        self.writer.stop().await;
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::unavailable(error)
    }
}
