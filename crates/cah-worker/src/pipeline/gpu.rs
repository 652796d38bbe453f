//! A GPU worker's half of the way: images → embeddings → pairs → files.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cah_clip::{ImageMode, Limits, Model, SafetyTagger};
use cah_dataset::{DatasetError, Manifest, ShardInfo, ShardWriter, Store, Tally};
use cah_protocol::Shard;
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    CHANNEL, Fetched, Made, Memory, PROGRAM, PipelineConfig, Settings, ShardReport, Steps, all,
    crawl_of,
    embed::{Embedder, Judge},
    settings,
};
use crate::{Progress, WorkerError, pool::CpuPool};

/// How often a shard is done in vain because another worker overtakes this one.
const OVERTAKEN: u32 = 3;

/// How often it is looked whether the other worker is done with its manifest.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where the images of a shard come from.
pub(crate) trait Images: Sync {
    /// Begins to bring them, in the order of the candidates, by steps of their own.
    fn bring(
        &self,
        steps: &mut Steps,
    ) -> impl Future<Output = Result<mpsc::Receiver<Fetched>, WorkerError>> + Send;
}

/// Turns images into datasets. Built once, used for any number of shards at the same time, which
/// share the batches of the model.
#[derive(Clone)]
pub struct GpuPipeline {
    parts: Arc<GpuParts>,
}

/// What the steps work with; the same for every shard.
pub(super) struct GpuParts {
    pub(super) limits: Limits,
    pub(super) images: ImageMode,
    pub(super) judge: Arc<Judge>,
    pub(super) embedder: Embedder,
    pub(super) batch: usize,
    pub(super) pool: CpuPool,
    pub(super) memory: Memory,
    max_image_bytes: u64,
    settings: Settings,
    rival_patience: Duration,
}

/// The shard that is worked on, as the steps see it.
#[derive(Clone)]
pub(crate) struct GpuRun {
    pub(super) parts: Arc<GpuParts>,
    pub(super) progress: Progress,
}

impl GpuPipeline {
    /// Sets the steps up; needs a runtime, which has to outlive them. Of the settings, those count
    /// that say what becomes of images.
    pub fn new(config: &PipelineConfig, model: Model) -> Result<Self, WorkerError> {
        let safety = match &config.safety {
            Some(list) => list.clone(),
            None => model.safety_list(),
        };
        let threshold = config
            .similarity_threshold
            .unwrap_or(model.similarity_threshold());
        let pool = CpuPool::new(config.threads).map_err(WorkerError::Threads)?;
        let batch = config.batch.max(1);
        let judge = Arc::new(Judge {
            tagger: SafetyTagger::new(&model, &safety).map_err(Arc::new)?,
            model,
            threshold,
            unsafe_images: config.unsafe_images,
        });
        Ok(Self {
            parts: Arc::new(GpuParts {
                settings: settings::of_pairs(config, threshold, &safety),
                embedder: Embedder::start(judge.clone(), pool.clone(), batch),
                judge,
                limits: config.limits,
                images: config.images,
                batch,
                pool,
                memory: Memory::new(batch),
                max_image_bytes: config.fetch.max_bytes as u64,
                rival_patience: config.rival_patience,
            }),
        })
    }

    /// The least cosine of image and caption that makes a pair.
    pub fn similarity_threshold(&self) -> f32 {
        self.parts.judge.threshold
    }

    /// What decides which images become pairs.
    pub(crate) fn settings(&self) -> &Settings {
        &self.parts.settings
    }

    /// How many images are decoded at a time.
    pub(crate) fn width(&self) -> usize {
        self.parts.pool.width()
    }

    /// The longest image that is taken, in bytes.
    pub(crate) fn max_image_bytes(&self) -> u64 {
        self.parts.max_image_bytes
    }

    /// What images take their bytes of while they are worked on.
    pub(crate) fn memory(&self) -> &Memory {
        &self.parts.memory
    }

    /// Makes pairs of a shard's images, which these settings brought about, and writes them to
    /// `store`; a shard that is complete there already is only reported.
    pub(crate) async fn complete(
        &self,
        shard: &Shard,
        settings: &Settings,
        images: &impl Images,
        store: &Store,
        progress: &Progress,
    ) -> Result<ShardReport, WorkerError> {
        let start = Instant::now();
        let info = self.info(shard, settings);
        let report = |manifest: Manifest, was_there| ShardReport {
            number: manifest.number,
            made: Made::Pairs(manifest.into()),
            was_there,
            progress: progress.clone(),
            elapsed: start.elapsed(),
        };
        let mut overtaken = 0;
        loop {
            if let Some(manifest) = store.completed(&info).await? {
                return Ok(report(manifest, true));
            }
            match self.make(&info, images, store, progress).await {
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
        info: &ShardInfo,
        images: &impl Images,
        store: &Store,
        progress: &Progress,
    ) -> Result<Manifest, WorkerError> {
        let mut steps = JoinSet::new();
        let images = images.bring(&mut steps).await?;
        let writer = ShardWriter::create(store, info.clone()).await?;
        let run = GpuRun {
            parts: self.parts.clone(),
            progress: progress.clone(),
        };
        let writer = run.through_the_steps(steps, images, writer).await?;
        let tally = Tally {
            candidates: progress.candidates(),
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
    fn info(&self, shard: &Shard, settings: &Settings) -> ShardInfo {
        let parts = &self.parts;
        let model = &parts.judge.model;
        let both = settings.iter().chain(&parts.settings);
        ShardInfo {
            shard: shard.clone(),
            crawl: crawl_of(&shard.url).to_owned(),
            model: cah_dataset::Model {
                name: model.name().to_owned(),
                digest: model.digest().to_owned(),
            },
            dim: model.dimension(),
            images: (parts.images != ImageMode::Nothing).then(|| parts.images.to_string()),
            thresholds: both.map(|(name, it)| (name.clone(), it.clone())).collect(),
            program: PROGRAM.to_owned(),
        }
    }
}

impl GpuRun {
    async fn through_the_steps(
        &self,
        mut steps: Steps,
        images: mpsc::Receiver<Fetched>,
        writer: ShardWriter,
    ) -> Result<ShardWriter, WorkerError> {
        let (to_embed, samples) = mpsc::channel(self.parts.batch);
        let (to_write, pairs) = mpsc::channel(CHANNEL);
        steps.spawn(self.clone().decode(images, to_embed));
        steps.spawn(self.clone().embed(samples, to_write));
        let written = self.clone().write(pairs, writer);
        let (writer, ()) = futures::try_join!(written, all(&mut steps))?;
        Ok(writer)
    }
}
