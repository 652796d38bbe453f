//! The pages, and what hostile text does in them: nothing.

use cah_protocol::{SUCCESS, WorkerType};
use cah_tracker::{
    TokenHash,
    store::{Caller, Claim, Completion, Moment, NewWorker, Order},
};
use insta::assert_snapshot;

use crate::{
    app::LOCAL,
    app::{IDLE, START, TestApp},
    recount,
};

const SCRIPT: &str = "<script>alert(1)</script>";

/// Registers a worker by name, so that pages are the same each time.
async fn join(app: &TestApp, name: &str, nickname: &str, worker_type: WorkerType) -> Caller {
    let (token, role) = (TokenHash::of(name), worker_type.into());
    let worker = NewWorker {
        places: None,
        upload_key: TokenHash::of("key"),
        address: LOCAL,
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
async fn a_job_tells_its_story() {
    let app = TestApp::start(1).await;
    let (ada, eve) = (
        app.join("ada", "HYBRID").await,
        app.join(SCRIPT, "HYBRID").await,
    );
    app.new_job(&eve).await.json();
    let told = eve.body(serde_json::json!({"message": format!("no room {SCRIPT}")}));
    app.post("/api/failJob", told).await;
    app.new_job(&ada).await.json();
    app.done(&ada, 1).await;
    app.new_job(&ada).await.json();
    app.done(&ada, 1_234).await;
    let story = page(&app, "/job/1").await;
    assert!(story.contains("no room &#60;script&#62;") && !story.contains(SCRIPT));
    assert!(
        story.contains("GPU done") && story.contains("1,234 pairs"),
        "{story}"
    );
    assert!(story.contains("first half") && story.contains("/contributor/ada"));
    let data = app.get("/job/1/data").await.json();
    assert_eq!(
        (&data["state"], &data["attempts"]),
        (&"closed".into(), &2.into())
    );
    assert_eq!(data["messages"][0]["attempt"], 1);
    for path in [
        "/job/0",
        "/job/3",
        "/job/3/data",
        "/job/18446744073709551615",
    ] {
        assert_eq!(app.get(path).await.status, 404, "{path}");
    }
    for path in [
        "/job/x",
        "/job/-1",
        "/job/1.5/data",
        "/job/99999999999999999999",
    ] {
        assert_eq!(app.get(path).await.status, 400, "{path}");
    }
}

#[tokio::test]
async fn a_contributor_has_a_page() {
    let app = TestApp::start(2).await;
    let worker = app.join(SCRIPT, "HYBRID").await;
    let name = "%3Cscript%3Ealert%281%29%3C%2Fscript%3E";
    assert_eq!(app.get(&format!("/contributor/{name}")).await.status, 404);
    for pairs in [3, 4] {
        app.new_job(&worker).await.json();
        app.done(&worker, pairs).await;
        app.clock.advance(86_400 / 24);
    }
    assert!(
        page(&app, "/leaderboard")
            .await
            .contains(&format!("/contributor/{name}"))
    );
    let shown = page(&app, &format!("/contributor/{name}")).await;
    assert!(shown.contains("&#60;script&#62;") && !shown.contains(SCRIPT));
    assert!(
        shown.contains("place 1") && shown.contains("2026-01-01"),
        "{shown}"
    );
    assert!(shown.contains(&worker.display_name));
    assert!(shown.contains("<title>2026-01-01: 2</title>"), "{shown}");
    // Others whose names have the same in them are no part of it.
    for _ in 0..101 {
        app.join(&format!("{SCRIPT}!"), "HYBRID").await;
    }
    let late = app.join(SCRIPT, "HYBRID").await;
    let shown = page(&app, &format!("/contributor/{name}")).await;
    assert!(shown.contains(&late.display_name) && !shown.contains("more</a>"));
    let data = app.get(&format!("/contributor/{name}/data")).await.json();
    assert_eq!(data["nickname"], SCRIPT);
    assert_eq!(
        data["days"][0],
        serde_json::json!({"begin": START, "stage": "GPU", "jobs": 2, "pairs": 7})
    );
}

#[tokio::test]
async fn workers_are_found_on_their_page() {
    let app = TestApp::start(1).await;
    // No part of a display name.
    for i in 0..230 {
        app.join(if i % 2 == 0 { "Xyzzy" } else { SCRIPT }, "HYBRID")
            .await;
    }
    let first = page(&app, "/workers").await;
    assert!(first.contains("230 connected") && first.contains("Page 1 of 3"));
    assert!(first.contains("rel=\"next\"") && !first.contains("rel=\"prev\""));
    let last = page(&app, "/workers?page=3").await;
    assert!(last.contains("rel=\"prev\"") && !last.contains("rel=\"next\""));
    let found = page(&app, "/workers?q=XYZZY&page=2").await;
    assert!(found.contains("115 connected") && found.contains("/workers?q=XYZZY&#38;page=1"));
    let hostile = page(&app, "/workers?q=%3Cscript%3Ealert(1)%3C/script%3E").await;
    assert!(hostile.contains("115 connected") && !hostile.contains(SCRIPT));
    // Who asks for more pages than there are gets the last one.
    for beyond in ["4", "99999999999", "18446744073709551615"] {
        let beyond = page(&app, &format!("/workers?page={beyond}")).await;
        assert_eq!(beyond, last);
    }
    let data = app.get("/workers/data?page=999").await.json();
    assert_eq!(data["page"], 3);
    assert_eq!(data["workers"].as_array().unwrap().len(), 30);
    let data = app.get("/workers/data?q=xyzzy").await.json();
    assert_eq!(data["found"], 115);
    assert_eq!(data["workers"].as_array().unwrap().len(), 100);
    for wrong in [
        "page=x",
        "page=-1",
        "sort=token_hash",
        "sort=w.id--",
        "order=down",
        &format!("q={}", "x".repeat(129)),
    ] {
        for path in ["/workers", "/workers/data"] {
            let refused = app.get(&format!("{path}?{wrong}")).await;
            assert_eq!(refused.status, 400, "{wrong}");
        }
    }
}

#[tokio::test]
async fn workers_are_sorted_over_all_pages() {
    let app = TestApp::start(150).await;
    for i in 0..150 {
        let worker = app.join(&format!("n{i:03}"), "HYBRID").await;
        app.new_job(&worker).await;
        app.done(&worker, i).await;
    }
    let sorted = page(&app, "/workers?q=n&sort=pairs&order=desc").await;
    assert!(sorted.contains("number\" aria-sort=\"descending\"><a href=\"/workers?q=n&#38;sort=pairs&#38;order=asc\">Pairs"), "{sorted}");
    assert_eq!(sorted.matches("aria-sort").count(), 1);
    assert!(sorted.contains("<a href=\"/workers?q=n&#38;sort=jobs&#38;order=desc\">Done"));
    assert!(sorted.contains("/workers?q=n&#38;sort=name&#38;order=asc"));
    assert!(sorted.contains("/workers?q=n&#38;sort=pairs&#38;order=desc&#38;page=2"));
    assert!(sorted.contains("name=\"sort\" value=\"pairs\""));
    let pairs = async |query: &str| {
        let data = app.get(&format!("/workers/data?{query}")).await.json();
        let workers = data["workers"].as_array().unwrap().iter();
        workers
            .map(|worker| worker["pairs"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    let first: Vec<u64> = (50..150).rev().collect();
    assert_eq!(pairs("sort=pairs&order=desc").await, first);
    let last: Vec<u64> = (0..50).rev().collect();
    assert_eq!(pairs("sort=pairs&order=desc&page=2").await, last);
    let first: Vec<u64> = (0..100).collect();
    assert_eq!(pairs("sort=contributor").await, first);
}

#[tokio::test]
async fn candidates_are_told_by_where_they_end() {
    let app = TestApp::start(1).await;
    assert!(!page(&app, "/").await.contains("Where candidates end"));
    let worker = app.join("ada", "HYBRID").await;
    app.new_job(&worker).await.json();
    for wrong in [
        serde_json::json!([]),
        serde_json::json!({"kept": -1}),
        serde_json::json!({"kept": 1_000_000_001}),
        serde_json::json!({"no_such_outcome": 1}),
    ] {
        let body = worker.body(serde_json::json!({"count": 7, "outcomes": wrong}));
        assert_eq!(app.post("/api/markAsDone", body).await.status, 400);
    }
    let outcomes = serde_json::json!({"kept": 7, "timed_out": 21});
    let body = worker.body(serde_json::json!({"count": 7, "outcomes": outcomes}));
    assert!(app.post("/api/markAsDone", body).await.is(200, SUCCESS));
    let shown = page(&app, "/").await;
    assert!(shown.contains("Where candidates end") && shown.contains("timed out"));
    assert!(
        shown.contains("<rect class=\"bar-lost\" width=\"750\"") && shown.contains(">75.0<"),
        "{shown}"
    );
    assert_eq!(app.get("/outcomes/data").await.json(), outcomes);
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
