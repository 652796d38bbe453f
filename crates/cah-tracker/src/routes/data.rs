//! Each page as JSON, in the shapes of the public tracker where it had them.

use axum::{Json, Router, extract::State, http::HeaderMap, routing::get};
use cah_protocol::OutcomeCounts;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    App,
    error::ApiError,
    extract::Params,
    pages::{
        ContributorPath, JobPath, MAX_LINES, NamedWorker, WorkerPath, find_contributor, find_job,
        find_worker, role_name, search,
    },
};
use crate::{
    operation::{self, Board},
    store::{WorkerView, stage_name},
    text::grouped,
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/data", get(data))
        .route("/worker/{type}/{display_name}/data", get(worker_data))
        .route("/workers/data", get(workers_data))
        .route("/leaderboard/data", get(leaderboard_data))
        .route("/job/{number}/data", get(job_data))
        .route("/contributor/{nickname}/data", get(contributor_data))
        .route("/outcomes/data", get(outcomes_data))
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
    /// Beyond the public tracker's.
    pairs: u64,
}

async fn worker_data(
    State(app): State<App>,
    path: WorkerPath,
) -> Result<Json<WorkerData>, ApiError> {
    let NamedWorker { kind, worker } = find_worker(&app, path).await?;
    Ok(Json(WorkerData::new(worker, kind)))
}

impl WorkerData {
    fn new(worker: WorkerView, kind: String) -> Self {
        Self {
            display_name: worker.display_name,
            shard_number: worker.number.map_or(json!("N/A"), |number| json!(number)),
            progress: worker.progress,
            jobs_completed: worker.jobs_completed,
            first_seen: worker.first_seen,
            last_seen: worker.last_seen,
            user_nickname: worker.nickname,
            worker_type: kind,
            pairs: worker.pairs,
        }
    }
}

/// A page of the connected workers, as `/workers` has it.
async fn workers_data(State(app): State<App>, params: Params) -> Result<Json<Value>, ApiError> {
    let found = search(&app, &params).await?;
    let stages = app.service.counts().await?.stages;
    let named = |worker: WorkerView| {
        let kind = role_name(worker.role, &stages);
        WorkerData::new(worker, kind)
    };
    let workers: Vec<WorkerData> = found.workers.into_iter().map(named).collect();
    Ok(Json(
        json!({"found": found.found, "page": found.page, "workers": workers}),
    ))
}

async fn leaderboard_data(State(app): State<App>) -> Result<Json<Vec<Board>>, ApiError> {
    let boards = operation::contributors(app.service.store(), MAX_LINES);
    Ok(Json(boards.await?))
}

/// A job, as `cah tracker export` writes it, as far as it concerns whoever asks.
async fn job_data(
    State(app): State<App>,
    path: JobPath,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    let found = find_job(&app, path, &headers).await?;
    let stages = app.service.counts().await?.stages;
    let mut line = operation::job_line(found.record, &stages);
    line["attempts_left_off"] = json!(found.attempts_left_off);
    if let (false, Some(fields)) = (found.to_operator, line.as_object_mut()) {
        fields.remove("data");
    }
    Ok(Json(line))
}

async fn contributor_data(
    State(app): State<App>,
    path: ContributorPath,
) -> Result<Json<Value>, ApiError> {
    let (nickname, view) = find_contributor(&app, path).await?;
    let stages = app.service.counts().await?.stages;
    let name = |stage| stage_name(&stages, stage);
    let boards = view.boards.iter().map(|board| {
        json!({
            "stage": name(board.stage),
            "rank": board.rank,
            "jobs": board.jobs,
            "pairs": board.pairs,
        })
    });
    let days = view.days.iter().map(|day| {
        json!({
            "begin": day.begin,
            "stage": name(day.stage),
            "jobs": day.jobs,
            "pairs": day.pairs,
        })
    });
    let (boards, days): (Vec<Value>, Vec<Value>) = (boards.collect(), days.collect());
    Ok(Json(
        json!({"nickname": nickname, "boards": boards, "days": days}),
    ))
}

/// Where candidates ended, by the names that manifests use.
async fn outcomes_data(State(app): State<App>) -> Result<Json<OutcomeCounts>, ApiError> {
    Ok(Json(app.service.store().outcomes().await?))
}
