//! A job while it is held, whatever it is about.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use cah_protocol::MAX_PROGRESS_CHARS;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    ClientError,
    session::{Nothing, Session},
};

/// The right to a job: kept alive by heartbeats, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    session: Arc<Session>,
    number: u64,
    progress: Arc<Mutex<String>>,
    lost: CancellationToken,
    /// Whether the tracker has been told, or is to find out by itself.
    settled: AtomicBool,
    heartbeat: AbortOnDropHandle<()>,
}

#[derive(Serialize)]
struct Progress {
    progress: String,
}

#[derive(Serialize)]
struct Failure {
    message: String,
    number: u64,
}

/// A call that names its job: one that was long on its way must not be taken for another job that
/// the worker holds by then.
#[derive(Serialize)]
struct OfJob<T> {
    number: u64,
    #[serde(flatten)]
    what: T,
}

impl Held {
    /// Begins to send heartbeats for a job that was leased just now.
    pub(crate) fn start(session: Arc<Session>, number: u64) -> Self {
        let progress = Arc::new(Mutex::new("Started".to_owned()));
        let lost = CancellationToken::new();
        let heartbeat = tokio::spawn(beat(session.clone(), progress.clone(), lost.clone()));
        Self {
            session,
            number,
            progress,
            lost,
            settled: AtomicBool::new(false),
            heartbeat: AbortOnDropHandle::new(heartbeat),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    pub(crate) fn set_progress(&self, progress: &str) {
        *text_of(&self.progress) = fit(progress);
    }

    pub(crate) async fn log(&self, progress: &str) -> Result<(), ClientError> {
        self.set_progress(progress);
        send_progress(&self.session, progress).await
    }

    pub(crate) async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Tells what became of the job, until the tracker has heard it. Nothing is given back then,
    /// whatever it answers: it does not leave the job with this worker. A tracker that did not hear
    /// it may be told again.
    pub(crate) async fn settle(&self, path: &str, what: impl Serialize) -> Result<(), ClientError> {
        let number = self.number;
        let told = self.session.tell(path, OfJob { number, what }).await;
        if told.is_ok() || told.as_ref().is_err_and(is_final) {
            self.let_go();
        }
        told
    }

    /// Tells in one attempt that the job cannot be done, and why.
    pub(crate) async fn fail(&self, reason: &str) -> Result<(), ClientError> {
        let failure = Failure {
            message: fit(reason),
            number: self.number,
        };
        let told = self.session.tell_own("api/failJob", failure).await;
        // Where the tracker did not hear it, it re-opens the job when the next one is asked for.
        self.let_go();
        told
    }

    /// Leaves the job with the worker although nobody holds it here any more: for another process
    /// that goes on with it.
    pub(crate) fn let_go(&self) {
        self.settled.store(true, Relaxed);
        self.heartbeat.abort();
    }

    /// Gives the job back, and waits until the tracker has heard it; in one attempt.
    pub(crate) async fn give_back(&self) -> Result<(), ClientError> {
        let told = give_back(&self.session, self.number).await;
        self.let_go();
        told
    }
}

impl Drop for Held {
    /// Gives the job back in the background. A tracker that knows no such call, or does not hear
    /// it, re-opens the job when the worker asks for another one, says bye or falls silent.
    fn drop(&mut self) {
        if self.settled.load(Relaxed) || self.lost.is_cancelled() {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (session, number) = (self.session.clone(), self.number);
        let giving_back = runtime.spawn(async move {
            if let Err(error) = give_back(&session, number).await {
                tracing::debug!(%error, number, "the tracker did not take a job back");
            }
        });
        *self.session.returning() = Some(giving_back);
    }
}

async fn give_back(session: &Session, number: u64) -> Result<(), ClientError> {
    let what = OfJob {
        number,
        what: Nothing {},
    };
    session.tell_own("api/returnJob", what).await
}

/// Whether the tracker has answered for good: the job is not this worker's any more, or never was.
fn is_final(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::WorkerTimedOut | ClientError::ZeroJobs(_)
    )
}

/// Reports progress until the lease ends or the tracker does not know it any more.
async fn beat(session: Arc<Session>, progress: Arc<Mutex<String>>, lost: CancellationToken) {
    loop {
        tokio::time::sleep(session.heartbeat).await;
        let line = text_of(&progress).clone();
        match send_progress(&session, &line).await {
            Err(ClientError::WorkerTimedOut) => return lost.cancel(),
            // The next heartbeat is the retry.
            Err(error) => tracing::warn!("no heartbeat: {error}"),
            Ok(()) => {}
        }
    }
}

/// The text as the protocol carries it.
fn fit(progress: &str) -> String {
    progress
        .chars()
        .take(MAX_PROGRESS_CHARS)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// One attempt: the next line of progress is the retry.
pub(crate) async fn send_progress(session: &Session, progress: &str) -> Result<(), ClientError> {
    let progress = fit(progress);
    session
        .tell_once("api/updateProgress", Progress { progress })
        .await
}

fn text_of(progress: &Mutex<String>) -> MutexGuard<'_, String> {
    // No step under the lock leaves it half changed.
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}
