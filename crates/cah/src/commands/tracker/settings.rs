//! What an operator sets: by flags, variables and a file, in this order of precedence.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use cah_protocol::WorkerType;
use cah_tracker::{Config, Secret, StagingPlace, Tls, store::Order};
use clap::{Arg, ValueEnum, builder::ValueParser};
use ipnet::IpNet;
use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::place::admin_token;

/// The longest time between two looks for workers that fell silent.
const LONGEST_REAPER_INTERVAL: Duration = Duration::from_secs(30);

/// The settings of a tracker. In a file they have the names of the flags.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[command(mut_args(switch))]
pub(super) struct Settings {
    /// The address to listen on [default: 127.0.0.1:8080]
    #[arg(
        long,
        env = "CAH_LISTEN",
        hide_env_values = true,
        value_name = "ADDRESS:PORT"
    )]
    pub(super) listen: Option<SocketAddr>,

    /// Where jobs and workers are kept: sqlite:PATH, or postgres://USER:PASSWORD@HOST/DATABASE,
    /// which several trackers may serve at once
    #[arg(long, env = "CAH_STORE", hide_env_values = true, value_name = "STORE")]
    pub(super) store: Option<String>,

    // No comment for documentation, which would take the default for a link.
    #[arg(
        long,
        help = "The project's name on the dashboard [default: Crawling@Home]",
        env = "CAH_PROJECT",
        hide_env_values = true,
        value_name = "NAME"
    )]
    project: Option<String>,

    /// Seconds after which a silent worker's job is given to another one [default: 7200]
    #[arg(
        long,
        env = "CAH_IDLE_TIMEOUT",
        hide_env_values = true,
        value_name = "SECONDS"
    )]
    idle_timeout: Option<AtLeastOne>,

    /// How often a job may fail before it is parked for a person to look at [default: 5]
    #[arg(
        long,
        env = "CAH_MAX_FAILURES",
        hide_env_values = true,
        value_name = "N"
    )]
    max_failures: Option<AtLeastOne>,

    /// How many DistCompute workers must flag a job's input before it goes back a stage
    /// [default: 5]
    #[arg(
        long,
        env = "CAH_FLAG_REPORTS",
        hide_env_values = true,
        value_name = "N"
    )]
    flag_reports: Option<AtLeastOne>,

    /// Which of the open jobs is given out next [default: oldest]
    #[arg(
        long,
        env = "CAH_CLAIM_ORDER",
        hide_env_values = true,
        value_name = "ORDER"
    )]
    claim_order: Option<ClaimOrder>,

    /// The most workers at the same time [default: 100000]
    #[arg(
        long,
        env = "CAH_MAX_WORKERS",
        hide_env_values = true,
        value_name = "N"
    )]
    max_workers: Option<AtLeastOne>,

    /// The most workers of one address (of IPv6: of one /64) at the same time; that many
    /// connections and 1,000 more may come from there. This machine and trusted proxies may have
    /// any number of connections [default: 5000]
    #[arg(
        long,
        env = "CAH_MAX_WORKERS_PER_ADDRESS",
        hide_env_values = true,
        value_name = "N"
    )]
    max_workers_per_address: Option<AtLeastOne>,

    /// Where workers of a type (HYBRID, CPU or GPU) bring their results: any text, which they are
    /// told; one of several is drawn. Without one it is this tracker's own staging
    #[arg(
        long,
        env = "CAH_UPLOAD_ADDRESS",
        hide_env_values = true,
        value_name = "TYPE=ADDRESS",
        value_delimiter = ','
    )]
    upload_address: Option<Vec<UploadAddress>>,

    /// Where CPU workers hand over what GPU workers take: a folder that they reach through this
    /// tracker, and that all trackers of a project have; or s3://BUCKET/PREFIX, with the usual AWS_*
    /// variables, which they reach at signed addresses [default: a folder beside the store, if that
    /// is a file]
    #[arg(
        long,
        env = "CAH_STAGING",
        hide_env_values = true,
        value_name = "PLACE"
    )]
    staging: Option<StagingPlace>,

    /// The most bytes of a file there; from a bucket, larger ones are removed within a minute
    /// [default: 4294967296]
    #[arg(
        long,
        env = "CAH_STAGING_LIMIT",
        hide_env_values = true,
        value_name = "BYTES"
    )]
    staging_limit: Option<u64>,

    /// The address under which workers reach this tracker, where a proxy changes it
    #[arg(
        long,
        env = "CAH_PUBLIC_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    public_url: Option<PublicUrl>,

    /// Do not serve clients that take whole WAT files, which hand in results without a lease
    #[arg(long, env = "CAH_NO_WHOLE_WATS", hide_env_values = true)]
    no_whole_wats: Option<bool>,

    /// The file with the token that admin calls need; without it CAH_ADMIN_TOKEN may have it, and
    /// without either there are no admin calls
    #[arg(
        long,
        env = "CAH_ADMIN_TOKEN_FILE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    admin_token_file: Option<PathBuf>,

    /// Answer the admin calls of the public tracker too, which carry the admin token as `password`
    #[arg(long, env = "CAH_PASSWORD_CALLS", hide_env_values = true)]
    password_calls: Option<bool>,

    /// The file with the key that workers must know to join: `/api/new?…&key=KEY`, or a tracker's
    /// address that ends in `/k/KEY`, for clients that know of no key
    #[arg(
        long,
        env = "CAH_JOIN_KEY_FILE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    join_key_file: Option<PathBuf>,

    /// Calls a second that one address may make on average, twice as many at once; 0 for any
    /// number. Calls of this machine are not counted [default: 500]
    #[arg(long, env = "CAH_RATE_LIMIT", hide_env_values = true, value_name = "N")]
    rate_limit: Option<u32>,

    /// The addresses of proxies whose X-Forwarded-For is believed, such as 10.0.0.0/8
    #[arg(
        long,
        env = "CAH_TRUSTED_PROXY",
        hide_env_values = true,
        value_name = "NETWORK",
        value_delimiter = ','
    )]
    trusted_proxy: Option<Vec<IpNet>>,

    /// The certificate (and those that signed it), PEM, with which the tracker speaks TLS itself.
    /// A new one is taken within a minute
    #[arg(
        long,
        env = "CAH_TLS_CERT",
        hide_env_values = true,
        value_name = "FILE",
        requires = "tls_key"
    )]
    tls_cert: Option<PathBuf>,

    /// The certificate's key, PEM
    #[arg(
        long,
        env = "CAH_TLS_KEY",
        hide_env_values = true,
        value_name = "FILE",
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,
}

