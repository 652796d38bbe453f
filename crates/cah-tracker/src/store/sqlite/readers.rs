//! Connections that only read, used off the async threads.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::Connection;
use tokio::{sync::Semaphore, time::timeout};

use super::schema;
use crate::store::StoreError;

/// Reads at the same time.
const READERS: usize = 8;

/// How long a caller waits for its answer.
const DEADLINE: Duration = Duration::from_secs(30);

pub(super) struct Readers {
    path: PathBuf,
    places: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            places: Arc::new(Semaphore::new(READERS)),
            idle: Arc::default(),
        }
    }

    /// Reads on a thread for blocking work, from a connection that is opened where none is idle.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.call_within(DEADLINE, read).await
    }

    /// The same, where the caller is ready to wait for so long.
    pub(super) async fn call_within<T: Send + 'static>(
        &self,
        deadline: Duration,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let round = async {
            let place = Arc::clone(&self.places)
                .acquire_owned()
                .await
                .map_err(StoreError::unavailable)?;
            let (path, idle) = (self.path.clone(), Arc::clone(&self.idle));
            let reading = tokio::task::spawn_blocking(move || -> rusqlite::Result<T> {
                let _place = place;
                let db = match take(&idle) {
                    Some(db) => db,
                    None => schema::open_reader(&path)?,
                };
                let value = read(&db)?;
                give_back(&idle, db);
                Ok(value)
            });
            Ok(reading.await.map_err(StoreError::unavailable)??)
        };
        timeout(deadline, round)
            .await
            .unwrap_or_else(|_| Err(StoreError::unavailable("no answer in time")))
    }
}

fn take(idle: &Mutex<Vec<Connection>>) -> Option<Connection> {
    idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

/// A connection that failed a read is not given back but closed.
fn give_back(idle: &Mutex<Vec<Connection>>, db: Connection) {
    idle.lock().unwrap_or_else(PoisonError::into_inner).push(db);
}
