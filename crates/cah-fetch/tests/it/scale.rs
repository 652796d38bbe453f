//! Thousands of requests that are in flight at the same moment.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use cah_fetch::{Config, Fetcher};
use tokio::{sync::watch, task::JoinSet};

use crate::support::{IMAGE, Site, config, image, send};

const MANY: usize = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_at_once() {
    // Both ends of each connection are open in this process.
    let files = 2 * MANY as u64 + 500;
    let limit = rlimit::increase_nofile_limit(files).unwrap();
    assert!(
        limit >= files,
        "this test needs {files} open files: ulimit -n {files}"
    );

    // Nobody gets an answer before all have asked, so that all are in flight together.
    let (arrived, all_arrived) = (Arc::new(AtomicUsize::new(0)), watch::channel(false));
    let (open, opened) = (Arc::new(all_arrived.0), all_arrived.1);
    let site = Site::new(move |_, mut stream| {
        let (arrived, open, mut opened) = (Arc::clone(&arrived), Arc::clone(&open), opened.clone());
        async move {
            if arrived.fetch_add(1, SeqCst) + 1 == MANY {
                open.send(true).unwrap();
            }
            opened.wait_for(|open| *open).await.unwrap();
            send(&mut stream, &image()).await;
        }
    })
    .await;
    let fetcher = Fetcher::new(Config {
        in_flight: MANY,
        per_host: MANY,
        deadline: std::time::Duration::from_secs(60),
        connect_timeout: std::time::Duration::from_secs(60),
        ..config()
    })
    .unwrap();
    let mut tasks = JoinSet::new();
    for i in 0..MANY {
        let (fetcher, url) = (fetcher.clone(), site.url(&format!("/{i}")));
        tasks.spawn(async move { fetcher.fetch(&url).await });
    }
    while let Some(result) = tasks.join_next().await {
        assert_eq!(result.unwrap().unwrap().bytes, IMAGE);
    }
    assert_eq!(site.hits(), MANY);
    assert_eq!(fetcher.in_flight(), 0);
}

#[tokio::test]
async fn what_a_task_holds_for_a_fetch_stays_small() {
    let fetcher = crate::support::fetcher();
    let size = size_of_val(&fetcher.fetch("http://127.0.0.1/"));
    assert!(size <= 512, "{size} bytes");
}