/// Of what is on or off, `--flag` is `--flag=true`, and `--flag=false` goes before what a file says.
fn switch(arg: Arg) -> Arg {
    if arg.get_value_parser().type_id() != ValueParser::bool().type_id() {
        return arg;
    }
    arg.num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .value_name("BOOL")
        .hide_possible_values(true)
}

/// A number of seconds or things of which none would make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
struct AtLeastOne(NonZeroU32);

impl AtLeastOne {
    /// A default, which is sound.
    fn of(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    fn get(self) -> u32 {
        self.0.get()
    }
}

impl TryFrom<i64> for AtLeastOne {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        let number = u32::try_from(number).ok().and_then(NonZeroU32::new);
        number.map(Self).ok_or_else(not_at_least_one)
    }
}

impl std::str::FromStr for AtLeastOne {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number: i64 = text.parse().map_err(|_| not_at_least_one())?;
        number.try_into()
    }
}

impl From<AtLeastOne> for i64 {
    fn from(number: AtLeastOne) -> Self {
        number.get().into()
    }
}

fn not_at_least_one() -> String {
    format!("it must be a whole number from 1 to {}", u32::MAX)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ClaimOrder {
    Oldest,
    Random,
}

impl From<ClaimOrder> for Order {
    fn from(order: ClaimOrder) -> Self {
        match order {
            ClaimOrder::Oldest => Order::Oldest,
            ClaimOrder::Random => Order::Random,
        }
    }
}

/// An address, with the type of worker that it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct UploadAddress(WorkerType, String);

impl std::str::FromStr for UploadAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, address) = text
            .split_once('=')
            .ok_or("write it like CPU=https://staging.example.org/")?;
        let worker_type = [WorkerType::Hybrid, WorkerType::Cpu, WorkerType::Gpu]
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(name.trim()))
            .ok_or_else(|| format!("`{name}` is no type; the types are HYBRID, CPU and GPU"))?;
        match address.trim() {
            "" => Err("the address is missing".into()),
            address => Ok(Self(worker_type, address.to_owned())),
        }
    }
}

