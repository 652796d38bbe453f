//! What an address says about where the database is.

use std::time::Duration;

use tokio_postgres::{Config, config::Host};

/// How long a server may take until a connection to it can be used, where the address does not
/// say.
const PATIENCE: Duration = Duration::from_secs(10);

/// One of the servers that an address names. Each has its own time to answer: one that says
/// nothing keeps nobody from the next.
pub(super) struct Server {
    pub(super) config: Config,
    pub(super) patience: Duration,
}

/// Reads an address. The error says in plain words what is wrong, without what stands in it: that
/// could be a password.
pub(super) fn read(address: &str) -> Result<Vec<Server>, String> {
    // Certificates are always checked, where there is encryption.
    let certain = address.replace("sslmode=verify-full", "sslmode=require");
    let parsed = certain.parse().ok().filter(|_| !is_ambiguous(address));
    let servers = parsed.as_ref().and_then(each_server);
    servers.ok_or_else(|| {
        "the address cannot be read; write postgres://USER:PASSWORD@HOST:PORT/DATABASE, \
         with %XX for special characters in the password"
            .into()
    })
}

/// Whether part of a password may be taken for host or database, and be shown as such.
fn is_ambiguous(address: &str) -> bool {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let place = rest.split('?').next().unwrap_or(rest);
    let user = place.split('/').next().unwrap_or(place);
    place.matches('@').count() > 1 || user.matches('@').count() < place.matches('@').count()
}

/// The servers one by one, where their hosts and ports can be told apart.
fn each_server(all: &Config) -> Option<Vec<Server>> {
    let (hosts, numeric, ports) = (all.get_hosts(), all.get_hostaddrs(), all.get_ports());
    let count = hosts.len().max(numeric.len());
    let fits = |given: usize| given == 0 || given == count;
    let is_clear =
        fits(hosts.len()) && fits(numeric.len()) && (fits(ports.len()) || ports.len() == 1);
    if count == 0 || !is_clear {
        return None;
    }
    let patience = all.get_connect_timeout().copied().unwrap_or(PATIENCE);
    let server = |place: usize| {
        let mut config = common(all);
        // Time is left for another address of the same host.
        config.connect_timeout(patience / 2);
        match hosts.get(place) {
            Some(Host::Tcp(host)) => config.host(host),
            Some(Host::Unix(folder)) => config.host_path(folder),
            None => &mut config,
        };
        if let Some(address) = numeric.get(place) {
            config.hostaddr(*address);
        }
        if let Some(port) = ports.get(place).or(ports.first()) {
            config.port(*port);
        }
        Server { config, patience }
    };
    Some((0..count).map(server).collect())
}

/// What holds for all servers.
fn common(all: &Config) -> Config {
    let mut config = Config::new();
    if let Some(user) = all.get_user() {
        config.user(user);
    }
    if let Some(password) = all.get_password() {
        config.password(password);
    }
    if let Some(database) = all.get_dbname() {
        config.dbname(database);
    }
    if let Some(options) = all.get_options() {
        config.options(options);
    }
    config
        .application_name(all.get_application_name().unwrap_or("cah-tracker"))
        .ssl_mode(all.get_ssl_mode())
        .ssl_negotiation(all.get_ssl_negotiation())
        .channel_binding(all.get_channel_binding())
        .load_balance_hosts(all.get_load_balance_hosts())
        .keepalives_idle(Duration::from_secs(10))
        .keepalives_interval(Duration::from_secs(5))
        .keepalives_retries(3)
        .tcp_user_timeout(Duration::from_secs(25));
    config
}

/// What messages call the database: the address without the password.
pub(super) fn name(servers: &[Server]) -> String {
    let any = servers.first().map(|server| &server.config);
    let user = any.and_then(Config::get_user);
    let user = user.map_or_else(String::new, |user| format!("{user}@"));
    let places: Vec<String> = servers.iter().map(|server| place(&server.config)).collect();
    let database = any.and_then(Config::get_dbname);
    let database = database.map_or_else(String::new, |database| format!("/{database}"));
    format!("postgres://{user}{}{database}", places.join(","))
}

fn place(config: &Config) -> String {
    let port = config.get_ports().first().unwrap_or(&5432);
    match (config.get_hosts().first(), config.get_hostaddrs().first()) {
        (Some(Host::Tcp(host)), _) => format!("{host}:{port}"),
        (Some(Host::Unix(folder)), _) => folder.display().to_string(),
        (None, Some(address)) => format!("{address}:{port}"),
        (None, None) => String::new(),
    }
}
