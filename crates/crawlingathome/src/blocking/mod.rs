//! The clients for programs without an async runtime.
//!
//! Each call blocks its thread until it is done; what it does, and which errors it has, stands with
//! the method of the same name of the async client. Heartbeats go on beside, on one thread that all
//! blocking clients of the process share.
//!
//! ```no_run
//! # fn work(_: &crawlingathome::Shard) -> u64 { 0 }
//! # fn example() -> Result<(), crawlingathome::ClientError> {
//! use crawlingathome::{ClientConfig, blocking::HybridClient};
//!
//! let client = HybridClient::connect(ClientConfig::new("http://127.0.0.1:8080", "anna"))?;
//! while client.job_count()? > 0 {
//!     let lease = client.lease()?;
//!     let pairs = work(lease.shard());
//!     lease.complete(pairs)?;
//! }
//! client.bye()
//! # }
//! ```
//!
//! # Panics
//! Every call that waits panics within an async runtime, whose thread it would hold up; use the
//! async client there.

mod client;
pub mod distcompute;
#[cfg(feature = "files")]
mod files;
mod lease;
mod runtime;
#[cfg(feature = "files")]
mod whole_wat;

pub use client::{Client, CpuClient, GpuClient, HybridClient};
pub use lease::Lease;
#[cfg(feature = "files")]
pub use whole_wat::WholeWatClient;
