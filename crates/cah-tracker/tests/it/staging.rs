//! The way from a CPU worker to a GPU worker through the tracker itself.

use std::{path::Path, sync::Arc};

use cah_tracker::{Config, ManualClock, StagingPlace};
use futures::channel::mpsc::{UnboundedSender, unbounded};
use reqwest::{Body, StatusCode, header};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::app::{Answer, START, TestApp, TestWorker, answer, test_config};

const LIMIT: u64 = 100;

/// A tracker with a staging folder, which lives as long as the second.
async fn tracker() -> (TestApp, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        staging: Some(StagingPlace::Folder(folder.path().join("staging"))),
        staging_limit: LIMIT,
        ..test_config()
    };
    let dir = tempfile::tempdir().unwrap();
    let app = TestApp::open(dir, Arc::new(ManualClock::new(START)), config).await;
    app.add_wats(0..1).await;
    (app, folder)
}

fn staged(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder.join("staging"));
    entries.map_or(0, Iterator::count)
}

/// A CPU worker, and the address where it is told to bring files.
async fn cpu(app: &TestApp) -> (TestWorker, String) {
    let joined = app.get("/api/new?nickname=a&type=CPU").await.json();
    let text = |field: &str| joined[field].as_str().unwrap().to_owned();
    let worker = TestWorker {
        token: text("token"),
        display_name: text("display_name"),
        kind: "CPU",
    };
    (worker, text("upload_address"))
}

async fn bring(app: &TestApp, address: String, body: impl Into<Body>) -> Answer {
    answer(app.client().put(address).body(body)).await
}

