//! WAT bytes → candidates that the rules let through, numbered in the order of the file.

use std::collections::HashSet;

use cah_protocol::{IDS_PER_SHARD, Outcome, Piece};
use cah_wat::{Candidate, Link, Options, Page, Rejection};
use tokio::sync::mpsc;
use xxhash_rust::xxh3::xxh3_128;

use super::Run;
use crate::{
    Source, Step, WorkerError,
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
        source: Source,
        next: mpsc::Sender<Numbered>,
    ) -> Result<(), WorkerError> {
        let piece = match piece {
            Piece::First => cah_wat::Piece::First,
            Piece::Second => cah_wat::Piece::Second,
        };
        let progress = self.progress.clone();
        let candidates = Candidates {
            run: self,
            places: Places::default(),
            found: Vec::new(),
            next,
        };
        read_pages(source, piece, Options::default(), progress, candidates).await
    }
}

/// Pages in, numbered candidates out.
struct Candidates {
    run: Run,
    places: Places,
    found: Vec<Numbered>,
    next: mpsc::Sender<Numbered>,
}

impl PageSink for Candidates {
    fn take(&mut self, page: &Page<'_>) {
        for link in &page.links {
            self.run.progress.count(Step::Extract, 1);
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
        self.places.number(candidate)
    }
}

/// Gives each candidate that is the first of its kind the next number.
#[derive(Default)]
struct Places {
    /// One for each number that was given.
    seen: HashSet<u128>,
}

impl Places {
    fn number(&mut self, candidate: Candidate) -> Result<Numbered, Outcome> {
        let fingerprint = fingerprint(&candidate);
        if self.seen.contains(&fingerprint) {
            return Err(Outcome::Duplicate);
        }
        let index = self.seen.len() as u64;
        // Checked before it is remembered: a page without end costs no memory.
        if index == IDS_PER_SHARD {
            return Err(Outcome::ShardFull);
        }
        self.seen.insert(fingerprint);
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

/// A candidate of which only the URL matters.
#[cfg(test)]
pub(super) fn test_candidate(url: &str) -> Candidate {
    Candidate {
        url: url.to_owned(),
        text: String::new(),
        page_url: String::new(),
        license: None,
        language: "",
        cc_filename: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_shard_remembers_no_more() {
        let mut places = Places::default();
        let mut number = |url: u64| {
            let numbered = places.number(test_candidate(&url.to_string()));
            (numbered.map(|numbered| numbered.index), places.seen.len())
        };
        for url in 0..IDS_PER_SHARD {
            assert_eq!(number(url).0, Ok(url));
        }
        let full = IDS_PER_SHARD as usize;
        assert_eq!(number(IDS_PER_SHARD), (Err(Outcome::ShardFull), full));
        assert_eq!(number(IDS_PER_SHARD), (Err(Outcome::ShardFull), full));
        assert_eq!(number(7), (Err(Outcome::Duplicate), full));
    }
}
