//! Candidates → downloaded images, in the order of the candidates.

use bytes::Bytes;
use cah_fetch::{ErrorKind, OptOut};
use cah_protocol::Outcome;
use cah_task::finished;
use futures::{StreamExt, stream::FuturesOrdered};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{
    CpuRun, Share,
    extract::Numbered,
    hand_over,
    room::{Room, Ticket},
};
use crate::{Step, WorkerError};

/// Candidates that are under way for each request in flight: those behind a slow answer go on
/// while it is waited for, as far as there is [`Room`].
const WINDOW: usize = 4;

/// A candidate and its image, or where the candidate ended without one. They come in the order of
/// the candidates.
pub(crate) struct Fetched {
    pub(crate) of: Numbered,
    pub(crate) image: Result<Bytes, Outcome>,
    /// Dropped when the next step takes the image, in the order of the candidates. Images that were
    /// not downloaded just now have none.
    pub(crate) ticket: Option<Ticket>,
    /// The image's share of the memory, where it has one already.
    pub(crate) share: Option<Share>,
}

impl CpuRun {
    pub(super) async fn fetch(
        self,
        mut candidates: mpsc::Receiver<Numbered>,
        next: mpsc::Sender<Fetched>,
    ) -> Result<(), WorkerError> {
        let window = self.parts.in_flight * WINDOW;
        let room = Room::new(self.parts.in_flight);
        let mut under_way = FuturesOrdered::new();
        let mut turn = 0;
        let mut free = None;
        let mut more = true;
        while more || !under_way.is_empty() {
            tokio::select! {
                ticket = room.enter(turn), if more && free.is_none() && under_way.len() < window => {
                    free = Some(ticket);
                    turn += 1;
                }
                candidate = candidates.recv(), if more && free.is_some() => {
                    match candidate.zip(free.take()) {
                        Some((of, ticket)) => {
                            let task = tokio::spawn(self.clone().download(of, ticket));
                            under_way.push_back(AbortOnDropHandle::new(task));
                        }
                        None => more = false,
                    }
                }
                Some(task) = under_way.next(), if !under_way.is_empty() => {
                    if !hand_over(&next, finished(task).await).await {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    async fn download(self, of: Numbered, mut ticket: Ticket) -> Fetched {
        let answer = loop {
            let busy = self.progress.enter(Step::Fetch, 0);
            let answer = self.parts.fetcher.fetch(&of.candidate.url).await;
            drop(busy);
            if ticket.land(answer.as_ref().map_or(0, |image| image.bytes.len())) {
                break answer;
            }
            drop(answer);
            ticket.again().await;
        };
        self.progress.count(Step::Fetch, 1);
        let image = answer.map(|image| image.bytes).map_err(|error| {
            tracing::debug!(url = of.candidate.url, %error, "not fetched");
            let outcome = failed(error.kind());
            self.progress.end(outcome);
            outcome
        });
        Fetched {
            of,
            image,
            ticket: Some(ticket),
            share: None,
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