impl TryFrom<String> for UploadAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<UploadAddress> for String {
    fn from(UploadAddress(worker_type, address): UploadAddress) -> Self {
        format!("{worker_type}={address}")
    }
}

/// An address as text in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct PublicUrl(Url);

impl std::str::FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("`{text}` is no address: {error}"))?;
        Config::check_public_url(&url).map_err(|error| error.to_string())?;
        Ok(Self(url))
    }
}

impl TryFrom<String> for PublicUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<PublicUrl> for String {
    fn from(url: PublicUrl) -> Self {
        url.0.into()
    }
}

impl Settings {
    /// Reads a file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let name = path.display();
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        Self::parse(&text).with_context(|| format!("the settings in {name}"))
    }

    fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            let before = error.span().map_or("", |span| &text[..span.start]);
            let line = before.matches('\n').count();
            let name = text.lines().nth(line).and_then(named).unwrap_or_default();
            let message = error.message().trim();
            let line = line + 1;
            match message.contains(name) {
                true => anyhow!("line {line}: {message}"),
                false => anyhow!("line {line}, {name}: {message}"),
            }
        })
    }

    /// What is not set here is taken from there.
    pub(super) fn over(self, lower: Self) -> Self {
        Self {
            listen: self.listen.or(lower.listen),
            store: self.store.or(lower.store),
            project: self.project.or(lower.project),
            idle_timeout: self.idle_timeout.or(lower.idle_timeout),
            max_failures: self.max_failures.or(lower.max_failures),
            flag_reports: self.flag_reports.or(lower.flag_reports),
            claim_order: self.claim_order.or(lower.claim_order),
            max_workers: self.max_workers.or(lower.max_workers),
            max_workers_per_address: self
                .max_workers_per_address
                .or(lower.max_workers_per_address),
            upload_address: self.upload_address.or(lower.upload_address),
            public_url: self.public_url.or(lower.public_url),
            staging: self.staging.or(lower.staging),
            staging_limit: self.staging_limit.or(lower.staging_limit),
            no_whole_wats: self.no_whole_wats.or(lower.no_whole_wats),
            admin_token_file: self.admin_token_file.or(lower.admin_token_file),
            password_calls: self.password_calls.or(lower.password_calls),
            join_key_file: self.join_key_file.or(lower.join_key_file),
            rate_limit: self.rate_limit.or(lower.rate_limit),
            trusted_proxy: self.trusted_proxy.or(lower.trusted_proxy),
            tls_cert: self.tls_cert.or(lower.tls_cert),
            tls_key: self.tls_key.or(lower.tls_key),
        }
    }

    /// What holds where nothing is said. What has no value here is off.
    pub(super) fn defaults() -> Self {
        let config = Config::default();
        Self {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 8080))),
            project: Some(config.project),
            idle_timeout: u32::try_from(config.idle_timeout.as_secs())
                .ok()
                .and_then(AtLeastOne::of),
            max_failures: AtLeastOne::of(config.max_failures),
            flag_reports: AtLeastOne::of(config.flag_reports),
            claim_order: Some(ClaimOrder::Oldest),
            max_workers: AtLeastOne::of(config.max_workers),
            max_workers_per_address: AtLeastOne::of(config.max_workers_per_address),
            staging_limit: Some(config.staging_limit),
            no_whole_wats: Some(!config.whole_wats),
            password_calls: Some(config.password_calls),
            rate_limit: Some(config.rate_limit.map_or(0, NonZeroU32::get)),
            ..Self::default()
        }
    }

    /// What holds in the end: what is not set is the default.
    pub(super) fn effective(self) -> Self {
        let mut all = self.over(Self::defaults());
        all.staging = all.staging.or_else(|| beside(all.store.as_deref()?));
        all
    }

    /// The tracker's configuration; what is not set is the default.
    pub(super) fn config(self) -> Result<Config> {
        let settings = self.effective();
        let default = Config::default();
        let idle_timeout = settings.idle_timeout.map(AtLeastOne::get);
        let idle_timeout = idle_timeout.map(|seconds| Duration::from_secs(seconds.into()));
        let idle_timeout = idle_timeout.unwrap_or(default.idle_timeout);
        let number = |set: Option<AtLeastOne>, default| set.map_or(default, AtLeastOne::get);
        let interval = (idle_timeout / 4).max(Duration::from_secs(1));
        let config = Config {
            project: settings.project.unwrap_or(default.project),
            idle_timeout,
            // Who is silent for so long is found out soon after.
            reaper_interval: interval.min(LONGEST_REAPER_INTERVAL),
            max_failures: number(settings.max_failures, default.max_failures),
            flag_reports: number(settings.flag_reports, default.flag_reports),
            claim_order: settings
                .claim_order
                .map_or(default.claim_order, Order::from),
            max_workers: number(settings.max_workers, default.max_workers),
            max_workers_per_address: number(
                settings.max_workers_per_address,
                default.max_workers_per_address,
            ),
            staging: settings.staging,
            staging_limit: settings.staging_limit.unwrap_or(default.staging_limit),
            whole_wats: !settings.no_whole_wats.unwrap_or(!default.whole_wats),
            admin_token: secret(admin_token(settings.admin_token_file)?)?,
            password_calls: settings.password_calls.unwrap_or(default.password_calls),
            join_key: join_key(settings.join_key_file)?,
            rate_limit: settings.rate_limit.and_then(NonZeroU32::new),
            trusted_proxies: settings.trusted_proxy.unwrap_or_default(),
            tls: tls(settings.tls_cert, settings.tls_key)?,
            upload_addresses: by_type(settings.upload_address.unwrap_or_default()),
            public_url: settings.public_url.map(|url| url.0),
            ..default
        };
        config.check()?;
        Ok(config)
    }

    /// As it stands in a file; a password is not shown.
    pub(super) fn shown(mut self) -> Result<String> {
        self.store = self.store.map(|store| without_password(&store));
        Ok(toml::to_string(&self)?)
    }
}

