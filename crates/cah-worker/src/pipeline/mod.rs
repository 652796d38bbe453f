//! The way of one shard: WAT bytes → candidates → images → embeddings → pairs → files.
//!
//! Each step is a task; bounded channels lie between them, so that a slow step slows the ones
//! before it and memory stays flat whatever the length of the WAT. From the fetch on everything
//! goes in the order of the candidates: batches, rows and files are the same for the same shard,
//! whatever the number of threads and the order in which servers answer.

mod decode;
mod embed;
mod extract;
mod fetch;
mod room;
mod settings;
mod write;

pub(crate) use extract::rejected;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use cah_clip::{ImageMode, Limits, Model, SafetyList, SafetyTagger};
use cah_dataset::{DatasetError, Manifest, ShardInfo, ShardWriter, Store, Tally};
use cah_fetch::{Fetcher, Guard};
use cah_protocol::{Piece, Shard};
use cah_wat::Rules;
use serde_json::Value;
use tokio::{sync::mpsc, task::JoinSet};

use crate::{Progress, Source, Step, WorkerError, pool::CpuPool};

/// Rows that wait between two steps. Large enough to bridge hiccups, small enough to forget.
const CHANNEL: usize = 64;

/// How often a shard is done in vain because another worker overtakes this one.
const OVERTAKEN: u32 = 3;

/// How often it is looked whether the other worker is done with its manifest.
const LOOK_EVERY: Duration = Duration::from_secs(1);

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

/// Turns shards into datasets. Built once, used for one shard after the other.
#[derive(Clone)]
pub struct Pipeline {
    parts: Arc<Parts>,
}

/// What the steps work with; the same for every shard.
struct Parts {
    rules: Rules,
    fetcher: Fetcher,
    guard: Guard,
    in_flight: usize,
    limits: Limits,
    images: ImageMode,
    model: Model,
    tagger: SafetyTagger,
    threshold: f32,
    unsafe_images: UnsafePolicy,
    batch: usize,
    pool: CpuPool,
    thresholds: BTreeMap<String, Value>,
    rival_patience: Duration,
}

/// A shard that is done.
#[derive(Clone, Debug)]
pub struct ShardReport {
    /// What was written; its outcomes add up to its candidates.
    pub manifest: Manifest,
    /// Whether the shard was there already, from an earlier run.
    pub was_there: bool,
    /// What each step did.
    pub progress: Progress,
    /// How long the shard took.
    pub elapsed: Duration,
}

/// The shard that is worked on, as the steps see it.
#[derive(Clone)]
struct Run {
    parts: Arc<Parts>,
    progress: Progress,
}

impl Pipeline {
    /// Sets the steps up.
    pub fn new(config: PipelineConfig, model: Model) -> Result<Self, WorkerError> {
        let safety = match &config.safety {
            Some(list) => list.clone(),
            None => model.safety_list(),
        };
        let threshold = config
            .similarity_threshold
            .unwrap_or(model.similarity_threshold());
        Ok(Self {
            parts: Arc::new(Parts {
                tagger: SafetyTagger::new(&model, &safety)?,
                thresholds: settings::thresholds(&config, threshold, &safety),
                threshold,
                rules: config.rules,
                in_flight: config.fetch.in_flight,
                guard: Guard::new(&config.fetch)?,
                fetcher: Fetcher::new(config.fetch)?,
                limits: config.limits,
                images: config.images,
                model,
                unsafe_images: config.unsafe_images,
                batch: config.batch.max(1),
                pool: CpuPool::new(config.threads).map_err(WorkerError::Threads)?,
                rival_patience: config.rival_patience,
            }),
        })
    }

