//! The pipeline that turns a shard of Common Crawl into image–text pairs, and the two ways to run
//! it: for a tracker ([`volunteer`]), and alone over a list of WAT files ([`solo`]).
//!
//! [`Pipeline::run`] joins the parts that do not know each other — `cah-wat`, `cah-fetch`,
//! `cah-clip`, `cah-dataset` — and gives each candidate exactly one
//! [`Outcome`](cah_protocol::Outcome). It is a [`CpuPipeline`] joined to a [`GpuPipeline`], the
//! halves that CPU and GPU workers do by themselves. [`extract_candidates`] stops after the first
//! step.

mod candidates;
mod error;
mod gather;
mod pages;
mod pipeline;
mod pool;
mod progress;
mod solo;
mod state;
mod unpack;
mod volunteer;

pub use cah_source::{Source, SourceError};
pub use candidates::{ExtractConfig, Extracted, extract_candidates};
pub use error::WorkerError;
pub use pipeline::{
    CpuPipeline, GpuPipeline, HandedOn, Made, Pipeline, PipelineConfig, ShardReport, UnsafePolicy,
};
pub use progress::{Progress, Step, StepWork};
pub use solo::{shards_of, solo};
pub use state::State;
pub use volunteer::{CpuWork, GpuWork, HybridWork, Job, Stop, Terms, Work, volunteer};

use cah_protocol::Shard;

/// Is told what a run does, for a person who watches.
pub trait Observer: Send + Sync {
    /// A shard begins; `progress` is live.
    fn started(&self, shard: &Shard, progress: &Progress);

    /// A shard is not worked on any more, whatever came of it.
    fn left(&self, shard: &Shard);

    /// A shard is done.
    fn finished(&self, report: &ShardReport);
}
