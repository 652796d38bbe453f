use std::time::Instant;

use cah_dataset::HandOver;
use cah_task::blocking;
use crawlingathome::{ClientError, Cpu, Lease, UploadOptions};
use serde::{Deserialize, Serialize};

use super::{Job, Work};
use crate::{
    CpuPipeline, HandedOn, Made, ShardReport, WorkerError,
    gather::{Gathering, Packed, TAR},
    pipeline::PROGRAM,
    state::{Identity, JobFolder},
};

const PACKED: &str = "packed.json";
const UPLOADED: &str = "uploaded.json";

/// Takes shards from WAT to images, and hands these over.
#[derive(Clone, Copy)]
pub struct CpuWork<'a> {
    /// Does it.
    pub pipeline: &'a CpuPipeline,
    /// How the images are brought to where the tracker says.
    pub upload: &'a UploadOptions,
}

/// Where a hand-over has arrived.
#[derive(Serialize, Deserialize)]
struct Uploaded {
    url: String,
}

impl Work for CpuWork<'_> {
    type Kind = Cpu;

    async fn make(&self, job: &Job<'_, Cpu>) -> Result<ShardReport, WorkerError> {
        let start = Instant::now();
        let identity = Identity {
            tracker: job.client.url().to_owned(),
            shard: job.shard.clone(),
            settings: self.pipeline.settings().clone(),
        };
        let desk = job.desk.clone();
        let folder = blocking(move || desk.job(&identity)).await?;
        let packed = match folder.read(PACKED) {
            Some(packed) => packed,
            None => self.pack(job, &folder).await?,
        };
        let (url, was_there) = match folder.read(UPLOADED) {
            Some(Uploaded { url }) => (url, true),
            None => (self.upload(job, &folder).await?, false),
        };
        Ok(ShardReport {
            number: job.shard.number,
            made: Made::Images(HandedOn {
                url,
                candidates: packed.candidates,
                images: packed.images,
                outcomes: packed.outcomes,
            }),
            was_there,
            progress: job.progress.clone(),
            elapsed: start.elapsed(),
        })
    }

    async fn complete(lease: &Lease<Cpu>, report: &ShardReport) -> Result<(), ClientError> {
        match &report.made {
            Made::Images(handed_on) => lease.complete(&handed_on.url).await,
            Made::Pairs(_) => unreachable!("a CPU worker makes no pairs"),
        }
    }
}

impl CpuWork<'_> {
    async fn pack(&self, job: &Job<'_, Cpu>, folder: &JobFolder) -> Result<Packed, WorkerError> {
        let (path, number) = (folder.path.clone(), job.shard.number);
        let gathering = blocking(move || Gathering::open(&path, number)).await?;
        let gathered = self.pipeline.gather(job.shard, gathering, job.progress);
        let gathered = gathered.await?;
        let about = HandOver {
            shard: job.shard.clone(),
            settings: self.pipeline.settings().clone(),
            candidates: job.progress.candidates(),
            outcomes: job.progress.outcomes(),
            program: PROGRAM.to_owned(),
        };
        let folder = folder.clone();
        blocking(move || {
            let packed = gathered.finish(&about)?;
            folder.write(PACKED, &packed)?;
            Ok(packed)
        })
        .await
    }

    /// Brings the tar to where the tracker says, and remembers where it is then.
    async fn upload(&self, job: &Job<'_, Cpu>, folder: &JobFolder) -> Result<String, WorkerError> {
        let tar = folder.path.join(TAR);
        let url = job.client.upload_with(&tar, self.upload).await?;
        let (folder, uploaded) = (folder.clone(), Uploaded { url: url.clone() });
        blocking(move || folder.write(UPLOADED, &uploaded)).await?;
        Ok(url)
    }
}
