//! How connections to the server are made, and what is set on each.

use std::{
    future::poll_fn,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_postgres::{
    AsyncMessage, Error, Notification, SimpleQueryMessage, config::SslMode, error::SqlState,
};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::AbortOnDropHandle;

use super::{
    address::{self, Server},
    connection::{Connection, in_full},
};
use crate::store::StoreError;

/// Settings of every connection. All statements are known and each has its index: plans are made
/// once, and must not turn to reading whole tables because these were small at that time.
/// A session whose other end is gone ends soon, and its locks with it; one that only waits stays,
/// whatever the server does with others. The last line is the question whether anything can be
/// written there.
const SETTINGS: &str = "
    SET statement_timeout = '30s';
    SET lock_timeout = '10s';
    SET idle_in_transaction_session_timeout = '60s';
    SET idle_session_timeout = 0;
    SET tcp_keepalives_idle = '10s';
    SET tcp_keepalives_interval = '5s';
    SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = '25s';
    SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off;
    SET enable_bitmapscan = off;
    SET jit = off;
    SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off';
    SHOW transaction_read_only";

/// How long to leave a server alone that cannot be reached, at first and at most.
const PAUSE: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// Makes connections to one database.
pub(super) struct Connector {
    /// Those that the address names, in the order in which they are tried.
    servers: Vec<Server>,
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
        Ok(Self {
            servers: address::read(address)?,
            tls: tls(),
            pause: Mutex::default(),
        })
    }

    /// What messages call the database: the address without the password.
    pub(super) fn name(&self) -> String {
        address::name(&self.servers)
    }

    /// Connects for the first time. Where encryption is only preferred and does not come about,
    /// this and all later connections do without.
    pub(super) async fn connect_first(&mut self) -> Result<Connection, Unreached> {
        match self.try_each(|_| ()).await {
            Err(error) if self.prefers_tls() && error.is_tls() => {
                for server in &mut self.servers {
                    server.config.ssl_mode(SslMode::Disable);
                }
                let plain = self.try_each(|_| ()).await;
                // A server that takes encrypted connections alone says so in this way.
                plain.map_err(|other| if other.is_refusal() { error } else { other })
            }
            connected => connected,
        }
    }

    fn prefers_tls(&self) -> bool {
        let mut servers = self.servers.iter();
        servers.any(|server| server.config.get_ssl_mode() == SslMode::Prefer)
    }

    pub(super) async fn connect(&self) -> Result<Connection, StoreError> {
        self.connect_listening(|_| ()).await
    }

    /// Connects, and hands on what the server notifies. Refuses at once where the server could not
    /// be reached a moment ago.
    pub(super) async fn connect_listening(
        &self,
        notified: impl Fn(Notification) + Clone + Send + 'static,
    ) -> Result<Connection, StoreError> {
        if self
            .pause()
            .until
            .is_some_and(|until| Instant::now() < until)
        {
            return Err(StoreError::unavailable("the database cannot be reached"));
        }
        let connected = self.try_each(notified).await;
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

    /// Tries one server after the other; the error is the last one's.
    async fn try_each(
        &self,
        notified: impl Fn(Notification) + Clone + Send + 'static,
    ) -> Result<Connection, Unreached> {
        let mut last = Unreached::Silent;
        for server in &self.servers {
            match self.try_once(server, notified.clone()).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Makes a connection ready for use. A server that takes connections and then says nothing is
    /// given up as well.
    async fn try_once(
        &self,
        server: &Server,
        notified: impl Fn(Notification) + Send + 'static,
    ) -> Result<Connection, Unreached> {
        let made = async {
            let (client, driver) = server.config.connect(self.tls.clone()).await?;
            let driver = AbortOnDropHandle::new(tokio::spawn(drive(driver, notified)));
            let said = client.simple_query(SETTINGS).await?;
            match is_read_only(&said) {
                true => Err(Unreached::ReadOnly),
                false => Ok(Connection::new(client, driver)),
            }
        };
        let made = timeout(server.patience, made).await;
        made.unwrap_or(Err(Unreached::Silent))
    }

    fn pause(&self) -> MutexGuard<'_, Pause> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves what is sent and received, until the connection ends.
async fn drive<S, T>(
    mut connection: tokio_postgres::Connection<S, T>,
    notified: impl Fn(Notification),
) where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match poll_fn(|cx| connection.poll_message(cx)).await {
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

/// What the server answered to the last line of the settings.
fn is_read_only(said: &[SimpleQueryMessage]) -> bool {
    let rows = said.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.last().and_then(|row| row.get(0)) == Some("on")
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreached {
    #[error("{}", in_full(.0))]
    Failed(#[from] Error),
    #[error("the server did not answer in time")]
    Silent,
    #[error("the server takes no writes")]
    ReadOnly,
}

impl Unreached {
    fn is_tls(&self) -> bool {
        matches!(self, Self::Failed(error) if is_tls(error))
    }

    /// Whether the server does not let the user in, at least not in this way.
    fn is_refusal(&self) -> bool {
        let refusal = Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
        matches!(self, Self::Failed(error) if error.code() == refusal)
    }

    /// In plain words, with the mend where there is an obvious one.
    pub(super) fn plain(&self) -> String {
        match self {
            Self::Failed(error) => plain(error),
            Self::Silent => {
                format!("the server cannot be reached ({self}); see that it runs there")
            }
            Self::ReadOnly => format!(
                "{self}; it is a standby, or its default_transaction_read_only is on: name the \
                 server that standbys follow, or all of them, separated by commas"
            ),
        }
    }
}

impl From<Unreached> for StoreError {
    fn from(error: Unreached) -> Self {
        match error {
            Unreached::Failed(error) => error.into(),
            other => Self::unavailable(other),
        }
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
