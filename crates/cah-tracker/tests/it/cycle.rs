//! The life of workers, by the public protocol.

use cah_protocol::{SUCCESS, UNKNOWN_WORKER};
use cah_tracker::{Config, Tracker, store};
use insta::{assert_json_snapshot, assert_snapshot};
use serde_json::json;

use crate::{
    app::{Answer, IDLE, START, TestApp},
    recount,
};

const NO_LEASE: &str =
    "This worker does not have an open job, or the job was given to another worker.";
const NO_JOB: &str = "No job is open at the moment. Please try again later.";

#[tokio::test]
async fn a_hybrid_worker_goes_its_whole_way() {
    let app = TestApp::start(1).await;
    let joined = app.get("/api/new?nickname=ada&type=HYBRID").await.json();
    assert_json_snapshot!(joined, {
        ".token" => insta::dynamic_redaction(|value, _| {
            let token = value.as_str().unwrap();
            assert_eq!((token.len(), token.as_bytes()[14]), (36, b'4'));
            "[uuid]"
        }),
        ".display_name" => insta::dynamic_redaction(|value, _| {
            assert_eq!(value.as_str().unwrap().split('-').count(), 3);
            "[word-word-123]"
        }),
        ".upload_address" => insta::dynamic_redaction({
            let own = app.url("/staging/");
            move |value, _| {
                assert_eq!(value.as_str().unwrap(), own);
                "[own]/staging/"
            }
        }),
    });
    let token = joined["token"].as_str().unwrap().to_owned();
    let name = joined["display_name"].as_str().unwrap().to_owned();
    let call = |fields: serde_json::Value| {
        let mut fields = fields;
        fields["token"] = json!(token);
        fields["type"] = json!("HYBRID");
        fields
    };

    let alive = app.post("/api/validateWorker", call(json!({}))).await;
    assert!(alive.is(200, "True"));
    assert!(app.get("/api/jobCount?type=HYBRID").await.is(200, "2"));
    let job = app.post("/api/newJob", call(json!({}))).await.json();
    assert_json_snapshot!(job);
    assert!(app.get("/api/jobCount").await.is(200, "1"));

    app.clock.advance(60);
    let told = app
        .post(
            "/api/updateProgress",
            call(json!({"progress": "12 / 100 (12%)"})),
        )
        .await;
    assert!(told.is(200, SUCCESS));
    let worker = app.get(&format!("/worker/hybrid/{name}/data")).await.json();
    assert_json_snapshot!(worker, {".display_name" => "[word-word-123]"});

    let done = app
        .post("/api/markAsDone", call(json!({"count": 1_234})))
        .await;
    assert!(done.is(200, SUCCESS));
    assert_json_snapshot!(app.get("/data").await.json());

    let second = app.post("/api/newJob", call(json!({}))).await.json();
    assert_eq!(second["number"], 2);
    assert_eq!(second["shard"], 1);
    assert!(app.post("/api/bye", call(json!({}))).await.is(200, SUCCESS));
    assert!(app.get("/api/jobCount").await.is(200, "1"));
    let alive = app.post("/api/validateWorker", call(json!({}))).await;
    assert!(alive.is(200, "False"));
    let gone = app.get(&format!("/worker/HYBRID/{name}/data")).await;
    assert!(gone.is(404, "There is no connected worker of that name."));
    recount::check(&app.db());
}

#[tokio::test]
async fn a_job_still_held_is_reopened_before_the_next_is_given() {
    let app = TestApp::start(1).await;
    let worker = app.join("ada", "HYBRID").await;
    assert_eq!(app.new_job(&worker).await.json()["number"], 1);
    assert_eq!(app.new_job(&worker).await.json()["number"], 1);
    assert_eq!(app.open_jobs("HYBRID").await, 1);
    recount::check(&app.db());
}