    /// The least cosine of image and caption that makes a pair.
    pub fn similarity_threshold(&self) -> f32 {
        self.parts.threshold
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
        self.run_within(Some(&self.parts.guard), shard, store, progress)
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
        let start = Instant::now();
        let info = self.info(shard);
        let report = |manifest, was_there| ShardReport {
            manifest,
            was_there,
            progress: progress.clone(),
            elapsed: start.elapsed(),
        };
        let mut overtaken = 0;
        loop {
            if let Some(manifest) = store.completed(&info).await? {
                return Ok(report(manifest, true));
            }
            match self.make(guard, &info, store, progress).await {
                Err(WorkerError::Dataset(error @ DatasetError::Overtaken(_)))
                    if overtaken < OVERTAKEN =>
                {
                    tracing::warn!("{error}; waiting for its manifest");
                    overtaken += 1;
                    self.wait_for_rival(&info, store).await?;
                    progress.start_over();
                }
                made => return Ok(report(made?, false)),
            }
        }
    }

    async fn make(
        &self,
        guard: Option<&Guard>,
        info: &ShardInfo,
        store: &Store,
        progress: &Progress,
    ) -> Result<Manifest, WorkerError> {
        let source = Source::open_within(&info.shard.url, guard).await?;
        let writer = ShardWriter::create(store, info.clone()).await?;
        let run = Run {
            parts: self.parts.clone(),
            progress: progress.clone(),
        };
        let writer = run
            .through_the_steps(info.shard.piece, source, writer)
            .await?;
        let tally = Tally {
            candidates: progress.work(Step::Extract).items,
            outcomes: progress.outcomes(),
            seconds: progress.seconds(),
        };
        Ok(writer.finish(tally).await?)
    }

    /// Waits until the worker that replaced this one's files wrote their manifest. The rows are
    /// the same. It may have died before, so the wait has an end.
    async fn wait_for_rival(&self, info: &ShardInfo, store: &Store) -> Result<(), WorkerError> {
        let end = Instant::now() + self.parts.rival_patience;
        while store.completed(info).await?.is_none() && Instant::now() < end {
            tokio::time::sleep(LOOK_EVERY.min(self.parts.rival_patience)).await;
        }
        Ok(())
    }

    /// What decides over a shard's content, for its manifest.
    fn info(&self, shard: &Shard) -> ShardInfo {
        let parts = &self.parts;
        ShardInfo {
            shard: shard.clone(),
            crawl: crawl_of(&shard.url).to_owned(),
            model: cah_dataset::Model {
                name: parts.model.name().to_owned(),
                digest: parts.model.digest().to_owned(),
            },
            dim: parts.model.dimension(),
            images: (parts.images != ImageMode::Nothing).then(|| parts.images.to_string()),
            thresholds: parts.thresholds.clone(),
            program: concat!("cah ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl Run {
    async fn through_the_steps(
        &self,
        piece: Piece,
        source: Source,
        writer: ShardWriter,
    ) -> Result<ShardWriter, WorkerError> {
        let (to_fetch, candidates) = mpsc::channel(CHANNEL);
        let (to_decode, images) = mpsc::channel(CHANNEL);
        let (to_embed, samples) = mpsc::channel(self.parts.batch);
        let (to_write, pairs) = mpsc::channel(CHANNEL);
        // Dropping the set, because a step failed or the shard was given up, ends every step.
        let mut steps = JoinSet::new();
        steps.spawn(self.clone().extract(piece, source, to_fetch));
        steps.spawn(self.clone().fetch(candidates, to_decode));
        steps.spawn(self.clone().decode(images, to_embed));
        steps.spawn(self.clone().embed(samples, to_write));
        let written = self.clone().write(pairs, writer);
        let ended = async {
            while let Some(step) = steps.join_next().await {
                finished(step)?;
            }
            Ok(())
        };
        let (writer, ()) = futures::try_join!(written, ended)?;
        Ok(writer)
    }
}

/// The result of a task that nobody cancels; a panic in it continues here.
pub(crate) fn finished<T>(task: Result<T, tokio::task::JoinError>) -> T {
    task.unwrap_or_else(|failure| std::panic::resume_unwind(failure.into_panic()))
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
async fn hand_over<T>(next: &mpsc::Sender<T>, item: T) -> bool {
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
