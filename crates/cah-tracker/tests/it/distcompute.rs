//! The life of DistCompute workers, by the public protocol.

use cah_protocol::{SUCCESS, UNKNOWN_WORKER};
use insta::assert_json_snapshot;
use serde_json::{Value, json};

use crate::{
    app::{Answer, TestApp},
    recount,
};

const OK: &str = "200 OK";

/// A tracker with these jobs in three stages.
async fn project(jobs: &[&str]) -> TestApp {
    let app = TestApp::start(0).await;
    let stages = ["Fetch", "embed it", "sort"].map(str::to_owned);
    app.store.init(stages.into()).await.unwrap();
    let jobs = jobs.iter().map(|job| (*job).to_owned()).collect();
    app.store.add_payloads(jobs, 0).await.unwrap();
    app
}

/// A worker as the public client sees itself.
struct Client<'a> {
    app: &'a TestApp,
    token: String,
}

impl<'a> Client<'a> {
    async fn join(app: &'a TestApp, stage: &str) -> Self {
        let joined = app
            .get(&format!("/api/new?nickname=ada&stage={stage}"))
            .await;
        let token = joined.json()["token"].as_str().unwrap().to_owned();
        Self { app, token }
    }

    async fn call(&self, path: &str, mut fields: Value) -> Answer {
        fields["token"] = json!(self.token);
        self.app.post(path, fields).await
    }

    async fn new_job(&self) -> Answer {
        self.call("/api/newJob", json!({})).await
    }

    async fn complete(&self, data: &str) -> Answer {
        self.call("/api/completeJob", json!({"data": data})).await
    }

    async fn flag(&self) -> Answer {
        self.call("/api/flagInvalidData", json!({})).await
    }
}

