//! The client against a tracker's answers over real sockets: what is retried, what is not, and
//! which error each answer becomes. The real tracker is tried in `cah-e2e`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    http::StatusCode,
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use crawlingathome::{ClientConfig, ClientError, HybridClient, RetryPolicy};
use serde_json::json;

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

fn config(url: &str) -> ClientConfig {
    ClientConfig {
        retry: RetryPolicy {
            first_pause: Duration::from_millis(10),
            longest_pause: Duration::from_millis(20),
            give_up_after: Some(Duration::from_secs(5)),
        },
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
        retry: RetryPolicy::once(),
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
    let router = Router::new()
        .route("/api/new", get(|| async { new_worker() }))
        .route("/api/newJob", post(|| async { job() }))
        .route("/api/updateProgress", post(progress));
    let url = serve(router).await;
    let client = HybridClient::connect(config(&url)).await.unwrap();
    let lease = client.lease().await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), lease.lost())
        .await
        .expect("the third heartbeat says that the worker is unknown");
    assert_eq!(beats.load(Ordering::SeqCst), 3);
}
