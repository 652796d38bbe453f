//! The client against a tracker's answers over real sockets: what is retried, what is not, and
//! which error each answer becomes. The real tracker is tried in `cah-e2e`.

mod blocking;
mod download;
mod kept;
mod support;
mod upload;
mod whole_wat;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    http::{StatusCode, Uri},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use crawlingathome::{
    Client, ClientConfig, ClientError, Cpu, Dump, Gpu, Hybrid, HybridClient, Kind, RetryPolicy,
    distcompute::{self, Data},
};
use serde_json::{Value, json};
use tokio::sync::{
    Semaphore,
    mpsc::{UnboundedReceiver, unbounded_channel},
};

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

fn config(url: &str) -> ClientConfig {
    let retry = RetryPolicy {
        first_pause: Duration::from_millis(10),
        longest_pause: Duration::from_millis(20),
        give_up_after: Some(Duration::from_secs(5)),
    };
    ClientConfig {
        introduction: retry,
        retry,
        heartbeat: Duration::from_millis(20),
        ..ClientConfig::new(url, "anna")
    }
}

fn new_worker() -> Json<serde_json::Value> {
    Json(json!({"display_name": "calm-river-1", "token": "t", "upload_address": ""}))
}

fn job() -> Json<serde_json::Value> {
    Json(json!({"url": "u", "start_id": "0", "end_id": "1000000", "shard": 0, "number": 1}))
}

/// A tracker that leases the same job again and again, and what else its routes do.
async fn connected(routes: Router) -> HybridClient {
    introduced(routes.route("/api/newJob", post(|| async { job() }))).await
}

async fn introduced(routes: Router) -> HybridClient {
    let router = routes.route("/api/new", get(|| async { new_worker() }));
    HybridClient::connect(config(&serve(router).await))
        .await
        .unwrap()
}

/// A tracker that fails `failures` times at each completion before it accepts.
fn shaky(failures: usize, status: StatusCode, completions: Arc<AtomicUsize>) -> Router {
    let complete = move || {
        let seen = completions.fetch_add(1, Ordering::SeqCst);
        async move {
            if seen < failures {
                (status, "not now").into_response()
            } else {
                "success".into_response()
            }
        }
    };
    Router::new()
        .route("/api/new", get(|| async { new_worker() }))
        .route("/api/newJob", post(|| async { job() }))
        .route("/api/updateProgress", post(|| async { "success" }))
        .route("/api/markAsDone", post(complete))
}

