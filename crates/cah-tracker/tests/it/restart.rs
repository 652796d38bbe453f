//! What was acknowledged survives the program.

use cah_protocol::{SUCCESS, WorkerType};
use cah_tracker::{
    Clock, TokenHash,
    store::{Caller, Claim, Completion, Moment, NewWorker, Order, StoreError},
};
use tokio::sync::mpsc;

use crate::{
    app::LOCAL,
    app::{IDLE, START, TestApp},
    recount,
};

const AT: Moment = Moment {
    now: START,
    until: START + IDLE,
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

/// The number of its worker means another one, once everything has been replaced.
#[tokio::test]
async fn a_call_that_waited_for_a_restore_is_refused() {
    let app = TestApp::start(1).await;
    let store = app.store.as_ref();
    let caller = |name: &str| Caller {
        token: TokenHash::of(name),
        role: Some(WorkerType::Hybrid.into()),
    };
    let join = async |name: &str| {
        let worker = NewWorker {
            places: None,
            upload_key: TokenHash::of("key"),
            address: LOCAL,
            token: TokenHash::of(name),
            role: WorkerType::Hybrid.into(),
            display_name: name.into(),
            nickname: name.into(),
            progress: String::new(),
        };
        store.register(worker, AT).await.unwrap();
    };
    join("then").await;
    let claim = Claim {
        order: Order::Oldest,
        max_failures: 5,
    };
    store.claim(caller("then"), claim, AT).await.unwrap();
    store.flush(START).await.unwrap();
    let (send, mut rows) = mpsc::channel(100);
    store.dump(send).await.unwrap();
    let mut kept = Vec::new();
    while let Some(batch) = rows.recv().await {
        kept.push(batch);
    }
    // The only worker of now has the number of the one of then.
    store.leave(caller("then"), AT).await.unwrap();
    join("now").await;

    let (send, rows) = mpsc::channel(100);
    let late = async {
        // The restore waits for its rows, and the call for the restore.
        let completion = Completion::default();
        let complete = store.complete(caller("now"), completion, AT);
        let restore = async {
            for batch in kept {
                send.send(Ok(batch)).await.unwrap();
            }
            drop(send);
        };
        tokio::join!(biased; complete, restore).0
    };
    let (loaded, late) = tokio::join!(biased; store.load(rows, true, 0), late);
    loaded.unwrap();
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    let held = store.complete(caller("then"), Completion::default(), AT);
    held.await.unwrap();
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
