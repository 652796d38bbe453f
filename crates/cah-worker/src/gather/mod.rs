//! What a CPU worker has of its shard, on the disk: the tar of images as far as it is, and a journal
//! that says what became of each candidate that was fetched.
//!
//! Candidates leave the fetch in their order, so what is done is always the first of them. A worker
//! that is killed and started again reads the WAT file anew, for it is not kept, but fetches no
//! image again that is in both. Nothing of a tail that a crash tore is believed.

mod journal;

use std::{path::Path, sync::Arc};

use cah_dataset::{FetchedRow, HandOver, HandOverPacker};
use cah_protocol::{Outcome, OutcomeCounts};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{
    Progress, Step, WorkerError,
    pipeline::{Candidate, Fetched, Numbered, hand_over},
};
use journal::{Entry, Journal};

/// The tar in the folder of a job.
pub(crate) const TAR: &str = "images.tar";

const JOURNAL: &str = "journal";

/// What became of a candidate that was fetched before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    fingerprint: u128,
    /// `None` where its image is there.
    outcome: Option<Outcome>,
}

/// A hand-over while it grows. Its calls block.
#[derive(Debug)]
pub(crate) struct Gathering {
    packer: HandOverPacker,
    journal: Journal,
    done: Arc<[Done]>,
}

/// A hand-over that is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Packed {
    pub(crate) candidates: u64,
    pub(crate) images: u64,
    pub(crate) outcomes: OutcomeCounts,
}

impl Gathering {
    /// Begins in an empty folder, or goes on with what a killed worker left in it.
    pub(crate) fn open(folder: &Path, number: u64) -> Result<Self, WorkerError> {
        let mut packer = HandOverPacker::open(&folder.join(TAR), number)?;
        let journal = folder.join(JOURNAL);
        let mut done = Vec::new();
        let mut believed = 0;
        for (entry, end) in journal::entries(&journal)? {
            let candidate = match &entry {
                Entry::Ended { url, text, outcome } => Done {
                    fingerprint: Candidate::fingerprint_of(url, text),
                    outcome: Some(*outcome),
                },
                Entry::Image(row) if packer.holds(row)? => Done {
                    fingerprint: Candidate::fingerprint_of(&row.url, &row.text),
                    outcome: None,
                },
                Entry::Image(_) => break,
            };
            done.push(candidate);
            believed = end;
        }
        packer.cut()?;
        Ok(Self {
            packer,
            journal: Journal::open(&journal, believed)?,
            done: done.into(),
        })
    }

    /// What became of the first candidates before.
    pub(crate) fn done(&self) -> Arc<[Done]> {
        self.done.clone()
    }

    /// Keeps what came of the next candidate.
    pub(crate) fn keep(
        &mut self,
        fetched: Fetched,
        progress: &Progress,
    ) -> Result<(), WorkerError> {
        let Fetched { of, image, ticket } = fetched;
        let entry = match image {
            Ok(bytes) => {
                let _busy = progress.enter(Step::Write, 1);
                let row = of.fetched(&bytes);
                self.packer.push(&row, &bytes)?;
                progress.keep_image();
                Entry::Image(row)
            }
            Err(outcome) => Entry::Ended {
                url: of.candidate.url,
                text: of.candidate.text,
                outcome,
            },
        };
        self.journal.append(&entry)?;
        drop(ticket);
        Ok(())
    }

    /// Completes the tar; everything is on the disk then.
    pub(crate) fn finish(self, about: &HandOver) -> Result<Packed, WorkerError> {
        let entries = journal::entries(self.journal.path())?;
        let mut images = 0;
        let rows = entries.filter_map(|(entry, _)| match entry {
            Entry::Image(row) => Some(Ok::<FetchedRow, _>(row)),
            Entry::Ended { .. } => None,
        });
        let rows = rows.inspect(|_| images += 1);
        self.packer.finish(about, rows)?;
        Ok(Packed {
            candidates: about.candidates,
            outcomes: about.outcomes.clone(),
            images,
        })
    }
}

/// Lets those candidates through that are still to be fetched, and counts what became of the first.
pub(crate) async fn resume(
    done: Arc<[Done]>,
    location: String,
    mut candidates: mpsc::Receiver<Numbered>,
    next: mpsc::Sender<Numbered>,
    progress: Progress,
) -> Result<(), WorkerError> {
    let mut before = done.iter();
    while let Some(of) = candidates.recv().await {
        let Some(done) = before.next() else {
            if !hand_over(&next, of).await {
                break;
            }
            continue;
        };
        if done.fingerprint != of.candidate.fingerprint() {
            return Err(WorkerError::WatChanged(location));
        }
        match done.outcome {
            Some(outcome) => progress.end(outcome),
            None => progress.keep_image(),
        }
    }
    match before.next() {
        None => Ok(()),
        Some(_) => Err(WorkerError::WatChanged(location)),
    }
}
