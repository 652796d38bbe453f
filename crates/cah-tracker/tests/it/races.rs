//! Many at once.

use std::collections::BTreeSet;

use cah_protocol::SUCCESS;
use futures::future::join_all;
use serde_json::json;

use crate::{app::TestApp, recount};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_job_is_leased_to_one_of_many() {
    let app = TestApp::start(5).await;
    let workers = join_all((0..64).map(|i| {
        let app = &app;
        async move { app.join(&format!("n{}", i % 7), "HYBRID").await }
    }))
    .await;
    let names: BTreeSet<_> = workers.iter().map(|w| &w.display_name).collect();
    assert_eq!(names.len(), 64);
    let answers = join_all(workers.iter().map(|worker| app.new_job(worker))).await;
    let numbers: Vec<u64> = answers
        .iter()
        .filter(|answer| answer.status == 200)
        .map(|answer| answer.json()["number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers.len(), 10);
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), 10);
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 403).count(),
        54
    );
    recount::check(&app.db());

    // All of them say that they are done, several times at once: ten count.
    let calls = workers
        .iter()
        .cycle()
        .take(256)
        .map(|worker| app.done(worker, 1));
    let done = join_all(calls).await;
    assert_eq!(
        done.iter().filter(|answer| answer.is(200, SUCCESS)).count(),
        40
    );
    assert_eq!(app.get("/data").await.json()["total_pairs_scraped"], 10);
    recount::check(&app.db());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_token_ends_with_one_job() {
    let app = TestApp::start(20).await;
    for workers in 1..=8 {
        // No more than a worker may take without finishing any.
        let worker = app.join("ada", "HYBRID").await;
        let answers = join_all((0..5).map(|_| app.new_job(&worker))).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
        assert_eq!(app.store.counts().await.unwrap().leased(), workers);
    }
    recount::check(&app.db());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_completion_sent_many_times_counts_once() {
    let app = TestApp::start(1).await;
    let worker = app.join("ada", "HYBRID").await;
    app.new_job(&worker).await.json();
    let answers = join_all((0..32).map(|_| app.done(&worker, 7))).await;
    assert!(answers.iter().all(|answer| answer.is(200, SUCCESS)));
    let data = app.get("/data").await.json();
    assert_eq!(data["total_pairs_scraped"], 7);
    assert_eq!(data["completion_str"], "1 / 2");
    recount::check(&app.db());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn leaving_while_asking_for_a_job_leaves_none_leased() {
    let app = TestApp::start(4).await;
    for _ in 0..20 {
        let worker = app.join("ada", "HYBRID").await;
        let calls = (0..6).map(|i| {
            let (app, worker) = (&app, &worker);
            async move {
                match i {
                    3 => app.post("/api/bye", worker.body(json!({}))).await,
                    _ => app.new_job(worker).await,
                }
            }
        });
        join_all(calls).await;
        let counts = app.store.counts().await.unwrap();
        assert_eq!((counts.leased(), counts.workers), (0, 0));
    }
    recount::check(&app.db());
}
