//! Client library for a Crawling@Home tracker.
//!
//! A worker introduces itself, leases one [`Shard`] after the other, and
//! reports what it found:
//!
//! ```no_run
//! # async fn work(_: &crawlingathome::Shard) -> u64 { 0 }
//! # async fn example() -> Result<(), crawlingathome::ClientError> {
//! use crawlingathome::{ClientConfig, HybridClient};
//!
//! let client = HybridClient::connect(ClientConfig::new("http://127.0.0.1:8080", "anna")).await?;
//! while client.job_count().await? > 0 {
//!     let lease = client.lease().await?;
//!     let pairs = work(lease.shard()).await;
//!     lease.complete(pairs).await?;
//! }
//! client.bye().await
//! # }
//! ```
//!
//! Every call retries what a retry can mend (a tracker that is down, restarting or overloaded)
//! with growing pauses, until [`RetryPolicy::give_up_after`]; what it refuses is an error at once.
//! A [`Lease`] keeps itself alive in the background, and goes back when it is dropped.
//!
//! [`CpuClient`] and [`GpuClient`] are the two halves of a hybrid worker; [`WholeWatClient`] takes
//! both shards of a WAT file at once; [`distcompute`] has the workers of other projects.
//!
//! Clients download what a shard is made from and upload what is handed over:
//! [`Client::download_shard`], [`Client::upload`]. They need most of the dependencies; programs that
//! only lease and report leave the feature `files` out. Programs without an async runtime use
//! [`blocking`].

mod api;
pub mod blocking;
mod client;
mod config;
pub mod distcompute;
#[cfg(feature = "files")]
mod download;
mod dump;
mod error;
mod held;
mod kind;
mod lease;
#[cfg(feature = "files")]
mod reach;
mod retry;
#[cfg(feature = "files")]
mod rsync;
mod session;
#[cfg(feature = "files")]
mod upload;
#[cfg(feature = "files")]
mod whole_wat;

pub use cah_protocol::{OutcomeCounts, Piece, Shard, WorkerType};
pub use client::{Client, CpuClient, GpuClient, HybridClient};
pub use config::ClientConfig;
pub use dump::Dump;
pub use error::ClientError;
pub use kind::{CountsPairs, Cpu, Gpu, Hybrid, Kind};
pub use lease::Lease;
pub use retry::RetryPolicy;

#[cfg(feature = "files")]
pub use {
    cah_archive::{ArchiveError, Extracted, Limits, Refusal},
    download::{DownloadError, DownloadOptions},
    kind::ReadsWats,
    rsync::RsyncError,
    upload::{UploadError, UploadOptions},
    whole_wat::{WholeWat, WholeWatClient},
};
