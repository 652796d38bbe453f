//! The one task that makes the frequent changes.
//!
//! They come through a channel. The task takes whatever waits, makes it in one transaction on one
//! connection, commits once and only then answers. What the server undid is made again, each
//! change for itself. A connection that is lost is made anew; calls meanwhile are refused at once.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::{
    batch::{Answers, Batch, Call, Change},
    claims,
    connection::{Connection, code, is_passing},
    connector::Connector,
    leases, workers,
};
use crate::store::{StoreError, presence::Presence};

/// Changes that may wait; more callers than that wait for a place.
const QUEUE: usize = 4_096;

/// Changes in one transaction.
const BATCH: usize = 256;

/// How long a caller waits for its answer.
const DEADLINE: Duration = Duration::from_secs(30);

enum Message {
    Change(Change),
    Stop,
}

/// The way to the task.
pub(super) struct Committer {
    queue: mpsc::Sender<Message>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Committer {
    pub(super) fn start(connector: Arc<Connector>, presence: Arc<Presence>) -> Self {
        let (queue, changes) = mpsc::channel(QUEUE);
        let worker = Worker {
            connector,
            presence,
            connection: None,
            stages: 0,
        };
        Self {
            queue,
            task: Mutex::new(Some(tokio::spawn(worker.run(changes)))),
        }
    }

    /// Makes a change and returns once it is durable.
    pub(super) async fn call<A, T>(
        &self,
        change: fn(Call<A, T>) -> Change,
        ask: A,
    ) -> Result<T, StoreError> {
        let (reply, answered) = oneshot::channel();
        let change = change(Call { ask, reply });
        let round = async {
            let sent = self.queue.send(Message::Change(change)).await;
            sent.map_err(|_| stopped())?;
            answered.await.map_err(|_| stopped())?
        };
        timeout(DEADLINE, round)
            .await
            .unwrap_or_else(|_| Err(StoreError::unavailable("no answer in time")))
    }

    /// An error where the task has ended.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match self.queue.is_closed() {
            true => Err(stopped()),
            false => Ok(()),
        }
    }

    /// Makes the changes that wait, and ends the task.
    pub(super) async fn stop(&self) {
        // A task that has ended needs no telling.
        let _ = self.queue.send(Message::Stop).await;
        if let Some(task) = self.task.lock().await.take() {
            let _ = task.await;
        }
    }
}

fn stopped() -> StoreError {
    StoreError::unavailable("the store was stopped")
}

/// How a transaction failed.
enum Failure {
    /// Nothing happened.
    Undone(StoreError),
    /// Nobody knows whether it was committed.
    Unknown(StoreError),
}

struct Worker {
    connector: Arc<Connector>,
    presence: Arc<Presence>,
    connection: Option<Connection>,
    /// How many stages the project had when somebody looked.
    stages: i64,
}

impl Worker {
    async fn run(mut self, mut changes: mpsc::Receiver<Message>) {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                match changes.recv().await {
                    Some(Message::Change(change)) => waiting.push_back(change),
                    Some(Message::Stop) | None => return,
                }
            }
            let mut stop = false;
            while waiting.len() < BATCH {
                match changes.try_recv() {
                    Ok(Message::Change(change)) => waiting.push_back(change),
                    Ok(Message::Stop) => {
                        stop = true;
                        break;
                    }
                    Err(_) => break,
                }
            }
            self.commit_some(&mut waiting).await;
            while stop && !waiting.is_empty() {
                self.commit_some(&mut waiting).await;
            }
            if stop {
                return;
            }
        }
    }

    /// Makes what waits, but no two changes of one worker; the later ones wait on.
    async fn commit_some(&mut self, waiting: &mut VecDeque<Change>) {
        let mut batch = Batch::default();
        let later = waiting.drain(..).filter_map(|change| batch.push(change));
        *waiting = later.collect::<Vec<_>>().into();
        self.commit(batch).await;
    }

    async fn commit(&mut self, batch: Batch) {
        let error = match self.attempt(&batch).await {
            Ok(answers) => return batch.answer(answers, &self.presence),
            Err(Failure::Unknown(error)) => return self.refuse(batch, &error),
            Err(Failure::Undone(error)) => error,
        };
        let lost = self.connection.is_none();
        if !lost && batch.len() == 1 && !is_passing(&error) {
            return self.refuse(batch, &error);
        }
        tracing::debug!(%error, changes = batch.len(), "a transaction is made again");
        let again: Vec<Batch> = match lost {
            // It was not to blame.
            true => vec![batch],
            false => batch.split().collect(),
        };
        for batch in again {
            match self.attempt(&batch).await {
                Ok(answers) => batch.answer(answers, &self.presence),
                Err(Failure::Unknown(error) | Failure::Undone(error)) => {
                    self.refuse(batch, &error);
                }
            }
        }
    }

    fn refuse(&self, batch: Batch, error: &StoreError) {
        tracing::warn!(%error, changes = batch.len(), "the database refused a transaction");
        batch.refuse(error);
    }

    /// One transaction, one flush to the server's disk.
    async fn attempt(&mut self, batch: &Batch) -> Result<Answers, Failure> {
        let db = self.connect().await.map_err(Failure::Undone)?;
        let failure = match batch.run(&db, &mut self.stages).await {
            Err(error) => Failure::Undone(error),
            Ok((answers, deltas)) => match deltas.write_and_commit(&db).await {
                Ok(()) => {
                    self.connection = Some(db);
                    return Ok(answers);
                }
                Err(error) if is_passing(&error) => Failure::Undone(error),
                // The connection goes with it.
                Err(error) => return Err(Failure::Unknown(error)),
            },
        };
        let (Failure::Undone(error) | Failure::Unknown(error)) = &failure;
        // What is no answer of the server is the end of the connection.
        if code(error).is_some() && db.run("ROLLBACK").await.is_ok() {
            self.connection = Some(db);
        }
        Err(failure)
    }

    /// The connection, made anew where it is lost.
    async fn connect(&mut self) -> Result<Connection, StoreError> {
        if let Some(db) = self.connection.take().filter(|db| !db.is_closed()) {
            return Ok(db);
        }
        let db = self.connector.connect().await?;
        db.prepare(claims::STATEMENTS).await?;
        db.prepare(leases::STATEMENTS).await?;
        db.prepare(workers::STATEMENTS).await?;
        Ok(db)
    }
}
