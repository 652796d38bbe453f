//! What an operator decides, and the check that it makes sense.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use http::HeaderValue;
use ipnet::IpNet;
use url::Url;

use crate::optout::OptOuts;

/// Longer than any wait that makes sense, and short enough to be added to any point in time.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// How a [`Fetcher`](crate::Fetcher) behaves. It is checked once, by [`Fetcher::new`](crate::Fetcher::new).
#[derive(Clone, Debug)]
pub struct Config {
    /// The product in the `User-Agent` header, `name` or `name/version`.
    pub user_agent: String,
    /// An http(s) or mailto URL under which a site's owner reaches the operator. It always
    /// stands in the `User-Agent` header, behind the product.
    pub contact: String,
    /// Further names that count as ours in `X-Robots-Tag: name: noindex`. The product's name
    /// and `crawlingathome` always do.
    pub agents: Vec<String>,
    /// Which opt-outs are honoured. All of them by default.
    pub opt_outs: OptOuts,

    /// Requests that are in flight at once, over all hosts. Each takes a socket:
    /// [`Fetcher::new`](crate::Fetcher::new) raises the process's soft limit of open files to
    /// what that needs, and says so if the hard limit is lower.
    pub in_flight: usize,
    /// Requests that are in flight at once at one host.
    pub per_host: usize,
    /// The least time between two requests' starts at one host.
    pub host_delay: Duration,
    /// The longest time that one fetch queues for politeness, over all its hops. Whoever gets no
    /// turn within it ends as [`TimedOut`](crate::FetchError::TimedOut) while
    /// [`Queueing`](crate::Stage::Queueing), without a request.
    pub queue_limit: Duration,

    /// The longest time from a fetch's first turn to its last byte, redirects and retries included.
    pub deadline: Duration,
    /// The longest time until a connection stands, handshake included.
    pub connect_timeout: Duration,
    /// The longest body, in bytes.
    pub max_bytes: usize,
    /// The most redirects that are followed.
    pub max_redirects: u32,
    /// How often one fetch tries again where that can help.
    pub retries: u32,
    /// The pause before the first retry; it doubles with each.
    pub retry_pause: Duration,
    /// The longest wait that a server's `Retry-After` can cause, for a fetch or for its host.
    pub longest_pause: Duration,

    /// Lets requests go to addresses that are not on the public Internet. For demos and tests.
    pub allow_private_addresses: bool,
    /// Networks that may be reached although they are not public.
    pub allowed_networks: Vec<IpNet>,
    /// Names whose addresses are fixed. They are asked for nowhere, and filtered like others.
    /// A port of 0 is the URL's own; another one holds for URLs that do not name a port.
    pub hosts: HashMap<String, Vec<SocketAddr>>,
    /// Who is asked for the other names.
    pub name_servers: NameServers,
    /// The names whose addresses are remembered, failures included.
    pub dns_cache: u64,
    /// Certificates of authorities, as PEM, that are trusted beside the system's own.
    pub extra_roots: Vec<String>,
}

/// Who is asked for the addresses of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NameServers {
    /// Those of the system (`/etc/resolv.conf`). There is no fallback to a public resolver: if
    /// the system names none, [`Fetcher::new`](crate::Fetcher::new) says so.
    #[default]
    System,
    /// These, over UDP, and over TCP for long answers.
    List(Vec<SocketAddr>),
    /// Nobody: only [`Config::hosts`] and addresses in URLs can be reached.
    None,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            user_agent: concat!("crawlingathome/", env!("CARGO_PKG_VERSION")).to_owned(),
            contact: env!("CARGO_PKG_REPOSITORY").to_owned(),
            agents: Vec::new(),
            opt_outs: OptOuts::default(),
            in_flight: 256,
            per_host: 4,
            host_delay: Duration::from_millis(50),
            queue_limit: Duration::from_secs(120),
            deadline: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            max_bytes: 20 << 20,
            max_redirects: 5,
            retries: 1,
            retry_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(60),
            allow_private_addresses: false,
            allowed_networks: Vec::new(),
            hosts: HashMap::new(),
            name_servers: NameServers::System,
            dns_cache: 65_536,
            extra_roots: Vec::new(),
        }
    }
}

