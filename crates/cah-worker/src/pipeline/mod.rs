//! The way of one shard: WAT bytes → candidates → images → embeddings → pairs → files.
//!
//! Each step is a task; bounded channels lie between them, so that a slow step slows the ones
//! before it and memory stays flat whatever the length of the WAT. From the fetch on everything
//! goes in the order of the candidates: batches, rows and files are the same for the same shard,
//! whatever the number of threads and the order in which servers answer.

mod cpu;
mod decode;
mod embed;
mod extract;
mod fetch;
mod gpu;
mod memory;
mod room;
mod settings;
mod write;

use cah_task::finished;
pub use cpu::CpuPipeline;
use cpu::CpuRun;
pub use gpu::GpuPipeline;
use gpu::GpuRun;
pub(crate) use {
    extract::{Candidate, Numbered, rejected},
    fetch::Fetched,
    gpu::Images,
    memory::{Memory, Share},
    settings::{MAX_IMAGE_BYTES, Settings},
};

use std::time::Duration;

use cah_clip::{ImageMode, Limits, Model, SafetyList};
use cah_dataset::{Manifest, Store};
use cah_fetch::Guard;
use cah_protocol::{OutcomeCounts, Shard};
use cah_wat::Rules;
use tokio::{sync::mpsc, task::JoinSet};

use crate::{Progress, Source, WorkerError};

/// What makes datasets here, for those who read them.
pub(crate) const PROGRAM: &str = concat!("cah ", env!("CARGO_PKG_VERSION"));

/// Rows that wait between two steps. Large enough to bridge hiccups, small enough to forget.
const CHANNEL: usize = 64;

/// What becomes of pairs whose image the model takes for unsafe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnsafePolicy {
    /// They end as [`Outcome::Unsafe`](cah_protocol::Outcome::Unsafe) and are not stored.
    #[default]
    Drop,
    /// They are kept with the tag `NSFW`, as in LAION-400M.
    Tag,
}

/// How shards are worked on.
#[derive(Clone, Debug)]
pub struct PipelineConfig {
    /// Which links become candidates.
    pub rules: Rules,
    /// How images are downloaded.
    pub fetch: cah_fetch::Config,
    /// Which images are decoded.
    pub limits: Limits,
    /// How images are stored.
    pub images: ImageMode,
    /// The least cosine of image and caption; the model's own threshold where `None`.
    pub similarity_threshold: Option<f32>,
    /// What becomes of unsafe images.
    pub unsafe_images: UnsafePolicy,
    /// The categories of the safety tag; the model's own, else the built-in ones, where `None`.
    pub safety: Option<SafetyList>,
    /// Images and captions that the model takes at a time.
    pub batch: usize,
    /// Threads for decoding and embedding.
    pub threads: usize,
    /// How long a worker whose files were replaced by another one's, just while it finished the
    /// shard, waits for the other's manifest before it does the shard again.
    pub rival_patience: Duration,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            fetch: cah_fetch::Config::default(),
            limits: Limits::default(),
            images: ImageMode::default(),
            similarity_threshold: None,
            unsafe_images: UnsafePolicy::default(),
            safety: None,
            batch: 32,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            rival_patience: Duration::from_secs(30),
        }
    }
}

/// A shard that is done, as far as this worker does it.
#[derive(Clone, Debug)]
pub struct ShardReport {
    /// The shard's number.
    pub number: u64,
    /// What came of it.
    pub made: Made,
    /// Whether it was there already, from an earlier run.
    pub was_there: bool,
    /// What each step did.
    pub progress: Progress,
    /// How long the shard took.
    pub elapsed: Duration,
}

/// What a worker makes of a shard.
#[derive(Clone, Debug)]
pub enum Made {
    /// Pairs in a dataset; the outcomes add up to the candidates.
    Pairs(Box<Manifest>),
    /// Images for a GPU worker.
    Images(HandedOn),
}

/// What a CPU worker handed on.
#[derive(Clone, Debug)]
pub struct HandedOn {
    /// Where it is.
    pub url: String,
    /// Candidates that the shard had.
    pub candidates: u64,
    /// Those of them that have an image.
    pub images: u64,
    /// Where the others ended.
    pub outcomes: OutcomeCounts,
}

impl ShardReport {
    /// The manifest of a shard whose pairs were written.
    pub fn manifest(&self) -> Option<&Manifest> {
        match &self.made {
            Made::Pairs(manifest) => Some(manifest),
            Made::Images(_) => None,
        }
    }
}

/// Turns shards into datasets: a CPU worker's half joined to a GPU worker's. Built once, used for
/// one shard after the other.
#[derive(Clone)]
pub struct Pipeline {
    cpu: CpuPipeline,
    gpu: GpuPipeline,
}