#[tokio::test]
async fn what_a_cpu_worker_brings_a_gpu_worker_gets() {
    let (app, folder) = tracker().await;
    let (worker, address) = cpu(&app).await;
    assert!(!address.contains(&worker.token));
    // As a script does it, which knows nothing but the address.
    let early = bring(&app, format!("{address}1.tar"), "images").await;
    let text = "Files are brought by workers that hold a job; this one holds none.";
    assert!(early.is(403, text), "{early:?}");
    app.new_job(&worker).await.json();
    let brought = bring(&app, format!("{address}1.tar"), "images").await;
    assert_eq!(brought.status, StatusCode::CREATED, "{brought:?}");
    let url = brought.text;
    assert!(url.starts_with(&app.url("/staging/1-")), "{url}");
    let done = worker.body(json!({"url": url}));
    assert!(app.post("/api/markAsDone", done).await.is(200, "success"));

    let gpu = app.join("b", "GPU").await;
    let job = app.new_job(&gpu).await.json();
    assert_eq!(job["url"], url);
    assert!(answer(app.client().get(&url)).await.is(200, "images"));
    let rest = app.client().get(&url).header(header::RANGE, "bytes=2-");
    let rest = rest.send().await.unwrap();
    assert_eq!(rest.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(rest.headers()[header::CONTENT_RANGE], "bytes 2-5/6");
    assert_eq!(rest.text().await.unwrap(), "ages");
    assert_eq!(staged(folder.path()), 1);
}

#[tokio::test]
async fn a_file_needs_no_name() {
    let (app, _folder) = tracker().await;
    let (worker, address) = cpu(&app).await;
    app.new_job(&worker).await.json();
    let brought = bring(&app, address, "images").await;
    assert_eq!(brought.status, StatusCode::CREATED, "{brought:?}");
    assert!(
        answer(app.client().get(&brought.text))
            .await
            .is(200, "images")
    );
}

#[tokio::test]
async fn a_worker_is_told_its_address_again() {
    let (app, _folder) = tracker().await;
    let (worker, address) = cpu(&app).await;
    let again = format!("/api/getUploadAddress?type=CPU&token={}", worker.token);
    assert!(app.get(&again).await.is(200, &address));
    let without = app.get("/api/getUploadAddress?type=CPU").await;
    assert_eq!(without.text, app.url("/staging/"));
    // With that one the token goes along.
    app.new_job(&worker).await.json();
    let put = |token: &str| {
        let put = app.client().put(app.url("/staging/x.tar"));
        answer(put.bearer_auth(token).body("images"))
    };
    assert_eq!(put(&worker.token).await.status, StatusCode::CREATED);
    assert_eq!(put("nobody's").await.status, 404);
    let bare = answer(app.client().put(app.url("/staging/x.tar")).body("i")).await;
    let text = "This call needs the worker's token, as `Authorization: Bearer TOKEN`.";
    assert!(bare.is(401, text), "{bare:?}");
}

/// Begins to bring a file; it arrives once the first of these is dropped.
async fn begin(
    app: &TestApp,
    folder: &Path,
    address: &str,
) -> (
    UnboundedSender<std::io::Result<&'static str>>,
    JoinHandle<Answer>,
) {
    let before = staged(folder);
    let (sender, bytes) = unbounded();
    sender.unbounded_send(Ok("images")).unwrap();
    let put = app.client().put(address).body(Body::wrap_stream(bytes));
    let brought = tokio::spawn(answer(put));
    while staged(folder) == before {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    (sender, brought)
}

#[tokio::test]
async fn a_job_has_only_so_many_files() {
    let (app, folder) = tracker().await;
    let (worker, address) = cpu(&app).await;
    app.new_job(&worker).await.json();
    let mut urls = Vec::new();
    for _ in 0..9 {
        urls.push(bring(&app, address.clone(), "images").await.text);
    }
    assert_eq!(staged(folder.path()), 3);
    let done = worker.body(json!({"url": urls[8]}));
    assert!(app.post("/api/markAsDone", done).await.is(200, "success"));
    let sent = answer(app.client().get(&urls[8])).await;
    assert!(sent.is(200, "images"), "{sent:?}");
}

#[tokio::test]
async fn a_job_has_only_so_many_files_on_their_way() {
    let (app, folder) = tracker().await;
    let (worker, address) = cpu(&app).await;
    app.new_job(&worker).await.json();
    let mut begun = Vec::new();
    for _ in 0..3 {
        begun.push(begin(&app, folder.path(), &address).await);
    }
    let refused = bring(&app, address.clone(), "images").await;
    let text = "This worker brings 3 files already, as many as it may at the same time. Please \
                try again in a minute.";
    assert!(refused.is(429, text), "{refused:?}");
    let (sender, brought) = begun.pop().unwrap();
    drop(sender);
    assert_eq!(brought.await.unwrap().status, StatusCode::CREATED);
    let again = bring(&app, address, "images").await;
    assert_eq!(again.status, StatusCode::CREATED, "{again:?}");
}

/// Or else it would push out what the job's next worker brings.
#[tokio::test]
async fn who_lost_its_job_meanwhile_has_brought_nothing() {
    let (app, folder) = tracker().await;
    let (worker, address) = cpu(&app).await;
    let (none, other) = (
        "Files are brought by workers that hold a job; this one holds none.",
        "This worker does not have an open job, or the job was given to another worker.",
    );
    for (calls, text) in [(&["returnJob"][..], none), (&["failJob", "newJob"], other)] {
        app.new_job(&worker).await.json();
        let (sender, brought) = begin(&app, folder.path(), &address).await;
        for call in calls {
            let body = worker.body(json!({"message": "no time"}));
            let lost = app.post(&format!("/api/{call}"), body).await;
            assert_eq!(lost.status, StatusCode::OK, "{lost:?}");
        }
        drop(sender);
        let brought = brought.await.unwrap();
        assert!(brought.is(403, text), "{brought:?}");
        assert_eq!(staged(folder.path()), 0);
    }
}

#[tokio::test]
async fn nothing_else_is_taken_or_told() {
    let (app, folder) = tracker().await;
    let (worker, address) = cpu(&app).await;
    app.new_job(&worker).await.json();
    let large = vec![b'x'; LIMIT as usize + 1];
    let refused = bring(&app, format!("{address}1.tar"), large).await;
    let text = "The body of this call may have 100 bytes at most.";
    assert!(refused.is(413, text), "{refused:?}");
    let cut = futures::stream::iter([Ok("half"), Err(std::io::Error::other("cut"))]);
    let request = app.client().put(format!("{address}1.tar"));
    assert!(request.body(Body::wrap_stream(cut)).send().await.is_err());
    let wrong = app.url("/staging/0123456789abcdef0123456789abcdef/1.tar");
    assert_eq!(bring(&app, wrong, "x").await.status, 404);
    let none = "There is no such file; it may be used up.";
    for name in [
        "x.tar",
        "..%2ftracker.db",
        "1-0123456789abcdef0123456789abcdef.tar",
    ] {
        let told = app.get(&format!("/staging/{name}")).await;
        assert!(told.is(404, none), "{name}: {told:?}");
    }
    assert_eq!(staged(folder.path()), 0);
}

#[tokio::test]
async fn a_tracker_without_staging_says_so() {
    let app = TestApp::start(1).await;
    let (worker, address) = cpu(&app).await;
    app.new_job(&worker).await.json();
    let text = "This tracker has no staging; its operator names the addresses where results are \
                brought.";
    let refused = bring(&app, format!("{address}1.tar"), "x").await;
    assert!(refused.is(404, text), "{refused:?}");
}
