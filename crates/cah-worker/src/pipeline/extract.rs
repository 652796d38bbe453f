//! WAT bytes → candidates that the rules let through, numbered in the order of the file.

use std::collections::HashSet;

use cah_clip::ImageFormat;
use cah_dataset::FetchedRow;
use cah_protocol::{IDS_PER_SHARD, Outcome, Piece};
use cah_wat::{Link, Options, Page, Rejection};
use md5::Md5;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use xxhash_rust::xxh3::xxh3_128;

use super::CpuRun;
use crate::{
    Source, Step, WorkerError,
    pages::{PageSink, read_pages},
};

/// A candidate that is worth a request, and its index in the shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Numbered {
    pub(crate) index: u64,
    pub(crate) candidate: Candidate,
}

/// What is known of a candidate before its image is fetched, as the dataset has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) url: String,
    pub(crate) text: String,
    pub(crate) license: Option<String>,
    pub(crate) language: Option<String>,
    pub(crate) page_url: String,
}

impl From<cah_wat::Candidate> for Candidate {
    fn from(found: cah_wat::Candidate) -> Self {
        let language = Some(found.language).filter(|code| !code.is_empty());
        Self {
            url: found.url,
            text: found.text,
            license: found.license,
            language: language.map(str::to_owned),
            page_url: found.page_url,
        }
    }
}

impl Candidate {
    /// What tells candidates of a shard apart.
    pub(crate) fn fingerprint(&self) -> u128 {
        Self::fingerprint_of(&self.url, &self.text)
    }

    /// The same by the two that it is made of.
    pub(crate) fn fingerprint_of(url: &str, text: &str) -> u128 {
        xxh3_128(&[url.as_bytes(), b"\0", text.as_bytes()].concat())
    }
}

impl Numbered {
    /// The candidate with what its image says about itself.
    pub(crate) fn fetched(self, image: &[u8]) -> FetchedRow {
        let Candidate {
            url,
            text,
            license,
            language,
            page_url,
        } = self.candidate;
        FetchedRow {
            index: self.index,
            url,
            text,
            license,
            language,
            page_url,
            mime: ImageFormat::detect(image)
                .map(ImageFormat::mime)
                .unwrap_or_default()
                .to_owned(),
            sha256: Sha256::digest(image).into(),
            md5: Md5::digest(image).into(),
        }
    }
}

impl From<FetchedRow> for Numbered {
    fn from(row: FetchedRow) -> Self {
        Self {
            index: row.index,
            candidate: Candidate {
                url: row.url,
                text: row.text,
                license: row.license,
                language: row.language,
                page_url: row.page_url,
            },
        }
    }
}

impl CpuRun {
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
    run: CpuRun,
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
        self.places.number(candidate.into())
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
        let fingerprint = candidate.fingerprint();
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
        ..Candidate::default()
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
