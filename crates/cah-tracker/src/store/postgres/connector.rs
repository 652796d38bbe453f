//! How connections to the server are made, and what is set on each.

use std::{
    fmt::Write as _,
    future::poll_fn,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio_postgres::{
    AsyncMessage, Config, Error, Notification,
    config::{Host, SslMode},
    error::SqlState,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connection::{Connection, in_full};
use crate::store::StoreError;

/// How long a connection may take to come about.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Settings of every connection. All statements are known and each has its index: plans are made
/// once, and must not turn to reading whole tables because these were small at that time.
const SETTINGS: &str = "
    SET statement_timeout = '30s';
    SET lock_timeout = '10s';
    SET idle_in_transaction_session_timeout = '60s';
    SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off;
    SET enable_bitmapscan = off;
    SET jit = off;
    SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off';
";

/// How long to leave a server alone that cannot be reached, at first and at most.
const PAUSE: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// Makes connections to one database.
pub(super) struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
    pause: Mutex<Pause>,
}

/// While a server cannot be reached nobody waits for it.
#[derive(Default)]
struct Pause {
    /// Failures in a row.
    failed: u32,
    until: Option<Instant>,
}

impl Connector {
    /// Reads the address. The error says in plain words what is wrong, without what stands in it:
    /// that could be a password.
    pub(super) fn new(address: &str) -> Result<Self, String> {
        // Certificates are always checked, where there is encryption.
        let certain = address.replace("sslmode=verify-full", "sslmode=require");
        let parsed = certain.parse().ok().filter(|_| !is_ambiguous(address));
        let mut config: Config = parsed.ok_or(
            "the address cannot be read; write postgres://USER:PASSWORD@HOST:PORT/DATABASE, \
             with %XX for special characters in the password",
        )?;
        if config.get_application_name().is_none() {
            config.application_name("cah-tracker");
        }
        config
            .connect_timeout(CONNECT_DEADLINE)
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(25));
        Ok(Self {
            config,
            tls: tls(),
            pause: Mutex::default(),
        })
    }

    /// What messages call the database: the address without the password.
    pub(super) fn name(&self) -> String {
        let mut name = "postgres://".to_owned();
        if let Some(user) = self.config.get_user() {
            let _ = write!(name, "{user}@");
        }
        let ports = self.config.get_ports();
        for (i, host) in self.config.get_hosts().iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            match host {
                Host::Tcp(host) => {
                    let port = ports.get(i).or(ports.first()).unwrap_or(&5432);
                    let _ = write!(name, "{comma}{host}:{port}");
                }
                Host::Unix(folder) => {
                    let _ = write!(name, "{comma}{}", folder.display());
                }
            }
        }
        if let Some(database) = self.config.get_dbname() {
            let _ = write!(name, "/{database}");
        }
        name
    }

    /// Connects for the first time. Where encryption is only preferred and does not come about,
    /// this and all later connections do without.
    pub(super) async fn connect_first(&mut self) -> Result<Connection, Error> {
        match self.try_once(|_| ()).await {
            Err(error) if self.config.get_ssl_mode() == SslMode::Prefer && is_tls(&error) => {
                self.config.ssl_mode(SslMode::Disable);
                let plain = self.try_once(|_| ()).await;
                // A server that takes encrypted connections alone says so in this way.
                let insists =
                    |e: &Error| e.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
                plain.map_err(|other| if insists(&other) { error } else { other })
            }
            connected => connected,
        }
    }

    pub(super) async fn connect(&self) -> Result<Connection, StoreError> {
        self.connect_listening(|_| ()).await
    }

    /// Connects, and hands on what the server notifies. Refuses at once where the server could not
    /// be reached a moment ago.
    pub(super) async fn connect_listening(
        &self,
        notified: impl Fn(Notification) + Send + 'static,
    ) -> Result<Connection, StoreError> {
        if self
            .pause()
            .until
            .is_some_and(|until| Instant::now() < until)
        {
            return Err(StoreError::unavailable("the database cannot be reached"));
        }
        let connected = self.try_once(notified).await;
        let mut pause = self.pause();
        match &connected {
            Ok(_) => *pause = Pause::default(),
            Err(_) => {
                let [first, most] = PAUSE;
                let length = first.saturating_mul(1 << pause.failed.min(10)).min(most);
                pause.until = Some(Instant::now() + length);
                pause.failed += 1;
            }
        }
        Ok(connected?)
    }

    async fn try_once(
        &self,
        notified: impl Fn(Notification) + Send + 'static,
    ) -> Result<Connection, Error> {
        let (client, mut driver) = self.config.connect(self.tls.clone()).await?;
        tokio::spawn(async move {
            loop {
                match poll_fn(|cx| driver.poll_message(cx)).await {
                    Some(Ok(AsyncMessage::Notification(note))) => notified(note),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        let error = in_full(&error);
                        tracing::debug!(%error, "a connection to the database ended");
                        return;
                    }
                    None => return,
                }
            }
        });
        client.batch_execute(SETTINGS).await?;
        Ok(Connection::new(client))
    }

    fn pause(&self) -> MutexGuard<'_, Pause> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether part of a password may be taken for host or database, and be shown as such.
fn is_ambiguous(address: &str) -> bool {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let place = rest.split('?').next().unwrap_or(rest);
    let user = place.split('/').next().unwrap_or(place);
    place.matches('@').count() > 1 || user.matches('@').count() < place.matches('@').count()
}

fn tls() -> MakeRustlsConnect {
    // Fails where one is installed already: that one is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match MakeRustlsConnect::with_native_certs() {
        Ok((tls, _)) => tls,
        // Without any certificate only unencrypted connections come about.
        Err(_) => MakeRustlsConnect::new(
            rustls::ClientConfig::builder()
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth(),
        ),
    }
}

fn is_tls(error: &Error) -> bool {
    error.to_string().contains("TLS")
}

/// Why the database cannot be opened, with the mend where there is an obvious one.
pub(super) fn plain(error: &Error) -> String {
    let Some(server) = error.as_db_error() else {
        return match is_tls(error) {
            true => format!(
                "no encrypted connection comes about ({}); see that the server's certificate is \
                 known to this machine, or use sslmode=disable",
                in_full(error)
            ),
            false => format!(
                "the server cannot be reached ({}); see that it runs there and takes connections",
                in_full(error)
            ),
        };
    };
    let said = server.message();
    match server.code() {
        code if *code == SqlState::INVALID_PASSWORD
            || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION =>
        {
            format!("the server does not let this user in ({said}); see user and password")
        }
        code if *code == SqlState::UNDEFINED_DATABASE => {
            format!("{said}; create it with `createdb`, or name another one")
        }
        code if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            format!("{said}; let the user create tables there (GRANT CREATE ON SCHEMA …)")
        }
        code if *code == SqlState::TOO_MANY_CONNECTIONS => {
            format!("{said}; raise max_connections of the server, or run fewer trackers")
        }
        _ => said.to_owned(),
    }
}
