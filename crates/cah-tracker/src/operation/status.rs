//! The figures of a project, for people and scripts.

use serde::{Deserialize, Serialize};

use crate::store::{Kind, Store, StoreError};

/// How a project stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// `shards` of WAT files or `data`; nothing while there are no jobs.
    pub kind: Option<String>,
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
    pub stages: Vec<StageStatus>,
}

/// How one stage stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageStatus {
    /// Its name.
    pub name: String,
    /// Jobs that wait.
    pub open: u64,
    /// Jobs that somebody works on.
    pub leased: u64,
}

/// Reads the figures.
///
/// # Errors
/// Whatever the store says.
pub async fn status(store: &dyn Store) -> Result<Status, StoreError> {
    let counts = store.counts().await?;
    Ok(Status {
        kind: counts.kind.map(Kind::as_str).map(str::to_owned),
        jobs: counts.jobs,
        closed: counts.closed,
        banned: counts.banned,
        parked: counts.parked,
        pairs: counts.pairs,
        workers: counts.workers,
        banner: store.banner().await?,
        stages: counts
            .stages
            .into_iter()
            .map(|stage| StageStatus {
                name: stage.name,
                open: stage.open,
                leased: stage.leased,
            })
            .collect(),
    })
}
