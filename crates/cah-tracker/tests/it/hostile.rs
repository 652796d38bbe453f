//! Input that means no good: a 4xx in plain words, and nothing changed.

use serde_json::{Value, json};

use crate::app::{Answer, On, TestApp, answer, on_every_store};

on_every_store!(
    bodies_that_are_no_calls,
    values_that_make_no_sense,
    results_keep_their_limits,
    nicknames_that_are_none,
    who_gives_no_nickname_is_anonymous,
    addresses_that_lead_nowhere,
    a_host_header_is_only_believed_where_it_is_a_host,
    jobs_that_are_named_wrongly,
    a_store_that_is_down_is_a_503,
);

/// The calls of workers, which need a token.
const WORKER_CALLS: &[&str] = &[
    "/api/validateWorker",
    "/api/newJob",
    "/api/updateProgress",
    "/api/markAsDone",
    "/api/gpuInvalidDownload",
    "/api/failJob",
    "/api/returnJob",
    "/api/completeJob",
    "/api/flagInvalidData",
    "/api/bye",
];

/// The other calls that take a body.
const OTHER_CALLS: &[&str] = &[
    "/api/isCompleted",
    "/custom/lookup-wat",
    "/custom/markasdone-cpu",
    "/custom/markasdone",
    "/admin/ban-shard",
    "/admin/reset-shard",
];

/// Refused in plain words: one line, no quotation of the body, nothing of the inside.
fn refused(answer: &Answer) {
    assert!(answer.status.is_client_error(), "{answer:?}");
    let text = &answer.text;
    assert!(
        !text.is_empty() && text.len() < 200 && !text.contains('\n'),
        "{text}"
    );
    for word in [
        "serde",
        "sqlite",
        "postgres",
        "panicked",
        "src/",
        "line 1 column",
    ] {
        assert!(!text.to_lowercase().contains(word), "{text}");
    }
}

/// A tracker whose one worker holds a job, and a way to see that nothing changed.
async fn watched(on: On) -> (TestApp, crate::app::TestWorker, Value) {
    let app = on.start(1).await;
    let worker = app.join("ada", "HYBRID").await;
    app.new_job(&worker).await.json();
    let before = state(&app, &worker.display_name).await;
    (app, worker, before)
}

async fn state(app: &TestApp, name: &str) -> Value {
    let worker = app.get(&format!("/worker/hybrid/{name}/data")).await.json();
    json!([
        app.get("/data").await.json(),
        worker,
        app.open_jobs("HYBRID").await
    ])
}

async fn bodies_that_are_no_calls(on: On) {
    let (app, worker, before) = watched(on).await;
    let deep = "[".repeat(100_000);
    let token = &worker.token;
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"   ".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"{".to_vec(),
        b"\xff\xfe".to_vec(),
        b"{\"token\": \"\xff\"}".to_vec(),
        b"{}".to_vec(),
        b"{\"token\": null}".to_vec(),
        b"{\"token\": 7}".to_vec(),
        b"{\"token\": \"\"}".to_vec(),
        b"{\"token\": \"' OR 1=1 --\"}".to_vec(),
        b"{\"token\": \"\\u0000\"}".to_vec(),
        b"{\"token\": \"\\ud800\"}".to_vec(),
        deep.clone().into_bytes(),
        format!("{{\"token\": {deep}").into_bytes(),
        format!("{{\"token\": \"{token}\", \"type\": \"TPU\"}}").into_bytes(),
        format!("{{\"token\": \"{token}\", \"type\": 7}}").into_bytes(),
        format!("token={token}").into_bytes(),
    ];
    for call in WORKER_CALLS.iter().chain(OTHER_CALLS) {
        for body in &bodies {
            let answer = app.post_bytes(call, body.clone()).await;
            // A token that is no worker's is a plain question to validateWorker.
            if !answer.is(200, "False") {
                refused(&answer);
            }
        }
        refused(&app.get(call).await);
        refused(&app.post_bytes(call, vec![b' '; 7 << 20]).await);
    }
    assert_eq!(state(&app, &worker.display_name).await, before);
    app.recount().await;
}

async fn values_that_make_no_sense(on: On) {
    let (app, worker, before) = watched(on).await;
    let counts = [
        json!(-1),
        json!(1.5),
        json!("7"),
        json!(true),
        json!([7]),
        json!({"count": 7}),
        json!(1_000_001),
        json!(u64::MAX),
        json!(1e300),
    ];
    for count in counts {
        let answer = app
            .post("/api/markAsDone", worker.body(json!({"count": count})))
            .await;
        refused(&answer);
        assert_eq!(
            answer.text,
            "`count` must be a whole number from 0 to 1000000."
        );
    }
    let progresses = [
        json!(null),
        json!(7),
        json!("a\u{0}b"),
        json!("two\nlines"),
        json!("\u{1b}[31m"),
        json!("x".repeat(1_001)),
        json!("x".repeat(1 << 20)),
    ];
    for progress in progresses {
        refused(
            &app.post(
                "/api/updateProgress",
                worker.body(json!({"progress": progress})),
            )
            .await,
        );
    }
    assert_eq!(state(&app, &worker.display_name).await, before);
    let longest = "ж".repeat(1_000);
    assert!(app.progress(&worker, &longest).await.is(200, "success"));
}

