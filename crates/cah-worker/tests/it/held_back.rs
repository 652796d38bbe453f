//! A worker that a tracker lets wait is not done.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::SeqCst},
};

use axum::{
    Json, Router,
    http::StatusCode,
    routing::{get, post},
};
use cah_protocol::Shard;
use cah_worker::{
    Job, Observer, Progress, ShardReport, State, Stop, Terms, Work, WorkerError, volunteer,
};
use crawlingathome::{ClientConfig, ClientError, Hybrid, Lease};
use serde_json::json;

/// What a worker does that gets nothing to do.
struct Nothing;

impl Work for Nothing {
    type Kind = Hybrid;

    async fn make(&self, _: &Job<'_, Hybrid>) -> Result<ShardReport, WorkerError> {
        unreachable!("the tracker leases nothing")
    }

    async fn complete(_: &Lease<Hybrid>, _: &ShardReport) -> Result<(), ClientError> {
        unreachable!("nothing is made")
    }
}

impl Observer for Nothing {
    fn started(&self, _: &Shard, _: &Progress) {}
    fn left(&self, _: &Shard) {}
    fn finished(&self, _: &ShardReport) {}
}

#[tokio::test]
async fn a_worker_stays_while_shards_are_open() {
    let (asked, counted) = (Arc::new(AtomicU32::new(0)), AtomicU32::new(0));
    let counting = asked.clone();
    let refuse = async move || {
        counting.fetch_add(1, SeqCst);
        (StatusCode::FORBIDDEN, "It can have another one in 1 s.")
    };
    let counted = Arc::new(counted);
    let open = async move || {
        1_u32
            .saturating_sub(counted.fetch_add(1, SeqCst))
            .to_string()
    };
    let new = json!({"display_name": "calm-river-1", "token": "t", "upload_address": ""});
    let routes = Router::new()
        .route("/api/new", get(async || Json(new)))
        .route("/api/newJob", post(refuse))
        .route("/api/jobCount", get(open))
        .route("/api/bye", post(async || "success"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });

    let state = tempfile::tempdir().unwrap();
    let terms = Terms {
        tracker: ClientConfig::new(url, "ada"),
        state: State::open(state.path()).unwrap(),
        at_once: 1,
        wait: None,
        stop: Stop::default(),
    };
    assert_eq!(volunteer(&Nothing, terms, &Nothing).await.unwrap(), 0);
    assert_eq!(asked.load(SeqCst), 2);
}
