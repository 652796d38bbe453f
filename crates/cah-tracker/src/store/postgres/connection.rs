//! One connection to the server, and what its errors mean.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt::Write as _,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::timeout;
use tokio_postgres::{Client, Error, Row, Statement, error::SqlState, types::ToSql};
use tokio_util::task::AbortOnDropHandle;

use crate::store::StoreError;

/// How long a statement may take. The server ends it before; this is for a server that is gone.
const DEADLINE: Duration = Duration::from_secs(35);

/// Parameters of a statement.
pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// One connection, with the statements that were prepared on it.
pub(super) struct Connection {
    client: Client,
    statements: Mutex<HashMap<&'static str, Statement>>,
    /// Whether it must not be used again: an answer on it did not come, or is still to come, or
    /// the server takes no writes any longer.
    spoilt: AtomicBool,
    // Only ever `None` while it is dropped.
    driver: Option<AbortOnDropHandle<()>>,
}

impl Connection {
    /// The driver is the task that moves what is sent and received.
    pub(super) fn new(client: Client, driver: AbortOnDropHandle<()>) -> Self {
        Self {
            client,
            statements: Mutex::default(),
            spoilt: AtomicBool::new(false),
            driver: Some(driver),
        }
    }

    /// For statements that are put together.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Whether nothing more can be asked.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed() || self.spoilt.load(Ordering::Relaxed)
    }

    pub(super) async fn query(
        &self,
        sql: &'static str,
        params: Params<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let statement = self.statement(sql).await?;
        self.within(self.client.query(&statement, params)).await
    }

    pub(super) async fn query_one(
        &self,
        sql: &'static str,
        params: Params<'_>,
    ) -> Result<Row, StoreError> {
        let statement = self.statement(sql).await?;
        self.within(self.client.query_one(&statement, params)).await
    }

    pub(super) async fn query_opt(
        &self,
        sql: &'static str,
        params: Params<'_>,
    ) -> Result<Option<Row>, StoreError> {
        let statement = self.statement(sql).await?;
        self.within(self.client.query_opt(&statement, params)).await
    }

    pub(super) async fn execute(
        &self,
        sql: &'static str,
        params: Params<'_>,
    ) -> Result<u64, StoreError> {
        let statement = self.statement(sql).await?;
        self.within(self.client.execute(&statement, params)).await
    }

    /// Runs statements without parameters.
    pub(super) async fn run(&self, sql: &str) -> Result<(), StoreError> {
        self.within(self.client.batch_execute(sql)).await
    }

    /// Prepares statements that will be sent at once.
    pub(super) async fn prepare(&self, statements: &[&'static str]) -> Result<(), StoreError> {
        for sql in statements {
            self.statement(sql).await?;
        }
        Ok(())
    }

    async fn statement(&self, sql: &'static str) -> Result<Statement, StoreError> {
        if let Some(statement) = self.statements().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.within(self.client.prepare(sql)).await?;
        self.statements().insert(sql, statement.clone());
        Ok(statement)
    }

    /// Waits for the server, but not for ever.
    async fn within<T>(
        &self,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, StoreError> {
        let mut awaited = Awaited {
            spoilt: &self.spoilt,
            came: false,
        };
        let answer = timeout(DEADLINE, answer)
            .await
            .map_err(|_| StoreError::unavailable("the database did not answer in time"))?;
        // A server that takes no writes has been made a standby: another one takes them.
        awaited.came = !answer.as_ref().is_err_and(is_read_only);
        answer.map_err(StoreError::from)
    }

    fn statements(&self) -> MutexGuard<'_, HashMap<&'static str, Statement>> {
        self.statements
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer that is waited for. Where it does not come, the caller having gone away for instance,
/// it would come to whoever asks next.
struct Awaited<'a> {
    spoilt: &'a AtomicBool,
    came: bool,
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        if !self.came {
            self.spoilt.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let driver = self.driver.take().filter(|_| !self.is_closed());
        if let Some(driver) = driver {
            // It says goodbye to the server.
            drop(driver.detach());
        }
    }
}

fn is_read_only(error: &Error) -> bool {
    error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        Self::unavailable(Trouble(error))
    }
}

/// An error of the client library, whose own words leave out what the server said.
#[derive(Debug, thiserror::Error)]
#[error("{}", in_full(.0))]
struct Trouble(Error);

/// The words of an error, with those of what caused it.
pub(super) fn in_full(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

/// What the server called an error of its own.
pub(super) fn code(error: &StoreError) -> Option<&SqlState> {
    match error {
        StoreError::Unavailable(error) => error.downcast_ref::<Trouble>()?.0.code(),
        _ => None,
    }
}

/// What the server said about an error of its own.
pub(super) fn message(error: &StoreError) -> Option<&str> {
    match error {
        StoreError::Unavailable(error) => {
            let error = error.downcast_ref::<Trouble>()?.0.as_db_error();
            error.map(tokio_postgres::error::DbError::message)
        }
        _ => None,
    }
}

/// Whether it is about values that somebody asked to be stored: they are out of range, or break
/// what must hold for the rows.
pub(super) fn is_of_the_values(error: &StoreError) -> bool {
    let class = code(error).and_then(|code| code.code().get(..2));
    matches!(class, Some("22" | "23"))
}

/// Whether the same change may well succeed right after: another transaction was in its way, and
/// the server has undone this one.
pub(super) fn is_passing(error: &StoreError) -> bool {
    code(error).is_some_and(|code| {
        [
            &SqlState::T_R_DEADLOCK_DETECTED,
            &SqlState::T_R_SERIALIZATION_FAILURE,
            &SqlState::UNIQUE_VIOLATION,
        ]
        .contains(&code)
    })
}

/// A small count, of failures or attempts.
pub(super) fn small(count: i64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A stage's number.
pub(super) fn stage(number: i64) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

/// Text as PostgreSQL can store it: it has no NUL character.
pub(super) fn storable(text: &str) -> Cow<'_, str> {
    match text.contains('\0') {
        true => text.replace('\0', "\u{fffd}").into(),
        false => text.into(),
    }
}

/// Refuses text that must be stored as it is and cannot be.
pub(super) fn check_storable(text: &str) -> Result<(), StoreError> {
    match text.contains('\0') {
        true => Err(StoreError::Conflict(
            "the text has a NUL character, which PostgreSQL cannot store".into(),
        )),
        false => Ok(()),
    }
}
