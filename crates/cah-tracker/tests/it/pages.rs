//! The pages, and what hostile text does in them: nothing.

use cah_protocol::{SUCCESS, WorkerType};
use cah_tracker::{
    TokenHash,
    store::{Caller, Claim, Completion, Moment, NewWorker, Order},
};
use insta::assert_snapshot;

use crate::{
    app::{IDLE, START, TestApp},
    recount,
};

const SCRIPT: &str = "<script>alert(1)</script>";

/// Registers a worker by name, so that pages are the same each time.
async fn join(app: &TestApp, name: &str, nickname: &str, worker_type: WorkerType) -> Caller {
    let (token, role) = (TokenHash::of(name), worker_type.into());
    let worker = NewWorker {
        token,
        role,
        display_name: name.into(),
        nickname: nickname.into(),
        progress: "Connected".into(),
    };
    app.store.register(worker, moment(START)).await.unwrap();
    Caller {
        token,
        role: Some(role),
    }
}

const CLAIM: Claim = Claim {
    order: Order::Oldest,
    max_failures: 5,
};

fn moment(now: i64) -> Moment {
    Moment {
        now,
        until: now + IDLE,
    }
}

/// The page without what changes with the assets.
async fn page(app: &TestApp, path: &str) -> String {
    let page = app.get(path).await;
    assert_eq!(page.status, 200);
    let version = page.text.split("tracker.css?v=").nth(1).unwrap();
    let version = &version[..16];
    page.text.replace(version, "[version]")
}

#[tokio::test]
async fn the_overview_of_a_project_at_work() {
    let app = TestApp::start(6).await;
    let ada = join(&app, "calm-otter-101", "ada", WorkerType::Hybrid).await;
    let bob = join(&app, "brisk-heron-202", "bob", WorkerType::Cpu).await;
    for (minutes, pairs) in [(0, 4_000), (20, 9_000), (40, 6_500)] {
        app.store.claim(ada, CLAIM, moment(START)).await.unwrap();
        let done = Completion {
            pairs,
            ..Completion::default()
        };
        app.store.complete(ada, done, moment(START)).await.unwrap();
        app.store.record_point(START + 60 * minutes).await.unwrap();
    }
    app.store.claim(ada, CLAIM, moment(START)).await.unwrap();
    app.store.claim(bob, CLAIM, moment(START)).await.unwrap();
    let progress = Some("12 / 100 (12%)".to_owned());
    app.store
        .beat(ada, progress, moment(START + 3_000))
        .await
        .unwrap();
    app.clock.advance(3_600);
    assert_snapshot!(page(&app, "/").await);
    assert_snapshot!(page(&app, "/leaderboard").await);
}

#[tokio::test]
async fn the_overview_of_an_empty_project() {
    let app = TestApp::start(0).await;
    assert_snapshot!(page(&app, "/").await);
}

#[tokio::test]
async fn a_parked_job_shows_why() {
    let app = TestApp::start(1).await;
    let reason = format!("the file is not there {SCRIPT}");
    for _ in 0..5 {
        let worker = app.join("ada", "HYBRID").await;
        for _ in 0..2 {
            app.new_job(&worker).await.json();
            let told = worker.body(serde_json::json!({"message": reason}));
            assert!(app.post("/api/failJob", told).await.is(200, SUCCESS));
        }
    }
    assert_eq!(app.open_jobs("HYBRID").await, 0);
    let page = page(&app, "/").await;
    assert!(page.contains("Parked shards") && page.contains("00000.warc.wat.gz"));
    assert!(page.contains("the file is not there &#60;script&#62;") && !page.contains(SCRIPT));
    recount::check(&app.db());
}

#[tokio::test]
async fn hostile_text_stays_text() {
    let app = TestApp::start(1).await;
    let worker = app.join(SCRIPT, "HYBRID").await;
    app.new_job(&worker).await.json();
    assert!(app.done(&worker, 1).await.is(200, SUCCESS));
    let hostile = format!("{SCRIPT}\"'><img src=x onerror=alert(1)>\u{202e}");
    assert!(app.progress(&worker, &hostile).await.is(200, SUCCESS));
    for path in ["/", "/leaderboard"] {
        let page = page(&app, path).await;
        assert!(!page.contains("<script>") && !page.contains("<img src=x"));
        assert!(page.contains("&#60;script&#62;alert(1)&#60;/script&#62;"));
    }
}

#[tokio::test]
async fn pages_load_nothing_but_the_trackers_own_files() {
    let app = TestApp::start(1).await;
    for path in ["/", "/leaderboard"] {
        let response = app.client().get(app.url(path)).send().await.unwrap();
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self'"));
        assert!(!policy.contains("unsafe") && !policy.contains('*'));
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
        let page = response.text().await.unwrap();
        assert!(!page.contains("<style") && !page.contains(" style=") && !page.contains("http://"));
        assert!(!page.contains("https://") && !page.contains("onclick"));

        let files: Vec<&str> = page
            .split(['"', '\''])
            .filter(|text| text.starts_with("/assets/"))
            .collect();
        assert!(files.len() >= 3);
        for file in files {
            let response = app.client().get(app.url(file)).send().await.unwrap();
            assert_eq!(response.status(), 200, "{file}");
            let kept = response.headers()["cache-control"].to_str().unwrap();
            assert!(kept.contains("immutable"));
        }
    }
}
