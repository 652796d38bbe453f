//! From a name to the addresses that may be asked: fixed names, the cache, name servers, and
//! behind all of them the one filter.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use moka::{Expiry, future::Cache};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::{
    address::Filter,
    config::{Config, ConfigError},
    error::FetchError,
    upstream::Upstream,
};

/// Top-level names that no name server answers for (RFC 6761, 6762, 7686, 9476).
const NEVER_IN_DNS: [&str; 6] = ["invalid", "test", "example", "local", "onion", "alt"];

/// The most addresses of one name that are kept: an answer may hold thousands, and a connection
/// tries one after the other.
const MOST_ADDRESSES: usize = 16;

/// Why a name has no address to go to. The HTTP client carries it back to us in its own error.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum NameError {
    #[error("`{host}` does not resolve: {reason}")]
    Unknown { host: String, reason: String },
    #[error("`{host}` has no public address")]
    Private { host: String },
}

impl From<NameError> for FetchError {
    fn from(error: NameError) -> Self {
        match error {
            NameError::Unknown { host, reason } => Self::Dns { host, reason },
            NameError::Private { host } => Self::PrivateAddress { host },
        }
    }
}

/// What is known of a name, and for how long it holds.
#[derive(Clone)]
struct Known {
    answer: Result<Vec<SocketAddr>, NameError>,
    fresh: Duration,
}

/// Each entry lives for as long as its own answer said.
struct Freshness;

impl Expiry<String, Known> for Freshness {
    fn expire_after_create(&self, _: &String, known: &Known, _: Instant) -> Option<Duration> {
        Some(known.fresh)
    }
}

/// Every name's way to addresses. Nothing leaves it that the filter does not permit.
pub(crate) struct Names {
    fixed: HashMap<String, Vec<SocketAddr>>,
    upstream: Upstream,
    filter: Filter,
    cache: Cache<String, Known>,
}

impl Names {
    pub(crate) fn new(config: &Config, filter: Filter) -> Result<Self, ConfigError> {
        let fixed = config
            .hosts
            .iter()
            .map(|(name, addresses)| (as_in_urls(name), addresses.clone()))
            .collect();
        let cache = Cache::builder()
            .max_capacity(config.dns_cache)
            .expire_after(Freshness)
            .build();
        Ok(Self {
            fixed,
            upstream: Upstream::new(&config.name_servers)?,
            filter,
            cache,
        })
    }

    /// The addresses of a host that may be asked; at least one.
    ///
    /// A port of 0 stands for the URL's.
    pub(crate) async fn addresses(&self, host: &str) -> Result<Vec<SocketAddr>, NameError> {
        let name = plain(host);
        if let Some(addresses) = self.fixed.get(&name) {
            return self.permitted(&name, addresses.iter().copied());
        }
        let top = name.rsplit('.').next().unwrap_or_default();
        if top == "localhost" {
            let loopback = [
                IpAddr::from(Ipv4Addr::LOCALHOST),
                Ipv6Addr::LOCALHOST.into(),
            ];
            return self.permitted(&name, loopback.map(|ip| SocketAddr::new(ip, 0)));
        }
        if NEVER_IN_DNS.contains(&top) || !name.contains('.') {
            let reason = "the name is not in the public DNS".to_owned();
            return Err(NameError::Unknown { host: name, reason });
        }
        let lookup = self.look_up(&name);
        self.cache.get_with(name.clone(), lookup).await.answer
    }

    /// Asks for a name once, however many requests wait for it.
    async fn look_up(&self, name: &str) -> Known {
        let found = self.upstream.addresses(name).await;
        let answer = match found.addresses {
            Ok(addresses) => {
                self.permitted(name, addresses.into_iter().map(|ip| SocketAddr::new(ip, 0)))
            }
            Err(reason) => Err(NameError::Unknown {
                host: name.to_owned(),
                reason,
            }),
        };
        Known {
            answer,
            fresh: found.fresh,
        }
    }

