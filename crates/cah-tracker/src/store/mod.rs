//! What the tracker remembers, behind one narrow interface.
//!
//! The interface is split by aggregate: [`Jobs`], [`Chunks`], [`Workers`], [`Contributors`] and
//! [`Series`], beside what operators do ([`Admin`], [`Archive`]); a [`Store`] is all of them. Every method is one atomic step: it happens as a whole or not at
//! all, and what it changed about jobs is durable when it returns. Counters are kept with each
//! change, so that no method walks over all jobs.

mod archive;
mod keys;
mod model;
mod postgres;
mod presence;
mod rules;
mod sqlite;

use std::{net::IpAddr, sync::Arc};

use async_trait::async_trait;
use thiserror::Error;

use cah_protocol::{OutcomeCounts, Shard};

use crate::{clock::Timestamp, token::TokenHash};

pub(crate) use archive::Batch;
pub use archive::{Archive, ArchiveError, Rows, TABLES, Table};
pub(crate) use model::stage_name;
pub use model::{
    Accepted, Added, BoardRow, Caller, Claim, Claimed, Completion, CompletionRecord,
    ContributorView, Counts, Day, Excluded, Exclusion, FailedAttempt, Failure, Flag, HandIn,
    HandInBy, HandedOver, JobRecord, Kind, Moment, NewWorker, Order, ParkedJob, Point, Reaped,
    Role, Span, StageCounts, Standing, State, Task, Telling, WorkerList, WorkerQuery, WorkerSort,
    WorkerView,
};
pub use postgres::PostgresStore;
pub(crate) use rules::DAY;
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
    /// The operator keeps the worker out.
    #[error("the operator keeps this worker out")]
    Excluded,
    /// As many workers of the same machine are connected as may be.
    #[error("{0} workers of this machine are connected already")]
    Crowded(u32),
    /// There is no job of that number.
    #[error("there is no job {0}")]
    NoSuchJob(u64),
    /// What an operator asked for does not fit the project as it is.
    #[error("{0}")]
    Conflict(String),
    /// There is no store there, and none should be made.
    #[error("there is no store {0}; `cah tracker init` makes one, and so does the first import")]
    NoStore(String),
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
///
/// A job that a worker gives back because it cannot do it, or because its input is no good, has a
/// setback: it goes behind the open ones with fewer. A lease that ends without a result has failed,
/// unless the worker said goodbye or flagged the input; the last failure within the limit parks
/// the job for a person. A job that goes back a stage has failed, and has no setbacks there; one that
/// is flagged at the first stage has one more.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Leases the first job that is open for the caller. One that it still holds is re-opened
    /// before, so that it never holds two; that is a failure. [`StoreError::UnknownWorker`] for a
    /// crawler that joined before the project turned out to have other jobs than shards.
    async fn claim(
        &self,
        caller: Caller,
        claim: Claim,
        moment: Moment,
    ) -> Result<Claimed, StoreError>;

    /// Accepts what the caller made of the job that it holds, and ends the lease. Repeating the
    /// last accepted completion, no job claimed since, changes nothing.
    async fn complete(
        &self,
        caller: Caller,
        completion: Completion,
        moment: Moment,
    ) -> Result<Accepted, StoreError>;

    /// Re-opens the job that the caller holds, because its input is no good. Once enough workers
    /// said so the job goes back a stage; earlier inputs stay. Repeating it, no job claimed since,
    /// changes nothing.
    async fn flag(
        &self,
        caller: Caller,
        flag: Flag,
        moment: Moment,
    ) -> Result<Accepted, StoreError>;

    /// Takes back the job that the caller holds and cannot do: a failure. Repeating it, no job
    /// claimed since, changes nothing.
    async fn fail(
        &self,
        caller: Caller,
        failure: Failure,
        moment: Moment,
    ) -> Result<Accepted, StoreError>;

    /// Opens the job that the caller holds and does not want to go on with, as if it had never been
    /// leased: nothing has failed. Repeating it, no job claimed since, changes nothing.
    async fn give_back(
        &self,
        caller: Caller,
        number: Option<u64>,
        moment: Moment,
    ) -> Result<Accepted, StoreError>;

    /// The counters, as of the last change.
    async fn counts(&self) -> Result<Counts, StoreError>;

    /// The first `limit` parked jobs after number `after`.
    async fn parked(&self, after: u64, limit: u32) -> Result<Vec<ParkedJob>, StoreError>;

    /// The first `limit` jobs after number `after`, with all that is known about them; fewer where
    /// that is much text, but none only where there are none.
    async fn records(&self, after: u64, limit: u32) -> Result<Vec<JobRecord>, StoreError>;

    /// A job, with as much as is asked for of what came of it; `None` where there is none.
    async fn record(&self, number: u64, telling: Telling) -> Result<Option<JobRecord>, StoreError>;

    /// What became of what was handed over at each of the addresses, in their order.
    async fn handed_over(&self, addresses: Vec<String>) -> Result<Vec<HandedOver>, StoreError>;
}

