//! What a pipeline tells about the shard that it works on.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use cah_protocol::{Outcome, OutcomeCounts};

/// The steps of the pipeline whose time is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// WAT bytes to candidates.
    Extract,
    /// URLs to bytes.
    Fetch,
    /// Bytes to pixels to what the model sees.
    Decode,
    /// Pixels and captions to embeddings and similarity.
    Embed,
    /// Pairs to files.
    Write,
}

impl Step {
    /// Every step, in the order of the data's way.
    pub const ALL: [Step; 5] = [
        Step::Extract,
        Step::Fetch,
        Step::Decode,
        Step::Embed,
        Step::Write,
    ];

    /// The name in tables and manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Step::Extract => "extract",
            Step::Fetch => "fetch",
            Step::Decode => "decode",
            Step::Embed => "embed",
            Step::Write => "write",
        }
    }
}

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepWork {
    /// Items that went through, whatever came out.
    pub items: u64,
    /// The time in which at least one item was in the step. Steps overlap, so the times of all
    /// steps add up to more than the time that passed.
    pub busy: Duration,
}

/// Live counters of one shard, cheap to update and to read from any thread. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    outcomes: Mutex<OutcomeCounts>,
    steps: [Mutex<StepCounter>; Step::ALL.len()],
    wat_read: AtomicU64,
    wat_length: AtomicU64,
    taken_over: AtomicU64,
    images: AtomicU64,
    kept_images: AtomicU64,
}

#[derive(Debug, Default)]
struct StepCounter {
    work: StepWork,
    inside: u64,
    since: Option<Instant>,
}

impl Progress {
    /// Counts one more candidate that ended.
    pub(crate) fn end(&self, outcome: Outcome) {
        lock(&self.counters.outcomes).add(outcome);
    }

    /// Marks that work on `items` begins in a step; it ends when the guard is dropped.
    pub(crate) fn enter(&self, step: Step, items: u64) -> InStep {
        let mut counter = self.step(step);
        counter.inside += 1;
        counter.since.get_or_insert_with(Instant::now);
        drop(counter);
        InStep {
            progress: self.clone(),
            step,
            items,
        }
    }

    /// Counts `items` that went through a step; their time is counted elsewhere.
    pub(crate) fn count(&self, step: Step, items: u64) {
        self.step(step).work.items += items;
    }

    /// Forgets what was counted: the shard is done again. Nothing of it may be in any step.
    pub(crate) fn start_over(&self) {
        *lock(&self.counters.outcomes) = OutcomeCounts::default();
        for step in Step::ALL {
            self.step(step).work = StepWork::default();
        }
        self.counters.wat_read.store(0, Relaxed);
        self.counters.kept_images.store(0, Relaxed);
    }

    /// Begins with what another worker handed over: so many candidates, some of which have ended,
    /// and the images of the others.
    pub(crate) fn take_over(&self, candidates: u64, ended: &OutcomeCounts) {
        *lock(&self.counters.outcomes) = ended.clone();
        self.counters.taken_over.store(candidates, Relaxed);
        let images = candidates.saturating_sub(ended.candidates());
        self.counters.images.store(images, Relaxed);
    }

    /// Counts an image that is kept for another worker.
    pub(crate) fn keep_image(&self) {
        self.counters.kept_images.fetch_add(1, Relaxed);
    }

    /// Images that are kept for another worker.
    pub(crate) fn kept_images(&self) -> u64 {
        self.counters.kept_images.load(Relaxed)
    }

    /// The candidates that the shard had so far.
    pub(crate) fn candidates(&self) -> u64 {
        self.work(Step::Extract).items + self.counters.taken_over.load(Relaxed)
    }

    /// Tells how many bytes of the WAT file the shard has to read.
    pub(crate) fn wat_opened(&self, length: u64) {
        self.counters.wat_length.store(length, Relaxed);
    }

    /// Counts bytes of the WAT file that were read.
    pub(crate) fn wat_read(&self, bytes: usize) {
        self.counters.wat_read.fetch_add(bytes as u64, Relaxed);
    }

    /// Bytes of the shard's part of the WAT file: read, and altogether (0 before it is opened).
    pub fn wat_position(&self) -> (u64, u64) {
        let length = self.counters.wat_length.load(Relaxed);
        (self.counters.wat_read.load(Relaxed).min(length), length)
    }

    /// The candidates that ended so far, by outcome.
    pub fn outcomes(&self) -> OutcomeCounts {
        lock(&self.counters.outcomes).clone()
    }

    /// What a step has done so far.
    pub fn work(&self, step: Step) -> StepWork {
        let counter = self.step(step);
        let running = counter.since.map(|since| since.elapsed());
        StepWork {
            items: counter.work.items,
            busy: counter.work.busy + running.unwrap_or_default(),
        }
    }

