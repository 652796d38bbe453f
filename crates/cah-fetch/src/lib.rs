//! URLs in, bytes out: for a crawler that has thousands of image requests in flight.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use cah_fetch::{Config, Fetcher};
//!
//! let fetcher = Fetcher::new(Config {
//!     contact: "https://example.org/our-crawler".to_owned(),
//!     ..Config::default()
//! })?;
//! let image = fetcher.fetch("https://example.org/cat.jpg").await?;
//! assert!(image.bytes.len() <= 20 << 20);
//! # Ok(())
//! # }
//! ```
//!
//! # What a fetch goes through
//!
//! 1. It queues at its **host** for a slot, for the host's pace and for one of the slots that
//!    the whole [`Fetcher`] has ([`Config::queue_limit`] bounds all of it; who gets no turn ends
//!    as [`FetchError::TimedOut`]). A host is a
//!    registrable domain: `img1.example.org` and `img2.example.org` share one pace. An address
//!    or a name without a registrable domain stands for itself, and a port other than the
//!    scheme's own makes a host of its own.
//! 2. From its first turn on, [`Config::deadline`] runs over names, connections, headers,
//!    redirects, pauses before retries, and the body. Queueing again, because a redirect leads
//!    to a busy host, is charged to the queue and not to the deadline; so a fetch never takes
//!    longer than `queue_limit + deadline`.
//! 3. Each hop is checked before it is asked: only http and https, only public addresses,
//!    whether they come from DNS or stand in the URL.
//! 4. Opt-outs, the status, the content type and the announced length are judged on the
//!    headers, before the body is read. The body stops at [`Config::max_bytes`].
//!
//! Every way to fail is one [`FetchError`] with a [closed kind](ErrorKind), so that a caller
//! can count each URL under exactly one outcome.
//!
//! # What it does not do
//!
//! No cookies, no `Referer`, no proxy from the environment, no robots.txt. Content codings are
//! neither asked for (`Accept-Encoding: identity`) nor undone: images are compressed already,
//! and undoing one would let a small body grow past the limit that was checked on the wire.
//! What a server codes nevertheless is returned as it came, for the decoder to refuse.
//!
//! Dropping the future of a fetch closes its connection and frees its slots at once.

mod address;
mod answer;
mod body;
mod classify;
mod clock;
mod config;
mod error;
mod fetcher;
mod files;
mod guard;
mod host;
mod hosts;
mod names;
mod optout;
mod retry;
mod target;
mod trip;
mod upstream;

pub use crate::{
    address::is_public,
    config::{Config, ConfigError, NameServers},
    error::{ErrorKind, FetchError, RedirectFault, Stage},
    fetcher::{Fetched, Fetcher},
    guard::Guard,
    optout::{OptOut, OptOuts},
};