/// Whole WAT files, for clients that take both shards of one without a lease.
#[async_trait]
pub trait Chunks: Send + Sync {
    /// The address of a WAT file with an open shard, drawn among those that claims come to first;
    /// with `whole` one whose two shards are open.
    async fn open_chunk(&self, whole: bool) -> Result<Option<String>, StoreError>;

    /// The shards of a WAT file that wait at the first stage.
    async fn open_shards(&self, url: String) -> Result<Vec<Shard>, StoreError>;

    /// Accepts results without leases, and returns how many stand by now: what was accepted
    /// before, with the same output, counts nothing and stands.
    async fn hand_in(
        &self,
        results: Vec<HandIn>,
        by: HandInBy,
        now: Timestamp,
    ) -> Result<u64, StoreError>;
}

/// What operators do.
#[async_trait]
pub trait Admin: Send + Sync {
    /// Names the project's stages. [`StoreError::Conflict`] where it has jobs or workers and
    /// other stages.
    async fn init(&self, stages: Vec<String>) -> Result<(), StoreError>;

    /// Adds the WAT files that are not there yet with the next chunk numbers, two open jobs each.
    async fn add_chunks(&self, urls: Vec<String>, priority: i64) -> Result<Added, StoreError>;

    /// Adds the texts that are not there yet as open jobs with the next numbers.
    async fn add_payloads(&self, texts: Vec<String>, priority: i64) -> Result<Added, StoreError>;

    /// Opens parked jobs again, their failures forgotten: one or all. Returns how many.
    /// [`StoreError::Conflict`] where the one is not parked.
    async fn requeue(&self, number: Option<u64>) -> Result<u64, StoreError>;

    /// Opens a job at the first stage as if nothing had ever been done with it: whoever works on
    /// it loses it, and what was accepted is revoked and counts no longer.
    async fn reset(&self, number: u64) -> Result<(), StoreError>;

    /// Takes a job out of the project, like [`Admin::reset`]; a reset brings it back.
    async fn ban(&self, number: u64) -> Result<(), StoreError>;

    /// What the operator tells everybody; empty where nothing.
    async fn banner(&self) -> Result<String, StoreError>;

    /// Tells everybody something else, or with an empty text nothing.
    async fn set_banner(&self, text: String) -> Result<(), StoreError>;

    /// Whom the operator keeps out, the latest first.
    async fn exclusions(&self) -> Result<Vec<Exclusion>, StoreError>;

    /// Keeps somebody out, and removes the connected workers that are meant, whose jobs are open
    /// again. Returns how many these were.
    async fn exclude(&self, exclusion: Exclusion) -> Result<u64, StoreError>;

    /// Lets somebody in again; whether it was kept out.
    async fn readmit(&self, whom: Excluded) -> Result<bool, StoreError>;

    /// Where the worker of that display name joined from, for the operator to keep it out.
    async fn address_of(&self, display_name: String) -> Result<Option<IpAddr>, StoreError>;
}

/// The connected workers.
#[async_trait]
pub trait Workers: Send + Sync {
    /// Adds a worker. [`StoreError::Conflict`] where the project has no such stage,
    /// [`StoreError::Excluded`] and [`StoreError::Crowded`] as of this moment.
    async fn register(&self, worker: NewWorker, moment: Moment) -> Result<(), StoreError>;

    /// Hears from a worker: moves its deadline, takes note of its progress where it tells, and
    /// returns what it was taken in as. Kept in memory and stored now and then.
    async fn beat(
        &self,
        caller: Caller,
        progress: Option<String>,
        moment: Moment,
    ) -> Result<Role, StoreError>;

