//! The figures of a project, for people and scripts.

use serde::{Deserialize, Serialize};

use crate::{
    store::{self, BoardRow, Kind, StageCounts, Store, StoreError, Task},
    text::shortened,
};

/// How a project stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// `shards` of WAT files or `data`; nothing while there are no jobs.
    pub kind: Option<Kind>,
    /// All jobs.
    pub jobs: u64,
    /// Those that are done.
    pub closed: u64,
    /// Those that were taken out.
    pub banned: u64,
    /// Those that failed too often and wait for a person.
    pub parked: u64,
    /// Pairs over all closed jobs.
    pub pairs: u64,
    /// Workers that are connected.
    pub workers: u64,
    /// What the operator tells everybody; empty where nothing.
    pub banner: String,
    /// The stages in order.
    pub stages: Vec<StageCounts>,
}

/// Reads the figures.
///
/// # Errors
/// Whatever the store says.
pub async fn status(store: &dyn Store) -> Result<Status, StoreError> {
    let counts = store.counts().await?;
    Ok(Status {
        kind: counts.kind,
        jobs: counts.jobs,
        closed: counts.closed,
        banned: counts.banned,
        parked: counts.parked,
        pairs: counts.pairs,
        workers: counts.workers,
        banner: store.banner().await?,
        stages: counts.stages,
    })
}

/// Who finished a stage how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Board {
    /// The stage's name.
    pub stage: String,
    /// Most jobs first, then most pairs.
    pub contributors: Vec<BoardRow>,
}

/// Reads the first `limit` contributors of each stage.
///
/// # Errors
/// Whatever the store says.
pub async fn contributors(store: &dyn Store, limit: u32) -> Result<Vec<Board>, StoreError> {
    let mut boards = Vec::new();
    for (stage, counts) in (0..).zip(store.counts().await?.stages) {
        boards.push(Board {
            stage: counts.name,
            contributors: store.leaderboard(stage, limit).await?,
        });
    }
    Ok(boards)
}

/// Characters of a job's data that are told.
const DATA: usize = 200;

/// A job that failed too often, for the person who looks at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedJob {
    /// Its number.
    pub number: u64,
    /// The WAT file whose half it is, or the beginning of its data.
    pub about: String,
    /// How often it failed.
    pub failures: u32,
    /// What was wrong the last times, the latest first.
    pub messages: Vec<String>,
}

impl From<store::ParkedJob> for ParkedJob {
    fn from(job: store::ParkedJob) -> Self {
        Self {
            number: job.number,
            about: match job.task {
                Task::Shard(shard) => shard.url,
                Task::Data(data) => shortened(&data, DATA),
            },
            failures: job.failures,
            messages: job.messages,
        }
    }
}

/// Reads the first `limit` parked jobs after number `after`.
///
/// # Errors
/// Whatever the store says.
pub async fn parked(
    store: &dyn Store,
    after: u64,
    limit: u32,
) -> Result<Vec<ParkedJob>, StoreError> {
    let parked = store.parked(after, limit).await?;
    Ok(parked.into_iter().map(ParkedJob::from).collect())
}
