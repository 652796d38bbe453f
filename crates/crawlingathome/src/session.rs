//! One worker, as its tracker knows it: who it is, and how its calls are worded.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cah_protocol::{SUCCESS, WorkerType, distcompute};
use cah_task::finished;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{ClientError, RetryPolicy, api::Api};

/// Which of the two public protocols a worker speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Crawling@Home: each call names the type of worker.
    Crawler(WorkerType),
    /// DistCompute: the token says it all.
    Stage,
}

impl Dialect {
    fn worker_type(self) -> Option<WorkerType> {
        match self {
            Self::Crawler(worker_type) => Some(worker_type),
            Self::Stage => None,
        }
    }

    /// What a call that was carried out is answered.
    fn done(self) -> &'static str {
        match self {
            Self::Crawler(_) => SUCCESS,
            Self::Stage => distcompute::OK,
        }
    }
}

/// The body of a call.
#[derive(Serialize)]
struct Call<'a, T> {
    token: &'a str,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    worker_type: Option<WorkerType>,
    #[serde(flatten)]
    what: T,
}

/// What a call has that says who calls and no more.
#[derive(Serialize)]
pub(crate) struct Nothing {}

/// A worker that its tracker has taken in.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) api: Api,
    pub(crate) dialect: Dialect,
    /// The worker's secret.
    pub(crate) token: String,
    /// Its name on pages; empty where it is not known.
    pub(crate) display_name: String,
    /// Whom its work is counted for.
    pub(crate) nickname: String,
    /// The longest pause between two signs of life while a job is held.
    pub(crate) heartbeat: Duration,
    pub(crate) asking: Asking,
}

/// Whose turn it is to ask for a job.
#[derive(Debug, Default)]
pub(crate) struct Asking {
    /// A job that is on its way back: it has to arrive before another one is asked for, or it would
    /// count as one that failed.
    returning: Mutex<Option<JoinHandle<()>>>,
    /// Held by whoever asks.
    turn: tokio::sync::Mutex<()>,
}

impl Session {
    /// The same worker with connections of its own.
    pub(crate) fn afresh(&self) -> Result<Self, ClientError> {
        Ok(Self {
            api: self.api.afresh()?,
            dialect: self.dialect,
            token: self.token.clone(),
            display_name: self.display_name.clone(),
            nickname: self.nickname.clone(),
            heartbeat: self.heartbeat,
            asking: Asking::default(),
        })
    }

    /// A call with a typed answer.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        what: impl Serialize,
    ) -> Result<T, ClientError> {
        self.api.post(path, &self.call(what)).await
    }

    /// A call whose answer says that it was carried out, and no more.
    pub(crate) async fn tell(&self, path: &str, what: impl Serialize) -> Result<(), ClientError> {
        let done = self.dialect.done();
        self.api.command(path, &self.call(what), done, None).await
    }

    /// The same in one attempt.
    pub(crate) async fn tell_once(
        &self,
        path: &str,
        what: impl Serialize,
    ) -> Result<(), ClientError> {
        let once = Some(RetryPolicy::once());
        let done = self.dialect.done();
        self.api.command(path, &self.call(what), done, once).await
    }

    /// A call beyond the public protocols, which is answered alike in both, in one attempt.
    pub(crate) async fn tell_own(
        &self,
        path: &str,
        what: impl Serialize,
    ) -> Result<(), ClientError> {
        let once = Some(RetryPolicy::once());
        self.api
            .command(path, &self.call(what), SUCCESS, once)
            .await
    }

    /// Leases a job, which `hold` makes a lease of.
    pub(crate) async fn lease<J, L>(
        self: &Arc<Self>,
        hold: fn(Arc<Self>, J) -> Result<L, ClientError>,
    ) -> Result<L, ClientError>
    where
        J: DeserializeOwned + 'static,
        L: Send + 'static,
    {
        let attempt = || self.ask_for_job(hold);
        self.api.patiently(self.api.retry(), attempt).await
    }

    /// Asks for a job once, in a task that goes on where the caller gives up: the tracker may have
    /// leased the job by then. The lease nobody waits for any more is dropped, and so given back.
    async fn ask_for_job<J, L>(
        self: &Arc<Self>,
        hold: fn(Arc<Self>, J) -> Result<L, ClientError>,
    ) -> Result<L, ClientError>
    where
        J: DeserializeOwned + 'static,
        L: Send + 'static,
    {
        let session = self.clone();
        let (answer, leased) = oneshot::channel();
        let asking = tokio::spawn(async move {
            // Until a lease that nobody wants is on its way back: see `returning`.
            let _turn = session.asking.turn.lock().await;
            session.wait_for_the_last_job().await;
            let call = session.call(Nothing {});
            let job = session.api.post_once("api/newJob", &call).await;
            let lease = job.and_then(|job| hold(session.clone(), job));
            drop(answer.send(lease));
        });
        match leased.await {
            Ok(lease) => lease,
            Err(_) => {
                finished(asking.await).await;
                unreachable!("whoever asks for a job answers");
            }
        }
    }

    /// Waits until the last job has arrived where it was given back.
    async fn wait_for_the_last_job(&self) {
        let returning = self.returning().take();
        if let Some(returning) = returning {
            let _ = returning.await;
        }
    }

    pub(crate) async fn is_alive(&self) -> Result<bool, ClientError> {
        self.ask("api/validateWorker", Nothing {}).await
    }

    pub(crate) async fn bye(&self) -> Result<(), ClientError> {
        self.tell_once("api/bye", Nothing {}).await
    }

    pub(crate) fn returning(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        let returning = &self.asking.returning;
        returning.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call<T>(&self, what: T) -> Call<'_, T> {
        Call {
            token: &self.token,
            worker_type: self.dialect.worker_type(),
            what,
        }
    }
}
