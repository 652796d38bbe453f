//! Clients that take whole WAT files without a lease, and `isCompleted`.

use std::{collections::BTreeSet, sync::Arc};

use cah_tracker::{Config, ManualClock, Secret};
use serde_json::{Value, json};

use crate::{
    app::{START, TestApp, answer, test_config},
    recount,
};

#[tokio::test]
async fn a_whole_wat_file_goes_its_way() {
    let app = TestApp::start(1).await;
    let url = app.get("/custom/get-cpu-wat").await;
    assert!(url.is(200, "https://data.example.org/00000.warc.wat.gz"));
    let found = app
        .post("/custom/lookup-wat", json!({"url": url.text}))
        .await;
    assert_eq!(
        found.json(),
        json!({"status": "success", "shards": [
            [1, {"url": url.text, "start_id": "0", "end_id": "1000000", "shard": 0}],
            [2, {"url": url.text, "start_id": "0", "end_id": "1000000", "shard": 1}],
        ]})
    );
    let done = json!({
        "shards": [1, 2],
        "urls": {"1": "http://cpu/1.tar", "2": "http://cpu/2.tar"},
        "nickname": "ada",
    });
    for _ in 0..2 {
        let answer = app.post("/custom/markasdone-cpu", done.clone()).await;
        assert_eq!(answer.json(), json!({"status": "success", "completed": 2}));
    }
    assert_eq!(
        (app.open_jobs("CPU").await, app.open_jobs("GPU").await),
        (0, 2)
    );
    let gone = app
        .post("/custom/lookup-wat", json!({"url": url.text}))
        .await;
    assert_eq!(gone.json()["status"], "failed");

    let gpu = app.join("bob", "GPU").await;
    assert_eq!(app.new_job(&gpu).await.json()["url"], "http://cpu/1.tar");
    let asked = json!({"addresses": ["http://cpu/1.tar", "http://cpu/2.tar", "http://x/"]});
    let finished = app.post("/api/isCompleted", asked.clone()).await;
    assert_eq!(finished.json(), json!(["http://x/"]));
    app.done(&gpu, 3).await;
    let finished = app.post("/api/isCompleted", asked).await;
    assert_eq!(finished.json(), json!(["http://cpu/1.tar", "http://x/"]));
    recount::check(&app.db());
}

#[tokio::test]
async fn who_has_timed_out_hands_in_what_it_made() {
    let app = TestApp::start(1).await;
    let done = |number: u64, token: &str| {
        let urls = json!({number.to_string(): "postgres"});
        let fields = json!({
            "shards": [number], "urls": urls, "nickname": "ada", "token": token,
        });
        app.post("/custom/markasdone-cpu", fields)
    };
    assert_eq!(done(1, "no worker's").await.json()["completed"], 1);
    let worker = app.join("ada", "CPU").await;
    assert_eq!(done(2, &worker.token).await.json()["completed"], 1);
    assert_eq!(app.get("/data").await.json()["completion_str"], "2 / 2");
    let path = format!("/worker/cpu/{}/data", worker.display_name);
    assert_eq!(
        app.get(&path).await.json()["progress"],
        "Handed in a WAT file"
    );
}

#[tokio::test]
async fn an_operator_may_want_workers_only() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        whole_wats: false,
        ..test_config()
    };
    let app = TestApp::open(dir, Arc::new(ManualClock::new(START)), config).await;
    app.add_wats(0..1).await;
    let text = "This tracker gives out no whole WAT files; join it as a worker.";
    assert!(app.get("/custom/get-cpu-wat").await.is(403, text));
    for call in ["/custom/lookup-wat", "/custom/markasdone-cpu"] {
        let refused = app.post(call, json!({"shards": [1]})).await;
        assert!(refused.is(403, text), "{refused:?}");
    }
}