#[tokio::test]
async fn an_overloaded_tracker_is_asked_again() {
    let completions = Arc::new(AtomicUsize::new(0));
    let url = serve(shaky(
        3,
        StatusCode::SERVICE_UNAVAILABLE,
        completions.clone(),
    ))
    .await;
    let client = HybridClient::connect(config(&url)).await.unwrap();
    client.lease().await.unwrap().complete(5).await.unwrap();
    assert_eq!(completions.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_refusal_is_final() {
    let completions = Arc::new(AtomicUsize::new(0));
    let url = serve(shaky(9, StatusCode::FORBIDDEN, completions.clone())).await;
    let client = HybridClient::connect(config(&url)).await.unwrap();
    let error = client.lease().await.unwrap().complete(5).await.unwrap_err();
    assert!(matches!(error, ClientError::ZeroJobs(_)), "{error}");
    assert_eq!(completions.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_tracker_that_comes_late_is_waited_for() {
    // The port is taken and let go, so that nothing listens there for the first attempts.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let connecting = tokio::spawn(HybridClient::connect(config(&format!("http://{address}"))));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let router = shaky(0, StatusCode::OK, Arc::default());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = connecting.await.unwrap().unwrap();
    assert_eq!(client.display_name(), "calm-river-1");
}

#[tokio::test]
async fn an_absent_tracker_is_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let config = ClientConfig {
        introduction: RetryPolicy::once(),
        ..config(&url)
    };
    let error = HybridClient::connect(config).await.unwrap_err().to_string();
    assert!(
        error.contains(&url) && error.contains("is it running"),
        "{error}"
    );
}

#[tokio::test]
async fn a_web_page_is_not_a_tracker() {
    let page = || async { Html("<html>hello</html>").into_response() };
    let url = serve(Router::new().route("/api/new", get(page))).await;
    let error = HybridClient::connect(config(&url)).await.unwrap_err();
    assert!(matches!(error, ClientError::NotATracker { .. }), "{error}");
    let url = serve(
        Router::new()
            .fallback(|| async { (StatusCode::NOT_FOUND, Html("<html>nothing here</html>")) }),
    )
    .await;
    let error = HybridClient::connect(config(&url)).await.unwrap_err();
    assert!(matches!(error, ClientError::NotATracker { .. }), "{error}");
}

#[tokio::test]
async fn a_tracker_that_moved_is_named() {
    let moved = || async { axum::response::Redirect::permanent("https://tracker.example/api/new") };
    let url = serve(Router::new().route("/api/new", get(moved))).await;
    let error = HybridClient::connect(config(&url)).await.unwrap_err();
    assert!(matches!(error, ClientError::NotATracker { .. }), "{error}");
    assert!(error.to_string().contains("https://tracker.example/"));
}

/// What a proxy says in the tracker's place must cost no lease.
#[tokio::test]
async fn a_proxy_without_its_tracker_is_waited_out() {
    let answers = Arc::new(AtomicUsize::new(0));
    let counted = answers.clone();
    let complete = move || {
        let answer = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            match answer {
                0 => (StatusCode::NOT_FOUND, "404 page not found").into_response(),
                1 => (StatusCode::NOT_FOUND, Html("<h1>Not Found</h1>")).into_response(),
                2 => (StatusCode::FOUND, [("location", "/maintenance")]).into_response(),
                3 => StatusCode::TOO_MANY_REQUESTS.into_response(),
                4 => Html("<!doctype html><h1>Back soon</h1>").into_response(),
                5 => (StatusCode::FORBIDDEN, Html("<h1>Blocked</h1>")).into_response(),
                6 => (StatusCode::BAD_REQUEST, Html("<h1>Bad</h1>")).into_response(),
                _ => "success".into_response(),
            }
        }
    };
    let client = connected(Router::new().route("/api/markAsDone", post(complete))).await;
    client.lease().await.unwrap().complete(5).await.unwrap();
    assert_eq!(answers.load(Ordering::SeqCst), 8);
}

/// Whoever gives up while the tracker leases must not leave a job with a worker that does not know
/// of it, nor have it counted as failed.
#[tokio::test]
async fn a_job_that_nobody_waits_for_goes_back_before_the_next_one() {
    let (sent, mut called) = unbounded_channel();
    let returned = sent.clone();
    let gate = Arc::new(Semaphore::new(0));
    let leasing = gate.clone();
    let lease = move || {
        sent.send("newJob").unwrap();
        let gate = leasing.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            job()
        }
    };
    let take_back = move || {
        returned.send("returnJob").unwrap();
        async { "success" }
    };
    let routes = Router::new()
        .route("/api/newJob", post(lease))
        .route("/api/returnJob", post(take_back))
        .route("/api/markAsDone", post(|| async { "success" }));
    let client = introduced(routes).await;
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.lease().await.map(drop) }
    });
    assert_eq!(called.recv().await, Some("newJob"));
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    gate.add_permits(2);
    client.lease().await.unwrap().complete(1).await.unwrap();
    assert_eq!(called.recv().await, Some("returnJob"));
    assert_eq!(called.recv().await, Some("newJob"));
}

#[tokio::test]
async fn a_way_back_that_is_cut_short_is_gone_again() {
    let (sent, mut called) = unbounded_channel();
    let take_back = move || {
        sent.send("returnJob").unwrap();
        std::future::pending::<&str>()
    };
    let routes = Router::new()
        .route("/api/failJob", post(std::future::pending::<&str>))
        .route("/api/returnJob", post(take_back));
    let client = connected(routes).await;
    let lease = client.lease().await.unwrap();
    let soon = Duration::from_millis(100);
    tokio::time::timeout(soon, lease.fail("broken"))
        .await
        .unwrap_err();
    tokio::time::timeout(soon, lease.give_back())
        .await
        .unwrap_err();
    assert_eq!(called.recv().await, Some("returnJob"));
    drop(lease);
    assert_eq!(called.recv().await, Some("returnJob"));
}

