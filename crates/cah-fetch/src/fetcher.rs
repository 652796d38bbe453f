//! The fetcher: its parts, put together once.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, ACCEPT_ENCODING},
};
use reqwest::{Certificate, Client, redirect};
use tokio::sync::Semaphore;
use url::Url;

use crate::{
    address::Filter,
    config::{Config, ConfigError},
    error::FetchError,
    files,
    host::Manners,
    hosts::Hosts,
    names::{Names, SharedNames},
    optout::Wishes,
    retry::Retries,
    target,
    trip::Trip,
};

/// What the decoders read comes first; AVIF and SVG are not asked for.
const ACCEPTED: HeaderValue =
    HeaderValue::from_static("image/jpeg,image/png,image/webp,image/gif,image/*;q=0.5,*/*;q=0.1");

/// How long a connection waits for another request. Short: a crawler rarely comes back to a
/// host soon, and every idle connection is an open file.
const KEEP_ALIVE: Duration = Duration::from_secs(3);

/// The bytes behind a URL.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The body, as it came.
    pub bytes: Bytes,
    /// The `Content-Type`, if the server named one.
    pub content_type: Option<String>,
    /// Where the bytes came from, after redirects.
    pub final_url: Url,
    /// The last status, 200 or 203.
    pub status: u16,
    /// The number of redirects that were followed.
    pub redirects: u32,
    /// The number of requests that were sent again.
    pub retries: u32,
    /// The time spent waiting for turns.
    pub queued: Duration,
    /// The time spent otherwise, from the first turn to the last byte.
    pub elapsed: Duration,
}

/// Fetches images politely. Cheap to clone; all clones share hosts, limits and connections.
#[derive(Clone)]
pub struct Fetcher(Arc<Shared>);

struct Shared {
    parts: Parts,
    queue_limit: Duration,
    deadline: Duration,
    in_flight: usize,
}

/// What every fetch uses.
pub(crate) struct Parts {
    pub(crate) client: Client,
    pub(crate) hosts: Hosts,
    /// One permit for each request that may be in flight.
    pub(crate) places: Semaphore,
    pub(crate) filter: Filter,
    pub(crate) wishes: Wishes,
    pub(crate) retries: Retries,
    pub(crate) max_redirects: u32,
    pub(crate) max_bytes: usize,
}

impl Fetcher {
    /// Checks the configuration and makes a fetcher of it. Needs no async runtime.
    ///
    /// # Errors
    /// The first thing that is wrong with the configuration or, where it depends on it, with
    /// the system: too few open files, no name servers, no trusted certificates.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        files::make_room(config.in_flight)?;
        let filter = Filter::new(
            config.allow_private_addresses,
            config.allowed_networks.clone(),
        );
        let names = Names::new(&config, filter.clone())?;
        let in_flight = config.in_flight.min(Semaphore::MAX_PERMITS);
        let parts = Parts {
            client: client(&config, names)?,
            hosts: Hosts::new(Manners {
                at_once: config.per_host.min(Semaphore::MAX_PERMITS),
                delay: config.host_delay,
                pause: config.retry_pause,
                longest_pause: config.longest_pause,
            }),
            places: Semaphore::new(in_flight),
            filter,
            wishes: Wishes::new(config.opt_outs, config.agent_names()),
            retries: Retries {
                limit: config.retries,
                pause: config.retry_pause,
                longest_pause: config.longest_pause,
            },
            max_redirects: config.max_redirects,
            max_bytes: config.max_bytes,
        };
        Ok(Self(Arc::new(Shared {
            parts,
            queue_limit: config.queue_limit,
            deadline: config.deadline,
            in_flight,
        })))
    }

    /// Fetches one URL. It ends within [`Config::queue_limit`] and [`Config::deadline`]
    /// together; dropping it frees what it holds at once.
    ///
    /// # Errors
    /// One [`FetchError`] for whatever kept the bytes away.
    pub async fn fetch(&self, url: &str) -> Result<Fetched, FetchError> {
        let shared = &*self.0;
        let url = target::parse(url)?;
        // A trip's state is a few KiB: boxed, it does not swell the tasks of those who wait.
        let trip = Trip::new(&shared.parts, url, shared.queue_limit, shared.deadline);
        Box::pin(trip.run()).await
    }

    /// The number of requests that are in flight now.
    pub fn in_flight(&self) -> usize {
        self.0.in_flight - self.0.parts.places.available_permits()
    }

    /// The number of hosts whose pace is remembered now.
    pub fn hosts(&self) -> usize {
        self.0.parts.hosts.len()
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher")
            .field("in_flight", &self.in_flight())
            .field("hosts", &self.hosts())
            .finish_non_exhaustive()
    }
}

/// The HTTP client with everything switched off that it would do on its own: redirects, proxies,
/// cookies, `Referer`, and the undoing of content codings, whatever features others turn on.
fn client(config: &Config, names: Names) -> Result<Client, ConfigError> {
    let headers = HeaderMap::from_iter([
        (ACCEPT, ACCEPTED),
        (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
    ]);
    let mut builder = Client::builder()
        .user_agent(config.user_agent_header()?)
        .default_headers(headers)
        .dns_resolver(Arc::new(SharedNames(Arc::new(names))))
        .connect_timeout(config.connect_timeout)
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .no_gzip()
        .no_brotli()
        .no_deflate()
        .no_zstd()
        .pool_idle_timeout(KEEP_ALIVE)
        .pool_max_idle_per_host(config.per_host)
        .http1_ignore_invalid_headers_in_responses(true)
        .http1_allow_spaces_after_header_name_in_responses(true)
        .http1_allow_obsolete_multiline_headers_in_responses(true);
    for (index, pem) in config.extra_roots.iter().enumerate() {
        let root = Certificate::from_pem(pem.as_bytes());
        builder = builder.add_root_certificate(root.map_err(|error| {
            let reason = error.to_string();
            ConfigError::RootCertificate { index, reason }
        })?);
    }
    builder
        .build()
        .map_err(|error| ConfigError::Client(error.to_string()))
}