    /// Seconds by step, for the manifest.
    pub(crate) fn seconds(&self) -> BTreeMap<String, f64> {
        let seconds = |step: Step| self.work(step).busy.as_secs_f64();
        Step::ALL
            .iter()
            .map(|step| (step.name().to_owned(), seconds(*step)))
            .collect()
    }

    /// Images that were handed over for the shard: done, and altogether (0 where none were).
    pub fn images_position(&self) -> (u64, u64) {
        let images = self.counters.images.load(Relaxed);
        let (candidates, ended) = (self.candidates(), self.outcomes().candidates());
        let left = candidates.saturating_sub(ended);
        (images.saturating_sub(left), images)
    }

    /// What came of the candidates so far: `12 candidates done, 3 pairs`.
    pub fn yield_so_far(&self) -> String {
        let (outcomes, images) = (self.outcomes(), self.kept_images());
        let done = outcomes.candidates() + images;
        match images {
            0 => format!(
                "{done} candidates done, {} pairs",
                outcomes.get(Outcome::Kept)
            ),
            images => format!("{done} candidates done, {images} images"),
        }
    }

    /// One line for the dashboard.
    pub fn line(&self) -> String {
        let done = self.yield_so_far();
        let percent = |(part, whole): (u64, u64)| (part * 100).checked_div(whole);
        match percent(self.images_position()) {
            Some(percent) => format!("{percent}% of the images done, {done}"),
            None => {
                let percent = percent(self.wat_position()).unwrap_or_default();
                format!("{percent}% of the WAT read, {done}")
            }
        }
    }

    fn step(&self, step: Step) -> MutexGuard<'_, StepCounter> {
        lock(&self.counters.steps[step as usize])
    }
}

/// Work that is going on in a step.
#[derive(Debug)]
pub(crate) struct InStep {
    progress: Progress,
    step: Step,
    items: u64,
}

impl Drop for InStep {
    fn drop(&mut self) {
        let mut counter = self.progress.step(self.step);
        counter.work.items += self.items;
        counter.inside -= 1;
        if counter.inside == 0
            && let Some(since) = counter.since.take()
        {
            counter.work.busy += since.elapsed();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics while counting")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_busy_while_anything_is_in_it() {
        let progress = Progress::default();
        let first = progress.enter(Step::Fetch, 1);
        let second = progress.enter(Step::Fetch, 1);
        drop(first);
        assert!(progress.step(Step::Fetch).since.is_some());
        drop(second);
        assert!(progress.step(Step::Fetch).since.is_none());
        let work = progress.work(Step::Fetch);
        assert_eq!(work.items, 2);
        assert!(work.busy > Duration::ZERO);
        assert_eq!(progress.work(Step::Embed), StepWork::default());
    }

    #[test]
    fn what_is_counted_by_itself_takes_no_time() {
        let progress = Progress::default();
        let busy = progress.enter(Step::Extract, 0);
        progress.count(Step::Extract, 2);
        progress.count(Step::Extract, 1);
        assert_eq!(progress.step(Step::Extract).inside, 1);
        drop(busy);
        assert_eq!(progress.work(Step::Extract).items, 3);
        progress.end(Outcome::Kept);
        progress.wat_opened(10);
        progress.wat_read(10);
        progress.start_over();
        assert_eq!(progress.work(Step::Extract), StepWork::default());
        assert_eq!(progress.outcomes(), OutcomeCounts::default());
        assert_eq!(progress.wat_position(), (0, 10));
    }

    #[test]
    fn the_line_says_how_far_it_is() {
        let progress = Progress::default();
        assert!(progress.line().starts_with("0%"));
        progress.wat_opened(200);
        progress.wat_read(50);
        progress.end(Outcome::Kept);
        progress.end(Outcome::TimedOut);
        assert_eq!(
            progress.line(),
            "25% of the WAT read, 2 candidates done, 1 pairs"
        );
        progress.keep_image();
        assert_eq!(
            progress.line(),
            "25% of the WAT read, 3 candidates done, 1 images"
        );
    }

    #[test]
    fn what_was_handed_over_is_counted_by_its_images() {
        let progress = Progress::default();
        let mut ended = OutcomeCounts::default();
        ended.add(Outcome::TimedOut);
        progress.take_over(5, &ended);
        assert_eq!(
            (progress.candidates(), progress.images_position()),
            (5, (0, 4))
        );
        progress.end(Outcome::Kept);
        assert_eq!(
            progress.line(),
            "25% of the images done, 2 candidates done, 1 pairs"
        );
        progress.start_over();
        progress.take_over(5, &ended);
        assert_eq!(progress.images_position(), (0, 4));
    }
}
