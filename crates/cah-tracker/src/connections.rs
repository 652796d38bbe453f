//! Connections of callers: accepted, served, and let go when the tracker stops.

use std::{convert::Infallible, sync::Arc, time::Duration};

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
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};

use crate::{
    routes::from_peer,
    turnstile::{Admitted, Turnstile},
};

/// The pause after a connection could not be accepted: there may be no socket left for it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 128 << 10;

/// How long callers are waited for.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    /// For the head of the next request, so that connections which say nothing cannot use up the
    /// tracker's sockets.
    pub(crate) head: Duration,
    /// For an answer to be taken, each time that there is no room for more of it on the way.
    pub(crate) answer: Duration,
    /// For calls that are under way when the tracker stops.
    pub(crate) drain: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            // Longer than the minute that lies between two heartbeats: workers keep their
            // connections.
            head: Duration::from_secs(75),
            answer: Duration::from_secs(60),
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
    turnstile: Arc<Turnstile>,
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
                    let Some(admitted) = turnstile.admit(peer.ip()) else {
                        tracing::debug!(%peer, "one connection too many of this address");
                        continue;
                    };
                    let app = app.clone();
                    let calls = app.map_request(move |call| from_peer(call, peer.ip()));
                    let served = Served {
                        tls: tls.clone(),
                        patience,
                        stopping: stopping.clone(),
                        _admitted: admitted,
                    };
                    connections.spawn(served.connection(stream, calls));
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

/// How a connection is served.
struct Served {
    tls: Option<TlsAcceptor>,
    patience: Patience,
    stopping: CancellationToken,
    _admitted: Admitted,
}

impl Served {
    /// Serves the calls of one connection, encrypted or not.
    async fn connection<S: Calls>(self, stream: TcpStream, app: S) {
        // Answers are small: waiting to fill a packet would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection without TCP_NODELAY");
        }
        // Who asks and then takes no answer keeps no socket.
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.patience.answer));
        let stream = Box::pin(stream);
        let Some(tls) = &self.tls else {
            return self.answer(stream, app).await;
        };
        match timeout(self.patience.head, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.answer(stream, app).await,
            Ok(Err(error)) => tracing::debug!(%error, "a connection without TLS"),
            Err(_) => tracing::debug!("a connection that was never encrypted"),
        }
    }

    /// Answers calls, one after the other. When the tracker stops, the one that is under way is the
    /// last.
    async fn answer<S: Calls>(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        app: S,
    ) {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.patience.head)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke");
        }
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::{body::Body, routing::get};
    use futures::stream;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::oneshot,
        task::JoinHandle,
    };

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const PATIENT: Patience = Patience {
        head: HOUR,
        answer: HOUR,
        drain: HOUR,
    };

    /// A server with one quick page, one that never answers and one that never ends.
    async fn start(patience: Patience) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
        let piece = Ok::<_, Infallible>("x".repeat(1 << 16));
        let app = Router::new()
            .route("/quick", get(|| async { "here" }))
            .route("/never", get(std::future::pending::<&str>))
            .route(
                "/long",
                get(|| async { Body::from_stream(stream::repeat(piece)) }),
            );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async { drop(stopped.await) };
        let turnstile = Turnstile::new(1, Vec::new());
        let server = serve(listener, None, app, turnstile, patience, stopped);
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
        let (addr, _stop, _server) = start(Patience {
            head: Duration::from_millis(50),
            ..PATIENT
        })
        .await;
        for head in ["", "GET /quick HTTP/1.1\r\nHost: a\r\n"] {
            let end = timeout(Duration::from_secs(30), say(addr, head)).await;
            assert!(!end.expect("the server waits for ever").contains("200 OK"));
        }
    }

    #[tokio::test]
    async fn who_takes_no_answer_is_cut_off() {
        let (addr, _stop, _server) = start(Patience {
            answer: Duration::from_millis(50),
            ..PATIENT
        })
        .await;
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let ask = b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n";
        stream.write_all(ask).await.unwrap();
        // As soon as the way is full, nothing more of it comes than is on it.
        sleep(Duration::from_secs(1)).await;
        let rest = async {
            let mut some = vec![0; 1 << 16];
            while stream.read(&mut some).await.is_ok_and(|read| read > 0) {}
        };
        let end = timeout(Duration::from_secs(30), rest).await;
        end.expect("the server waits for ever");
    }

    #[tokio::test]
    async fn a_stop_waits_for_no_call_for_ever() {
        let (addr, stop, server) = start(Patience {
            drain: Duration::from_millis(50),
            ..PATIENT
        })
        .await;
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
