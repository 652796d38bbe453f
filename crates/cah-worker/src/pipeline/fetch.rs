//! Candidates → downloaded images, in the order of the candidates.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use bytes::Bytes;
use cah_fetch::{ErrorKind, OptOut};
use cah_protocol::Outcome;
use futures::{StreamExt, stream::FuturesOrdered};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{Run, extract::Numbered, hand_over};
use crate::{Step, WorkerError};

/// Candidates that are under way for each request in flight: those behind a slow answer go on
/// while it is waited for.
const WINDOW: usize = 4;

/// Bytes of images that may wait behind a slow answer. Once there are more, no further request
/// starts until it came.
const WAITING_BYTES: usize = 96 << 20;

/// A candidate and the bytes of its image.
pub(super) struct Downloaded {
    pub(super) of: Numbered,
    pub(super) bytes: Bytes,
}

impl Run {
    pub(super) async fn fetch(
        self,
        mut candidates: mpsc::Receiver<Numbered>,
        next: mpsc::Sender<Downloaded>,
    ) -> Result<(), WorkerError> {
        let window = self.parts.in_flight * WINDOW;
        let waiting = Arc::new(AtomicUsize::new(0));
        let mut under_way = FuturesOrdered::new();
        let mut more = true;
        while more || !under_way.is_empty() {
            let room = under_way.len() < window && waiting.load(Relaxed) < WAITING_BYTES;
            tokio::select! {
                candidate = candidates.recv(), if more && room => match candidate {
                    Some(candidate) => {
                        let task = tokio::spawn(self.clone().download(candidate, waiting.clone()));
                        under_way.push_back(AbortOnDropHandle::new(task));
                    }
                    None => more = false,
                },
                Some(task) = under_way.next(), if !under_way.is_empty() => {
                    let Some(image) = super::finished(task) else { continue };
                    waiting.fetch_sub(image.bytes.len(), Relaxed);
                    if !hand_over(&next, image).await {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    async fn download(self, of: Numbered, waiting: Arc<AtomicUsize>) -> Option<Downloaded> {
        let busy = self.progress.enter(Step::Fetch, 1);
        let answer = self.parts.fetcher.fetch(&of.candidate.url).await;
        drop(busy);
        match answer {
            Ok(image) => {
                waiting.fetch_add(image.bytes.len(), Relaxed);
                let bytes = image.bytes;
                Some(Downloaded { of, bytes })
            }
            Err(error) => {
                tracing::debug!(url = of.candidate.url, %error, "not fetched");
                self.progress.end(failed(error.kind()));
                None
            }
        }
    }
}

/// The outcome of a candidate whose image did not arrive.
fn failed(kind: ErrorKind) -> Outcome {
    match kind {
        ErrorKind::InvalidUrl => Outcome::UrlInvalid,
        ErrorKind::Dns => Outcome::DnsFailed,
        ErrorKind::PrivateAddress => Outcome::PrivateAddress,
        ErrorKind::Connect => Outcome::ConnectFailed,
        ErrorKind::Tls => Outcome::TlsFailed,
        ErrorKind::TimedOut => Outcome::TimedOut,
        ErrorKind::BadRedirect => Outcome::BadRedirect,
        ErrorKind::Status(_) => Outcome::HttpStatus,
        ErrorKind::OptedOut(OptOut::Noai) => Outcome::RobotsNoai,
        ErrorKind::OptedOut(OptOut::Noimageai) => Outcome::RobotsNoimageai,
        ErrorKind::OptedOut(OptOut::Noindex) => Outcome::RobotsNoindex,
        ErrorKind::OptedOut(OptOut::Noimageindex) => Outcome::RobotsNoimageindex,
        ErrorKind::OptedOut(OptOut::TdmReserved) => Outcome::TdmReserved,
        ErrorKind::WrongContentType => Outcome::WrongContentType,
        ErrorKind::TooLarge => Outcome::BodyTooLarge,
        ErrorKind::Transfer => Outcome::TransferFailed,
    }
}
