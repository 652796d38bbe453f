use std::sync::{Arc, Mutex};

use cah_protocol::{
    CompleteRequest, FailRequest, MAX_PROGRESS_CHARS, OutcomeCounts, ProgressRequest, Shard,
    WorkerType,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{ClientError, RetryPolicy, client::Session};

/// The right to one shard, kept alive by heartbeats until it is completed or dropped.
///
/// Dropping it ends the heartbeats; the tracker re-opens the shard when the worker asks for
/// another one, says bye, or stays silent for the tracker's idle time-out.
#[derive(Debug)]
pub struct Lease {
    session: Arc<Session>,
    shard: Shard,
    progress: Arc<Mutex<String>>,
    lost: CancellationToken,
    _heartbeat: AbortOnDropHandle<()>,
}

impl Lease {
    pub(crate) fn start(session: Arc<Session>, shard: Shard) -> Self {
        let progress = Arc::new(Mutex::new("Started".to_owned()));
        let lost = CancellationToken::new();
        let heartbeat = tokio::spawn(beat(session.clone(), progress.clone(), lost.clone()));
        Self {
            session,
            shard,
            progress,
            lost,
            _heartbeat: AbortOnDropHandle::new(heartbeat),
        }
    }

    /// The leased shard.
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Sets the line that the dashboard shows for this worker; sent with the next heartbeat.
    ///
    /// What the protocol does not carry is left out: the text is cut at its longest length, and a
    /// control character becomes a blank, for a heartbeat that is refused would be none.
    pub fn set_progress(&self, progress: &str) {
        *lock(&self.progress) = fit(progress);
    }

    /// Sends a line of progress now (`POST /api/updateProgress`), in one attempt, and as
    /// [`Lease::set_progress`] with every further heartbeat.
    pub async fn log(&self, progress: &str) -> Result<(), ClientError> {
        self.set_progress(progress);
        send_progress(&self.session, fit(progress)).await
    }

    /// Ends once the tracker said that it gave the shard to somebody else; never otherwise.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Completes the shard with its number of pairs (`POST /api/markAsDone`).
    ///
    /// Retried until the tracker answers; a repeated completion counts once. Fails with
    /// [`ClientError::WorkerTimedOut`] or [`ClientError::ZeroJobs`] where the lease was lost.
    pub async fn complete(self, pairs: u64) -> Result<(), ClientError> {
        self.complete_as(pairs, None).await
    }

    /// As [`Lease::complete`], and tells where the shard's candidates ended. Trackers that do not
    /// know of outcomes pass over them.
    pub async fn complete_with(
        self,
        pairs: u64,
        outcomes: OutcomeCounts,
    ) -> Result<(), ClientError> {
        self.complete_as(pairs, Some(outcomes)).await
    }

    async fn complete_as(
        self,
        pairs: u64,
        outcomes: Option<OutcomeCounts>,
    ) -> Result<(), ClientError> {
        let request = CompleteRequest {
            token: self.session.identity.token.clone(),
            worker_type: WorkerType::Hybrid,
            count: Some(pairs),
            url: None,
            number: Some(self.shard.number),
            outcomes,
        };
        self.session
            .api
            .command("api/markAsDone", &request, None)
            .await
    }

    /// Gives the shard back because it cannot be done, and tells why (`POST /api/failJob`), so that
    /// the tracker has it tried later, or looked at by a person.
    ///
    /// One attempt only: a tracker that does not hear it, or does not know the call, re-opens the
    /// shard when the worker asks for the next one.
    pub async fn fail(self, reason: &str) -> Result<(), ClientError> {
        let request = FailRequest {
            token: self.session.identity.token.clone(),
            worker_type: WorkerType::Hybrid,
            message: fit(reason),
            number: Some(self.shard.number),
        };
        self.session
            .api
            .command("api/failJob", &request, Some(RetryPolicy::once()))
            .await
    }
}

/// Reports progress until the lease ends or the tracker does not know it any more.
async fn beat(session: Arc<Session>, progress: Arc<Mutex<String>>, lost: CancellationToken) {
    loop {
        tokio::time::sleep(session.heartbeat).await;
        let line = lock(&progress).clone();
        match send_progress(&session, line).await {
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
async fn send_progress(session: &Session, progress: String) -> Result<(), ClientError> {
    let request = ProgressRequest {
        token: session.identity.token.clone(),
        progress,
        worker_type: WorkerType::Hybrid,
    };
    session
        .api
        .command("api/updateProgress", &request, Some(RetryPolicy::once()))
        .await
}

fn lock(progress: &Mutex<String>) -> std::sync::MutexGuard<'_, String> {
    progress
        .lock()
        .expect("nobody panics while holding the line of progress")
}
