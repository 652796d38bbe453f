//! Local servers, and fetchers that may reach them.

use std::{
    collections::HashMap,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use cah_fetch::{Config, ErrorKind, FetchError, Fetched, Fetcher, NameServers};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub(crate) const IMAGE: &[u8] = b"\x89PNG and whatever follows";

/// A fetcher for loopback that waits for nothing but what its test is about.
pub(crate) fn config() -> Config {
    Config {
        allowed_networks: vec!["127.0.0.1/32".parse().unwrap()],
        name_servers: NameServers::None,
        per_host: 64,
        host_delay: Duration::ZERO,
        retry_pause: Duration::from_millis(1),
        ..Config::default()
    }
}

pub(crate) fn fetcher() -> Fetcher {
    Fetcher::new(config()).unwrap()
}

/// Names for servers, as `Config::hosts` wants them.
pub(crate) fn hosts(pairs: &[(&str, SocketAddr)]) -> HashMap<String, Vec<SocketAddr>> {
    pairs
        .iter()
        .map(|(name, address)| ((*name).to_owned(), vec![*address]))
        .collect()
}

pub(crate) fn kind(result: Result<Fetched, FetchError>) -> ErrorKind {
    result.expect_err("the fetch fails").kind()
}

/// A server that hands each request, with its connection, to a function of the test.
///
/// It reads one request a connection; whatever the function leaves open is closed when it ends.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Site {
    pub(crate) async fn new<F, A>(answer: F) -> Self
    where
        F: Fn(String, TcpStream) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let (log, answer) = (Arc::clone(&requests), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                tokio::spawn(async move {
                    if let Some(head) = read_head(&mut stream).await {
                        log.lock().unwrap().push(head.clone());
                        answer(head, stream).await;
                    }
                });
            }
        });
        Self { address, requests }
    }

    /// A server that says the same to everybody.
    pub(crate) async fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer = Arc::new(answer.into());
        Self::new(move |_, mut stream| {
            let answer = Arc::clone(&answer);
            async move { send(&mut stream, &answer).await }
        })
        .await
    }

    /// A server that says these in turn, the last one again and again.
    pub(crate) async fn saying_in_turn(answers: Vec<Vec<u8>>) -> Self {
        let answers = Arc::new(answers);
        let turn = Arc::new(AtomicUsize::new(0));
        Self::new(move |_, mut stream| {
            let turn = turn.fetch_add(1, SeqCst).min(answers.len() - 1);
            let answers = Arc::clone(&answers);
            async move { send(&mut stream, &answers[turn]).await }
        })
        .await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The heads of the requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn hits(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// A client that hung up is no failure of the test's server.
pub(crate) async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes).await;
    let _ = stream.flush().await;
}

/// An answer with these headers and body, and its length.
pub(crate) fn answer(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += "connection: close\r\n\r\n";
    [text.as_bytes(), body].concat()
}

pub(crate) fn image() -> Vec<u8> {
    answer("200 OK", &[("content-type", "image/png")], IMAGE)
}

pub(crate) fn redirect_to(location: &str) -> Vec<u8> {
    answer("302 Found", &[("location", location)], b"")
}

/// The path of a request's head.
pub(crate) fn path(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}