/// A completion that was long on its way must not close the job that the worker holds by then.
#[tokio::test]
async fn a_completion_names_its_job() {
    let (sent, mut bodies) = tokio::sync::mpsc::unbounded_channel();
    let complete = move |Json(body): Json<serde_json::Value>| {
        sent.send(body).unwrap();
        async { "success" }
    };
    let client = connected(Router::new().route("/api/markAsDone", post(complete))).await;
    client.lease().await.unwrap().complete(5).await.unwrap();
    let body = bodies.recv().await.unwrap();
    assert_eq!((&body["number"], &body["count"]), (&json!(1), &json!(5)));
}

/// Trackers of old do not know the call; that must not hold the worker up.
#[tokio::test]
async fn a_failure_is_told_once() {
    let (sent, mut bodies) = tokio::sync::mpsc::unbounded_channel();
    let fail = move |Json(body): Json<serde_json::Value>| {
        sent.send(body).unwrap();
        async { (StatusCode::NOT_FOUND, r#"{"detail":"Not Found"}"#) }
    };
    let client = connected(Router::new().route("/api/failJob", post(fail))).await;
    let lease = client.lease().await.unwrap();
    lease.fail("the file is\nnot there").await.unwrap_err();
    let body = bodies.recv().await.unwrap();
    assert_eq!(body["message"], "the file is not there");
    assert_eq!(body["number"], 1);
    assert!(bodies.try_recv().is_err());
}

/// A line that the protocol does not carry would be refused, and the lease run out unheard.
#[tokio::test]
async fn heartbeats_carry_what_the_protocol_takes() {
    let (sent, mut lines) = tokio::sync::mpsc::unbounded_channel();
    let progress = move |Json(body): Json<serde_json::Value>| {
        let _ = sent.send(body["progress"].as_str().unwrap().to_owned());
        async { "success" }
    };
    let client = connected(Router::new().route("/api/updateProgress", post(progress))).await;
    let lease = client.lease().await.unwrap();
    lease.set_progress(&format!("two\nlines\0 {}", "ж".repeat(2_000)));
    let line = loop {
        let line = lines.recv().await.unwrap();
        if line != "Started" {
            break line;
        }
    };
    assert!(line.starts_with("two lines  ж"), "{line}");
    assert_eq!(line.chars().count(), 1_000);

    drop(lease);
    // So do lines of a worker that holds nothing.
    client.log("three\nlines").await.unwrap();
    while lines.recv().await.unwrap() != "three lines" {}
    while lines.try_recv().is_ok() {}
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(
        lines.try_recv().is_err(),
        "a lease that is dropped beats on"
    );
}

#[tokio::test]
async fn a_tracker_may_ask_for_quicker_heartbeats() {
    let beats = Arc::new(AtomicUsize::new(0));
    let counted = beats.clone();
    let progress = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async { "success" }
    };
    let hasty = || async {
        Json(json!({"display_name": "a-b-1", "token": "t", "upload_address": "", "heartbeat": 1}))
    };
    let router = Router::new()
        .route("/api/new", get(hasty))
        .route("/api/newJob", post(|| async { job() }))
        .route("/api/updateProgress", post(progress));
    let slow = ClientConfig {
        heartbeat: Duration::from_secs(3_600),
        ..config(&serve(router).await)
    };
    let client = HybridClient::connect(slow).await.unwrap();
    let lease = client.lease().await.unwrap();
    let heard = async {
        while beats.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), heard)
        .await
        .expect("the tracker asked for a heartbeat a second");
    drop(lease);
}

#[tokio::test]
async fn a_worker_can_ask_and_leave() {
    let routes = Router::new()
        .route("/api/validateWorker", post(|| async { "True" }))
        .route("/api/jobCount", get(|| async { "17" }))
        .route("/api/bye", post(|| async { "success" }));
    let client = connected(routes).await;
    assert!(client.is_alive().await.unwrap());
    assert_eq!(client.job_count().await.unwrap(), 17);
    client.bye().await.unwrap();
}