/// That there is no whole file is believed for a while, but not when an operator opens jobs.
#[tokio::test]
async fn files_that_an_operator_opens_are_found_at_once() {
    const TOKEN: &str = "0123456789abcdef";
    let config = Config {
        max_failures: 1,
        admin_token: Some(Secret::new(TOKEN).unwrap()),
        ..test_config()
    };
    let dir = tempfile::tempdir().unwrap();
    let app = TestApp::open(dir, Arc::new(ManualClock::new(START)), config).await;
    app.add_wats(0..4).await;
    let operate = async |call: &str, body: String| {
        let call = app.client().post(app.url(call)).bearer_auth(TOKEN);
        let done = answer(call.body(body)).await;
        assert_eq!(done.status, 200, "{done:?}");
    };
    let job = |number: u64| json!({ "number": number }).to_string();
    let drawn = async || {
        let mut drawn = BTreeSet::new();
        for _ in 0..20 {
            drawn.insert(app.get("/custom/get-cpu-wat").await.text);
        }
        drawn
    };
    // Halves are drawn where nothing is whole.
    let nothing_is_whole = async || assert!(drawn().await.len() > 1);
    let whole = |name: &str| {
        let url = format!("https://data.example.org/{name}.warc.wat.gz");
        BTreeSet::from([url])
    };
    for number in [3, 5, 7] {
        operate("/admin/ban-job", job(number)).await;
    }
    let worker = app.join("ada", "HYBRID").await;
    app.new_job(&worker).await.json();
    let failed = worker.body(json!({"message": "no such file"}));
    app.post("/api/failJob", failed).await;
    nothing_is_whole().await;
    operate("/admin/requeue", "{}".into()).await;
    assert_eq!(drawn().await, whole("00000"));

    operate("/admin/ban-job", job(1)).await;
    nothing_is_whole().await;
    operate("/admin/reset-job", job(5)).await;
    assert_eq!(drawn().await, whole("00002"));

    operate("/admin/ban-job", job(5)).await;
    nothing_is_whole().await;
    let import = "/admin/import?format=wat-paths&base_url=https://data.example.org/";
    operate(import, "new.warc.wat.gz".into()).await;
    assert_eq!(drawn().await, whole("new"));
}

#[tokio::test]
async fn nothing_is_left_to_take() {
    let app = TestApp::start(0).await;
    let none = app.get("/custom/get-cpu-wat").await;
    assert!(none.is(403, "No job is open at the moment. Please try again later."));
}

#[tokio::test]
async fn a_project_of_other_jobs_has_no_wat_files() {
    let app = TestApp::start(0).await;
    app.store
        .add_payloads(vec!["a".into(), "b".into()], 0)
        .await
        .unwrap();
    assert_eq!(app.get("/custom/get-cpu-wat").await.status, 403);
    let found = app.post("/custom/lookup-wat", json!({"url": "a"})).await;
    assert_eq!(found.json()["status"], "failed");
}

#[tokio::test]
async fn a_shard_that_is_named_twice_counts_once() {
    let app = TestApp::start(1).await;
    let done = json!({"shards": [1, 1], "urls": {"1": "http://cpu/1.tar"}, "nickname": "ada"});
    let answer = app.post("/custom/markasdone-cpu", done).await;
    assert_eq!(answer.json()["completed"], 1);
    recount::check(&app.db());
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let app = TestApp::start(1).await;
    let urls = json!({"1": "u"});
    let calls: &[(&str, Value)] = &[
        ("/custom/lookup-wat", json!({})),
        ("/custom/lookup-wat", json!({"url": 7})),
        (
            "/custom/markasdone-cpu",
            json!({"nickname": "a", "urls": urls}),
        ),
        (
            "/custom/markasdone-cpu",
            json!({"nickname": "a", "shards": [1]}),
        ),
        (
            "/custom/markasdone-cpu",
            json!({"nickname": "a", "shards": [1], "urls": []}),
        ),
        (
            "/custom/markasdone-cpu",
            json!({"nickname": "a", "shards": [2], "urls": urls}),
        ),
        (
            "/custom/markasdone-cpu",
            json!({"nickname": "a", "shards": [-1], "urls": urls}),
        ),
        (
            "/custom/markasdone-cpu",
            json!({"nickname": "a", "shards": [], "urls": urls}),
        ),
        (
            "/custom/markasdone-cpu",
            json!({"nickname": "a", "shards": ["1"], "urls": urls}),
        ),
        (
            "/custom/markasdone-cpu",
            json!({"nickname": "", "shards": [1], "urls": urls}),
        ),
        (
            "/custom/markasdone-cpu",
            json!({"nickname": "a\u{0}", "shards": [1], "urls": urls}),
        ),
        (
            "/custom/markasdone-cpu",
            json!({"nickname": "a", "shards": [1], "urls": {"1": 7}}),
        ),
        (
            "/custom/markasdone-cpu",
            json!({"nickname": "a", "shards": [1], "urls": {"1": "\u{0}"}}),
        ),
        (
            "/custom/markasdone-cpu",
            json!({"nickname": "a", "shards": vec![1; 1_001], "urls": urls}),
        ),
        ("/api/isCompleted", json!({})),
        ("/api/isCompleted", json!({"addresses": "x"})),
        ("/api/isCompleted", json!({"addresses": [7]})),
        ("/api/isCompleted", json!({"addresses": vec!["x"; 10_001]})),
    ];
    for (call, body) in calls {
        let answer = app.post(call, body.clone()).await;
        assert_eq!(answer.status, 400, "{call} {body}: {answer:?}");
        assert!(!answer.text.contains('\n') && answer.text.len() < 200);
    }
    assert_eq!(app.open_jobs("HYBRID").await, 2);
    recount::check(&app.db());
}