#[tokio::test]
async fn a_count_of_zero_is_valid_and_a_missing_one_is_not() {
    let app = TestApp::start(1).await;
    let worker = app.join("ada", "HYBRID").await;
    app.new_job(&worker).await.json();
    let missing = app.post("/api/markAsDone", worker.body(json!({}))).await;
    assert!(missing.is(400, "`count` is missing."));
    let null = app
        .post("/api/markAsDone", worker.body(json!({"count": null})))
        .await;
    assert!(null.is(400, "`count` is missing."));
    assert!(app.done(&worker, 0).await.is(200, SUCCESS));
    assert_eq!(app.get("/data").await.json()["completion_str"], "1 / 2");
}

#[tokio::test]
async fn a_repeated_completion_succeeds_and_counts_nothing() {
    let app = TestApp::start(1).await;
    let worker = app.join("ada", "HYBRID").await;
    assert!(app.done(&worker, 5).await.is(403, NO_LEASE));
    app.new_job(&worker).await.json();
    for _ in 0..3 {
        assert!(app.done(&worker, 5).await.is(200, SUCCESS));
    }
    let data = app.get("/data").await.json();
    assert_eq!(
        (&data["total_pairs_scraped"], &data["completion_str"]),
        (&json!(5), &json!("1 / 2"))
    );
    // With a newer job, the same call is about that one.
    app.new_job(&worker).await.json();
    assert!(app.done(&worker, 5).await.is(200, SUCCESS));
    assert!(app.new_job(&worker).await.is(403, NO_JOB));
    assert!(app.done(&worker, 5).await.is(200, SUCCESS));
    let data = app.get("/data").await.json();
    assert_eq!(
        (&data["total_pairs_scraped"], &data["eta"]),
        (&json!(10), &json!("Finished"))
    );
    recount::check(&app.db());
}

#[tokio::test]
async fn a_worker_may_name_the_job_that_it_means() {
    let app = TestApp::start(1).await;
    let worker = app.join("ada", "HYBRID").await;
    let other = app.join("bob", "HYBRID").await;
    let done = |number: u64| {
        app.post(
            "/api/markAsDone",
            worker.body(json!({"count": 1, "number": number})),
        )
    };
    app.new_job(&worker).await.json();
    assert!(done(2).await.is(403, NO_LEASE));
    assert!(done(1).await.is(200, SUCCESS));
    assert!(done(1).await.is(200, SUCCESS));
    app.new_job(&worker).await.json();
    assert!(done(1).await.is(403, NO_LEASE));
    assert!(app.new_job(&other).await.is(403, NO_JOB));
    assert_eq!(app.get("/data").await.json()["completion_str"], "1 / 2");
}

#[tokio::test]
async fn silence_ends_a_lease_and_nothing_that_comes_after_counts() {
    let app = TestApp::start(1).await;
    let (late, next) = (
        app.join("ada", "HYBRID").await,
        app.join("bob", "HYBRID").await,
    );
    assert_eq!(app.new_job(&late).await.json()["number"], 1);
    // Any call is a sign of life: after three of them the worker is still there.
    for _ in 0..3 {
        app.clock.advance(IDLE - 1);
        assert!(app.progress(&late, "on it").await.is(200, SUCCESS));
        assert!(
            app.post("/api/validateWorker", next.body(json!({})))
                .await
                .is(200, "True")
        );
    }
    app.clock.advance(IDLE - 1);
    assert!(
        app.post("/api/validateWorker", next.body(json!({})))
            .await
            .is(200, "True")
    );
    app.clock.advance(1);

    let refused = |answer: Answer| assert!(answer.is(404, UNKNOWN_WORKER), "{answer:?}");
    refused(app.done(&late, 9).await);
    let reaped = app.tracker.service().reap().await.unwrap();
    assert_eq!((reaped.workers, reaped.jobs), (1, 1));
    refused(app.done(&late, 9).await);
    refused(app.new_job(&late).await);
    refused(app.progress(&late, "still here").await);

    assert_eq!(app.new_job(&next).await.json()["number"], 1);
    refused(app.done(&late, 9).await);
    assert!(app.done(&next, 3).await.is(200, SUCCESS));
    assert_eq!(app.get("/data").await.json()["total_pairs_scraped"], 3);
    recount::check(&app.db());
}

