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
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// Made inside the transaction; what it returns runs after the commit.
type Change = Box<dyn FnOnce(&Connection) -> Answer + Send>;

/// Told how the commit went.
type Answer = Box<dyn FnOnce(Result<(), &rusqlite::Error>) + Send>;

enum Message {
    /// In one transaction with others.
    Change(Change),
    /// In a transaction of its own: what it did in memory is seen by all that come after it.
    Alone(Change),
    Stop,
}

/// How a change is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// How long the caller waits for its answer.
    pub(super) deadline: Duration,
    /// In a transaction of its own: what `committed` did is seen by every change that comes later.
    pub(super) alone: bool,
    /// Of use to the caller only: not made where that has gone away before.
    pub(super) for_the_caller: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            deadline: DEADLINE,
            alone: false,
            for_the_caller: false,
        }
    }
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
        self.call_on(Terms::default(), change, committed).await
    }

    /// The same, on other terms.
    pub(super) async fn call_on<T: Send + 'static>(
        &self,
        terms: Terms,
        change: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        committed: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let change: Change = Box::new(move |db| {
            let made = match terms.for_the_caller && answer.is_closed() {
                true => Err(StoreError::unavailable("the caller has gone away")),
                false => in_savepoint(db, change),
            };
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
            let message = match terms.alone {
                true => Message::Alone(change),
                false => Message::Change(change),
            };
            queue.send(message).await.map_err(|_| stopped())?;
            answered.await.map_err(|_| stopped())?
        };
        timeout(terms.deadline, round)
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
    let mut held = None;
    while let Some(message) = held.take().or_else(|| changes.blocking_recv()) {
        match message {
            Message::Change(first) => {
                let more = std::iter::from_fn(|| match changes.try_recv() {
                    Ok(Message::Change(change)) => Some(change),
                    other => {
                        held = other.ok();
                        None
                    }
                });
                commit_together(db, std::iter::once(first).chain(more).take(BATCH), publish);
            }
            Message::Alone(change) => commit_together(db, std::iter::once(change), publish),
            Message::Stop => break,
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
    // Read before the transaction ends: another one would cost its locks again.
    let counts = (db.total_changes() != before).then(|| jobs::counts(db));
    let committed = begun.and_then(|()| db.execute_batch("COMMIT"));
    match &committed {
        Ok(()) => publish_counts(counts, publish),
        Err(error) => {
            tracing::error!(%error, changes = answers.len(), "the store refused a transaction");
            undo(db);
        }
    }
    for answer in answers {
        answer(committed.as_ref().copied());
    }
}

fn publish_counts(counts: Option<Result<Counts, StoreError>>, publish: &watch::Sender<Counts>) {
    match counts {
        Some(Ok(counts)) => {
            publish.send_replace(counts);
        }
        Some(Err(error)) => tracing::error!(%error, "the counters cannot be read"),
        None => {}
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
    async fn what_only_the_caller_wants_is_not_made_without_it() {
        let (_dir, writer) = writer();
        let (entered, waits) = std::sync::mpsc::channel::<()>();
        let (go_on, until) = std::sync::mpsc::channel::<()>();
        let hold = writer.call(
            move |_| {
                entered.send(()).unwrap();
                until.recv().unwrap();
                Ok(())
            },
            |()| (),
        );
        let meddle = async {
            tokio::task::spawn_blocking(move || waits.recv().unwrap())
                .await
                .unwrap();
            for (x, for_the_caller) in [(1, true), (2, false)] {
                let terms = Terms {
                    for_the_caller,
                    ..Terms::default()
                };
                // Sent, and given up.
                let mut call = Box::pin(writer.call_on(terms, insert(x), |_| ()));
                assert!(futures::poll!(&mut call).is_pending());
            }
            go_on.send(()).unwrap();
        };
        let (held, ()) = tokio::join!(hold, meddle);
        held.unwrap();
        let rows = |db: &Connection| {
            let rows = db
                .prepare("SELECT x FROM t ORDER BY x")?
                .query_map([], |row| row.get(0))?
                .collect::<Result<Vec<i64>, _>>()?;
            Ok(rows)
        };
        assert_eq!(writer.call(rows, |_| ()).await.unwrap(), [2, 1_002]);
    }

    #[tokio::test]
    async fn a_change_alone_is_seen_as_a_whole_by_the_next() {
        let (_dir, writer) = writer();
        let seen = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (set, get) = (std::sync::Arc::clone(&seen), std::sync::Arc::clone(&seen));
        let terms = Terms {
            alone: true,
            ..Terms::default()
        };
        let set = move |_: &i64| set.store(true, std::sync::atomic::Ordering::SeqCst);
        let look = move |_: &Connection| Ok(get.load(std::sync::atomic::Ordering::SeqCst));
        let (one, two) = tokio::join!(
            writer.call_on(terms, insert(1), set),
            writer.call(look, |_| ())
        );
        assert!(one.is_ok() && two.unwrap());
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
