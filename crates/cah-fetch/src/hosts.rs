//! All hosts that are busy or still want to be left alone; the others are forgotten.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::time::Instant;
use url::{Host as UrlHost, Url};

use crate::host::{Host, Manners};

/// Below this many hosts nobody is forgotten.
const FEW: usize = 1_024;

#[derive(Debug)]
pub(crate) struct Hosts {
    manners: Manners,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    hosts: HashMap<String, Arc<Host>>,
    /// The length at which the idle ones are forgotten: twice what was left last time, so that
    /// a sweep costs a constant for each host that was added.
    sweep_at: usize,
}

impl Hosts {
    pub(crate) fn new(manners: Manners) -> Self {
        Self {
            manners,
            known: Mutex::new(Known {
                hosts: HashMap::new(),
                sweep_at: FEW,
            }),
        }
    }

    /// The one owner of the pace of the host with this key.
    pub(crate) fn get(&self, key: &str) -> Arc<Host> {
        let mut known = self.lock();
        if let Some(host) = known.hosts.get(key) {
            return Arc::clone(host);
        }
        if known.hosts.len() >= known.sweep_at {
            known.sweep();
        }
        let host = Arc::new(Host::new(key.to_owned(), self.manners));
        known.hosts.insert(key.to_owned(), Arc::clone(&host));
        host
    }

    /// The number of hosts that are remembered.
    pub(crate) fn len(&self) -> usize {
        self.lock().hosts.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known
            .lock()
            .expect("nothing panics while it holds the hosts")
    }
}

impl Known {
    /// Nobody else can take a host while the map is locked: one reference is our own.
    fn sweep(&mut self) {
        let now = Instant::now();
        self.hosts
            .retain(|_, host| Arc::strong_count(host) > 1 || !host.is_rested(now));
        self.sweep_at = (2 * self.hosts.len()).max(FEW);
        self.hosts.shrink_to(self.sweep_at);
    }
}

/// What counts as one host: the registrable domain, since a site's subdomains are mostly one
/// machine; the name or address itself where there is none; each with the port, unless it is
/// the scheme's own.
pub(crate) fn key(url: &Url) -> Cow<'_, str> {
    let name = match url.host() {
        Some(UrlHost::Domain(name)) => {
            let name = name.trim_end_matches('.');
            psl::domain_str(name).unwrap_or(name)
        }
        _ => url.host_str().unwrap_or_default(),
    };
    match url.port() {
        Some(port) => format!("{name}:{port}").into(),
        None => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::*;

    fn hosts(delay: Duration) -> Hosts {
        Hosts::new(Manners {
            at_once: 1,
            delay,
            pause: Duration::ZERO,
            longest_pause: Duration::ZERO,
        })
    }

    #[rstest]
    #[case("http://example.org/a", "example.org")]
    #[case("https://img1.EXAMPLE.org/a", "example.org")]
    #[case("https://img1.example.org./a", "example.org")]
    #[case("http://a.b.example.co.uk/", "example.co.uk")]
    #[case("http://anna.github.io/", "anna.github.io")]
    #[case("http://github.io/", "github.io")]
    #[case("http://localhost/", "localhost")]
    #[case("http://img.cats.test/", "cats.test")]
    #[case("http://example.org:80/", "example.org")]
    #[case("http://example.org:8080/", "example.org:8080")]
    #[case("http://8.8.8.8/", "8.8.8.8")]
    #[case("http://0x7f.1:81/", "127.0.0.1:81")]
    #[case("http://[2001:4860::1]/", "[2001:4860::1]")]
    fn what_counts_as_one_host(#[case] url: &str, #[case] expected: &str) {
        assert_eq!(key(&Url::parse(url).unwrap()), expected);
    }

    #[tokio::test]
    async fn a_busy_host_stays_the_same_object() {
        let hosts = hosts(Duration::ZERO);
        let slot = hosts.get("busy").slot().await;
        for i in 0..10 * FEW {
            hosts.get(&i.to_string());
        }
        let again = hosts.get("busy");
        let waiting = tokio::time::timeout(Duration::ZERO, again.slot()).await;
        assert!(waiting.is_err(), "its only slot is taken");
        drop(slot);
    }

    #[tokio::test]
    async fn memory_stays_flat_over_many_hosts() {
        let hosts = hosts(Duration::ZERO);
        for i in 0..1_000_000 {
            hosts.get(&format!("{i}.example"));
        }
        assert!(hosts.len() <= FEW, "{}", hosts.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_is_remembered_while_its_delay_lasts() {
        let hosts = hosts(Duration::from_secs(1));
        let places = tokio::sync::Semaphore::new(1);
        let mut slot = hosts.get("asked").slot().await;
        drop(slot.start(&places).await);
        drop(slot);
        let fill = || {
            for i in 0..4 * FEW {
                hosts.get(&i.to_string());
            }
        };
        fill();
        assert!(!hosts.get("asked").is_rested(Instant::now()));
        tokio::time::advance(Duration::from_secs(2)).await;
        fill();
        assert!(!hosts.lock().hosts.contains_key("asked"));
    }
}
