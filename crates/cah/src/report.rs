//! The table at the end of a run.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::Path,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use cah_demo::Score;
use cah_protocol::{Outcome, OutcomeCounts, Phase, Shard};
use cah_worker::{Observer, Progress, ShardReport, Step, StepWork};
use serde::Serialize;

use crate::display::Display;

/// Adds finished shards up while a display shows them.
pub(crate) struct Report {
    display: Display,
    start: Instant,
    sums: Mutex<Sums>,
}

#[derive(Default)]
struct Sums {
    outcomes: OutcomeCounts,
    steps: [StepWork; Step::ALL.len()],
    shards: Vec<u64>,
}

impl Report {
    pub(crate) fn new(display: Display) -> Self {
        Self {
            display,
            start: Instant::now(),
            sums: Mutex::default(),
        }
    }

    /// What was done since the beginning.
    pub(crate) fn table(&self) -> Table {
        let sums = self.sums();
        let step = |step: Step| {
            let work = sums.steps[step as usize];
            let row = StepRow::new(work, sums.outcomes.get(Outcome::Kept));
            (step.name(), row)
        };
        Table {
            candidates: sums.outcomes.candidates(),
            outcomes: sums.outcomes.clone(),
            pairs: sums.outcomes.get(Outcome::Kept),
            precision: None,
            recall: None,
            seconds: round(self.start.elapsed()),
            steps: Step::ALL.map(step).into(),
            shards: sums.shards.len() as u64,
            expected: None,
        }
    }

    /// The numbers of the finished shards.
    pub(crate) fn shards(&self) -> Vec<u64> {
        self.sums().shards.clone()
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().expect("nobody panics while adding up")
    }
}

impl Observer for Report {
    fn started(&self, shard: &Shard, progress: &Progress) {
        self.display.started(shard, progress);
    }

    fn finished(&self, report: &ShardReport) {
        let mut sums = self.sums();
        sums.outcomes += &report.manifest.outcomes;
        sums.shards.push(report.manifest.number);
        for step in Step::ALL {
            let work = report.progress.work(step);
            let sum = &mut sums.steps[step as usize];
            sum.items += work.items;
            sum.busy += work.busy;
        }
        drop(sums);
        self.display.finished(report);
    }
}

/// The outcome of a run, for people ([`print`](Table::print)) and scripts
/// ([`write_json`](Table::write_json)).
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Table {
    pub(crate) candidates: u64,
    pub(crate) outcomes: OutcomeCounts,
    pub(crate) pairs: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) precision: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recall: Option<f64>,
    pub(crate) seconds: f64,
    pub(crate) steps: BTreeMap<&'static str, StepRow>,
    pub(crate) shards: u64,
    /// What the outcomes should be, where the truth is known; the model decides over the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expected: Option<OutcomeCounts>,
}

/// The work of one step: items that went in, the time in which it was busy, and the pairs of the
/// whole run by that time.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct StepRow {
    items: u64,
    seconds: f64,
    items_per_second: f64,
    pairs_per_second: f64,
}

impl StepRow {
    fn new(work: StepWork, pairs: u64) -> Self {
        let rate = |count: u64| {
            let seconds = work.busy.as_secs_f64();
            if seconds > 0.0 {
                (count as f64 / seconds * 10.0).round() / 10.0
            } else {
                0.0
            }
        };
        Self {
            items: work.items,
            seconds: round(work.busy),
            items_per_second: rate(work.items),
            pairs_per_second: rate(pairs),
        }
    }
}

impl Table {
    /// Adds what a run whose truth is known is worth.
    pub(crate) fn judged(mut self, score: &Score, expected: OutcomeCounts) -> Self {
        self.precision = Some(score.precision);
        self.recall = Some(score.recall);
        self.expected = Some(expected);
        self
    }

    /// Prints the table, and where the dataset lies.
    pub(crate) fn print(&self, out: &str) {
        print!("{}", self.text());
        if self.pairs > 0 {
            print!("{}", how_to_open(out));
        }
    }

    /// Writes the table as JSON, if a file is wanted.
    pub(crate) fn write_json(&self, path: Option<&Path>) -> Result<()> {
        let Some(path) = path else { return Ok(()) };
        let mut json = serde_json::to_string_pretty(self)?;
        json.push('\n');
        std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))
    }

    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text)?;
        writeln!(text, "{:<24}{:>10}", "candidates", self.candidates)?;
        for outcome in Outcome::ALL {
            let (count, expected) = (self.outcomes.get(*outcome), self.expected_of(*outcome));
            if count == 0 && expected.is_none_or(|expected| expected == 0) {
                continue;
            }
            write!(text, "  {:<22}{count:>10}", outcome.name())?;
            match expected {
                Some(expected) if expected != count => writeln!(text, "  expected {expected}")?,
                _ => writeln!(text)?,
            }
        }
        writeln!(text, "{:<24}{:>10}", "pairs", self.pairs)?;
        if let (Some(precision), Some(recall)) = (self.precision, self.recall) {
            writeln!(text, "{:<24}{precision:>10.3}", "precision")?;
            writeln!(text, "{:<24}{recall:>10.3}", "recall")?;
        }
        writeln!(text)?;
        writeln!(
            text,
            "{:<10}{:>10}{:>10}{:>10}{:>10}",
            "step", "items", "seconds", "items/s", "pairs/s"
        )?;
        for step in Step::ALL {
            let row = self.steps[step.name()];
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
        writeln!(
            text,
            "{:<20}{:>10.2}{:>20.1}",
            "altogether",
            self.seconds,
            self.pairs as f64 / self.seconds.max(0.001)
        )?;
        writeln!(text)
    }

    /// How often an outcome should occur, where that is no matter of the model.
    fn expected_of(&self, outcome: Outcome) -> Option<u64> {
        let by_model = matches!(outcome.phase(), Phase::Match | Phase::Kept);
        let expected = self.expected.as_ref().filter(|_| !by_model)?;
        Some(expected.get(outcome))
    }
}

fn round(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

fn how_to_open(out: &str) -> String {
    let out = out.trim_end_matches('/');
    format!(
        "The dataset is in {out}. Some ways to open it in Python:\n  \
         import pandas; pandas.read_parquet(\"{out}/metadata\")\n  \
         import glob, webdataset; webdataset.WebDataset(glob.glob(\"{out}/images/*.tar\"), \
         shardshuffle=False).decode(\"pil\").to_tuple(\"jpg\", \"txt\")\n"
    )
}
