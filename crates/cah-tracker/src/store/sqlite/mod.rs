//! The embedded store: one SQLite file.
//!
//! One thread writes ([`writer`]), a few connections read ([`readers`]), and the heartbeats of
//! the connected workers are kept in memory ([`presence`]) and stored in batches. The file is
//! locked for one process: a second one would not see what the first keeps in memory.

mod contributors;
mod jobs;
mod parking;
mod presence;
mod readers;
mod schema;
mod series;
mod workers;
mod writer;

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::watch;

use super::{
    Accepted, AddedChunks, BoardRow, Caller, Claimed, Completion, Contributors, Counts, Failure,
    Jobs, Moment, NewWorker, ParkedJob, Point, Reaped, Series, Span, Store, StoreError, WorkerView,
    Workers,
};
use crate::clock::Timestamp;
use presence::Presence;
use readers::Readers;
use writer::Writer;

/// How long a batch of an import may take, on a slow disk too.
const IMPORT_DEADLINE: Duration = Duration::from_secs(600);

/// Everything in one SQLite file: WAL, synchronous=FULL, group commit.
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    presence: Arc<Presence>,
    counts: watch::Receiver<Counts>,
}

impl SqliteStore {
    /// Opens the file, made where there is none, and takes it for this process.
    ///
    /// # Errors
    /// [`StoreError::Open`]: the folder or file cannot be used, it is no tracker's store, was
    /// made by a newer version, or another process has it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let (connection, lock) = schema::open(path).map_err(|reason| StoreError::Open {
            name: path.display().to_string(),
            reason,
        })?;
        let presence = Arc::new(Presence::default());
        workers::load(&connection, &presence)?;
        let (publish, counts) = watch::channel(jobs::counts(&connection)?);
        Ok(Self {
            writer: Writer::start(connection, lock, publish)?,
            readers: Readers::new(path),
            presence,
            counts,
        })
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
        let worker = self.presence.touch(caller, moment, None)?;
        let presence = Arc::clone(&self.presence);
        self.writer
            .call(
                move |db| change(db, worker),
                move |_| presence.note(worker, doing),
            )
            .await
    }

    /// Makes a change that needs nothing done in memory.
    async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.call(change, |_| ()).await
    }
}

#[async_trait]
impl Jobs for SqliteStore {
    async fn claim(&self, caller: Caller, moment: Moment) -> Result<Claimed, StoreError> {
        self.write_for(caller, moment, "Received a job", move |db, worker| {
            jobs::claim(db, worker, moment)
        })
        .await
    }

    async fn complete(
        &self,
        caller: Caller,
        completion: Completion,
        moment: Moment,
    ) -> Result<Accepted, StoreError> {
        self.write_for(caller, moment, "Completed a job", move |db, worker| {
            jobs::complete(db, worker, &completion, moment.now)
        })
        .await
    }

    async fn flag(&self, caller: Caller, moment: Moment) -> Result<Accepted, StoreError> {
        self.write_for(caller, moment, "Flagged a job", move |db, worker| {
            jobs::flag(db, worker)
        })
        .await
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
            move |db, worker| jobs::fail(db, worker, &failure, moment.now),
        )
        .await
    }

    async fn parked(&self, limit: u32) -> Result<Vec<ParkedJob>, StoreError> {
        self.readers.call(move |db| parking::list(db, limit)).await
    }

    async fn requeue(&self) -> Result<u64, StoreError> {
        self.write(parking::requeue).await
    }

    async fn add_chunks(&self, urls: Vec<String>) -> Result<AddedChunks, StoreError> {
        self.writer
            .call_within(
                IMPORT_DEADLINE,
                move |db| jobs::add_chunks(db, &urls),
                |_| (),
            )
            .await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.writer.check()?;
        let mut counts = self.counts.borrow().clone();
        counts.workers = self.presence.len();
        Ok(counts)
    }
}

#[async_trait]
impl Workers for SqliteStore {
    async fn register(&self, worker: NewWorker, moment: Moment) -> Result<(), StoreError> {
        let presence = Arc::clone(&self.presence);
        let (caller, progress) = (worker.caller, worker.progress.clone());
        self.writer
            .call(
                move |db| workers::insert(db, &worker, moment),
                move |id| presence.enter(*id, caller, moment.now, moment.until, &progress),
            )
            .await
            .map(drop)
    }

    async fn beat(
        &self,
        caller: Caller,
        progress: Option<String>,
        moment: Moment,
    ) -> Result<(), StoreError> {
        self.writer.check()?;
        self.presence
            .touch(caller, moment, progress.as_deref())
            .map(drop)
    }

    async fn leave(&self, caller: Caller, moment: Moment) -> Result<(), StoreError> {
        let worker = self.presence.touch(caller, moment, None)?;
        let presence = Arc::clone(&self.presence);
        self.writer
            .call(
                move |db| workers::remove(db, worker),
                move |_| presence.remove(worker),
            )
            .await
            .map(drop)
    }

    async fn reap(&self, now: Timestamp) -> Result<Reaped, StoreError> {
        let presence = Arc::clone(&self.presence);
        let after = Arc::clone(&self.presence);
        let (_, reaped) = self
            .writer
            .call(
                // Who is late is asked on the writer's thread, so that a call that was queued
                // before this one still counts as heard.
                move |db| {
                    let late = presence.late(now);
                    workers::remove_all(db, &late).map(|reaped| (late, reaped))
                },
                move |(late, _)| late.iter().for_each(|worker| after.remove(*worker)),
            )
            .await?;
        Ok(reaped)
    }

    async fn grant_grace(&self, until: Timestamp) -> Result<(), StoreError> {
        self.presence.grant_grace(until);
        self.flush().await
    }

    async fn flush(&self) -> Result<(), StoreError> {
        let beats = self.presence.take_unsaved();
        if beats.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = beats.iter().map(|beat| beat.worker).collect();
        let stored = self.write(move |db| workers::store_beats(db, &beats)).await;
        if stored.is_err() {
            self.presence.mark_unsaved(&ids);
        }
        stored
    }

    async fn workers(&self, limit: u32) -> Result<Vec<WorkerView>, StoreError> {
        let presence = Arc::clone(&self.presence);
        self.readers
            .call(move |db| workers::list(db, &presence, limit))
            .await
    }

    async fn worker(
        &self,
        span: Span,
        display_name: String,
    ) -> Result<Option<WorkerView>, StoreError> {
        let presence = Arc::clone(&self.presence);
        self.readers
            .call(move |db| workers::find(db, &presence, span, &display_name))
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
        if let Err(error) = self.flush().await {
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

/// A count of the database as a number of Rust; the schema keeps it from being negative.
fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}

/// A number of Rust for the database.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