/// A configuration that no fetcher can run with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number or a time that must be at least 1.
    #[error("`{0}` is 0: nothing could ever be fetched; give at least 1")]
    Zero(&'static str),
    /// A time of more than a day.
    #[error("`{0}` is longer than a day: give a time that a fetch can wait")]
    TooLong(&'static str),
    /// The contact is no URL.
    #[error(
        "contact `{0}` is not an http(s) or mailto URL: give one under which site owners reach you"
    )]
    Contact(String),
    /// The user agent is no product.
    #[error("user agent `{0}` is not a product: give one like `name/1.0`")]
    UserAgent(String),
    /// A further agent's name is not a token.
    #[error("agent `{0}` is not a name of letters, digits, `-`, `_` and `.`")]
    Agent(String),
    /// The process may not open as many files as the requests in flight need.
    #[error(
        "`in_flight` is {in_flight}, which needs {needed} open files, and this process may have \
         {limit}: lower it, or raise the limit with `ulimit -n {needed}`"
    )]
    OpenFiles {
        /// The requests in flight.
        in_flight: usize,
        /// The most files that may be open.
        limit: u64,
        /// The files that have to be.
        needed: u64,
    },
    /// A fixed host is no host name.
    #[error("`{0}` in hosts is not a host name")]
    HostName(String),
    /// A fixed host has no addresses.
    #[error("`{0}` in hosts has no address: give one or leave the name out")]
    HostWithoutAddress(String),
    /// Nobody to ask for names.
    #[error("no name server to ask ({0}): mend /etc/resolv.conf or name one in the configuration")]
    NameServers(String),
    /// An extra root is no certificate.
    #[error("extra root certificate {index} is not PEM: {reason}")]
    RootCertificate {
        /// Its place in the list, from 0.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP client did not start, for example without any trusted certificate.
    #[error("the HTTP client does not start: {0}")]
    Client(String),
}

