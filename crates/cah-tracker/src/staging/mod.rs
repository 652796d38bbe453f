//! What CPU workers hand over, kept until it is used up.

mod addresses;
mod bucket;
mod folder;
mod place;
mod room;
mod under_way;

use std::{io, time::Duration};

use cah_bucket::OneLine;
use thiserror::Error;

use crate::{
    error::TrackerError,
    store::{Store, StoreError},
};

pub(crate) use bucket::{BadSignature, Bucket};
pub(crate) use folder::{Folder, StagingError};
pub use place::StagingPlace;

/// Where it is kept.
#[derive(Clone, Debug)]
pub(crate) enum Staging {
    /// In a folder of the tracker's own, which takes and sends it itself.
    Folder(Folder),
    /// In a bucket, whose addresses the tracker signs.
    Bucket(Bucket),
}

impl Staging {
    /// Opens a place for files of so many bytes at most.
    pub(crate) async fn open(place: &StagingPlace, most: u64) -> Result<Self, TrackerError> {
        Ok(match place {
            StagingPlace::Folder(folder) => Self::Folder(Folder::new(folder, most)),
            StagingPlace::Bucket(place) => Self::Bucket(Bucket::open(place, most).await?),
        })
    }

    /// The folder, where it is one.
    pub(crate) fn folder(&self) -> Option<&Folder> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Bucket(_) => None,
        }
    }

    /// The bucket, where it is one.
    pub(crate) fn bucket(&self) -> Option<&Bucket> {
        match self {
            Self::Folder(_) => None,
            Self::Bucket(bucket) => Some(bucket),
        }
    }

    /// Removes what no job waits with: what is used up at once, what nobody hands over later, in a
    /// folder after `idle`.
    pub(crate) async fn sweep(&self, store: &dyn Store, idle: Duration) -> Result<(), SweepError> {
        match self {
            Self::Folder(folder) => folder.sweep(store, idle).await,
            Self::Bucket(bucket) => bucket.sweep(store).await,
        }
    }
}

/// Why a sweep ended early.
#[derive(Debug, Error)]
pub(crate) enum SweepError {
    /// The folder refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The bucket refuses, or does not answer.
    #[error("{}", OneLine(.0))]
    Bucket(#[from] object_store::Error),
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[cfg(test)]
mod testing {
    //! A project with workers, for sweeps.

    use std::{net::IpAddr, path::Path, sync::Arc};

    use cah_protocol::WorkerType;

    use crate::{
        store::{self, Caller, Claim, Completion, Moment, NewWorker, Order, Store},
        token::TokenHash,
    };

    /// A store with one WAT file.
    pub(super) async fn store_in(folder: &Path) -> Arc<dyn Store> {
        let address = format!("sqlite:{}", folder.join("t.db").display());
        let store = store::open(&address).await.unwrap();
        let wat = vec!["http://h/a".into()];
        store.add_chunks(wat, 0).await.unwrap();
        store
    }

    /// A worker of a type that holds the first job of a project with one WAT file.
    pub(super) async fn worker(store: &dyn Store, worker_type: WorkerType) -> (Caller, u64) {
        let token = TokenHash::of(worker_type.as_str());
        let caller = Caller { token, role: None };
        let worker = NewWorker {
            token,
            upload_key: token,
            role: worker_type.into(),
            display_name: worker_type.to_string(),
            address: IpAddr::from([127, 0, 0, 1]),
            places: None,
            nickname: "ada".into(),
            progress: String::new(),
        };
        store.register(worker, MOMENT).await.unwrap();
        let claim = Claim {
            order: Order::Oldest,
            max_failures: 5,
        };
        let claimed = store.claim(caller, claim, MOMENT).await.unwrap();
        (caller, claimed.number)
    }

    pub(super) const MOMENT: Moment = Moment { now: 0, until: 9 };

    /// What a CPU worker made of the job that it holds.
    pub(super) async fn hand_over(store: &dyn Store, cpu: Caller, address: &str) {
        let completion = Completion {
            output: Some(address.to_owned()),
            ..Completion::default()
        };
        store.complete(cpu, completion, MOMENT).await.unwrap();
    }
}
