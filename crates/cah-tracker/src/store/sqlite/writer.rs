//! The one thread that changes the database.
//!
//! Changes come through a channel. The thread takes whatever waits, makes each change in a
//! savepoint within one transaction, commits once (one flush to disk for all of them) and only
//! then answers. A change that fails undoes itself alone; a commit that fails fails them all.

use std::{
    fs::File,
    sync::{Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::Connection;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use super::jobs;
use crate::store::{Counts, StoreError};

/// Changes that may wait; more callers than that wait for a place.
const QUEUE: usize = 4_096;

/// Changes in one transaction.
const BATCH: usize = 1_024;

/// How long a caller waits for its answer.
const DEADLINE: Duration = Duration::from_secs(30);

/// Made inside the transaction; what it returns runs after the commit.
type Change = Box<dyn FnOnce(&Connection) -> Answer + Send>;

/// Told how the commit went.
type Answer = Box<dyn FnOnce(Result<(), &rusqlite::Error>) + Send>;

enum Message {
    Change(Change),
    Stop,
}

/// The way to the writing thread.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Message>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread. It owns the connection and the lock on the file, and publishes the
    /// counters after each change.
    pub(super) fn start(
        connection: Connection,
        lock: File,
        publish: watch::Sender<Counts>,
    ) -> Result<Self, StoreError> {
        let (queue, changes) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("tracker-writer".into())
            .spawn(move || {
                run(&connection, changes, &publish);
                drop(connection);
                drop(lock);
            })
            .map_err(StoreError::unavailable)?;
        Ok(Self {
            queue: Some(queue),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Makes a change and returns once it is durable. `committed` runs on the writing thread
    /// before any later change, even if the caller has gone away by then.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        committed: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, StoreError> {
        self.call_within(DEADLINE, change, committed).await
    }

    /// The same, where the caller is ready to wait for so long.
    pub(super) async fn call_within<T: Send + 'static>(
        &self,
        deadline: Duration,
        change: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        committed: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let change: Change = Box::new(move |db| {
            let made = in_savepoint(db, change);
            Box::new(move |commit| {
                let made = match commit {
                    Ok(()) => made,
                    Err(error) => Err(StoreError::unavailable(error.to_string())),
                };
                if let Ok(value) = &made {
                    committed(value);
                }
                // The caller may have gone away; the change stands.
                let _ = answer.send(made);
            })
        });
        let round = async {
            let queue = self.queue.as_ref().ok_or_else(stopped)?;
            queue
                .send(Message::Change(change))
                .await
                .map_err(|_| stopped())?;
            answered.await.map_err(|_| stopped())?
        };
        timeout(deadline, round)
            .await
            .unwrap_or_else(|_| Err(StoreError::unavailable("no answer in time")))
    }

    /// An error where the thread has ended.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match &self.queue {
            Some(queue) if !queue.is_closed() => Ok(()),
            _ => Err(stopped()),
        }
    }

    /// Makes the changes that wait, ends the thread and lets go of the file.
    pub(super) async fn stop(&self) {
        if let Some(queue) = &self.queue {
            // A thread that has ended needs no telling.
            let _ = queue.send(Message::Stop).await;
        }
        let thread = self.take_thread();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    fn take_thread(&self) -> Option<JoinHandle<()>> {
        self.thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl Drop for Writer {
    /// Waits for the changes that are under way, so that whoever opens the file next finds it
    /// free and whole.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.take_thread() {
            let _ = thread.join();
        }
    }
}

fn stopped() -> StoreError {
    StoreError::unavailable("the store was stopped")
}

fn run(db: &Connection, mut changes: mpsc::Receiver<Message>, publish: &watch::Sender<Counts>) {
    while let Some(Message::Change(first)) = changes.blocking_recv() {
        let mut stop = false;
        let more = std::iter::from_fn(|| match changes.try_recv() {
            Ok(Message::Change(change)) => Some(change),
            Ok(Message::Stop) => {
                stop = true;
                None
            }
            Err(_) => None,
        });
        commit_together(db, std::iter::once(first).chain(more).take(BATCH), publish);
        if stop {
            break;
        }
    }
}

/// One transaction, one flush to disk, then the answers.
fn commit_together(
    db: &Connection,
    changes: impl Iterator<Item = Change>,
    publish: &watch::Sender<Counts>,
) {
    let before = db.total_changes();
    // Where no transaction can begin, each change is refused by itself.
    let begun = db.execute_batch("BEGIN IMMEDIATE");
    let answers: Vec<Answer> = changes.map(|change| change(db)).collect();
    let committed = begun.and_then(|()| db.execute_batch("COMMIT"));
    match &committed {
        Ok(()) if db.total_changes() != before => publish_counts(db, publish),
        Ok(()) => {}
        Err(error) => {
            tracing::error!(%error, changes = answers.len(), "the store refused a transaction");
            undo(db);
        }
    }
    for answer in answers {
        answer(committed.as_ref().copied());
    }
}

fn publish_counts(db: &Connection, publish: &watch::Sender<Counts>) {
    match jobs::counts(db) {
        Ok(counts) => {
            publish.send_replace(counts);
        }
        Err(error) => tracing::error!(%error, "the counters cannot be read"),
    }
}

fn undo(db: &Connection) {
    if !db.is_autocommit()
        && let Err(error) = db.execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "a transaction could not be rolled back");
    }
}

fn in_savepoint<T>(
    db: &Connection,
    change: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    if db.is_autocommit() {
        return Err(StoreError::unavailable("no transaction could begin"));
    }
    db.prepare_cached("SAVEPOINT change")?.execute([])?;
    let made = change(db);
    if made.is_err() {
        db.prepare_cached("ROLLBACK TO change")?.execute([])?;
    }
    db.prepare_cached("RELEASE change")?.execute([])?;
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer() -> (tempfile::TempDir, Writer) {
        let dir = tempfile::tempdir().unwrap();
        let (db, lock) = super::super::schema::open(&dir.path().join("t.db")).unwrap();
        db.execute_batch("CREATE TABLE t (x INTEGER UNIQUE)")
            .unwrap();
        let (publish, _) = watch::channel(Counts::default());
        let writer = Writer::start(db, lock, publish).unwrap();
        (dir, writer)
    }

    fn insert(x: i64) -> impl FnOnce(&Connection) -> Result<i64, StoreError> + Send {
        move |db| {
            db.execute("INSERT INTO t VALUES (?1)", [x])?;
            db.execute("INSERT INTO t VALUES (?1)", [x + 1_000])?;
            Ok(x)
        }
    }

    #[tokio::test]
    async fn a_change_that_fails_undoes_itself_alone() {
        let (_dir, writer) = writer();
        // 1000 is there, so that the second row of change 0 fails and takes the first with it.
        writer
            .call(
                |db| Ok(db.execute("INSERT INTO t VALUES (1000)", [])?),
                |_| (),
            )
            .await
            .unwrap();
        let all = (0..50).map(|x| writer.call(insert(x), |_| ()));
        let answers = futures::future::join_all(all).await;
        assert!(answers[0].is_err());
        assert!(answers[1..].iter().all(Result::is_ok));
        let rows: i64 = writer
            .call(
                |db| Ok(db.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?),
                |_| (),
            )
            .await
            .unwrap();
        assert_eq!(rows, 1 + 2 * 49);
    }

    #[tokio::test]
    async fn a_stopped_writer_refuses() {
        let (_dir, writer) = writer();
        writer.stop().await;
        assert!(writer.check().is_err());
        assert!(matches!(
            writer.call(insert(1), |_| ()).await,
            Err(StoreError::Unavailable(_))
        ));
    }
}
