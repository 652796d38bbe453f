//! kill -9 of workers and of the tracker: nothing acknowledged is lost, no shard closes twice.

use std::process::Stdio;

use crate::harness::{Process, Served, content, fail, manifests, succeed, until, web, worker};

/// The sums of the dashboard are those of the dataset.
async fn assert_sums(tracker: &Served, out: &std::path::Path) {
    let manifests = manifests(out).await;
    assert_eq!(manifests.len(), 4);
    let pairs: u64 = manifests.values().map(|manifest| manifest.pairs).sum();
    let data = tracker.data().await;
    assert_eq!(data["completion_str"], "4 / 4");
    assert_eq!(data["total_pairs_scraped"], pairs, "{data}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_workers_lose_nothing() {
    let web = web(60).await;
    let folder = tempfile::tempdir().unwrap();
    let tracker = Served::web(folder.path(), &web, 2).await;
    let out = folder.path().join("out");
    let start = || Process::start(worker(&tracker.url(), &web, &out, &[]).stderr(Stdio::null()));
    for shards in 1..3u64 {
        let mut doomed = start();
        let leased = 4 - shards;
        until("a lease", || async {
            (tracker.open_jobs().await <= leased).then_some(())
        })
        .await;
        doomed.kill();
    }
    // Those that were killed held leases; a worker that waits gets their shards, too.
    let mut last =
        Process::start(worker(&tracker.url(), &web, &out, &["--wait=1"]).stderr(Stdio::null()));
    until("all shards", || async {
        (tracker.data().await["completion_str"] == "4 / 4").then_some(())
    })
    .await;
    last.signal("INT");
    assert!(last.wait().success());
    assert_sums(&tracker, &out).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_tracker_costs_only_the_time() {
    let web = web(60).await;
    let folder = tempfile::tempdir().unwrap();
    let mut tracker = Served::web(folder.path(), &web, 7200).await;
    let out = folder.path().join("out");
    let mut process = Process::start(worker(&tracker.url(), &web, &out, &[]).stderr(Stdio::null()));
    until("a lease", || async {
        (tracker.open_jobs().await < 4).then_some(())
    })
    .await;
    tracker.kill();
    let one = out.join("stats/000000001.json");
    until("the first shard's end", || async {
        one.exists().then_some(())
    })
    .await;
    assert!(process.is_running(), "the worker waits for its tracker");
    tracker.restart().await;
    assert!(process.wait().success());
    assert_sums(&tracker, &out).await;
    assert!(tracker.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_the_shards() {
    let web = web(60).await;
    let folder = tempfile::tempdir().unwrap();
    let tracker = Served::web(folder.path(), &web, 7200).await;
    let (out, alone) = (folder.path().join("out"), folder.path().join("alone"));
    let start = || Process::start(worker(&tracker.url(), &web, &out, &[]).stderr(Stdio::null()));
    let mut workers = [start(), start()];
    for process in &mut workers {
        assert!(process.wait().success());
    }
    assert_sums(&tracker, &out).await;

    let other = tempfile::tempdir().unwrap();
    let single = Served::web(other.path(), &web, 7200).await;
    succeed(&mut worker(&single.url(), &web, &alone, &[]));
    assert_eq!(
        content(&manifests(&out).await),
        content(&manifests(&alone).await),
        "who works on a shard makes no difference"
    );
}

/// One file that is not there must not stop everybody at the shards behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_wat_file_stops_nobody() {
    let web = web(30).await;
    let folder = tempfile::tempdir().unwrap();
    let missing = "crawl-data/missing.warc.wat.gz";
    let flags = vec!["--max-failures=2".to_owned()];
    let tracker = Served::web_with(folder.path(), &web, missing, flags).await;
    let out = folder.path().join("out");
    let said = fail(&mut worker(&tracker.url(), &web, &out, &[]));
    assert!(said.contains("there is no file at"), "{said}");
    let last = said.lines().last().unwrap();
    assert!(
        last.starts_with("error: shards could not be done"),
        "{said}"
    );
    assert_eq!(manifests(&out).await.len(), 4);
    let data = tracker.data().await;
    assert_eq!(data["completion_str"], "4 / 6");
    let page = reqwest::get(tracker.url()).await.unwrap().text().await;
    let page = page.unwrap();
    assert!(page.contains("Parked shards") && page.contains(missing));
}
