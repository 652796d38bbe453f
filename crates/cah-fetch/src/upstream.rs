//! The name servers: which ones, how long they are waited for, how long an answer holds.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::Name,
};
use tokio::time::timeout;

use crate::config::{ConfigError, NameServers};

/// One question to one server, and the whole search. Well inside a fetch's deadline, so that a
/// name whose servers are dead is remembered as such rather than timing out each of its images.
const QUESTION: Duration = Duration::from_secs(2);
const SEARCH: Duration = Duration::from_secs(5);

/// How long an answer holds, whatever time to live it carries; and a failure.
const FRESH_AT_LEAST: Duration = Duration::from_secs(60);
const FRESH_AT_MOST: Duration = Duration::from_secs(60 * 60);
const FAILURE: Duration = Duration::from_secs(60);

/// An answer to a question for a name's addresses.
pub(crate) struct Found {
    /// The addresses, at least one, IPv4 first; or why there are none.
    pub(crate) addresses: Result<Vec<IpAddr>, String>,
    /// How long this holds.
    pub(crate) fresh: Duration,
}

/// Who is asked for names; perhaps nobody.
pub(crate) struct Upstream(Option<TokioResolver>);

impl Upstream {
    pub(crate) fn new(servers: &NameServers) -> Result<Self, ConfigError> {
        let (config, options) = match servers {
            NameServers::None => return Ok(Self(None)),
            NameServers::List(servers) => (listed(servers)?, ResolverOpts::default()),
            NameServers::System => {
                system().map_err(|error| ConfigError::NameServers(error.to_string()))?
            }
        };
        // The search list and the domain are left out: a URL's host is always a full name.
        let config = ResolverConfig::from_name_servers(config.name_servers().to_vec());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(for_a_crawler(options))
            .build()
            .map(|resolver| Self(Some(resolver)))
            .map_err(|error| ConfigError::NameServers(error.to_string()))
    }

    pub(crate) async fn addresses(&self, name: &str) -> Found {
        match timeout(SEARCH, self.search(name)).await {
            Ok(found) => found,
            Err(_) => Found::nothing("no name server answered in time".to_owned()),
        }
    }

    async fn search(&self, name: &str) -> Found {
        let Some(resolver) = &self.0 else {
            return Found::nothing("no name server is configured".to_owned());
        };
        let mut full = match Name::from_ascii(name) {
            Ok(full) => full,
            Err(error) => return Found::nothing(error.to_string()),
        };
        full.set_fqdn(true);
        match resolver.lookup_ip(full).await {
            Ok(answer) => Found {
                addresses: Ok(answer.iter().collect()),
                fresh: freshness(answer.valid_until(), Instant::now()),
            },
            Err(error) => Found::nothing(explain(&error)),
        }
    }
}

impl Found {
    fn nothing(reason: String) -> Self {
        Self {
            addresses: Err(reason),
            fresh: FAILURE,
        }
    }
}

fn freshness(valid_until: Instant, now: Instant) -> Duration {
    valid_until
        .saturating_duration_since(now)
        .clamp(FRESH_AT_LEAST, FRESH_AT_MOST)
}

fn explain(error: &NetError) -> String {
    if error.is_nx_domain() {
        "there is no such name".to_owned()
    } else if error.is_no_records_found() {
        "the name has no address".to_owned()
    } else {
        error.to_string()
    }
}

/// Patience for one name among thousands; the cache in front of it is ours, with failures in it.
fn for_a_crawler(options: ResolverOpts) -> ResolverOpts {
    let mut options = options;
    options.timeout = options.timeout.min(QUESTION);
    options.attempts = 1;
    options.cache_size = 0;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.max_active_requests = 4_096;
    options
}

fn listed(servers: &[SocketAddr]) -> Result<ResolverConfig, ConfigError> {
    if servers.is_empty() {
        let reason = "the list is empty".to_owned();
        return Err(ConfigError::NameServers(reason));
    }
    let servers = servers.iter().map(|server| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
        let connections = connections.map(|mut connection| {
            connection.port = server.port();
            connection
        });
        NameServerConfig::new(server.ip(), true, connections.to_vec())
    });
    Ok(ResolverConfig::from_name_servers(servers.collect()))
}

#[cfg(all(unix, not(any(target_os = "android", target_vendor = "apple"))))]
fn system() -> Result<(ResolverConfig, ResolverOpts), NetError> {
    from_file(std::path::Path::new("/etc/resolv.conf"))
}

#[cfg(all(unix, not(any(target_os = "android", target_vendor = "apple"))))]
fn from_file(path: &std::path::Path) -> Result<(ResolverConfig, ResolverOpts), NetError> {
    let text = std::fs::read(path)?;
    hickory_resolver::system_conf::parse_resolv_conf(text)
}

#[cfg(not(all(unix, not(any(target_os = "android", target_vendor = "apple")))))]
fn system() -> Result<(ResolverConfig, ResolverOpts), NetError> {
    hickory_resolver::system_conf::read_system_conf()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_is_an_error() {
        let error = Upstream::new(&NameServers::List(vec![])).err().unwrap();
        assert!(error.to_string().contains("the list is empty"), "{error}");
    }

    #[cfg(all(unix, not(any(target_os = "android", target_vendor = "apple"))))]
    #[test]
    fn a_system_without_name_servers_is_an_error_and_no_public_resolver_takes_over() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        assert!(from_file(&missing).is_err());
        let file = folder.path().join("resolv.conf");
        for text in ["", "# nothing\n", "search example.org\noptions ndots:2\n"] {
            std::fs::write(&file, text).unwrap();
            let error = from_file(&file).unwrap_err().to_string();
            assert!(error.contains("no nameservers"), "{error}");
        }
        std::fs::write(&file, "nameserver 192.0.2.53\nsearch example.org\n").unwrap();
        let (config, _) = from_file(&file).unwrap();
        assert_eq!(config.name_servers().len(), 1);
    }

    #[test]
    fn answers_hold_for_a_minute_at_least_and_an_hour_at_most() {
        let now = Instant::now();
        for (seconds, fresh) in [(0, 60), (300, 300), (86_400, 3_600)] {
            let valid_until = now + Duration::from_secs(seconds);
            assert_eq!(freshness(valid_until, now), Duration::from_secs(fresh));
        }
        assert_eq!(freshness(now, now + FAILURE), FRESH_AT_LEAST);
    }

    #[tokio::test]
    async fn nobody_to_ask_is_said() {
        let nobody = Upstream::new(&NameServers::None).unwrap();
        let found = nobody.addresses("example.org").await;
        assert_eq!(found.addresses.unwrap_err(), "no name server is configured");
    }
}
