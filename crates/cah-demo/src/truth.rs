//! What is known of every candidate, and how a crawl compares with it.

use std::collections::{HashMap, HashSet};

use cah_protocol::{Outcome, OutcomeCounts, Phase};
use serde::Serialize;

/// An image with alternative text in one of the WAT files, and where it should end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// The WAT file, counted from 0.
    pub wat: usize,
    /// The page that shows the image.
    pub page_url: String,
    /// The page's Creative Commons licence.
    pub licence: Option<String>,
    /// The image's absolute URL; what the page says where that leads nowhere.
    pub url: String,
    /// The alternative text after repair of entities and mojibake.
    pub text: String,
    /// ISO 639-1 code of the text. The demo's model reads `en` only.
    pub language: String,
    /// Whether the text tells what the image shows.
    pub matches: bool,
    /// Where the candidate ends, if everything that decides about it is right.
    pub wanted: Outcome,
}

impl Candidate {
    /// Whether no model has a say in the outcome, so that it comes out exactly.
    pub fn is_certain(&self) -> bool {
        matches!(
            self.wanted.phase(),
            Phase::Rules | Phase::Fetch | Phase::Decode
        )
    }

    /// Whether the demo's model can be blamed for its judgement of the text.
    pub fn is_readable(&self) -> bool {
        self.language == "en"
    }
}

/// Every candidate of the mini web, WAT by WAT in the order of the links.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Truth {
    candidates: Vec<Candidate>,
}

/// How good a selection of pairs is.
///
/// Pairs in languages that the demo's model does not read count neither for it nor against it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Pairs that were kept, those apart that the model cannot read.
    pub kept: u64,
    /// Those of them that a perfect model keeps.
    pub right: u64,
    /// All that a perfect model keeps.
    pub wanted: u64,
    /// Kept pairs in a language that the model does not read, right or wrong.
    pub unreadable: u64,
    /// The pairs in such languages that a perfect model keeps: what `wanted` leaves out.
    pub unreadable_wanted: u64,
    /// Kept pairs that are no candidates at all; they count as wrong.
    pub unknown: u64,
    /// `right` ÷ `kept`; 1 where nothing was kept.
    pub precision: f64,
    /// `right` ÷ `wanted`; 1 where nothing was wanted.
    pub recall: f64,
}

impl Truth {
    pub(crate) fn new(candidates: Vec<Candidate>) -> Self {
        Self { candidates }
    }

    /// Every candidate, those that rules drop included.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// How many candidates end in each outcome that no model has a say in.
    pub fn expected_counts(&self) -> OutcomeCounts {
        let mut counts = OutcomeCounts::default();
        self.candidates
            .iter()
            .filter(|candidate| candidate.is_certain())
            .for_each(|candidate| counts.add(candidate.wanted));
        counts
    }

    /// Compares the pairs of URL and text that a crawl kept with those that it should have kept.
    ///
    /// A pair that was kept twice is wrong the second time.
    pub fn score<U, T>(&self, kept: impl IntoIterator<Item = (U, T)>) -> Score
    where
        U: AsRef<str>,
        T: AsRef<str>,
    {
        let known = self.by_pair();
        let mut taken = HashSet::new();
        let mut tally = Tally::default();
        for (url, text) in kept {
            match known.get(&(url.as_ref(), text.as_ref())) {
                None => tally.unknown += 1,
                Some(candidate) if !candidate.is_readable() => tally.unreadable += 1,
                Some(candidate) if !taken.insert((&candidate.url, &candidate.text)) => {
                    tally.wrong += 1
                }
                Some(candidate) if candidate.wanted == Outcome::Kept => tally.right += 1,
                Some(_) => tally.wrong += 1,
            }
        }
        tally.score(self.wanted(true), self.wanted(false))
    }

    /// The first candidate of each pair: what comes after it is a duplicate.
    fn by_pair(&self) -> HashMap<(&str, &str), &Candidate> {
        let mut pairs = HashMap::new();
        for candidate in &self.candidates {
            pairs
                .entry((candidate.url.as_str(), candidate.text.as_str()))
                .or_insert(candidate);
        }
        pairs
    }

    /// How many pairs a perfect model keeps of those that the demo's model can read, or cannot.
    fn wanted(&self, readable: bool) -> u64 {
        self.candidates
            .iter()
            .filter(|candidate| candidate.is_readable() == readable)
            .filter(|candidate| candidate.wanted == Outcome::Kept)
            .count() as u64
    }
}

#[derive(Default)]
struct Tally {
    right: u64,
    wrong: u64,
    unknown: u64,
    unreadable: u64,
}

impl Tally {
    fn score(self, wanted: u64, unreadable_wanted: u64) -> Score {
        let kept = self.right + self.wrong + self.unknown;
        let share = |whole: u64| match whole {
            0 => 1.0,
            whole => self.right as f64 / whole as f64,
        };
        Score {
            kept,
            right: self.right,
            wanted,
            unreadable: self.unreadable,
            unreadable_wanted,
            unknown: self.unknown,
            precision: share(kept),
            recall: share(wanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(url: &str, language: &str, wanted: Outcome) -> Candidate {
        Candidate {
            wat: 0,
            page_url: "http://harbour.test/".to_owned(),
            licence: None,
            url: url.to_owned(),
            text: "a red ring".to_owned(),
            language: language.to_owned(),
            matches: wanted == Outcome::Kept,
            wanted,
        }
    }

    fn truth() -> Truth {
        Truth::new(vec![
            candidate("a", "en", Outcome::Kept),
            candidate("a", "en", Outcome::Duplicate),
            candidate("b", "en", Outcome::Kept),
            candidate("c", "en", Outcome::LowSimilarity),
            candidate("d", "en", Outcome::HttpStatus),
            candidate("e", "de", Outcome::Kept),
        ])
    }

    fn score(kept: &[&str]) -> Score {
        truth().score(kept.iter().map(|url| (url, "a red ring")))
    }

    #[test]
    fn a_perfect_crawl_scores_one() {
        let score = score(&["b", "a"]);
        assert_eq!((score.kept, score.right, score.wanted), (2, 2, 2));
        assert_eq!((score.precision, score.recall), (1.0, 1.0));
    }

    #[test]
    fn what_should_not_be_kept_costs_precision() {
        for wrong in ["a", "c", "d", "elsewhere"] {
            let score = score(&["a", wrong]);
            assert_eq!((score.precision, score.recall), (0.5, 0.5), "{wrong}");
        }
        assert_eq!(score(&["elsewhere"]).unknown, 1);
    }

    #[test]
    fn what_the_model_cannot_read_costs_nothing() {
        let score = score(&["a", "b", "e"]);
        assert_eq!((score.precision, score.recall), (1.0, 1.0));
        assert_eq!((score.kept, score.unreadable), (2, 1));
        assert_eq!(score.unreadable_wanted, 1);
    }

    #[test]
    fn nothing_kept_is_precise_and_forgetful() {
        let score = score(&[]);
        assert_eq!((score.precision, score.recall), (1.0, 0.0));
    }

    #[test]
    fn only_what_no_model_decides_is_expected_exactly() {
        let counts = truth().expected_counts();
        assert_eq!(counts.candidates(), 2);
        assert_eq!(counts.get(Outcome::Duplicate), 1);
        assert_eq!(counts.get(Outcome::HttpStatus), 1);
    }
}