#[tokio::test]
async fn nonsense_is_refused_before_it_is_sent() {
    for url in ["", "localhost:8080", "ftp://host/", "http://"] {
        let error = HybridClient::connect(config(url)).await.unwrap_err();
        assert!(
            matches!(error, ClientError::InvalidUrl { .. }),
            "{url}: {error}"
        );
    }
    let mut nameless = config("http://127.0.0.1:1");
    nameless.nickname = "a\0b".into();
    let error = HybridClient::connect(nameless).await.unwrap_err();
    assert!(matches!(error, ClientError::Text(_)), "{error}");
}

#[tokio::test]
async fn a_lost_lease_is_noticed() {
    let gone = || async {
        (
            StatusCode::NOT_FOUND,
            "The server could not find this worker.",
        )
    };
    let beats = Arc::new(AtomicUsize::new(0));
    let counted = beats.clone();
    let progress = move || {
        let beat = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            let answer: Response = match beat {
                0 => "success".into_response(),
                1 => (StatusCode::BAD_GATEWAY, "restarting").into_response(),
                _ => gone().await.into_response(),
            };
            answer
        }
    };
    let client = connected(Router::new().route("/api/updateProgress", post(progress))).await;
    let lease = client.lease().await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), lease.lost())
        .await
        .expect("the third heartbeat says that the worker is unknown");
    assert_eq!(beats.load(Ordering::SeqCst), 3);
}

/// A tracker that takes every call, and what it was called with: path and body.
async fn listening() -> (String, UnboundedReceiver<(String, Value)>) {
    let (sent, heard) = unbounded_channel();
    let answer = move |uri: Uri, body: String| {
        let path = uri.path().to_owned();
        let stage = uri.query().unwrap_or_default().contains("stage=");
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        let of_crawler = body["type"].is_string();
        let _ = sent.send((path.clone(), body));
        async move {
            match path.as_str() {
                "/api/new" if stage => Json(json!({
                    "display_name": "calm-river-1", "token": "t", "project": "Words",
                    "stage_name": "fetch"
                }))
                .into_response(),
                "/api/new" => new_worker().into_response(),
                "/api/newJob" if of_crawler => job().into_response(),
                "/api/newJob" => {
                    Json(json!({"data": "<!json!>[1,\"a\"]", "number": 3})).into_response()
                }
                "/api/getUploadAddress" => "rsync://b/".into_response(),
                "/api/failJob" | "/api/returnJob" => "success".into_response(),
                _ if of_crawler => "success".into_response(),
                _ => "200 OK".into_response(),
            }
        }
    };
    (serve(Router::new().fallback(answer)).await, heard)
}

/// The body of the next call to `path`.
async fn next(heard: &mut UnboundedReceiver<(String, Value)>, path: &str) -> Value {
    let call = async {
        loop {
            let (called, body) = heard.recv().await.expect("the tracker ended");
            if called == path {
                return body;
            }
        }
    };
    let call = tokio::time::timeout(Duration::from_secs(30), call);
    call.await
        .unwrap_or_else(|_| panic!("nobody called {path}"))
}

async fn of_kind<K: Kind>(url: &str) -> Client<K> {
    Client::connect(config(url)).await.unwrap()
}

