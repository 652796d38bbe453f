//! The pipeline that turns a shard of Common Crawl into image–text pairs, and the two ways to run
//! it: for a tracker ([`volunteer`]), and alone over a list of WAT files ([`solo`]).
//!
//! [`Pipeline::run`] joins the parts that do not know each other — `cah-wat`, `cah-fetch`,
//! `cah-clip`, `cah-dataset` — and gives each candidate exactly one
//! [`Outcome`](cah_protocol::Outcome). [`extract_candidates`] stops after the first step.

mod candidates;
mod error;
mod pages;
mod pipeline;
mod pool;
mod progress;
mod solo;
mod volunteer;

pub use cah_source::{Source, SourceError};
pub use candidates::{ExtractConfig, Extracted, extract_candidates};
pub use error::WorkerError;
pub use pipeline::{Pipeline, PipelineConfig, ShardReport, UnsafePolicy};
pub use progress::{Progress, Step, StepWork};
pub use solo::{shards_of, solo};
pub use volunteer::{Stop, volunteer};

use cah_protocol::Shard;

/// Is told what a run does, for a person who watches.
pub trait Observer: Send + Sync {
    /// A shard begins; `progress` is live.
    fn started(&self, shard: &Shard, progress: &Progress);
    /// A shard is done.
    fn finished(&self, report: &ShardReport);
}
