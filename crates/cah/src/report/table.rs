//! The table at the end of a run.

use std::{
    collections::BTreeMap,
    fmt::{Result as FmtResult, Write},
    time::Duration,
};

use anyhow::Result;
use cah_demo::Score;
use cah_protocol::{Outcome, OutcomeCounts, Phase};
use cah_worker::{Step, StepWork};
use serde::Serialize;

use super::{JsonFile, Share, opening};
use crate::display;

/// The outcome of a run, for people ([`print`](Table::print)) and scripts
/// ([`JsonFile::write`](super::JsonFile::write)).
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Table {
    pub(crate) candidates: u64,
    pub(crate) outcomes: OutcomeCounts,
    pub(crate) pairs: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) precision: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recall: Option<f64>,
    /// What precision and recall leave out: the demo's model reads English only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) other_languages: Option<LeftOut>,
    pub(crate) seconds: f64,
    pub(crate) steps: BTreeMap<&'static str, StepRow>,
    pub(crate) shards: u64,
    /// Those of the shards that earlier runs made. Rates leave them out.
    pub(crate) there_already: Share,
    /// What the outcomes should be, where the truth is known; the model decides over the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expected: Option<OutcomeCounts>,
    /// How images are stored, as the manifests say it; `None` where none is.
    pub(crate) images: Option<String>,
    /// Images that were handed over to GPU workers, by workers that do so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) handed_over: Option<u64>,
}

/// Pairs that were kept, and those that should have been.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct LeftOut {
    kept: u64,
    wanted: u64,
}

/// The work of one step: items that went in, the time in which it was busy, and the pairs of the
/// whole run by that time; the images that were handed over, where pairs are made by others.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct StepRow {
    items: u64,
    seconds: f64,
    items_per_second: f64,
    pairs_per_second: f64,
}

impl StepRow {
    pub(super) fn new(work: StepWork, made: u64) -> Self {
        let seconds = work.busy.as_secs_f64();
        Self {
            items: work.items,
            seconds: round(work.busy),
            items_per_second: rate(work.items, seconds),
            pairs_per_second: rate(made, seconds),
        }
    }
}

impl Table {
    /// Adds what a run whose truth is known is worth.
    pub(crate) fn judged(mut self, score: &Score, expected: OutcomeCounts) -> Self {
        self.precision = Some(score.precision);
        self.recall = Some(score.recall);
        self.other_languages = Some(LeftOut {
            kept: score.unreadable,
            wanted: score.unreadable_wanted,
        });
        self.expected = Some(expected);
        self
    }

    /// Writes the table as JSON, where that is wanted, and [prints](Self::print) it.
    pub(crate) fn deliver(&self, json: Option<JsonFile>, out: &str) -> Result<()> {
        if let Some(json) = json {
            json.write(self)?;
        }
        self.print(Some(out))
    }

    /// Prints the table, and where the dataset lies.
    pub(crate) fn print(&self, out: Option<&str>) -> Result<()> {
        let mut text = self.text();
        if let Some(out) = out.filter(|_| self.pairs > 0) {
            text += &opening::how_to_open(out, self.images.as_deref());
        }
        display::print(&text)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text)
            .expect("writing to a string cannot fail");
        text
    }

    fn write(&self, text: &mut String) -> FmtResult {
        writeln!(text)?;
        self.write_outcomes(text)?;
        self.write_pairs(text)?;
        self.write_shards(text)?;
        writeln!(text)?;
        self.write_steps(text)?;
        writeln!(text)
    }

    fn write_outcomes(&self, text: &mut String) -> FmtResult {
        line(text, "candidates", self.candidates, "")?;
        for outcome in Outcome::ALL {
            let (count, expected) = (self.outcomes.get(*outcome), self.expected_of(*outcome));
            if count == 0 && expected.is_none_or(|expected| expected == 0) {
                continue;
            }
            let note = match expected {
                Some(expected) if expected != count => format!("expected {expected}"),
                _ => String::new(),
            };
            line(text, &format!("  {outcome}"), count, &note)?;
        }
        Ok(())
    }

    fn write_pairs(&self, text: &mut String) -> FmtResult {
        if let Some(images) = self.handed_over {
            return line(text, "images handed over", images, "");
        }
        line(text, "pairs", self.pairs, "")?;
        for (name, value) in [("precision", self.precision), ("recall", self.recall)] {
            if let Some(value) = value {
                line(text, name, format!("{value:.3}"), "")?;
            }
        }
        if let Some(LeftOut { kept, wanted }) = self.other_languages {
            let note = format!("kept, {wanted} wanted; left out of precision and recall");
            line(text, "other languages", kept, &note)?;
        }
        Ok(())
    }

    fn write_shards(&self, text: &mut String) -> FmtResult {
        line(text, "shards", self.shards, "")?;
        match self.there_already.shards {
            0 => Ok(()),
            count => {
                let note = "left out of the rates below";
                line(text, "  there already", count, note)
            }
        }
    }

    fn write_steps(&self, text: &mut String) -> FmtResult {
        writeln!(
            text,
            "{:<10}{:>10}{:>10}{:>10}{:>10}",
            "step",
            "items",
            "seconds",
            "items/s",
            match self.handed_over {
                None => "pairs/s",
                Some(_) => "images/s",
            }
        )?;
        for step in Step::ALL {
            let row = self.steps[step.name()];
            // A step that workers of another type do.
            if row.items == 0 {
                continue;
            }
            writeln!(
                text,
                "{:<10}{:>10}{:>10.2}{:>10.1}{:>10.1}",
                step.name(),
                row.items,
                row.seconds,
                row.items_per_second,
                row.pairs_per_second
            )?;
        }
        let pairs_now = self.pairs - self.there_already.pairs;
        let made_now = self.handed_over.unwrap_or(pairs_now);
        writeln!(
            text,
            "{:<20}{:>10.2}{:>20.1}",
            "altogether",
            self.seconds,
            rate(made_now, self.seconds)
        )
    }

    /// How often an outcome should occur, where that is no matter of the model.
    fn expected_of(&self, outcome: Outcome) -> Option<u64> {
        let by_model = matches!(outcome.phase(), Phase::Match | Phase::Kept);
        let expected = self.expected.as_ref().filter(|_| !by_model)?;
        Some(expected.get(outcome))
    }
}