#[tokio::test]
async fn each_kind_says_what_it_made() {
    let (url, mut heard) = listening().await;
    let hybrid = of_kind::<Hybrid>(&url).await;
    hybrid.lease().await.unwrap().complete(7).await.unwrap();
    let done = next(&mut heard, "/api/markAsDone").await;
    let expected = json!({"token": "t", "type": "HYBRID", "number": 1, "count": 7});
    assert_eq!(done, expected);

    let cpu = of_kind::<Cpu>(&url).await;
    assert_eq!(cpu.update_upload_address().await.unwrap(), "rsync://b/");
    assert_eq!(cpu.upload_address(), "rsync://b/");
    let lease = cpu.lease().await.unwrap();
    lease.complete("rsync://b/1.tar").await.unwrap();
    let done = next(&mut heard, "/api/markAsDone").await;
    let expected = json!({"token": "t", "type": "CPU", "number": 1, "url": "rsync://b/1.tar"});
    assert_eq!(done, expected);

    let gpu = of_kind::<Gpu>(&url).await;
    gpu.lease().await.unwrap().flag_invalid().await.unwrap();
    let flagged = next(&mut heard, "/api/gpuInvalidDownload").await;
    assert_eq!(flagged, json!({"token": "t", "type": "GPU", "number": 1}));
}

#[tokio::test]
async fn a_lease_that_is_dropped_goes_back_before_the_next_one() {
    let (url, mut heard) = listening().await;
    let client = of_kind::<Hybrid>(&url).await;
    drop(client.lease().await.unwrap());
    let lease = client.lease().await.unwrap();
    next(&mut heard, "/api/newJob").await;
    let returned = next(&mut heard, "/api/returnJob").await;
    assert_eq!(
        returned,
        json!({"token": "t", "type": "HYBRID", "number": 1})
    );
    next(&mut heard, "/api/newJob").await;
    // What is settled, or another process goes on with, does not go back.
    lease.complete(1).await.unwrap();
    client.lease().await.unwrap().let_go();
    client.lease().await.unwrap().fail("broken").await.unwrap();
    client.bye().await.unwrap();
    let mut called = Vec::new();
    while let Ok((path, _)) = heard.try_recv() {
        called.push(path);
    }
    assert!(
        !called.iter().any(|path| path == "/api/returnJob"),
        "{called:?}"
    );
}

#[tokio::test]
async fn a_worker_goes_on_from_its_dump() {
    let (url, mut heard) = listening().await;
    let client = of_kind::<Cpu>(&url).await;
    let lease = client.lease().await.unwrap();
    let kept = serde_json::to_string(&lease.dump()).unwrap();
    lease.let_go();
    let dump: Dump = serde_json::from_str(&kept).unwrap();
    let (again, lease) = Client::<Cpu>::load(&dump, config("http://other.example/")).unwrap();
    assert_eq!((again.token(), again.nickname()), ("t", "anna"));
    assert_eq!(
        (again.url(), again.display_name()),
        (client.url(), "calm-river-1")
    );
    lease.unwrap().complete("x").await.unwrap();
    assert_eq!(next(&mut heard, "/api/markAsDone").await["number"], 1);
    let wrong = Client::<Gpu>::load(&dump, config(&url)).unwrap_err();
    assert!(matches!(wrong, ClientError::Dump(_)), "{wrong}");
    let (_, none) = Client::<Cpu>::load(&client.dump(), config(&url)).unwrap();
    assert!(none.is_none());
}

#[tokio::test]
async fn a_stage_gets_data_and_hands_data_on() {
    let (url, mut heard) = listening().await;
    let client = distcompute::Client::connect(config(&url), "a")
        .await
        .unwrap();
    assert_eq!((client.project(), client.stage_name()), ("Words", "fetch"));
    let lease = client.lease().await.unwrap();
    assert_eq!(
        (lease.number(), lease.data()),
        (3, Data::Json(json!([1, "a"])))
    );
    lease.log("half of it").await.unwrap();
    let told = next(&mut heard, "/api/updateProgress").await;
    assert_eq!(told, json!({"token": "t", "progress": "half of it"}));
    lease.complete("made").await.unwrap();
    let done = next(&mut heard, "/api/completeJob").await;
    assert_eq!(done, json!({"token": "t", "number": 3, "data": "made"}));
    client.lease().await.unwrap().flag_invalid().await.unwrap();
    next(&mut heard, "/api/flagInvalidData").await;
    client.lease().await.unwrap().fail("no").await.unwrap();
    assert_eq!(next(&mut heard, "/api/failJob").await["message"], "no");
    drop(client.lease().await.unwrap());
    next(&mut heard, "/api/returnJob").await;
    client.bye().await.unwrap();
}
