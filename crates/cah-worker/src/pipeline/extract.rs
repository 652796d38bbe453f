//! WAT bytes → candidates that the rules let through, numbered in the order of the file.

use std::collections::HashSet;

use cah_protocol::{IDS_PER_SHARD, Outcome, Piece};
use cah_wat::{Candidate, Link, Options, Page, Rejection};
use tokio::sync::mpsc;
use xxhash_rust::xxh3::xxh3_128;

use super::Run;
use crate::{
    Step, WatSource, WorkerError,
    pages::{PageSink, read_pages},
};

/// A candidate that is worth a request, and its index in the shard.
pub(super) struct Numbered {
    pub(super) index: u64,
    pub(super) candidate: Candidate,
}

impl Run {
    pub(super) async fn extract(
        self,
        piece: Piece,
        source: WatSource,
        next: mpsc::Sender<Numbered>,
    ) -> Result<(), WorkerError> {
        let piece = match piece {
            Piece::First => cah_wat::Piece::First,
            Piece::Second => cah_wat::Piece::Second,
        };
        let progress = self.progress.clone();
        let candidates = Candidates {
            run: self,
            seen: HashSet::new(),
            index: 0,
            found: Vec::new(),
            next,
        };
        read_pages(source, piece, Options::default(), progress, candidates).await
    }
}

/// Pages in, numbered candidates out.
struct Candidates {
    run: Run,
    seen: HashSet<u128>,
    index: u64,
    found: Vec<Numbered>,
    next: mpsc::Sender<Numbered>,
}

impl PageSink for Candidates {
    fn take(&mut self, page: &Page<'_>) {
        for link in &page.links {
            drop(self.run.progress.enter(Step::Extract, 1));
            match self.judge(page, link) {
                Ok(candidate) => self.found.push(candidate),
                Err(outcome) => self.run.progress.end(outcome),
            }
        }
    }

    fn flush(&mut self) -> bool {
        self.found
            .drain(..)
            .all(|candidate| self.next.blocking_send(candidate).is_ok())
    }
}

impl Candidates {
    fn judge(&mut self, page: &Page<'_>, link: &Link<'_>) -> Result<Numbered, Outcome> {
        let candidate = self.run.parts.rules.judge(page, link).map_err(rejected)?;
        if !self.seen.insert(fingerprint(&candidate)) {
            return Err(Outcome::Duplicate);
        }
        if self.index == IDS_PER_SHARD {
            return Err(Outcome::ShardFull);
        }
        let index = self.index;
        self.index += 1;
        Ok(Numbered { index, candidate })
    }
}

fn fingerprint(candidate: &Candidate) -> u128 {
    let parts = [candidate.url.as_bytes(), b"\0", candidate.text.as_bytes()];
    xxh3_128(&parts.concat())
}

/// The outcome of a candidate that a rule keeps out.
pub(crate) fn rejected(rejection: Rejection) -> Outcome {
    match rejection {
        Rejection::UrlInvalid => Outcome::UrlInvalid,
        Rejection::UrlTooLong => Outcome::UrlTooLong,
        Rejection::UrlExtension => Outcome::UrlExtension,
        Rejection::TextTooShort => Outcome::TextTooShort,
        Rejection::TextTooLong => Outcome::TextTooLong,
        Rejection::LanguageNotWanted => Outcome::LanguageNotWanted,
    }
}
