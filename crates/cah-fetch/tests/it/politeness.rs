//! What hosts see of many requests at once, measured by their servers.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use axum::{Router, extract::State, response::Response, routing::get};
use cah_fetch::{Config, Fetcher};
use futures::future::join_all;
use tokio::net::TcpListener;

use crate::support::{config, hosts};

/// What a server saw.
#[derive(Default)]
struct Seen {
    now: AtomicUsize,
    most: AtomicUsize,
    starts: Mutex<Vec<Instant>>,
}

struct Server {
    address: std::net::SocketAddr,
    seen: Arc<Seen>,
}

/// A server that takes some time for each answer, the longer for every third.
async fn server() -> Server {
    async fn answer(State(seen): State<Arc<Seen>>) -> Response {
        let started = {
            let mut starts = seen.starts.lock().unwrap();
            starts.push(Instant::now());
            starts.len() as u64
        };
        seen.most
            .fetch_max(seen.now.fetch_add(1, SeqCst) + 1, SeqCst);
        tokio::time::sleep(Duration::from_millis(1 + 10 * (started % 3))).await;
        seen.now.fetch_sub(1, SeqCst);
        Response::new("image".into())
    }
    let seen = Arc::<Seen>::default();
    let app = Router::new()
        .fallback(get(answer))
        .with_state(Arc::clone(&seen));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    Server { address, seen }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_host_ever_sees_more_at_once_than_agreed() {
    let servers = join_all((0..4).map(|_| server())).await;
    let names: Vec<_> = (0..4).map(|i| format!("www.site{i}.example")).collect();
    let pairs: Vec<_> = names
        .iter()
        .zip(&servers)
        .map(|(name, server)| (name.as_str(), server.address))
        .collect();
    let fetcher = Fetcher::new(Config {
        per_host: 3,
        hosts: hosts(&pairs),
        ..config()
    })
    .unwrap();
    let tasks = (0..400).map(|i| {
        let fetcher = fetcher.clone();
        let url = format!("http://{}/{i}", names[i % 4]);
        tokio::spawn(async move { fetcher.fetch(&url).await })
    });
    for result in join_all(tasks).await {
        result.unwrap().unwrap();
    }
    for server in &servers {
        assert_eq!(server.seen.most.load(SeqCst), 3);
        assert_eq!(server.seen.starts.lock().unwrap().len(), 100);
    }
}

#[tokio::test]
async fn subdomains_share_their_domains_slots() {
    let server = server().await;
    let names: Vec<_> = (0..20).map(|i| format!("img{i}.site.example")).collect();
    let pairs: Vec<_> = names.iter().map(|n| (n.as_str(), server.address)).collect();
    let fetcher = Fetcher::new(Config {
        per_host: 2,
        hosts: hosts(&pairs),
        ..config()
    })
    .unwrap();
    let urls: Vec<_> = names.iter().map(|name| format!("http://{name}/")).collect();
    for result in join_all(urls.iter().map(|url| fetcher.fetch(url))).await {
        result.unwrap();
    }
    assert_eq!(server.seen.most.load(SeqCst), 2);
    assert_eq!(fetcher.hosts(), 1);
}

#[tokio::test]
async fn the_whole_fetcher_keeps_its_own_limit() {
    let server = server().await;
    let names: Vec<_> = (0..40).map(|i| format!("site{i}.example")).collect();
    let pairs: Vec<_> = names.iter().map(|n| (n.as_str(), server.address)).collect();
    let fetcher = Fetcher::new(Config {
        in_flight: 5,
        hosts: hosts(&pairs),
        ..config()
    })
    .unwrap();
    let urls: Vec<_> = names.iter().map(|name| format!("http://{name}/")).collect();
    for result in join_all(urls.iter().map(|url| fetcher.fetch(url))).await {
        result.unwrap();
    }
    assert_eq!(server.seen.most.load(SeqCst), 5);
}

#[tokio::test]
async fn a_delay_spreads_one_hosts_requests_and_leaves_others_alone() {
    let (slow, other) = (server().await, server().await);
    let delay = Duration::from_millis(40);
    let fetcher = Fetcher::new(Config {
        host_delay: delay,
        hosts: hosts(&[
            ("slow.example", slow.address),
            ("other.example", other.address),
        ]),
        ..config()
    })
    .unwrap();
    let begun = Instant::now();
    let crowd = join_all((0..10).map(|_| fetcher.fetch("http://slow.example/")));
    let alone = async {
        fetcher.fetch("http://other.example/").await.unwrap();
        slow.seen.starts.lock().unwrap().len()
    };
    let (results, slow_so_far) = tokio::join!(crowd, alone);
    for result in results {
        result.unwrap();
    }
    assert!(
        slow_so_far < 10,
        "the other host did not wait for the crowd"
    );
    // Ten starts have nine delays between them, however slow the machine is.
    assert!(begun.elapsed() >= 9 * delay);
}

#[tokio::test]
async fn a_host_that_hangs_does_not_hold_up_the_others() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let quick = server().await;
    let fetcher = Fetcher::new(Config {
        in_flight: 4,
        per_host: 2,
        hosts: hosts(&[
            ("silent.example", silent.local_addr().unwrap()),
            ("quick.example", quick.address),
        ]),
        ..config()
    })
    .unwrap();
    let hanging = join_all((0..50).map(|_| fetcher.fetch("http://silent.example/")));
    let quickly = join_all((0..50).map(|_| fetcher.fetch("http://quick.example/")));
    tokio::select! {
        biased;
        _ = hanging => panic!("the silent host answers nobody"),
        results = quickly => assert!(results.iter().all(Result::is_ok)),
    }
}
