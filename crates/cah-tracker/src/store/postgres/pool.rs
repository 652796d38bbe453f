//! Connections for everything but the frequent changes: reads, and changes in transactions of
//! their own.

use std::{
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{connection::Connection, connector::Connector, deltas::Deltas};
use crate::store::StoreError;

/// How long a caller waits for one.
const DEADLINE: Duration = Duration::from_secs(30);

pub(super) struct Pool {
    connector: Arc<Connector>,
    places: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Pool {
    /// For so many connections at the same time; one is there already, perhaps.
    pub(super) fn new(
        connector: Arc<Connector>,
        connections: usize,
        first: Option<Connection>,
    ) -> Self {
        Self {
            connector,
            places: Arc::new(Semaphore::new(connections)),
            idle: Arc::new(Mutex::new(first.into_iter().collect())),
        }
    }

    /// A connection, made where none is idle.
    pub(super) async fn get(&self) -> Result<Pooled, StoreError> {
        let place = timeout(DEADLINE, Arc::clone(&self.places).acquire_owned())
            .await
            .map_err(|_| StoreError::unavailable("no connection became free in time"))?
            .map_err(|_| StoreError::unavailable("the store was stopped"))?;
        let idle = std::iter::from_fn(|| take(&self.idle)).find(|db| !db.is_closed());
        let connection = match idle {
            Some(connection) => connection,
            None => self.connector.connect().await?,
        };
        Ok(Pooled {
            connection: Some(connection),
            reusable: true,
            idle: Arc::clone(&self.idle),
            _place: place,
        })
    }

    /// A transaction.
    pub(super) async fn begin(&self) -> Result<Transaction, StoreError> {
        let mut db = self.get().await?;
        // Given up half way, the connection goes, and the server undoes what was done.
        db.reusable = false;
        db.run("BEGIN").await?;
        Ok(Transaction {
            db,
            deltas: Deltas::default(),
        })
    }

    /// Refuses all that comes.
    pub(super) fn close(&self) {
        self.places.close();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.clear();
    }
}

fn take(idle: &Mutex<Vec<Connection>>) -> Option<Connection> {
    idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

/// A connection that goes back when it is dropped.
pub(super) struct Pooled {
    // Only ever `None` while it is dropped.
    connection: Option<Connection>,
    reusable: bool,
    idle: Arc<Mutex<Vec<Connection>>>,
    _place: OwnedSemaphorePermit,
}

impl Pooled {
    /// Closes it in the end, because its settings were changed or its transaction left open.
    pub(super) fn spend(&mut self) {
        self.reusable = false;
    }
}

impl Deref for Pooled {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
            .as_ref()
            .expect("it is taken when the guard is dropped")
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let connection = self.connection.take();
        if let Some(connection) = connection.filter(|db| self.reusable && !db.is_closed()) {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
    }
}

/// A transaction, with what it does to the counters; these are written in the end.
pub(super) struct Transaction {
    db: Pooled,
    pub(super) deltas: Deltas,
}

impl Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.db
    }
}

impl Transaction {
    /// Commits what went well, undoes what did not.
    pub(super) async fn end<T>(mut self, made: Result<T, StoreError>) -> Result<T, StoreError> {
        let ended = match made {
            Ok(value) => match self.deltas.write_and_commit(&self.db).await {
                Ok(()) => Ok(value),
                Err(failure) => Err(failure.into()),
            },
            Err(error) => Err(error),
        };
        self.db.reusable = ended.is_ok() || self.db.run("ROLLBACK").await.is_ok();
        ended
    }
}

/// Makes a change in a transaction, once more where another one was in its way.
macro_rules! atomically {
    ($pool:expr, |$tx:ident| $change:expr) => {{
        let mut again = true;
        loop {
            let mut transaction = $pool.begin().await?;
            let made = {
                let $tx = &mut transaction;
                $change.await
            };
            match transaction.end(made).await {
                Err(error) if again && $crate::store::postgres::connection::is_passing(&error) => {
                    again = false;
                }
                ended => break ended,
            }
        }
    }};
}

pub(super) use atomically;