    /// The job of the worker with this token, or with this key in the address where it brings files.
    /// [`StoreError::UnknownWorker`], and [`StoreError::NoLease`] for one that holds none.
    async fn held_by(&self, secret: TokenHash) -> Result<u64, StoreError>;

    /// Removes a worker and re-opens its job.
    async fn leave(&self, caller: Caller, moment: Moment) -> Result<Role, StoreError>;

    /// Removes the workers whose deadline has passed; the jobs that they held have failed.
    async fn reap(&self, now: Timestamp, max_failures: u32) -> Result<Reaped, StoreError>;

    /// Moves every deadline to `until`: done once when a tracker starts, for nobody could be heard
    /// while there was none. Where another tracker serves the project there was one.
    async fn grant_grace(&self, now: Timestamp, until: Timestamp) -> Result<(), StoreError>;

    /// Stores what [`Workers::beat`] kept in memory.
    async fn flush(&self, now: Timestamp) -> Result<(), StoreError>;

    /// Some of the connected workers.
    async fn workers(&self, query: WorkerQuery) -> Result<WorkerList, StoreError>;

    /// The worker of that role and display name.
    async fn worker(
        &self,
        role: Role,
        display_name: String,
    ) -> Result<Option<WorkerView>, StoreError>;
}

/// Who did how much.
#[async_trait]
pub trait Contributors: Send + Sync {
    /// The leaderboard of those who finished `stage`: most jobs first, then most pairs. Those of
    /// whom nothing counts any more are left out.
    async fn leaderboard(&self, stage: u8, limit: u32) -> Result<Vec<BoardRow>, StoreError>;

    /// What a contributor did, with its last `days` days; `None` for one of whom nothing counts.
    async fn contributor(
        &self,
        nickname: String,
        days: u32,
    ) -> Result<Option<ContributorView>, StoreError>;

    /// Where the candidates of all completed jobs ended, as far as their workers told.
    async fn outcomes(&self) -> Result<OutcomeCounts, StoreError>;
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
pub trait Store:
    Jobs + Chunks + Admin + Workers + Contributors + Series + Archive + 'static
{
    /// Whether the store takes changes; an error where it does not.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Stores what is in memory and lets go of the database. Later calls are refused.
    async fn close(&self);
}

/// Opens the store that `address` names: `sqlite:PATH`, a file that is made where there is none, or
/// `postgres://USER:PASSWORD@HOST/DATABASE`, in which tables are made where there are none.
///
/// # Errors
/// [`StoreError::Open`] with what is wrong and what to do about it.
pub async fn open(address: &str) -> Result<Arc<dyn Store>, StoreError> {
    open_or(address, Absent::Make).await
}

/// Opens a store that is there: a slip in the address of one makes no other one.
///
/// # Errors
/// [`StoreError::NoStore`], and as [`open`].
pub async fn open_existing(address: &str) -> Result<Arc<dyn Store>, StoreError> {
    open_or(address, Absent::Refuse).await
}

/// What is done where there is no store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// One is made.
    Make,
    /// [`StoreError::NoStore`].
    Refuse,
}

async fn open_or(address: &str, absent: Absent) -> Result<Arc<dyn Store>, StoreError> {
    if let Some(path) = address
        .strip_prefix("sqlite:")
        .filter(|path| !path.is_empty())
    {
        return Ok(Arc::new(SqliteStore::open(path, absent)?));
    }
    if ["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| address.starts_with(scheme))
    {
        return Ok(Arc::new(PostgresStore::open(address, absent).await?));
    }
    // What looks like a password is not repeated.
    let shown = match address.split_once(':') {
        Some((scheme, rest)) if rest.contains('@') => format!("{scheme}:…"),
        _ => address.to_owned(),
    };
    Err(StoreError::Open {
        name: format!("`{shown}`"),
        reason: "a store is named as sqlite:PATH, for example sqlite:tracker.db, or as \
                 postgres://USER:PASSWORD@HOST/DATABASE"
            .into(),
    })
}

/// What shows whether a released migration was changed.
#[cfg(test)]
fn digests(migrations: &[&str]) -> Vec<String> {
    use sha2::{Digest, Sha256};
    let digest = |sql: &&str| data_encoding::HEXLOWER.encode(&Sha256::digest(sql)[..8]);
    migrations.iter().map(digest).collect()
}