/// A name, its value, and what there is to say about it.
fn line(text: &mut String, name: &str, value: impl ToString, note: &str) -> FmtResult {
    let line = format!("{name:<24}{:>10}  {note}", value.to_string());
    writeln!(text, "{}", line.trim_end())
}

fn rate(count: u64, seconds: f64) -> f64 {
    match seconds > 0.0 {
        true => (count as f64 / seconds * 10.0).round() / 10.0,
        false => 0.0,
    }
}

pub(super) fn round(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::{super::Sums, *};

    fn sums(pairs: u64, there_already: Share) -> Sums {
        let mut outcomes = OutcomeCounts::default();
        (0..pairs).for_each(|_| outcomes.add(Outcome::Kept));
        (0..3).for_each(|_| outcomes.add(Outcome::TimedOut));
        Sums {
            outcomes,
            steps: [StepWork {
                items: 20,
                busy: Duration::from_secs(2),
            }; Step::ALL.len()],
            shards: vec![1, 2, 3],
            there_already,
            images: None,
            handed_over: None,
        }
    }

    #[test]
    fn rates_count_what_this_run_did() {
        let there_already = Share {
            shards: 2,
            pairs: 40,
        };
        let table = sums(50, there_already).table(Duration::from_secs(4));
        assert_eq!((table.pairs, table.shards), (50, 3));
        assert_eq!(table.steps["embed"].pairs_per_second, 5.0);
        insta::assert_snapshot!(table.text());
    }

    #[test]
    fn a_run_that_found_everything_has_no_rates() {
        let there_already = Share {
            shards: 3,
            pairs: 50,
        };
        let mut sums = sums(50, there_already);
        sums.steps = Default::default();
        let table = sums.table(Duration::from_secs(1));
        assert!(
            table
                .text()
                .contains("altogether                1.00                 0.0\n")
        );
        assert_eq!(table.steps["embed"].pairs_per_second, 0.0);
    }

    #[test]
    fn images_that_are_handed_over_stand_for_pairs() {
        let mut sums = sums(0, Share::default());
        sums.handed_over = Some(40);
        sums.steps[Step::Decode as usize] = StepWork::default();
        sums.steps[Step::Embed as usize] = StepWork::default();
        let table = sums.table(Duration::from_secs(4));
        assert_eq!(table.candidates, 43);
        insta::assert_snapshot!(table.text());
    }

    #[test]
    fn the_truth_stands_beside_what_was_found() {
        let score = Score {
            kept: 40,
            right: 38,
            wanted: 39,
            unreadable: 10,
            unreadable_wanted: 31,
            unknown: 0,
            precision: 0.95,
            recall: 0.974,
        };
        let mut expected = OutcomeCounts::default();
        (0..4).for_each(|_| expected.add(Outcome::TimedOut));
        let table = sums(50, Share::default()).table(Duration::from_secs(4));
        let table = table.judged(&score, expected);
        insta::assert_snapshot!(table.text());
        let json = serde_json::to_value(&table).unwrap();
        let left_out = serde_json::json!({"kept": 10, "wanted": 31});
        assert_eq!(json["other_languages"], left_out);
    }
}
