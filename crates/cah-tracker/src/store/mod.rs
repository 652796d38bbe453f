//! What the tracker remembers, behind one narrow interface.
//!
//! The interface is split by aggregate: [`Jobs`], [`Workers`], [`Contributors`] and [`Series`];
//! a [`Store`] is all of them. Every method is one atomic step: it happens as a whole or not at
//! all, and what it changed about jobs is durable when it returns. Counters are kept with each
//! change, so that no method walks over all jobs.

mod model;
mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;
use thiserror::Error;

use crate::clock::Timestamp;

pub use model::{
    Accepted, AddedChunks, BoardRow, Caller, Claimed, Completion, Counts, Failure, Moment,
    NewWorker, ParkedJob, Point, Reaped, Span, StageCounts, WorkerView,
};
pub use sqlite::SqliteStore;

/// Why a store did not do what it was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No connected worker has this token and kind; perhaps its time ran out.
    #[error("the worker is not known")]
    UnknownWorker,
    /// Nothing is open for the caller.
    #[error("no job is open")]
    NoOpenJob,
    /// The caller holds no lease, or not on the job it names.
    #[error("the worker holds no lease on such a job")]
    NoLease,
    /// A connected worker has that display name.
    #[error("the display name is taken")]
    NameTaken,
    /// The store cannot be opened.
    #[error("cannot open the store {name}: {reason}")]
    Open {
        /// Which store.
        name: String,
        /// What is wrong with it, in plain words.
        reason: String,
    },
    /// The store cannot be used at the moment: stopped, full, overloaded or broken.
    #[error("the store is not available: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// A store that cannot be used because of `why`.
    pub fn unavailable(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable(why.into())
    }
}

/// Jobs, and the leases on them.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Leases the oldest job that is open for the caller. A job that it still holds is re-opened
    /// first, so that it never holds two.
    async fn claim(&self, caller: Caller, moment: Moment) -> Result<Claimed, StoreError>;

    /// Accepts what the caller made of the job that it holds, and ends the lease. Repeating the
    /// last accepted completion, no job claimed since, changes nothing.
    async fn complete(
        &self,
        caller: Caller,
        completion: Completion,
        moment: Moment,
    ) -> Result<Accepted, StoreError>;

    /// Sends the job that the caller holds back a stage, because its input is no good. Earlier
    /// inputs stay. Repeating it, no job claimed since, changes nothing.
    async fn flag(&self, caller: Caller, moment: Moment) -> Result<Accepted, StoreError>;

    /// Takes back the job that the caller holds and cannot do. It goes behind the open jobs that
    /// failed less often; the last failure within the limit parks it for a person. Repeating it,
    /// no job claimed since, changes nothing.
    async fn fail(
        &self,
        caller: Caller,
        failure: Failure,
        moment: Moment,
    ) -> Result<Accepted, StoreError>;

    /// The first `limit` parked jobs, by number.
    async fn parked(&self, limit: u32) -> Result<Vec<ParkedJob>, StoreError>;

    /// Opens every parked job again, its failures forgotten, and returns their number.
    async fn requeue(&self) -> Result<u64, StoreError>;

    /// Adds the WAT files that are not there yet with the next chunk numbers, two open jobs each.
    async fn add_chunks(&self, urls: Vec<String>) -> Result<AddedChunks, StoreError>;

    /// The counters, as of the last change.
    async fn counts(&self) -> Result<Counts, StoreError>;
}

/// The connected workers.
#[async_trait]
pub trait Workers: Send + Sync {
    /// Adds a worker.
    async fn register(&self, worker: NewWorker, moment: Moment) -> Result<(), StoreError>;

    /// Hears from a worker: moves its deadline, and takes note of its progress where it tells.
    /// Kept in memory and stored now and then.
    async fn beat(
        &self,
        caller: Caller,
        progress: Option<String>,
        moment: Moment,
    ) -> Result<(), StoreError>;

    /// Removes a worker and re-opens its job.
    async fn leave(&self, caller: Caller, moment: Moment) -> Result<(), StoreError>;

    /// Removes the workers whose deadline has passed and re-opens their jobs.
    async fn reap(&self, now: Timestamp) -> Result<Reaped, StoreError>;

    /// Moves every deadline to `until`: done once when a tracker starts, for nobody could be heard
    /// while there was none.
    async fn grant_grace(&self, until: Timestamp) -> Result<(), StoreError>;

    /// Stores what [`Workers::beat`] kept in memory.
    async fn flush(&self) -> Result<(), StoreError>;

    /// The first `limit` workers, the longest connected first.
    async fn workers(&self, limit: u32) -> Result<Vec<WorkerView>, StoreError>;

    /// The worker of that kind and display name.
    async fn worker(
        &self,
        span: Span,
        display_name: String,
    ) -> Result<Option<WorkerView>, StoreError>;
}

/// Who did how much.
#[async_trait]
pub trait Contributors: Send + Sync {
    /// The leaderboard of those who finished `stage`: most jobs first, then most pairs.
    async fn leaderboard(&self, stage: u8, limit: u32) -> Result<Vec<BoardRow>, StoreError>;
}

/// The project's progress over time.
#[async_trait]
pub trait Series: Send + Sync {
    /// Keeps the counters of this moment as a point, the newest there is: points of a later time
    /// are dropped.
    async fn record_point(&self, now: Timestamp) -> Result<(), StoreError>;

    /// The last `limit` points, the oldest first.
    async fn points(&self, limit: u32) -> Result<Vec<Point>, StoreError>;
}

/// Everything that the tracker remembers.
#[async_trait]
pub trait Store: Jobs + Workers + Contributors + Series + 'static {
    /// Whether the store takes changes; an error where it does not.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Stores what is in memory and lets go of the database. Later calls are refused.
    async fn close(&self);
}

/// Opens the store that `address` names: `sqlite:PATH`. The file is made where there is none.
///
/// # Errors
/// [`StoreError::Open`] with what is wrong and what to do about it.
pub fn open(address: &str) -> Result<Arc<dyn Store>, StoreError> {
    match address.strip_prefix("sqlite:") {
        Some(path) if !path.is_empty() => Ok(Arc::new(SqliteStore::open(path)?)),
        _ => Err(StoreError::Open {
            name: format!("`{address}`"),
            reason: "a store is named as sqlite:PATH, for example sqlite:tracker.db".into(),
        }),
    }
}
