//! One connected worker: what it is doing, and how well.

use askama::Template;
use axum::{
    Router,
    extract::{Path, State, rejection::PathRejection},
    response::Response,
    routing::get,
};
use cah_protocol::WorkerType;

use super::{
    super::{App, error::ApiError},
    Frame, ago, contributor_page, page,
};
use crate::{
    store::{Role, StageCounts, WorkerView},
    text::{compact, duration, grouped},
};

pub(super) fn routes() -> Router<App> {
    Router::new().route("/worker/{type}/{display_name}", get(worker))
}

/// A worker's address: what it was taken in as, and its name.
pub(in crate::routes) type WorkerPath = Result<Path<(String, String)>, PathRejection>;

/// A worker and what pages call it: its type, or the name of its stage.
pub(in crate::routes) struct NamedWorker {
    pub(in crate::routes) kind: String,
    pub(in crate::routes) worker: WorkerView,
}

/// Finds the worker that an address means. A name of a stage counts in any case, as clients write
/// it in lower case; so does a type.
pub(in crate::routes) async fn find_worker(
    app: &App,
    path: WorkerPath,
) -> Result<NamedWorker, ApiError> {
    let Path((kind, display_name)) =
        path.map_err(|_| ApiError::BadRequest("The address is not UTF-8.".into()))?;
    let stages = app.service.counts().await?.stages;
    for role in roles(&kind, &stages)? {
        let worker = app
            .service
            .store()
            .worker(role, display_name.clone())
            .await?;
        if let Some(worker) = worker {
            let kind = role_name(role, &stages);
            return Ok(NamedWorker { kind, worker });
        }
    }
    Err(ApiError::NotFound(
        "There is no connected worker of that name.",
    ))
}

/// The roles that go by that name.
fn roles(name: &str, stages: &[StageCounts]) -> Result<Vec<Role>, ApiError> {
    let types = [WorkerType::Hybrid, WorkerType::Cpu, WorkerType::Gpu];
    let types = types.map(Role::from).into_iter();
    let all = types.chain((0..).take(stages.len()).map(Role::Stage));
    let called = |role: &Role| role_name(*role, stages).to_lowercase() == name.to_lowercase();
    let roles: Vec<Role> = all.filter(called).collect();
    match roles.is_empty() {
        true => Err(ApiError::BadRequest(
            "Unknown worker type; the types are HYBRID, CPU and GPU, and the project's stages."
                .into(),
        )),
        false => Ok(roles),
    }
}

/// What pages call a worker of that role.
pub(in crate::routes) fn role_name(role: Role, stages: &[StageCounts]) -> String {
    match role {
        Role::Crawler(worker_type) => worker_type.to_string(),
        Role::Stage(stage) => stages
            .get(usize::from(stage))
            .map_or_else(|| stage.to_string(), |stage| stage.name.clone()),
    }
}

#[derive(Template)]
#[template(path = "worker.html")]
struct WorkerPage {
    frame: Frame,
    name: String,
    kind: String,
    nickname: String,
    contributor: String,
    /// Empty where it has none.
    job: String,
    job_page: String,
    working: String,
    progress: String,
    jobs_completed: String,
    speed: String,
    /// A job; empty where its jobs give none.
    pairs: String,
    pairs_of_a_job: String,
    joined: String,
    seen: String,
}

/// The shortest time over which a speed means something, in seconds.
const SHORTEST: i64 = 60;

/// Jobs an hour since it joined.
pub(super) fn speed(worker: &WorkerView, now: i64) -> String {
    let hours = (now - worker.first_seen).max(SHORTEST) as f64 / 3_600.0;
    compact(worker.jobs_completed as f64 / hours)
}

async fn worker(State(app): State<App>, path: WorkerPath) -> Result<Response, ApiError> {
    let NamedWorker { kind, worker } = find_worker(&app, path).await?;
    let now = app.service.now();
    page(&WorkerPage {
        frame: Frame::of(&app).await?,
        speed: speed(&worker, now),
        name: worker.display_name,
        kind,
        contributor: contributor_page(&worker.nickname),
        pairs: match worker.pairs {
            0 => String::new(),
            pairs => grouped(pairs),
        },
        pairs_of_a_job: compact(worker.pairs as f64 / worker.jobs_completed.max(1) as f64),
        nickname: worker.nickname,
        job: worker.number.map_or(String::new(), grouped),
        job_page: worker
            .number
            .map_or(String::new(), |number| format!("/job/{number}")),
        working: worker
            .working_since
            .map_or(String::new(), |since| duration(now - since)),
        progress: worker.progress,
        jobs_completed: grouped(worker.jobs_completed),
        joined: ago(worker.first_seen, now),
        seen: ago(worker.last_seen, now),
    })
}
