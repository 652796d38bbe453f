//! Thousands of requests that are in flight at the same moment.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use cah_fetch::{Config, Fetcher};
use tokio::{sync::watch, task::JoinSet};

use crate::support::{IMAGE, Site, config, image, send};

const MANY: usize = 2_000;

/// The limit of open files is the process's own: this runs one test in a process of its own,
/// behind `ulimit` and with the name of the limit in the environment.
fn again_with(limit: &str, test: &str) -> bool {
    let status = Command::new("sh")
        .args([
            "-c",
            &format!("ulimit {limit} && exec \"$0\" --exact {test}"),
        ])
        .arg(std::env::current_exe().unwrap())
        .env(LIMITED, limit)
        .status();
    status.unwrap().success()
}

const LIMITED: &str = "CAH_FETCH_TEST_LIMIT";

#[test]
fn the_soft_limit_of_open_files_is_raised_and_a_hard_one_is_named() {
    let wide = || {
        Fetcher::new(Config {
            in_flight: 800,
            ..config()
        })
    };
    match std::env::var(LIMITED).as_deref() {
        Ok("-Sn 64") => {
            wide().unwrap();
            let (soft, _) = rlimit::Resource::NOFILE.get().unwrap();
            assert!(soft >= 1_600, "{soft}");
        }
        Ok(_) => {
            let error = wide().unwrap_err().to_string();
            assert!(
                error.contains("`in_flight` is 800") && error.contains("ulimit -n"),
                "{error}"
            );
        }
        Err(_) => {
            let this = "scale::the_soft_limit_of_open_files_is_raised_and_a_hard_one_is_named";
            assert!(again_with("-Sn 64", this));
            assert!(again_with("-n 1024", this));
        }
    }
}

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