    fn permitted(
        &self,
        name: &str,
        addresses: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, NameError> {
        let permitted: Vec<SocketAddr> = addresses
            .into_iter()
            .filter(|address| self.filter.permits(address.ip()))
            .take(MOST_ADDRESSES)
            .collect();
        if permitted.is_empty() {
            let host = name.to_owned();
            return Err(NameError::Private { host });
        }
        Ok(permitted)
    }
}

/// A name as keys have it: in lower case and without the root's dot.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// A name from the configuration as it will be asked for: `bücher.example` in Punycode.
fn as_in_urls(name: &str) -> String {
    match url::Host::parse(name) {
        Ok(url::Host::Domain(ascii)) => plain(&ascii),
        // The configuration was checked: it has names only.
        _ => plain(name),
    }
}

/// The names of one fetcher as the HTTP client wants them.
#[derive(Clone)]
pub(crate) struct SharedNames(pub(crate) Arc<Names>);

impl Resolve for SharedNames {
    fn resolve(&self, name: Name) -> Resolving {
        let names = Arc::clone(&self.0);
        Box::pin(async move {
            let addresses = names.addresses(name.as_str()).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NameServers;

    fn names(config: Config) -> Names {
        let filter = Filter::new(
            config.allow_private_addresses,
            config.allowed_networks.clone(),
        );
        let config = Config {
            name_servers: NameServers::None,
            ..config
        };
        Names::new(&config, filter).unwrap()
    }

    fn fixed(addresses: &[&str]) -> Config {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        Config {
            hosts: HashMap::from([("Cats.example".to_owned(), addresses)]),
            ..Config::default()
        }
    }

    #[tokio::test]
    async fn a_fixed_name_is_found_however_it_is_written() {
        let names = names(fixed(&["8.8.8.8:8080"]));
        for name in ["cats.example", "CATS.example", "cats.example."] {
            let found = names.addresses(name).await.unwrap();
            assert_eq!(found, ["8.8.8.8:8080".parse().unwrap()]);
        }
        assert!(names.addresses("dogs.example").await.is_err());
    }

    #[tokio::test]
    async fn a_fixed_name_may_be_written_in_any_script() {
        let config = Config {
            hosts: HashMap::from([("Bücher.example".to_owned(), vec![([8, 8, 8, 8], 0).into()])]),
            ..Config::default()
        };
        // As the HTTP client asks for it.
        let found = names(config).addresses("xn--bcher-kva.example").await;
        assert_eq!(found.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn of_a_crowd_of_addresses_a_few_are_kept() {
        let names = names(Config::default());
        let crowd = (0..=255).map(|last| ([8, 8, 8, last], 0).into());
        let kept = names.permitted("cats.example.com", crowd).unwrap();
        assert_eq!(kept.len(), MOST_ADDRESSES);
    }

    /// The names of a fetcher that would have to ask, and has one answer in its cache.
    async fn remembering(name: &str, fresh: Duration) -> Names {
        let names = names(Config::default());
        let known = Known {
            answer: Ok(vec![([8, 8, 8, 8], 0).into()]),
            fresh,
        };
        names.cache.insert(name.to_owned(), known).await;
        names
    }

    #[tokio::test]
    async fn an_answer_is_forgotten_when_its_time_is_over() {
        let name = "cats.example.com";
        let names = remembering(name, Duration::from_secs(60)).await;
        assert!(names.addresses(name).await.is_ok());
        let names = remembering(name, Duration::from_millis(1)).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let error = names.addresses(name).await.unwrap_err();
        assert!(error.to_string().contains("no name server"), "{error}");
    }

    #[tokio::test]
    async fn no_more_names_are_remembered_than_agreed() {
        let names = names(Config {
            dns_cache: 10,
            ..Config::default()
        });
        for number in 0..500 {
            let name = format!("host{number}.example.com");
            assert!(names.addresses(&name).await.is_err());
        }
        names.cache.run_pending_tasks().await;
        assert!((1..=10).contains(&names.cache.entry_count()));
    }

    #[tokio::test]
    async fn fixed_names_are_filtered() {
        let mixed = names(fixed(&["10.0.0.1:80", "8.8.8.8:80"]));
        let found = mixed.addresses("cats.example").await.unwrap();
        assert_eq!(found, ["8.8.8.8:80".parse().unwrap()]);
        let private = names(fixed(&["10.0.0.1:80", "[fd00::1]:80"]));
        let error = private.addresses("cats.example").await.unwrap_err();
        assert!(matches!(error, NameError::Private { .. }), "{error}");
    }

    #[tokio::test]
    async fn names_outside_the_dns_fail_without_a_question() {
        let names = names(Config::default());
        for name in ["dead.invalid", "a.test", "b.onion", "printer", "c.local."] {
            let error = names.addresses(name).await.unwrap_err();
            assert!(error.to_string().contains("not in the public DNS"));
        }
    }

    #[tokio::test]
    async fn localhost_is_loopback_and_therefore_private() {
        let refusing = names(Config::default());
        for name in ["localhost", "a.localhost"] {
            let error = refusing.addresses(name).await.unwrap_err();
            assert!(matches!(error, NameError::Private { .. }), "{error}");
        }
        let allowing = names(Config {
            allow_private_addresses: true,
            ..Config::default()
        });
        assert_eq!(allowing.addresses("localhost").await.unwrap().len(), 2);
    }
}
