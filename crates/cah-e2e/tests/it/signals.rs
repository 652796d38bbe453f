//! Ctrl-C on a worker: once finishes the shard, twice gives it back.

use std::{process::Stdio, time::Duration};

use crate::harness::{Process, Served, manifests, until, web, worker};

#[tokio::test(flavor = "multi_thread")]
async fn once_finishes_the_shard() {
    let web = web(60).await;
    let folder = tempfile::tempdir().unwrap();
    let tracker = Served::web(folder.path(), &web, 7200).await;
    let out = folder.path().join("out");
    let mut process = Process::start(worker(&tracker.url(), &web, &out, &[]).stderr(Stdio::null()));
    until("a lease", || async {
        (tracker.open_jobs().await < 4).then_some(())
    })
    .await;
    process.signal("INT");
    assert!(process.wait().success());
    let done = manifests(&out).await;
    assert!(
        (1..4).contains(&done.len()),
        "{} shards are done",
        done.len()
    );
    assert_eq!(tracker.open_jobs().await, 4 - done.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn twice_gives_it_back() {
    // The endless answers of the web hold a shard up for as long as a request may take.
    let web = web(60).await;
    let folder = tempfile::tempdir().unwrap();
    let tracker = Served::web(folder.path(), &web, 7200).await;
    let out = folder.path().join("out");
    let patient = ["--timeout=600"];
    let mut process =
        Process::start(worker(&tracker.url(), &web, &out, &patient).stderr(Stdio::null()));
    until("a lease", || async {
        (tracker.open_jobs().await == 3).then_some(())
    })
    .await;
    process.signal("INT");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(
        process.is_running(),
        "the first signal lets the shard go on"
    );
    process.signal("INT");
    assert!(process.wait().success());
    assert_eq!(tracker.open_jobs().await, 4);
    assert!(manifests(&out).await.is_empty());
}
