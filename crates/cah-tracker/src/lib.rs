//! The tracker: leases jobs to workers, counts what they bring, shows it.
//!
//! ```no_run
//! # async fn example() -> Result<(), cah_tracker::TrackerError> {
//! use cah_tracker::{Config, Tracker, operation, store};
//!
//! let store = store::open("sqlite:tracker.db").await?;
//! let list = std::fs::File::open("wat.paths.gz")?;
//! let base_url = "https://data.commoncrawl.org/".into();
//! let format = operation::Format::WatPaths { base_url };
//! let list = operation::CheckedList::read(list, format).await?;
//! operation::import(&*store, list, None, 0).await?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! Tracker::serve(listener, store, Config::default(), async {
//!     let _ = tokio::signal::ctrl_c().await;
//! })
//! .await
//! # }
//! ```
//!
//! Data flows one way: `routes` read a call and check what came from outside, [`Service`] decides
//! with settings and clock what it means, and a [`store::Store`] makes each change atomic and
//! durable. Nothing below knows what is above.
//!
//! What holds at all times: a job closes exactly once; what comes under a lease that has ended is
//! refused and counted nowhere; repeating an accepted call is harmless; what was acknowledged
//! about jobs survives a power cut; counters are kept with each change and equal a recount.

mod brake;
mod chart;
mod clock;
mod config;
mod connections;
mod error;
mod eta;
mod machine;
mod names;
pub mod operation;
mod routes;
mod secret;
mod service;
mod staging;
pub mod store;
mod text;
mod tls;
mod token;
mod tracker;
mod turnstile;

pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use config::{Config, ConfigError};
pub use error::TrackerError;
pub use secret::{Secret, WrongSecret};
pub use service::{JoinError, Joined, NoJob, Progress, Service, Work};
pub use staging::StagingPlace;
pub use tls::{Tls, TlsError};
pub use token::{TokenForm, TokenHash};
pub use tracker::{RunningTracker, Tracker};
