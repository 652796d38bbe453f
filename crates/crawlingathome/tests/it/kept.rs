//! Leases that outlive what happens to them: completions that nobody heard, and forks.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use crawlingathome::{ClientError, HybridClient, RetryPolicy};
use serde_json::json;

use crate::{config, listening, next, of_kind, serve, shaky};

#[tokio::test]
async fn a_completion_that_nobody_heard_can_be_tried_again() {
    let completions = Arc::new(AtomicUsize::new(0));
    let url = serve(shaky(2, StatusCode::BAD_GATEWAY, completions.clone())).await;
    let mut once = config(&url);
    once.retry = RetryPolicy::once();
    let client = HybridClient::connect(once).await.unwrap();
    let lease = client.lease().await.unwrap();
    for _ in 0..2 {
        let error = lease.complete(5).await.unwrap_err();
        assert!(
            matches!(error, ClientError::Server { status: 502, .. }),
            "{error}"
        );
    }
    lease.complete(5).await.unwrap();
    assert_eq!(completions.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_lease_is_given_back_while_somebody_waits() {
    let (url, mut heard) = listening().await;
    let client = of_kind::<crawlingathome::Cpu>(&url).await;
    let lease = client.lease().await.unwrap();
    lease.give_back().await.unwrap();
    drop(lease);
    let returned = next(&mut heard, "/api/returnJob").await;
    assert_eq!(returned, json!({"token": "t", "type": "CPU", "number": 1}));
    // Once, though it was dropped as well.
    client.bye().await.unwrap();
    while let Ok((path, _)) = heard.try_recv() {
        assert_ne!(path, "/api/returnJob");
    }
}

/// Counts the connections that calls come over, by the port of their other end.
#[tokio::test]
async fn a_client_of_a_forked_process_has_connections_of_its_own() {
    let ports = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = ports.clone();
    let alive = move |peer: axum::extract::ConnectInfo<std::net::SocketAddr>, _: HeaderMap| {
        seen.lock().unwrap().push(peer.0.port());
        async { "True" }
    };
    let routes = Router::new()
        .route("/api/validateWorker", post(alive))
        .route(
            "/api/new",
            axum::routing::get(|| async { crate::new_worker() }),
        )
        .route("/api/newJob", post(|| async { crate::job() }))
        .route("/api/updateProgress", post(|| async { "success" }))
        .route("/api/markAsDone", post(|| async { "success" }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = routes.into_make_service_with_connect_info::<std::net::SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    let client = HybridClient::connect(config(&url)).await.unwrap();
    assert!(client.is_alive().await.unwrap() && client.is_alive().await.unwrap());
    let lease = client.lease().await.unwrap();
    let other = client.afresh().unwrap();
    assert!(other.is_alive().await.unwrap());
    let ports = ports.lock().unwrap().clone();
    assert!(ports[0] == ports[1] && ports[2] != ports[1], "{ports:?}");
    assert_eq!((other.token(), other.url()), (client.token(), client.url()));
    let adopted = other.adopt(&lease);
    lease.let_go();
    assert_eq!(adopted.shard(), lease.shard());
    adopted.complete(1).await.unwrap();
}