#[tokio::test]
async fn a_job_goes_through_every_stage() {
    let app = project(&["one", r#"<!json!>{"x":1}"#]).await;
    let joined = app.get("/api/new?nickname=ada&stage=a").await.json();
    assert_json_snapshot!(joined, {
        ".token" => "[uuid]",
        ".display_name" => "[word-word-123]",
    });
    let token = joined["token"].as_str().unwrap().to_owned();
    let name = joined["display_name"].as_str().unwrap().to_owned();
    let first = Client { app: &app, token };
    assert!(
        first
            .call("/api/validateWorker", json!({}))
            .await
            .is(200, "True")
    );
    assert!(app.get("/api/jobCount?stage=a").await.is(200, "2"));
    assert!(app.get("/api/jobCount?stage=B").await.is(200, "0"));
    let job = first.new_job().await.json();
    assert_eq!(job, json!({"data": "one", "number": 1}));
    let told = first.call("/api/updateProgress", json!({"progress": "1 / 2"}));
    assert!(told.await.is(200, OK));
    // The address that the public client prints: the stage's name in lower case.
    let worker = app.get(&format!("/worker/fetch/{name}/data")).await.json();
    assert_json_snapshot!(worker, {".display_name" => "[word-word-123]"});
    assert_eq!(app.get(&format!("/worker/fetch/{name}")).await.status, 200);
    assert_eq!(app.get(&format!("/worker/sort/{name}")).await.status, 404);

    let missing = first.call("/api/completeJob", json!({})).await;
    assert!(missing.is(400, "`data` is missing."));
    for _ in 0..2 {
        assert!(first.complete("fetched").await.is(200, OK));
    }
    let job = first.new_job().await.json();
    assert_eq!(job["data"], r#"<!json!>{"x":1}"#);
    assert!(first.complete(r#"<!json!>["y"]"#).await.is(200, OK));
    assert_eq!(first.new_job().await.status, 403);
    // Repeated, with no newer job: it counts once.
    assert!(first.complete("again").await.is(200, OK));

    for (stage, output) in [("embed it", "embedded"), ("c", "sorted")] {
        let worker = Client::join(&app, &stage.replace(' ', "%20")).await;
        for _ in 0..2 {
            worker.new_job().await.json();
            assert!(worker.complete(output).await.is(200, OK));
        }
    }
    let data = app.get("/data").await.json();
    assert_eq!(data["completion_str"], "2 / 2");
    assert!(first.call("/api/bye", json!({})).await.is(200, OK));
    assert!(first.new_job().await.is(404, UNKNOWN_WORKER));
    recount::check(&app.db());
}

#[tokio::test]
async fn five_workers_send_a_job_back() {
    let app = project(&["one"]).await;
    let first = Client::join(&app, "a").await;
    first.new_job().await.json();
    first.complete("bad").await;
    for i in 0..5 {
        assert!(app.get("/api/jobCount?stage=b").await.is(200, "1"), "{i}");
        let worker = Client::join(&app, "b").await;
        assert_eq!(worker.new_job().await.json()["data"], "bad");
        for _ in 0..2 {
            assert!(worker.flag().await.is(200, OK));
        }
    }
    assert!(app.get("/api/jobCount?stage=b").await.is(200, "0"));
    let job = first.new_job().await.json();
    assert_eq!(job, json!({"data": "one", "number": 1}));
    recount::check(&app.db());
}

/// Whatever the call is called: five reports of DistCompute workers, one of a Crawling@Home worker.
#[tokio::test]
async fn the_worker_decides_how_many_reports_it_takes() {
    let app = project(&["one"]).await;
    let first = Client::join(&app, "a").await;
    first.new_job().await;
    first.complete("made").await;
    let second = Client::join(&app, "b").await;
    second.new_job().await;
    let flagged = second.call("/api/gpuInvalidDownload", json!({})).await;
    assert!(flagged.is(200, SUCCESS), "{flagged:?}");
    assert_eq!(app.get("/api/jobCount?stage=b").await.text, "1");

    let app = TestApp::start(1).await;
    let cpu = app.join("ada", "CPU").await;
    app.new_job(&cpu).await.json();
    let done = cpu.body(json!({"url": "http://cpu/1.tar"}));
    app.post("/api/markAsDone", done).await;
    let gpu = app.join("ada", "GPU").await;
    app.new_job(&gpu).await.json();
    let flagged = app
        .post("/api/flagInvalidData", json!({"token": gpu.token}))
        .await;
    assert!(flagged.is(200, OK), "{flagged:?}");
    assert_eq!(app.open_jobs("GPU").await, 0);
    assert_eq!(app.open_jobs("CPU").await, 2);
    recount::check(&app.db());
}

#[tokio::test]
async fn what_is_flagged_without_a_job_changes_nothing() {
    let app = project(&["one"]).await;
    let worker = Client::join(&app, "a").await;
    assert_eq!(worker.flag().await.status, 403);
    assert_eq!(worker.complete("x").await.status, 403);
    worker.new_job().await.json();
    for data in [
        json!(null),
        json!(7),
        json!("a\u{0}"),
        json!("x".repeat((1 << 20) + 1)),
    ] {
        let refused = worker.call("/api/completeJob", json!({"data": data})).await;
        assert_eq!(refused.status, 400, "{refused:?}");
    }
    assert!(worker.complete(&"x".repeat(1 << 20)).await.is(200, OK));
    recount::check(&app.db());
}

/// A call that was long on its way, and comes once its worker has the next job, says nothing of that.
#[tokio::test]
async fn what_is_flagged_late_is_not_the_next_job() {
    let app = project(&["one", "two"]).await;
    let worker = Client::join(&app, "a").await;
    worker.new_job().await.json();
    for call in ["/api/flagInvalidData", "/api/gpuInvalidDownload"] {
        let late = worker.call(call, json!({"number": 2})).await;
        assert_eq!(late.status, 403, "{late:?}");
        let nonsense = worker.call(call, json!({"number": "two"})).await;
        assert_eq!(nonsense.status, 400, "{nonsense:?}");
    }
    for _ in 0..2 {
        let meant = json!({"number": 1});
        assert!(worker.call("/api/flagInvalidData", meant).await.is(200, OK));
    }
    recount::check(&app.db());
}

#[tokio::test]
async fn stages_that_there_are_not() {
    let app = project(&["one"]).await;
    let text = "Unknown stage; the stages are a (Fetch), b (embed it), c (sort).";
    for stage in ["d", "z", "ab", "", "sort%00", "-1"] {
        let refused = app.get(&format!("/api/new?stage={stage}")).await;
        assert!(refused.is(400, text), "{stage}: {refused:?}");
        let refused = app.get(&format!("/api/jobCount?stage={stage}")).await;
        assert!(refused.is(400, text), "{stage}: {refused:?}");
    }
    let crawler = app.get("/api/new?nickname=a&type=HYBRID").await;
    let text = "This project has no shards of Common Crawl; its workers name a stage, a to c.";
    assert!(crawler.is(400, text), "{crawler:?}");
}

/// One tracker serves a project in both dialects.
#[tokio::test]
async fn shards_are_jobs_like_any_other() {
    let app = TestApp::start(1).await;
    let first = Client::join(&app, "a").await;
    let job = first.new_job().await.json();
    let shard: Value = serde_json::from_str(
        job["data"]
            .as_str()
            .unwrap()
            .strip_prefix("<!json!>")
            .unwrap(),
    )
    .unwrap();
    assert_eq!(shard["url"], "https://data.example.org/00000.warc.wat.gz");
    assert_eq!(
        (&shard["shard"], &shard["end_id"]),
        (&json!(0), &json!("1000000"))
    );
    assert!(
        first
            .complete("http://cpu.example.org/1.tar")
            .await
            .is(200, OK)
    );
    let gpu = app.join("bob", "GPU").await;
    assert_eq!(
        app.new_job(&gpu).await.json()["url"],
        "http://cpu.example.org/1.tar"
    );
    assert!(app.done(&gpu, 7).await.is(200, SUCCESS));
    // Without a type, the token tells how its worker is answered.
    let body = json!({"token": gpu.token, "progress": "x"});
    assert!(app.post("/api/updateProgress", body).await.is(200, SUCCESS));
    recount::check(&app.db());
}
