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
        let Fetched {
            of, image, ticket, ..
        } = fetched;
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

#[cfg(test)]
mod tests {
    use std::fs;

    use bytes::Bytes;

    use super::*;
    use crate::pipeline::Candidate;

    const NUMBER: u64 = 3;

    fn numbered(index: u64) -> Numbered {
        Numbered {
            index,
            candidate: Candidate {
                url: format!("http://h/{index}.jpg"),
                ..Candidate::default()
            },
        }
    }

    /// Every third candidate has no image.
    fn fetched(index: u64) -> Fetched {
        let image = match index % 3 {
            2 => Err(Outcome::TimedOut),
            _ => Ok(Bytes::from(vec![index as u8; 40 * index as usize])),
        };
        Fetched {
            of: numbered(index),
            image,
            ticket: None,
            share: None,
        }
    }

    fn keep(gathering: &mut Gathering, indices: std::ops::Range<u64>) {
        let progress = Progress::default();
        for index in indices {
            gathering.keep(fetched(index), &progress).unwrap();
        }
    }

    fn finish(folder: &Path, gathering: Gathering) -> (Packed, Vec<u8>) {
        let mut outcomes = OutcomeCounts::default();
        (0..2).for_each(|_| outcomes.add(Outcome::TimedOut));
        let about = HandOver {
            shard: cah_protocol::Shard::numbered(NUMBER, "http://h/x.wat.gz"),
            settings: [].into(),
            candidates: 6,
            outcomes,
            program: "a test".into(),
        };
        let packed = gathering.finish(&about).unwrap();
        (packed, fs::read(folder.join(TAR)).unwrap())
    }

    /// Wherever a crash tore journal and tar, the rest is gathered again and the tar is the same.
    #[test]
    fn what_a_crash_tore_is_done_again() {
        let whole = tempfile::tempdir().unwrap();
        let mut gathering = Gathering::open(whole.path(), NUMBER).unwrap();
        keep(&mut gathering, 0..6);
        let journal = fs::read(whole.path().join(JOURNAL)).unwrap();
        let tar = fs::read(whole.path().join(TAR)).unwrap();
        let expected = finish(whole.path(), gathering);
        assert_eq!((expected.0.candidates, expected.0.images), (6, 4));
        for (of_journal, of_tar) in (0..=journal.len())
            .step_by(13)
            .map(|cut| (cut, tar.len()))
            .chain((0..=tar.len()).step_by(97).map(|cut| (journal.len(), cut)))
        {
            let torn = tempfile::tempdir().unwrap();
            fs::write(torn.path().join(JOURNAL), &journal[..of_journal]).unwrap();
            fs::write(torn.path().join(TAR), &tar[..of_tar]).unwrap();
            let mut gathering = Gathering::open(torn.path(), NUMBER).unwrap();
            let done = gathering.done().len() as u64;
            assert_eq!(
                done == 6,
                (of_journal, of_tar) == (journal.len(), tar.len())
            );
            keep(&mut gathering, done..6);
            assert_eq!(finish(torn.path(), gathering), expected);
        }
    }

    #[test]
    fn a_line_that_was_changed_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let mut gathering = Gathering::open(folder.path(), NUMBER).unwrap();
        keep(&mut gathering, 0..6);
        drop(gathering);
        let path = folder.path().join(JOURNAL);
        let journal = fs::read_to_string(&path).unwrap();
        fs::write(&path, journal.replace("http://h/3.jpg", "http://h/4.jpg")).unwrap();
        let gathering = Gathering::open(folder.path(), NUMBER).unwrap();
        assert_eq!(gathering.done().len(), 3);
    }

    /// What comes through when so many candidates were done before, and what is counted.
    async fn resumed(
        done: &[Done],
        found: std::ops::Range<u64>,
    ) -> (Result<Vec<u64>, WorkerError>, Progress) {
        let progress = Progress::default();
        let (send, candidates) = mpsc::channel(64);
        let (next, mut through) = mpsc::channel(64);
        for index in found {
            send.send(numbered(index)).await.unwrap();
        }
        drop(send);
        let ended = resume(done.into(), "x".into(), candidates, next, progress.clone()).await;
        let mut indices = Vec::new();
        while let Some(of) = through.recv().await {
            indices.push(of.index);
        }
        (ended.map(|()| indices), progress)
    }

    #[tokio::test]
    async fn what_is_done_is_counted_and_not_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut gathering = Gathering::open(folder.path(), NUMBER).unwrap();
        keep(&mut gathering, 0..4);
        drop(gathering);
        let done = Gathering::open(folder.path(), NUMBER).unwrap().done();
        let (through, progress) = resumed(&done, 0..7).await;
        assert_eq!(through.unwrap(), [4, 5, 6]);
        assert_eq!(progress.kept_images(), 3);
        assert_eq!(progress.outcomes().get(Outcome::TimedOut), 1);
        for other in [1..7, 0..3] {
            let (through, _) = resumed(&done, other).await;
            assert!(matches!(through, Err(WorkerError::WatChanged(_))));
        }
    }
}