async fn results_keep_their_limits(on: On) {
    let app = on.start(1).await;
    let worker = app.join("ada", "CPU").await;
    app.new_job(&worker).await.json();
    for url in [json!(7), json!("a\u{0}b"), json!("x".repeat((1 << 20) + 1))] {
        refused(
            &app.post("/api/markAsDone", worker.body(json!({"url": url})))
                .await,
        );
    }
    let most = worker.body(json!({"url": "x".repeat(1 << 20)}));
    assert!(app.post("/api/markAsDone", most).await.is(200, "success"));
    app.recount().await;
}

async fn nicknames_that_are_none(on: On) {
    let app = on.start(1).await;
    let long = "x".repeat(129);
    for query in [
        "?nickname=a%00b",
        "?nickname=a%0Ab",
        "?nickname=%ff%fe",
        "?nickname=a&type=",
        "?nickname=a&type=TPU",
        "?nickname=a&type=hybridish",
        &format!("?nickname={long}"),
        &format!("?nickname={}", "x".repeat(60_000)),
    ] {
        refused(&app.get(&format!("/api/new{query}")).await);
    }
    refused(&app.get("/api/jobCount?type=%ff").await);
    refused(&app.get("/api/getUploadAddress?type=none").await);
    assert_eq!(app.get("/data").await.json()["total_connected_workers"], 0);
    let most = app
        .get(&format!("/api/new?nickname={}", "%D0%B6".repeat(128)))
        .await;
    assert_eq!(most.status, 200);
}

async fn who_gives_no_nickname_is_anonymous(on: On) {
    let app = on.start(1).await;
    for query in ["", "?nickname=", "?nickname=%20%20"] {
        let joined = app.get(&format!("/api/new{query}")).await.json();
        let name = joined["display_name"].as_str().unwrap();
        let worker = app.get(&format!("/worker/hybrid/{name}/data")).await.json();
        assert_eq!(worker["user_nickname"], "anonymous");
    }
}

async fn addresses_that_lead_nowhere(on: On) {
    let app = on.start(1).await;
    for path in [
        "/worker/tpu/calm-otter-123/data",
        "/worker/hybrid/%ff/data",
        "/worker/hybrid/..%2f..%2fetc%2fpasswd/data",
        "/worker/hybrid/'%20OR%201=1/data",
        "/no/such/page",
        "/assets/../Cargo.toml",
        "/.git/config",
    ] {
        refused(&app.get(path).await);
    }
    let wrong_method = answer(app.client().delete(app.url("/api/new"))).await;
    assert!(wrong_method.is(405, "This address exists, but not for this HTTP method."));
}

async fn a_host_header_is_only_believed_where_it_is_a_host(on: On) {
    let app = on.start(1).await;
    let ask = |host: &'static str| {
        answer(
            app.client()
                .get(app.url("/api/getUploadAddress"))
                .header("host", host),
        )
    };
    assert!(
        ask("tracker.example.org:81")
            .await
            .is(200, "http://tracker.example.org:81/staging/")
    );
    let own = app.url("/staging/");
    for host in ["a/b", "user@host", "a b", "host?x", ""] {
        let answer = ask(host).await;
        assert!(
            answer.is(200, &own) || answer.status == 400,
            "{host}: {answer:?}"
        );
    }
}

async fn jobs_that_are_named_wrongly(on: On) {
    let (app, worker, before) = watched(on).await;
    for number in [
        json!(-1),
        json!(1.5),
        json!("1"),
        json!(u64::MAX),
        json!([1]),
    ] {
        let fields = json!({"count": 1, "message": "x", "number": number});
        for call in ["/api/markAsDone", "/api/failJob"] {
            refused(&app.post(call, worker.body(fields.clone())).await);
        }
    }
    for message in [
        json!(null),
        json!(7),
        json!("a\nb"),
        json!("x".repeat(1_001)),
    ] {
        let fields = json!({"message": message, "number": 1});
        refused(&app.post("/api/failJob", worker.body(fields)).await);
    }
    // A job that somebody else may hold by now.
    let other = worker.body(json!({"count": 1, "message": "x", "number": 2}));
    for call in ["/api/markAsDone", "/api/failJob"] {
        assert_eq!(app.post(call, other.clone()).await.status, 403);
    }
    assert_eq!(state(&app, &worker.display_name).await, before);
    app.recount().await;
}

async fn a_store_that_is_down_is_a_503(on: On) {
    let (app, worker, _) = watched(on).await;
    app.store.close().await;
    let text = "The tracker's store is not available at the moment. Please try again later.";
    for call in WORKER_CALLS {
        let fields = json!({"count": 1, "progress": "x", "message": "x", "data": "x"});
        let body = worker.body(fields);
        let answer = app.post(call, body).await;
        assert!(answer.is(503, text), "{call}: {answer:?}");
    }
    // The program lives, and that is all.
    assert!(app.get("/healthz").await.is(200, "ok"));
    for path in [
        "/api/new?nickname=a",
        "/api/jobCount",
        "/data",
        "/",
        "/readyz",
        "/metrics",
    ] {
        let answer = app.get(path).await;
        assert!(answer.is(503, text), "{path}: {answer:?}");
    }
}