/// The setting that a line of a file is about, without its value, which may be a secret.
fn named(line: &str) -> Option<&str> {
    let name = line.split_once('=')?.0.trim();
    let plain = name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
    plain.then_some(name)
}

/// The folder for staging beside a store that is a file.
fn beside(store: &str) -> Option<StagingPlace> {
    let path = store.strip_prefix("sqlite:")?;
    Some(StagingPlace::Folder(format!("{path}.staging").into()))
}

fn secret(text: Option<String>) -> Result<Option<Secret>> {
    Ok(text.map(|text| Secret::new(&text)).transpose()?)
}

fn join_key(file: Option<PathBuf>) -> Result<Option<Secret>> {
    let Some(file) = file else {
        return Ok(None);
    };
    let name = file.display();
    let text = fs::read_to_string(&file);
    let text = text.with_context(|| format!("cannot read the join key in {name}"))?;
    let key = Secret::join_key(&text).with_context(|| format!("the join key in {name}"))?;
    Ok(Some(key))
}

fn tls(certificate: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<Tls>> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(Tls::load(&certificate, &key)?)),
        (None, None) => Ok(None),
        _ => bail!("TLS needs both a certificate (--tls-cert) and its key (--tls-key)"),
    }
}

fn by_type(addresses: Vec<UploadAddress>) -> BTreeMap<WorkerType, Vec<String>> {
    let mut by_type: BTreeMap<WorkerType, Vec<String>> = BTreeMap::new();
    for UploadAddress(worker_type, address) in addresses {
        by_type.entry(worker_type).or_default().push(address);
    }
    by_type
}