impl Pipeline {
    /// Sets the steps up; needs a runtime, which has to outlive them.
    pub fn new(config: PipelineConfig, model: Model) -> Result<Self, WorkerError> {
        Ok(Self {
            cpu: CpuPipeline::new(&config)?,
            gpu: GpuPipeline::new(&config, model)?,
        })
    }

    /// The least cosine of image and caption that makes a pair.
    pub fn similarity_threshold(&self) -> f32 {
        self.gpu.similarity_threshold()
    }

    /// Works a shard through that a tracker leased, and writes it to `store`; a shard that is
    /// complete there already is only reported. When this future is dropped, everything of the
    /// shard stops and nothing of it stays.
    ///
    /// The WAT file is read from where the tracker says, but only by http, https and s3, and by
    /// http(s) only from addresses that the images may come from as well.
    pub async fn run(
        &self,
        shard: &Shard,
        store: &Store,
        progress: &Progress,
    ) -> Result<ShardReport, WorkerError> {
        self.run_within(Some(self.cpu.guard()), shard, store, progress)
            .await
    }

    /// As [`Pipeline::run`], for a WAT file that this machine's user chose: it may lie anywhere.
    pub async fn run_own(
        &self,
        shard: &Shard,
        store: &Store,
        progress: &Progress,
    ) -> Result<ShardReport, WorkerError> {
        self.run_within(None, shard, store, progress).await
    }

    async fn run_within(
        &self,
        guard: Option<&Guard>,
        shard: &Shard,
        store: &Store,
        progress: &Progress,
    ) -> Result<ShardReport, WorkerError> {
        let images = Found {
            run: self.cpu.run(progress),
            guard,
            shard,
        };
        let settings = self.cpu.settings();
        self.gpu
            .complete(shard, settings, &images, store, progress)
            .await
    }
}

/// The images of a shard that is worked through from its WAT file on.
struct Found<'a> {
    run: CpuRun,
    guard: Option<&'a Guard>,
    shard: &'a Shard,
}

impl Images for Found<'_> {
    async fn bring(&self, steps: &mut Steps) -> Result<mpsc::Receiver<Fetched>, WorkerError> {
        let source = Source::open_within(&self.shard.url, self.guard).await?;
        let (to_fetch, candidates) = mpsc::channel(CHANNEL);
        let (to_decode, images) = mpsc::channel(CHANNEL);
        let extract = self.run.clone().extract(self.shard.piece, source, to_fetch);
        steps.spawn(extract);
        steps.spawn(self.run.clone().fetch(candidates, to_decode));
        Ok(images)
    }
}

/// The steps of a shard that are under way. Dropping them, because one failed or the shard was
/// given up, ends every one.
pub(crate) type Steps = JoinSet<Result<(), WorkerError>>;

/// Waits until all steps have ended.
async fn all(steps: &mut Steps) -> Result<(), WorkerError> {
    while let Some(step) = steps.join_next().await {
        finished(step).await?;
    }
    Ok(())
}

/// What comes through a channel, as a stream.
fn receive<T>(mut channel: mpsc::Receiver<T>) -> impl futures::Stream<Item = T> + Send
where
    T: Send,
{
    futures::stream::poll_fn(move |context| channel.poll_recv(context))
}

/// Hands an item to the next step. `false` where that step has ended: then its error is what
/// counts, and this step just ends too.
pub(crate) async fn hand_over<T>(next: &mpsc::Sender<T>, item: T) -> bool {
    next.send(item).await.is_ok()
}

/// The name of the crawl in a WAT's location, such as `CC-MAIN-2024-22`.
fn crawl_of(location: &str) -> &str {
    location
        .split('/')
        .find(|part| is_crawl(part))
        .unwrap_or_default()
}

/// Whether this is `CC-<WORD>-<year>-<week>`.
fn is_crawl(name: &str) -> bool {
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase());
    match name.split('-').collect::<Vec<_>>()[..] {
        ["CC", kind, year, week] => word(kind) && digits(year, 4) && digits(week, 2),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crawl_stands_in_the_location() {
        let url = "https://data.commoncrawl.org/crawl-data/CC-MAIN-2024-22/segments/1/wat/CC-MAIN-20240517233122-20240518023122-00000.warc.wat.gz";
        assert_eq!(crawl_of(url), "CC-MAIN-2024-22");
        let mini = "http://127.0.0.1:8000/crawl-data/CC-MINI-2026-48/wat/CC-MINI-20261123040000-20261123070000-00000.warc.wat.gz";
        assert_eq!(crawl_of(mini), "CC-MINI-2026-48");
        for other in [
            "/tmp/a.wat",
            "x/CC-MAIN-2024-XX/y",
            "x/CC--2024-22/y",
            "x/CC-2024-22/y",
        ] {
            assert_eq!(crawl_of(other), "", "{other}");
        }
    }
}
