//! The one task that makes the frequent changes.
//!
//! They come through a channel. The task takes whatever waits, makes it in one transaction on one
//! connection, commits once and only then answers. Where one of the changes may be to blame
//! for it that the server undid them, they are made again, each for itself. A connection that is lost is made anew; calls meanwhile are refused at once.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::{
    batch::{Answers, Batch, Call, Change},
    claims,
    connection::{Connection, code, is_of_the_values, is_passing},
    connector::Connector,
    crowd::{Crowd, Place},
    deltas::Failure,
    headcount::Headcount,
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
    Change(Waiting),
    Stop,
}

/// A change that waits, and the place that its worker has for that.
struct Waiting {
    change: Change,
    place: Option<Place>,
}

/// The way to the task.
pub(super) struct Committer {
    queue: mpsc::Sender<Message>,
    crowd: Crowd,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Committer {
    pub(super) fn start(
        connector: Arc<Connector>,
        presence: Arc<Presence>,
        headcount: Arc<Headcount>,
    ) -> Self {
        let (queue, changes) = mpsc::channel(QUEUE);
        let worker = Worker {
            connector,
            presence,
            headcount,
            connection: None,
            stages: 0,
        };
        Self {
            queue,
            crowd: Crowd::default(),
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
        let place = change.worker().map(|worker| self.place(worker));
        let place = place.transpose()?;
        let waiting = Waiting { change, place };
        let round = async {
            let sent = self.queue.send(Message::Change(waiting)).await;
            sent.map_err(|_| stopped())?;
            answered.await.map_err(|_| stopped())?
        };
        timeout(DEADLINE, round)
            .await
            .unwrap_or_else(|_| Err(StoreError::unavailable("no answer in time")))
    }

    /// A place for a call of the worker, also where that is made apart from the task.
    pub(super) fn place(&self, worker: i64) -> Result<Place, StoreError> {
        self.crowd.enter(worker)
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

struct Worker {
    connector: Arc<Connector>,
    presence: Arc<Presence>,
    headcount: Arc<Headcount>,
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
    async fn commit_some(&mut self, waiting: &mut VecDeque<Waiting>) {
        let mut batch = Batch::default();
        let mut places = Vec::new();
        let mut later = VecDeque::new();
        for Waiting { change, place } in waiting.drain(..) {
            if change.is_vain() {
                continue;
            }
            match batch.push(change) {
                None => places.push(place),
                Some(change) => later.push_back(Waiting { change, place }),
            }
        }
        *waiting = later;
        if batch.len() > 0 {
            for passed_over in self.commit(batch).await {
                self.commit(passed_over).await;
            }
        }
        // They were under way until now.
        drop(places);
    }

    /// Returns the claims that are to be made again, waiting for what others held.
    async fn commit(&mut self, batch: Batch) -> Vec<Batch> {
        let error = match self.attempt(&batch).await {
            Ok(answers) => return self.answer(batch, answers).into_iter().collect(),
            Err(Failure::Unknown(error)) => return self.refuse(batch, &error),
            Err(Failure::Undone(error)) => error,
        };
        let again: Vec<Batch> = if self.connection.is_none() {
            // None of them was to blame.
            vec![batch]
        } else if is_passing(&error) || (batch.len() > 1 && is_of_the_values(&error)) {
            batch.split().collect()
        } else {
            return self.refuse(batch, &error);
        };
        tracing::debug!(%error, batches = again.len(), "a transaction is made again");
        let mut passed_over = Vec::new();
        for batch in again {
            match self.attempt(&batch).await {
                Ok(answers) => passed_over.extend(self.answer(batch, answers)),
                Err(Failure::Unknown(error) | Failure::Undone(error)) => {
                    passed_over.extend(self.refuse(batch, &error));
                }
            }
        }
        passed_over
    }

    /// Tells everybody what came of it; returns the claims that are to be made again.
    fn answer(&self, batch: Batch, answers: Answers) -> Option<Batch> {
        let again = batch.answer(answers, &self.presence, &self.headcount);
        (again.len() > 0).then_some(again)
    }

    /// Tells everybody that the store cannot be used; nothing is made again.
    fn refuse(&self, batch: Batch, error: &StoreError) -> Vec<Batch> {
        tracing::warn!(%error, changes = batch.len(), "the database refused a transaction");
        batch.refuse(error);
        Vec::new()
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
                // The connection goes with it.
                Err(unknown @ Failure::Unknown(_)) => return Err(unknown),
                Err(undone) => undone,
            },
        };
        // What is no answer of the server is the end of the connection.
        let is_answer = code(failure.error()).is_some() && !db.is_closed();
        if is_answer && db.run("ROLLBACK").await.is_ok() {
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
