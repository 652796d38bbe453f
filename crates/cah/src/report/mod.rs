//! What a run did: finished shards added up, as a table, for people and for scripts.

mod json;
mod opening;
mod table;

use std::{
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use cah_protocol::{Outcome, OutcomeCounts, Shard};
use cah_worker::{Made, Observer, Progress, ShardReport, Step, StepWork};

use crate::display::Display;
pub(crate) use json::JsonFile;
pub(crate) use table::Table;

/// Adds finished shards up while a display shows them.
pub(crate) struct Report {
    display: Display,
    start: Instant,
    sums: Mutex<Sums>,
}

/// All shards, and apart from them what this run had no part in: its seconds say nothing about
/// that.
#[derive(Default)]
struct Sums {
    outcomes: OutcomeCounts,
    steps: [StepWork; Step::ALL.len()],
    shards: Vec<u64>,
    there_already: Share,
    images: Option<String>,
    /// Images that were handed over, by workers that do so.
    handed_over: Option<u64>,
}

/// Some of the shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Share {
    pub(crate) shards: u64,
    pub(crate) pairs: u64,
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
        self.sums().table(self.start.elapsed())
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

    fn left(&self, shard: &Shard) {
        self.display.left(shard);
    }

    fn finished(&self, report: &ShardReport) {
        self.sums().add(report);
        self.display.finished(report);
    }
}

impl Sums {
    fn add(&mut self, report: &ShardReport) {
        self.shards.push(report.number);
        match &report.made {
            Made::Pairs(manifest) => {
                self.outcomes += &manifest.outcomes;
                self.images.clone_from(&manifest.images);
                if report.was_there {
                    self.there_already.shards += 1;
                    self.there_already.pairs += manifest.pairs;
                }
            }
            Made::Images(handed_on) => {
                self.outcomes += &handed_on.outcomes;
                *self.handed_over.get_or_insert_default() += handed_on.images;
            }
        }
        for step in Step::ALL {
            let work = report.progress.work(step);
            let sum = &mut self.steps[step as usize];
            sum.items += work.items;
            sum.busy += work.busy;
        }
    }

    fn table(&self, elapsed: std::time::Duration) -> Table {
        let pairs = self.outcomes.get(Outcome::Kept);
        let made_now = self.handed_over.unwrap_or(pairs - self.there_already.pairs);
        let row = |step: Step| table::StepRow::new(self.steps[step as usize], made_now);
        Table {
            candidates: self.outcomes.candidates() + self.handed_over.unwrap_or_default(),
            outcomes: self.outcomes.clone(),
            pairs,
            precision: None,
            recall: None,
            other_languages: None,
            seconds: table::round(elapsed),
            steps: Step::ALL.map(|step| (step.name(), row(step))).into(),
            shards: self.shards.len() as u64,
            there_already: self.there_already,
            expected: None,
            images: self.images.clone(),
            handed_over: self.handed_over,
        }
    }
}