impl Config {
    /// Checks everything that needs no other part to be checked.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.check_numbers()?;
        self.check_times()?;
        self.check_hosts()?;
        if let Some(agent) = self.agents.iter().find(|agent| !is_token(agent)) {
            return Err(ConfigError::Agent(agent.clone()));
        }
        self.user_agent_header().map(drop)
    }

    /// `product (+contact)`.
    pub(crate) fn user_agent_header(&self) -> Result<HeaderValue, ConfigError> {
        if !is_product(&self.user_agent) {
            return Err(ConfigError::UserAgent(self.user_agent.clone()));
        }
        if !is_contact(&self.contact) {
            return Err(ConfigError::Contact(self.contact.clone()));
        }
        HeaderValue::from_str(&format!("{} (+{})", self.user_agent, self.contact))
            .map_err(|_| ConfigError::Contact(self.contact.clone()))
    }

    /// Every name that is ours in a robots header, in lower case.
    pub(crate) fn agent_names(&self) -> Vec<String> {
        let product = self.user_agent.split('/').next().unwrap_or_default();
        ["crawlingathome", product]
            .into_iter()
            .chain(self.agents.iter().map(String::as_str))
            .map(str::to_ascii_lowercase)
            .collect()
    }

    fn check_numbers(&self) -> Result<(), ConfigError> {
        let numbers = [
            ("in_flight", self.in_flight),
            ("per_host", self.per_host),
            ("max_bytes", self.max_bytes),
        ];
        match numbers.iter().find(|(_, number)| *number == 0) {
            Some((name, _)) => Err(ConfigError::Zero(name)),
            None => Ok(()),
        }
    }

    fn check_times(&self) -> Result<(), ConfigError> {
        let needed = [
            ("deadline", self.deadline),
            ("connect_timeout", self.connect_timeout),
        ];
        let optional = [
            ("host_delay", self.host_delay),
            ("queue_limit", self.queue_limit),
            ("retry_pause", self.retry_pause),
            ("longest_pause", self.longest_pause),
        ];
        if let Some((name, _)) = needed.iter().find(|(_, time)| time.is_zero()) {
            return Err(ConfigError::Zero(name));
        }
        match needed
            .iter()
            .chain(&optional)
            .find(|(_, time)| *time > LONGEST)
        {
            Some((name, _)) => Err(ConfigError::TooLong(name)),
            None => Ok(()),
        }
    }

    fn check_hosts(&self) -> Result<(), ConfigError> {
        for (name, addresses) in &self.hosts {
            if !matches!(url::Host::parse(name), Ok(url::Host::Domain(_))) {
                return Err(ConfigError::HostName(name.clone()));
            }
            if addresses.is_empty() {
                return Err(ConfigError::HostWithoutAddress(name.clone()));
            }
        }
        Ok(())
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn is_product(text: &str) -> bool {
    match text.split_once('/') {
        Some((name, version)) => is_token(name) && is_token(version),
        None => is_token(text),
    }
}

/// A comment in a header ends with a bracket, so the URL must not hold one.
fn is_contact(text: &str) -> bool {
    let readable = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"()\\".contains(&byte));
    readable
        && Url::parse(text).is_ok_and(|url| match url.scheme() {
            "http" | "https" => url.has_host(),
            "mailto" => url.path().contains('@'),
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Config)) -> ConfigError {
        let mut config = Config::default();
        change(&mut config);
        config.check().expect_err("the configuration is wrong")
    }

    #[test]
    fn the_default_is_sound_and_says_who_asks() {
        let config = Config::default();
        config.check().unwrap();
        let header = config.user_agent_header().unwrap();
        let header = header.to_str().unwrap();
        assert!(header.starts_with("crawlingathome/"), "{header}");
        assert!(header.contains(" (+https://"), "{header}");
    }

    #[test]
    fn each_mistake_is_named() {
        assert_eq!(refused(|c| c.in_flight = 0), ConfigError::Zero("in_flight"));
        assert_eq!(refused(|c| c.per_host = 0), ConfigError::Zero("per_host"));
        assert_eq!(refused(|c| c.max_bytes = 0), ConfigError::Zero("max_bytes"));
        assert_eq!(
            refused(|c| c.deadline = Duration::ZERO),
            ConfigError::Zero("deadline")
        );
        assert_eq!(
            refused(|c| c.host_delay = Duration::MAX),
            ConfigError::TooLong("host_delay")
        );
        assert_eq!(
            refused(|c| c.agents = vec!["two words".into()]),
            ConfigError::Agent("two words".into())
        );
        assert_eq!(
            refused(|c| c.hosts = HashMap::from([("a.example".into(), vec![])])),
            ConfigError::HostWithoutAddress("a.example".into())
        );
        assert_eq!(
            refused(
                |c| c.hosts = HashMap::from([("10.0.0.1".into(), vec![([1, 1, 1, 1], 0).into()])])
            ),
            ConfigError::HostName("10.0.0.1".into())
        );
    }

    #[test]
    fn a_contact_is_a_url_that_fits_a_comment() {
        for contact in ["https://example.org/bot", "mailto:bot@example.org"] {
            let config = Config {
                contact: contact.to_owned(),
                ..Config::default()
            };
            config.check().unwrap();
        }
        for contact in [
            "",
            "me",
            "ftp://example.org/",
            "mailto:nobody",
            "https://example.org/)",
            "https://example.org/\r\nCookie: a",
            "https://example.org/ä",
        ] {
            let error = refused(|c| c.contact = contact.to_owned());
            assert_eq!(error, ConfigError::Contact(contact.to_owned()));
        }
    }

    #[test]
    fn a_user_agent_is_a_product() {
        for product in ["", "a b", "a/", "a/1\r\n", "a/1/2"] {
            let error = refused(|c| c.user_agent = product.to_owned());
            assert_eq!(error, ConfigError::UserAgent(product.to_owned()));
        }
    }

    #[test]
    fn our_names_are_the_product_the_project_and_what_was_added() {
        let config = Config {
            user_agent: "MyBot/2.1".to_owned(),
            agents: vec!["Other-Bot".to_owned()],
            ..Config::default()
        };
        assert_eq!(
            config.agent_names(),
            ["crawlingathome", "mybot", "other-bot"]
        );
    }
}