#[tokio::test]
async fn cpu_and_gpu_workers_share_a_job() {
    let app = TestApp::start(1).await;
    let (cpu, gpu) = (app.join("ada", "CPU").await, app.join("bob", "GPU").await);
    assert!(app.new_job(&gpu).await.is(403, NO_JOB));
    assert_eq!(app.new_job(&cpu).await.json()["number"], 1);
    let missing = app
        .post("/api/markAsDone", cpu.body(json!({"count": 1})))
        .await;
    assert!(missing.is(400, "`url` is missing."));
    let hand_over = |url: &str| app.post("/api/markAsDone", cpu.body(json!({"url": url})));
    assert!(
        hand_over("http://cpu.example.org/bad.tar")
            .await
            .is(200, SUCCESS)
    );
    assert!(
        hand_over("http://cpu.example.org/bad.tar")
            .await
            .is(200, SUCCESS)
    );
    assert_eq!(
        (app.open_jobs("GPU").await, app.open_jobs("CPU").await),
        (1, 1)
    );

    let job = app.new_job(&gpu).await.json();
    assert_json_snapshot!(job);
    let invalid = || app.post("/api/gpuInvalidDownload", gpu.body(json!({})));
    assert!(invalid().await.is(200, SUCCESS));
    assert!(invalid().await.is(200, SUCCESS));
    assert_eq!(
        (app.open_jobs("GPU").await, app.open_jobs("CPU").await),
        (0, 2)
    );

    // The flagged job is the oldest again, and its WAT is what a CPU worker gets.
    assert_eq!(
        app.new_job(&cpu).await.json()["url"],
        "https://data.example.org/00000.warc.wat.gz"
    );
    assert!(
        hand_over("http://cpu.example.org/good.tar")
            .await
            .is(200, SUCCESS)
    );
    assert_eq!(
        app.new_job(&gpu).await.json()["url"],
        "http://cpu.example.org/good.tar"
    );
    assert!(app.done(&gpu, 40).await.is(200, SUCCESS));
    assert_eq!(app.get("/data").await.json()["completion_str"], "1 / 2");

    // Images in a database need no GPU worker's download: the job is done.
    assert_eq!(app.new_job(&cpu).await.json()["number"], 2);
    assert!(hand_over("postgres").await.is(200, SUCCESS));
    let data = app.get("/data").await.json();
    assert_eq!(
        (&data["completion_str"], &data["total_pairs_scraped"]),
        (&json!("2 / 2"), &json!(40))
    );
    recount::check(&app.db());
}

#[tokio::test]
async fn a_token_is_good_for_its_own_type_only() {
    let app = TestApp::start(1).await;
    let worker = app.join("ada", "HYBRID").await;
    let mut other = worker.clone();
    other.kind = "CPU";
    assert!(app.new_job(&other).await.is(404, UNKNOWN_WORKER));
    assert!(
        app.post("/api/validateWorker", other.body(json!({})))
            .await
            .is(200, "False")
    );
    // A type that is left out means HYBRID.
    let body = json!({"token": worker.token});
    assert!(
        app.post("/api/validateWorker", body.clone())
            .await
            .is(200, "True")
    );
    assert_eq!(app.post("/api/newJob", body).await.json()["number"], 1);
}

#[tokio::test]
async fn whoever_asks_whether_it_is_known_is_told() {
    let app = TestApp::start(1).await;
    for body in [
        json!({}),
        json!({"token": null}),
        json!({"token": 7, "type": "CPU"}),
        json!({"token": "no worker's", "type": "TPU"}),
    ] {
        let told = app.post("/api/validateWorker", body).await;
        assert!(told.is(200, "False"), "{told:?}");
    }
}

