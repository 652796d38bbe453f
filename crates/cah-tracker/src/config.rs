//! What an operator may set.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use cah_protocol::WorkerType;
use ipnet::IpNet;
use thiserror::Error;
use url::Url;

use crate::{Secret, StagingPlace, Tls, store::Order};

/// The tracker's settings, checked once when it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// The project's name, as pages show it.
    pub project: String,
    /// How long a worker may be silent before it is removed and its job re-opened.
    pub idle_timeout: Duration,
    /// How often a job may fail before it is parked for a person.
    pub max_failures: u32,
    /// How many DistCompute workers must flag a job's input before the job goes back a stage.
    pub flag_reports: u32,
    /// Which of the open jobs come first.
    pub claim_order: Order,
    /// How many workers may be connected at the same time.
    pub max_workers: u32,
    /// How many of them may have joined from one address (of IPv6 from one /64), and how many
    /// connections beside the ones for pages an address may have. The tracker's own machine and its
    /// proxies are not counted.
    pub max_workers_per_address: u32,
    /// Whether whole WAT files are given out and taken back without a lease, as old clients of both
    /// halves do. Anybody may hand in anything for an open shard then.
    pub whole_wats: bool,
    /// What operators prove themselves with; without one nobody may do what operators do.
    pub admin_token: Option<Secret>,
    /// What workers must know to join, where not everybody may.
    pub join_key: Option<Secret>,
    /// How many calls a second an address may make on average.
    pub rate_limit: Option<NonZeroU32>,
    /// The proxies that are believed when they say for whom they call.
    pub trusted_proxies: Vec<IpNet>,
    /// With what the tracker speaks TLS itself.
    pub tls: Option<Tls>,
    /// Whether the admin calls of the public tracker are answered, which carry the token as a
    /// password in a query or body.
    pub password_calls: bool,
    /// How often the tracker looks for such workers.
    pub reaper_interval: Duration,
    /// How often a point of the series behind charts and ETA is kept.
    pub series_interval: Duration,
    /// Where workers of each type bring their results, any text; one is drawn at random. A type
    /// without an entry gets the tracker's own staging URL.
    pub upload_addresses: BTreeMap<WorkerType, Vec<String>>,
    /// Where the tracker keeps what CPU workers hand over, where it does: a bucket, or a folder, with
    /// several trackers one that all of them have.
    pub staging: Option<StagingPlace>,
    /// The most bytes of a file there. A bucket takes larger ones, and the tracker removes them.
    pub staging_limit: u64,
    /// The address by which workers reach the tracker, where it is not the one that they ask for
    /// (behind a proxy that changes the host).
    pub public_url: Option<Url>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            project: "Crawling@Home".into(),
            idle_timeout: Duration::from_secs(7_200),
            max_failures: 5,
            flag_reports: 5,
            claim_order: Order::default(),
            max_workers: 100_000,
            max_workers_per_address: 5_000,
            whole_wats: true,
            admin_token: None,
            join_key: None,
            rate_limit: NonZeroU32::new(500),
            trusted_proxies: Vec::new(),
            tls: None,
            password_calls: false,
            reaper_interval: Duration::from_secs(30),
            series_interval: Duration::from_secs(900),
            upload_addresses: BTreeMap::new(),
            staging: None,
            staging_limit: 4 << 30,
            public_url: None,
        }
    }
}

/// A setting that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// An interval below a second.
    #[error("{0} is {1:?}; it must be a second or more")]
    TooShort(&'static str, Duration),
    /// A limit that no job could keep.
    #[error("a job may fail 0 times; allow it once or more")]
    NoFailures,
    /// A job that would go back before anybody said anything.
    #[error("0 reports send a job back a stage; ask for one or more")]
    NoReports,
    /// A tracker for nobody.
    #[error("0 workers may connect; allow one or more")]
    NoWorkers,
    /// An address that is no http(s) URL.
    #[error("the public URL `{0}` must start with http:// or https://")]
    PublicUrl(Url),
}

impl Config {
    /// The pause between two signs of life that this tracker asks of its workers: at most a
    /// minute, and short enough that one that gets lost costs no lease.
    pub(crate) fn heartbeat(&self) -> Duration {
        (self.idle_timeout / 3).clamp(Duration::from_secs(1), Duration::from_secs(60))
    }

    /// Refuses what would make the tracker spin or hand out addresses that lead nowhere.
    pub fn check(&self) -> Result<(), ConfigError> {
        let intervals = [
            ("the idle timeout", self.idle_timeout),
            ("the reaper's interval", self.reaper_interval),
            ("the series' interval", self.series_interval),
        ];
        for (name, interval) in intervals {
            if interval < Duration::from_secs(1) {
                return Err(ConfigError::TooShort(name, interval));
            }
        }
        if self.max_failures == 0 {
            return Err(ConfigError::NoFailures);
        }
        if self.flag_reports == 0 {
            return Err(ConfigError::NoReports);
        }
        if self.max_workers == 0 || self.max_workers_per_address == 0 {
            return Err(ConfigError::NoWorkers);
        }
        self.public_url
            .as_ref()
            .map_or(Ok(()), Self::check_public_url)
    }

    /// Refuses an address that workers cannot reach a tracker under.
    pub fn check_public_url(url: &Url) -> Result<(), ConfigError> {
        match url.scheme() {
            "http" | "https" => Ok(()),
            _ => Err(ConfigError::PublicUrl(url.clone())),
        }
    }

    /// Where workers of a type bring their results, as the operator says; none where nothing is
    /// said.
    pub(crate) fn upload_addresses_of(&self, worker_type: WorkerType) -> &[String] {
        let addresses = self.upload_addresses.get(&worker_type);
        addresses.map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_sound_and_nonsense_is_named() {
        assert_eq!(Config::default().check(), Ok(()));
        let spinning = Config {
            reaper_interval: Duration::ZERO,
            ..Config::default()
        };
        assert_eq!(
            spinning.check().unwrap_err().to_string(),
            "the reaper's interval is 0ns; it must be a second or more"
        );
        let nowhere = Config {
            public_url: Some("ftp://host/".parse().unwrap()),
            ..Config::default()
        };
        assert!(nowhere.check().is_err());
    }
}
