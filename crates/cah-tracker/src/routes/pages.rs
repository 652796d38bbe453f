//! The pages of single workers, and the one that tells how to become one.

use askama::Template;
use axum::{
    Router,
    extract::{Path, State, rejection::PathRejection},
    http::HeaderMap,
    response::Response,
    routing::get,
};
use cah_protocol::WorkerType;

use super::{
    App,
    crawlingathome::own_url,
    dashboard::{Frame, page},
    error::ApiError,
};
use crate::{
    store::{Counts, Kind, Role, StageCounts, WorkerView},
    text::{duration, grouped},
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/worker/{type}/{display_name}", get(worker))
        .route("/install", get(install))
}

/// A worker's address: what it was taken in as, and its name.
pub(super) type WorkerPath = Result<Path<(String, String)>, PathRejection>;

/// A worker and what pages call it: its type, or the name of its stage.
pub(super) struct NamedWorker {
    pub(super) kind: String,
    pub(super) worker: WorkerView,
}

/// Finds the worker that an address means. A name of a stage counts in any case, as clients write
/// it in lower case; so does a type.
pub(super) async fn find_worker(app: &App, path: WorkerPath) -> Result<NamedWorker, ApiError> {
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
pub(super) fn role_name(role: Role, stages: &[StageCounts]) -> String {
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
    job: String,
    progress: String,
    jobs_completed: String,
    joined: String,
    seen: String,
}

async fn worker(State(app): State<App>, path: WorkerPath) -> Result<Response, ApiError> {
    let NamedWorker { kind, worker } = find_worker(&app, path).await?;
    let now = app.service.now();
    page(&WorkerPage {
        frame: Frame::of(&app).await?,
        name: worker.display_name,
        kind,
        nickname: worker.nickname,
        job: worker.number.map_or("none".into(), grouped),
        progress: worker.progress,
        jobs_completed: grouped(worker.jobs_completed),
        joined: format!("{} ago", duration(now - worker.first_seen)),
        seen: format!("{} ago", duration(now - worker.last_seen)),
    })
}

#[derive(Template)]
#[template(path = "install.html")]
struct Install {
    frame: Frame,
    url: String,
    /// Whether volunteers run `cah worker` here, or a script of their own.
    of_shards: bool,
    stages: Vec<(char, String)>,
}

async fn install(State(app): State<App>, headers: HeaderMap) -> Result<Response, ApiError> {
    let Counts { kind, stages, .. } = app.service.counts().await?;
    let names = stages.into_iter().map(|stage| stage.name);
    page(&Install {
        frame: Frame::of(&app).await?,
        url: own_url(&app, &headers),
        of_shards: kind != Some(Kind::Data),
        stages: ('a'..).zip(names).collect(),
    })
}
