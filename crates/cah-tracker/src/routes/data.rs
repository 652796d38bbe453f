//! Figures as JSON, in the shapes of the public tracker.

use axum::{Json, Router, extract::State, routing::get};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    App,
    error::ApiError,
    pages::{NamedWorker, WorkerPath, find_worker},
};
use crate::text::grouped;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/data", get(data))
        .route("/worker/{type}/{display_name}/data", get(worker_data))
}

#[derive(Serialize)]
struct Data {
    completion_str: String,
    completion_float: f64,
    total_connected_workers: u64,
    total_pairs_scraped: u64,
    /// The public tracker counted another project's pairs here; this one has one project.
    total_multilanguage_pairs_scraped: u64,
    eta: String,
}

async fn data(State(app): State<App>) -> Result<Json<Data>, ApiError> {
    let progress = app.service.project_progress(0).await?;
    let counts = progress.counts;
    let (closed, total) = (counts.closed, counts.total());
    Ok(Json(Data {
        completion_str: format!("{} / {}", grouped(closed), grouped(total)),
        completion_float: 100.0 * closed as f64 / total.max(1) as f64,
        total_connected_workers: counts.workers,
        total_pairs_scraped: counts.pairs,
        total_multilanguage_pairs_scraped: 0,
        eta: progress.eta,
    }))
}

#[derive(Serialize)]
struct WorkerData {
    display_name: String,
    /// The number of the job, or the text `N/A`.
    shard_number: Value,
    progress: String,
    jobs_completed: u64,
    first_seen: i64,
    last_seen: i64,
    user_nickname: String,
    #[serde(rename = "type")]
    worker_type: String,
}

async fn worker_data(
    State(app): State<App>,
    path: WorkerPath,
) -> Result<Json<WorkerData>, ApiError> {
    let NamedWorker { kind, worker } = find_worker(&app, path).await?;
    Ok(Json(WorkerData {
        display_name: worker.display_name,
        shard_number: worker.number.map_or(json!("N/A"), |number| json!(number)),
        progress: worker.progress,
        jobs_completed: worker.jobs_completed,
        first_seen: worker.first_seen,
        last_seen: worker.last_seen,
        user_nickname: worker.nickname,
        worker_type: kind,
    }))
}
