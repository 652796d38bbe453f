//! What the tracker does not let one caller do to all others.

use std::sync::Arc;

use cah_protocol::MAX_RESULT_BYTES;
use cah_tracker::{Config, ManualClock};
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    app::{IDLE, START, TestApp, answer, test_config},
    recount,
};

#[tokio::test]
async fn who_finishes_nothing_has_to_wait() {
    let app = TestApp::start(20).await;
    let (broken, good) = (
        app.join("eve", "HYBRID").await,
        app.join("ada", "HYBRID").await,
    );
    let mut jobs = 0;
    while app.new_job(&broken).await.status == 200 {
        jobs += 1;
    }
    assert_eq!(jobs, 6);
    let refused = app.new_job(&broken).await;
    let text = "This worker finished none of its last jobs. It can have another one in 1 s.";
    assert!(refused.is(403, text), "{refused:?}");
    // Nobody else has to, and it is not taken for dead.
    assert_eq!(app.new_job(&good).await.status, 200);
    app.clock.advance(1);
    assert_eq!(app.new_job(&broken).await.status, 200);
    app.clock.advance(1);
    assert_eq!(app.new_job(&broken).await.status, 403);
    // Who says that it cannot do a job is no better off.
    let message = broken.body(json!({"message": "No space left on device"}));
    for _ in 0..2 {
        let failed = app.post("/api/failJob", message.clone()).await;
        assert!(failed.is(200, "success"));
    }
    app.clock.advance(3);
    assert_eq!(app.new_job(&broken).await.status, 403);
    app.clock.advance(1);
    assert_eq!(app.new_job(&broken).await.status, 200);
    // One job done, and all is forgotten.
    assert!(app.done(&broken, 1).await.is(200, "success"));
    for _ in 0..6 {
        assert_eq!(app.new_job(&broken).await.status, 200);
    }
    recount::check(&app.db());
}

#[tokio::test]
async fn a_worker_that_waits_is_heard() {
    let app = TestApp::start(20).await;
    let broken = app.join("eve", "HYBRID").await;
    while app.new_job(&broken).await.status == 200 {}
    for _ in 0..40 {
        app.clock.advance(IDLE / 2);
        // Its pause is over by now, and another one begins.
        assert_eq!(app.new_job(&broken).await.status, 200);
        assert_eq!(app.new_job(&broken).await.status, 403);
    }
    let nobody = json!({"token": "nobody's"});
    assert_eq!(app.post("/api/newJob", nobody).await.status, 404);
}

#[tokio::test]
async fn there_are_as_many_workers_as_the_operator_allows() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        max_workers: 2,
        ..test_config()
    };
    let app = TestApp::open(dir, Arc::new(ManualClock::new(START)), config).await;
    app.add_wats(0..1).await;
    app.join("a", "HYBRID").await;
    let worker = app.join("b", "HYBRID").await;
    let refused = app.get("/api/new?nickname=c").await;
    let text = "This tracker has 2 workers, as many as it takes. Please try again later.";
    assert!(refused.is(403, text), "{refused:?}");
    app.post("/api/bye", worker.body(json!({}))).await;
    app.join("c", "HYBRID").await;
}

#[tokio::test]
async fn a_result_may_be_escaped() {
    let app = TestApp::start(1).await;
    let worker = app.join("ada", "CPU").await;
    app.new_job(&worker).await.json();
    // As Python's json writes it: each letter of two bytes is six characters.
    let escaped = "\\u0436".repeat(MAX_RESULT_BYTES / 2);
    let body = format!(
        r#"{{"token": "{}", "type": "CPU", "url": "{escaped}"}}"#,
        worker.token
    );
    assert!(body.len() > 3 << 20);
    let done = app.post_bytes("/api/markAsDone", body).await;
    assert!(done.is(200, "success"), "{}", done.status);
}

#[tokio::test]
async fn a_body_is_as_long_as_its_call_needs() {
    let app = TestApp::start(1).await;
    for (call, most) in [
        ("/api/newJob", 65_536),
        ("/api/updateProgress", 65_536),
        ("/custom/lookup-wat", 65_536),
        ("/api/markAsDone", 6_356_992),
        ("/api/completeJob", 6_356_992),
        ("/api/isCompleted", 6_356_992),
        ("/custom/markasdone-cpu", 6_356_992),
    ] {
        let blank = |bytes: usize| vec![b' '; bytes];
        assert_eq!(app.post_bytes(call, blank(most)).await.status, 400);
        let text = format!("The body of this call may have {most} bytes at most.");
        let told = app.post_bytes(call, blank(most + 1)).await;
        assert!(told.is(413, &text), "{call}: {told:?}");
        // One that does not say how long it is.
        let parts = (0..98).map(move |_| Ok::<_, std::io::Error>(blank(1 << 16)));
        let body = reqwest::Body::wrap_stream(futures::stream::iter(parts));
        let untold = app.post_bytes(call, body).await;
        assert!(untold.is(413, &text), "{call}: {untold:?}");
    }
}

/// More than may send a large body at the same time.
#[tokio::test]
async fn who_sends_slowly_keeps_nobody_from_sending_little() {
    let app = TestApp::start(1).await;
    let worker = app.join("ada", "HYBRID").await;
    app.new_job(&worker).await.json();
    let mut slow = Vec::new();
    for _ in 0..140 {
        let mut stream = TcpStream::connect(app.tracker.addr()).await.unwrap();
        let head = "POST /api/markAsDone HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    assert!(app.done(&worker, 7).await.is(200, "success"));
    drop(slow);
}

#[tokio::test]
async fn answers_are_not_kept_but_assets_are() {
    let app = TestApp::start(1).await;
    let caching = async |path: &str| {
        let answer = app.client().get(app.url(path)).send().await.unwrap();
        answer.headers()["cache-control"]
            .to_str()
            .unwrap()
            .to_owned()
    };
    for path in ["/", "/data", "/api/jobCount", "/no/such/page"] {
        assert_eq!(caching(path).await, "no-store", "{path}");
    }
    assert!(caching("/assets/tracker.css").await.contains("immutable"));
    let page = answer(app.client().get(app.url("/"))).await;
    assert_eq!(page.status, 200);
}
