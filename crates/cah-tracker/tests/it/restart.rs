//! What was acknowledged survives the program.

use cah_protocol::SUCCESS;
use cah_tracker::Clock;

use crate::{
    app::{IDLE, TestApp},
    recount,
};

#[tokio::test]
async fn leases_results_and_counters_survive() {
    let app = TestApp::start(3).await;
    let (a, b) = (
        app.join("ada", "HYBRID").await,
        app.join("bob", "HYBRID").await,
    );
    app.new_job(&a).await.json();
    assert!(app.done(&a, 5).await.is(200, SUCCESS));
    assert_eq!(app.new_job(&b).await.json()["number"], 2);

    let app = app.crash_and_restart().await;
    recount::check(&app.db());
    let data = app.get("/data").await.json();
    assert_eq!(data["total_pairs_scraped"], 5);
    assert_eq!(data["total_connected_workers"], 2);
    // The last answer may have got lost in the crash: its repetition is still harmless.
    assert!(app.done(&a, 5).await.is(200, SUCCESS));
    // The lease holds, and its completion counts.
    assert!(app.done(&b, 6).await.is(200, SUCCESS));
    assert_eq!(app.get("/data").await.json()["total_pairs_scraped"], 11);
    assert_eq!(app.new_job(&a).await.json()["number"], 3);
    recount::check(&app.db());
}

#[tokio::test]
async fn who_could_not_be_heard_gets_a_whole_idle_time() {
    let app = TestApp::start(1).await;
    let worker = app.join("ada", "HYBRID").await;
    app.new_job(&worker).await.json();
    app.clock.advance(10 * IDLE);

    let app = app.crash_and_restart().await;
    app.clock.advance(IDLE - 1);
    assert_eq!(app.tracker.service().reap().await.unwrap().workers, 0);
    assert!(app.done(&worker, 1).await.is(200, SUCCESS));
    app.clock.advance(IDLE);
    assert_eq!(app.tracker.service().reap().await.unwrap().workers, 1);
    recount::check(&app.db());
}

#[tokio::test]
async fn a_clock_that_was_years_ahead_freezes_nothing() {
    const YEARS: i64 = 10 * 365 * 86_400;
    let app = TestApp::start(1).await;
    app.clock.advance(YEARS);
    app.tracker.service().record_point_if_due().await.unwrap();
    let worker = app.join("ada", "HYBRID").await;
    app.new_job(&worker).await.json();
    app.clock.advance(-YEARS);

    let app = app.crash_and_restart().await;
    app.clock.advance(IDLE);
    assert_eq!(app.tracker.service().reap().await.unwrap().jobs, 1);
    assert_eq!(app.open_jobs("HYBRID").await, 2);
    app.tracker.service().record_point_if_due().await.unwrap();
    let newest = app.store.points(1).await.unwrap();
    assert_eq!(newest[0].at, app.clock.now());
    recount::check(&app.db());
}

#[tokio::test]
async fn progress_is_there_after_an_orderly_stop() {
    let app = TestApp::start(1).await;
    let worker = app.join("ada", "HYBRID").await;
    app.progress(&worker, "7 / 9").await;
    app.tracker.service().flush().await.unwrap();
    let app = app.crash_and_restart().await;
    let data = app
        .get(&format!("/worker/hybrid/{}/data", worker.display_name))
        .await;
    assert_eq!(data.json()["progress"], "7 / 9");
}