#[tokio::test]
async fn operators_may_name_upload_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let clock = std::sync::Arc::new(cah_tracker::ManualClock::new(START));
    let config = Config {
        upload_addresses: [(
            cah_protocol::WorkerType::Cpu,
            vec!["rsync host::cpu".to_owned()],
        )]
        .into(),
        public_url: Some("https://cah.example.org/tracker".parse().unwrap()),
        ..crate::app::test_config()
    };
    let app = TestApp::open(dir, clock, config).await;
    assert!(
        app.get("/api/getUploadAddress?type=CPU")
            .await
            .is(200, "rsync host::cpu")
    );
    let own = "https://cah.example.org/tracker/staging/";
    assert!(app.get("/api/getUploadAddress").await.is(200, own));
    let joined = app.get("/api/new?nickname=a&type=GPU").await.json();
    assert_eq!(joined["upload_address"], own);
}

#[tokio::test]
async fn the_series_grows_and_foretells_the_end() {
    let app = TestApp::start(10).await;
    let worker = app.join("ada", "HYBRID").await;
    let service = app.tracker.service();
    let eta = async || {
        app.get("/data").await.json()["eta"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(eta().await, "Calculating...");
    for _ in 0..4 {
        app.new_job(&worker).await.json();
        app.done(&worker, 10).await;
        app.clock.advance(450);
        service.record_point_if_due().await.unwrap();
    }
    let points: Vec<_> = app.store.points(10).await.unwrap();
    let points: Vec<_> = points
        .iter()
        .map(|p| (p.at - START, p.closed, p.pairs))
        .collect();
    assert_eq!(points, [(0, 0, 0), (900, 2, 20), (1_800, 4, 40)]);
    // 16 to go at 2 each 900 seconds.
    assert_eq!(eta().await, "2 hours, 0 minutes and 0 seconds");
}

#[tokio::test]
async fn it_serves_until_it_is_told_to_stop() {
    let dir = tempfile::tempdir().unwrap();
    let address = format!("sqlite:{}", dir.path().join("t.db").display());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/healthz", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let store = store::open(&address).await.unwrap();
    let serving = tokio::spawn(Tracker::serve(listener, store, Config::default(), async {
        stopped.await.unwrap();
    }));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let healthy = client.get(&url).send().await.unwrap().text().await.unwrap();
    assert_eq!(healthy, "ok");
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    assert!(client.get(&url).send().await.is_err());
    // The file is free for the next one.
    store::open(&address).await.unwrap();
}

#[tokio::test]
async fn a_store_belongs_to_one_process_and_to_this_program() {
    let dir = tempfile::tempdir().unwrap();
    let address = |name: &str| format!("sqlite:{}", dir.path().join(name).display());
    let refusal = async |name: &str| {
        let opened = store::open(&address(name)).await;
        let error = opened.err().expect("it must not open");
        error
            .to_string()
            .replace(&dir.path().display().to_string(), "[dir]")
    };
    let _open = store::open(&address("t.db")).await.unwrap();
    assert_snapshot!(refusal("t.db").await, @"cannot open the store [dir]/t.db: another process has it open, perhaps a running tracker; stop that first");

    let foreign = rusqlite::Connection::open(dir.path().join("foreign.db")).unwrap();
    foreign.execute_batch("CREATE TABLE t (x)").unwrap();
    assert_snapshot!(refusal("foreign.db").await, @"cannot open the store [dir]/foreign.db: it is a database of another program; name another file");

    std::fs::write(dir.path().join("text.db"), "x".repeat(5_000)).unwrap();
    assert_snapshot!(refusal("text.db").await, @"cannot open the store [dir]/text.db: it is no database; name another file");

    drop(store::open(&address("new.db")).await.unwrap());
    let newer = rusqlite::Connection::open(dir.path().join("new.db")).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    assert!(
        refusal("new.db")
            .await
            .contains("newer version of the tracker (schema 99")
    );

    assert!(
        refusal("no/such/folder.db")
            .await
            .contains("No such file or directory")
    );
    let unknown = store::open("mysql://host/")
        .await
        .err()
        .unwrap()
        .to_string();
    assert_snapshot!(unknown, @"cannot open the store `mysql://host/`: a store is named as sqlite:PATH, for example sqlite:tracker.db, or as postgres://USER:PASSWORD@HOST/DATABASE");
}