/// A store's address as it may be shown: of one with an account, in whatever way it is written, the
/// scheme only.
fn without_password(store: &str) -> String {
    match store.split_once("://") {
        Some((scheme, rest)) if rest.contains('@') || rest.contains("password") => {
            format!("{scheme}://…")
        }
        _ => store.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, Parser};

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        settings: Settings,
    }

    fn flags(flags: &[&str]) -> Settings {
        let arguments = ["cah"].iter().chain(flags);
        Flags::try_parse_from(arguments).unwrap().settings
    }

    #[test]
    fn flags_go_before_the_file_and_the_file_before_defaults() {
        let file = Settings::parse(
            "max-failures = 7\nproject = \"Words\"\npassword-calls = true\n\
             upload-address = [\"cpu=rsync://one/\", \"CPU=rsync://two/\"]",
        )
        .unwrap();
        let config = flags(&["--project", "Flag", "--password-calls=false"]).over(file);
        let config = config.config().unwrap();
        assert_eq!((config.project.as_str(), config.max_failures), ("Flag", 7));
        assert!(!config.password_calls && config.whole_wats);
        assert_eq!(config.flag_reports, Config::default().flag_reports);
        assert_eq!(config.upload_addresses[&WorkerType::Cpu].len(), 2);
        assert!(
            flags(&["--password-calls"])
                .config()
                .unwrap()
                .password_calls
        );
        assert!(!flags(&["--no-whole-wats"]).config().unwrap().whole_wats);
    }

    #[test]
    fn a_wrong_file_is_refused_with_the_line() {
        for (text, part) in [
            ("listen = 7", "line 1, listen: "),
            (
                "\nmax-failures = -1",
                "line 2, max-failures: it must be a whole number from 1 to 4294967295",
            ),
            ("idle-timeout = 0", "line 1, idle-timeout: it must be"),
            ("flag-reports = 4294967296", "line 1, flag-reports: it must"),
            ("max-workers = 1.5", "line 1, max-workers: "),
            ("rate-limit = -1", "line 1, rate-limit: "),
            (
                "project = \"a\"\ncolour = 1",
                "line 2: unknown field `colour`",
            ),
            (
                "upload-address = [\"TPU=x\"]",
                "line 1, upload-address: `TPU`",
            ),
            (
                "upload-address = [\n  \"CPU=a\",\n  \"TPU=b\",\n]",
                "`TPU` is no type",
            ),
            (
                "\n\npublic-url = \"nowhere\"",
                "line 3, public-url: `nowhere` is no address",
            ),
            (
                "public-url = \"ftp://host/\"",
                "line 1, public-url: the public URL `ftp://host/` must start with http",
            ),
            ("project = \"a", "line 1, project: "),
        ] {
            let refused = Settings::parse(text).unwrap_err().to_string();
            assert!(
                refused.contains(part) && !refused.contains('\n'),
                "{refused}"
            );
        }
    }

    #[test]
    fn help_tells_the_defaults_that_hold() {
        let defaults = toml::Value::try_from(Settings::defaults()).unwrap();
        let command = Settings::augment_args(Command::new("cah"));
        for (name, value) in defaults.as_table().unwrap() {
            let flag = command.get_arguments().find(|a| a.get_long() == Some(name));
            let help = flag.unwrap().get_help().unwrap().to_string();
            let value = value.as_str().map_or(value.to_string(), str::to_owned);
            let off = value == "false";
            assert!(
                off || help.contains(&format!("[default: {value}]")),
                "{name}: {help}"
            );
        }
    }

    #[test]
    fn what_is_shown_is_a_file_without_passwords() {
        let settings = flags(&["--store", "postgres://cah:geheim@db/cah", "--max-workers=3"]);
        let shown = settings.clone().over(Settings::defaults()).shown().unwrap();
        assert!(!shown.contains("geheim"));
        for store in [
            "postgres://u:geheim@a:1,b:2/x",
            "postgres://a/x?user=u&password=geheim",
        ] {
            assert!(!without_password(store).contains("geheim"));
        }
        let read = Settings::parse(&shown).unwrap();
        assert_eq!(read.max_workers, AtLeastOne::of(3));
        assert_eq!(read.listen, Settings::defaults().listen);
    }

    #[test]
    fn the_sample_is_the_defaults() {
        let sample = include_str!("../../../../../deploy/tracker.toml");
        let settings = Settings::parse(sample).unwrap();
        let expected = Settings {
            store: Some("sqlite:tracker.db".into()),
            ..Settings::defaults()
        };
        assert_eq!(settings, expected);
        // What is off is told of as well, in a line that only has to be uncommented.
        let command = Settings::augment_args(Command::new("cah"));
        for argument in command.get_arguments() {
            let name = argument.get_long().unwrap();
            let line = sample
                .lines()
                .map(|line| line.trim_start_matches("# "))
                .find(|line| line.starts_with(&format!("{name} = ")));
            let line = line.unwrap_or_else(|| panic!("the sample says nothing of {name}"));
            Settings::parse(line).unwrap();
        }
    }
}
