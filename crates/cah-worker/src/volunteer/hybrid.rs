use cah_dataset::Store;
use crawlingathome::{ClientError, Hybrid, Lease};

use super::{Job, Work};
use crate::{Pipeline, ShardReport, WorkerError};

/// Takes shards the whole way from WAT to pairs.
#[derive(Clone, Copy)]
pub struct HybridWork<'a> {
    /// Does it.
    pub pipeline: &'a Pipeline,
    /// The dataset.
    pub store: &'a Store,
}

impl Work for HybridWork<'_> {
    type Kind = Hybrid;

    async fn make(&self, job: &Job<'_, Hybrid>) -> Result<ShardReport, WorkerError> {
        self.pipeline.run(job.shard, self.store, job.progress).await
    }

    async fn complete(lease: &Lease<Hybrid>, report: &ShardReport) -> Result<(), ClientError> {
        super::complete_pairs(lease, report).await
    }
}
