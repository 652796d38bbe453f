//! Connections of callers: accepted, served, and let go when the tracker stops.

use std::{convert::Infallible, time::Duration};

use axum::{Router, response::Response};
use hyper::{Request, body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};

use crate::routes::from_peer;

/// The pause after a connection could not be accepted: there may be no socket left for it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 128 << 10;

/// How long callers are waited for.
pub(crate) struct Patience {
    /// For the head of the next request, so that connections which say nothing cannot use up the
    /// tracker's sockets.
    pub(crate) head: Duration,
    /// For calls that are under way when the tracker stops.
    pub(crate) drain: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            // Longer than the minute that lies between two heartbeats: workers keep their
            // connections.
            head: Duration::from_secs(75),
            drain: Duration::from_secs(8),
        }
    }
}

/// Serves `app` until `stop` is ready; then takes no more calls, and cuts off those that are under
/// way for too long.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    app: Router,
    patience: Patience,
    stop: impl Future<Output = ()>,
) {
    let mut stop = std::pin::pin!(stop);
    let stopping = CancellationToken::new();
    // Dropping the set ends the connections that are left.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let app = app.clone();
                    let calls = app.map_request(move |call| from_peer(call, peer.ip()));
                    let (tls, head) = (tls.clone(), patience.head);
                    connections.spawn(connection(stream, tls, calls, head, stopping.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = &mut stop => break,
        }
    }
    drop(listener);
    stopping.cancel();
    let drained = async { while connections.join_next().await.is_some() {} };
    // An error means that the time is up.
    let _ = timeout(patience.drain, drained).await;
}

/// Serves the calls of one connection, encrypted or not.
async fn connection<S: Calls>(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    app: S,
    head: Duration,
    stopping: CancellationToken,
) {
    // Answers are small: waiting to fill a packet would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection without TCP_NODELAY");
    }
    let Some(tls) = tls else {
        return answer(stream, app, head, stopping).await;
    };
    match timeout(head, tls.accept(stream)).await {
        Ok(Ok(stream)) => answer(stream, app, head, stopping).await,
        Ok(Err(error)) => tracing::debug!(%error, "a connection without TLS"),
        Err(_) => tracing::debug!("a connection that was never encrypted"),
    }
}

/// What answers the calls of a connection.
trait Calls:
    Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S> Calls for S where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// Answers calls, one after the other. When the tracker stops, the one that is under way is the
/// last.
async fn answer<S: Calls>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    app: S,
    head: Duration,
    stopping: CancellationToken,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::oneshot,
        task::JoinHandle,
    };

    use super::*;

    /// A server with one quick page and one that never answers.
    async fn start(
        head: Duration,
        drain: Duration,
    ) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
        let app = Router::new()
            .route("/quick", get(|| async { "here" }))
            .route("/never", get(std::future::pending::<&str>));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async { drop(stopped.await) };
        let server = serve(listener, None, app, Patience { head, drain }, stopped);
        (addr, stop, tokio::spawn(server))
    }

    /// Sends `text` and returns what comes until the other side ends the connection.
    async fn say(addr: SocketAddr, text: &str) -> String {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end as well.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn connections_that_say_nothing_are_ended() {
        let hour = Duration::from_secs(3_600);
        let (addr, _stop, _server) = start(Duration::from_millis(50), hour).await;
        for head in ["", "GET /quick HTTP/1.1\r\nHost: a\r\n"] {
            let end = timeout(Duration::from_secs(30), say(addr, head)).await;
            assert!(!end.expect("the server waits for ever").contains("200 OK"));
        }
    }

    #[tokio::test]
    async fn a_stop_waits_for_no_call_for_ever() {
        let hour = Duration::from_secs(3_600);
        let (addr, stop, server) = start(hour, Duration::from_millis(50)).await;
        let idle = tokio::spawn(say(addr, "GET /quick HTTP/1.1\r\nHost: a\r\n\r\n"));
        let busy = tokio::spawn(say(addr, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n"));
        sleep(Duration::from_millis(200)).await;
        stop.send(()).unwrap();
        let ended = async { tokio::join!(server, idle, busy) };
        let ended = timeout(Duration::from_secs(30), ended).await;
        let (server, idle, busy) = ended.expect("the server does not stop");
        server.unwrap();
        assert!(idle.unwrap().ends_with("here"));
        assert_eq!(busy.unwrap(), "");
        assert!(TcpStream::connect(addr).await.is_err());
    }
}
