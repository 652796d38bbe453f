use std::sync::Arc;

use cah_dataset::{DatasetError, HandedOver, Store};
use cah_protocol::Shard;
use cah_task::blocking;
use crawlingathome::{ClientError, DownloadOptions, Gpu, Lease};

use super::{Job, Work};
use crate::{
    GpuPipeline, ShardReport, WorkerError,
    pipeline::Settings,
    state::{Identity, JobFolder},
    unpack::{self, Unpacked, within},
};

const FILES: &str = "files";
const EXTRACTED: &str = "extracted.json";

/// Takes images, which CPU workers handed over, to pairs.
#[derive(Clone, Copy)]
pub struct GpuWork<'a> {
    /// Does it.
    pub pipeline: &'a GpuPipeline,
    /// The dataset.
    pub store: &'a Store,
    /// How what was handed over is downloaded.
    pub download: &'a DownloadOptions,
}

impl Work for GpuWork<'_> {
    type Kind = Gpu;

    async fn make(&self, job: &Job<'_, Gpu>) -> Result<ShardReport, WorkerError> {
        let identity = Identity {
            tracker: job.client.url().to_owned(),
            shard: job.shard.clone(),
            settings: Settings::new(),
        };
        let desk = job.desk.clone();
        let folder = blocking(move || desk.job(&identity)).await?;
        let most = self.pipeline.max_image_bytes();
        if !is_extracted(&folder, job.shard, most).await? {
            self.download(job, &folder).await?;
        }
        self.pairs(job, &folder).await
    }

    async fn complete(lease: &Lease<Gpu>, report: &ShardReport) -> Result<(), ClientError> {
        super::complete_pairs(lease, report).await
    }

    async fn refuse(lease: &Lease<Gpu>, error: &WorkerError) -> Result<(), ClientError> {
        match error {
            WorkerError::Dataset(DatasetError::BadHandOver { .. }) => lease.flag_invalid().await,
            WorkerError::Download(error) if error.is_of_the_url() => lease.flag_invalid().await,
            other => lease.fail(&other.to_string()).await,
        }
    }
}

impl GpuWork<'_> {
    async fn download(&self, job: &Job<'_, Gpu>, folder: &JobFolder) -> Result<(), WorkerError> {
        let files = folder.path.join(FILES);
        let (before, it) = (folder.clone(), files.clone());
        blocking(move || {
            before.write(EXTRACTED, &false)?;
            crate::state::remove(&it);
            Ok::<_, WorkerError>(())
        })
        .await?;
        let download = job.client.download_shard(job.shard, &files, self.download);
        download.await?;
        let folder = folder.clone();
        blocking(move || folder.write(EXTRACTED, &true)).await
    }

    async fn pairs(
        &self,
        job: &Job<'_, Gpu>,
        folder: &JobFolder,
    ) -> Result<ShardReport, WorkerError> {
        let (files, shard) = (folder.path.join(FILES), job.shard.clone());
        let handed_over = blocking(move || HandedOver::open(&files, &shard)).await?;
        let about = handed_over.about().clone();
        let ours = self.pipeline.settings();
        if let Some(name) = about.settings.keys().find(|name| ours.contains_key(*name)) {
            return Err(WorkerError::Dataset(DatasetError::BadHandOver {
                number: job.shard.number,
                why: format!("a CPU worker does not decide over `{name}`"),
            }));
        }
        let most = self.pipeline.max_image_bytes();
        let images = Unpacked {
            handed_over: Arc::new(handed_over),
            most,
            memory: self.pipeline.memory(),
            waiting: 2 * self.pipeline.width(),
            progress: job.progress,
        };
        let settings = within(most, about.settings);
        let (pipeline, store) = (self.pipeline, self.store);
        pipeline
            .complete(&about.shard, &settings, &images, store, job.progress)
            .await
    }
}

/// Whether a worker that was killed has left the hand-over here. What is wrong with it may be the
/// crash's doing, so all of it is looked at.
async fn is_extracted(folder: &JobFolder, shard: &Shard, most: u64) -> Result<bool, WorkerError> {
    if folder.read(EXTRACTED) != Some(true) {
        return Ok(false);
    }
    let (files, shard) = (folder.path.join(FILES), shard.clone());
    let looked_at = blocking(move || {
        let handed_over = HandedOver::open(&files, &shard)?;
        for row in handed_over.rows()? {
            unpack::image(&handed_over, &row?, most)?;
        }
        Ok(())
    });
    match looked_at.await {
        Err(error @ DatasetError::BadHandOver { .. }) => {
            tracing::warn!("{error}; downloading it again");
            Ok(false)
        }
        looked_at => Ok(looked_at.map(|()| true)?),
    }
}
