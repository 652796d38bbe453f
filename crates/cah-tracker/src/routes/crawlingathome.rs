//! The calls of Crawling@Home workers, as the public clients make them.

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, header},
    routing::{get, post},
};
use cah_protocol::{
    IDS_PER_CHUNK, JobResponse, NewWorkerResponse, SUCCESS, WorkerType, check_message,
    check_nickname, check_progress, check_result,
};
use rand::random_range;
use url::Url;

use super::{
    App,
    error::ApiError,
    extract::{Fields, Params, missing},
};
use crate::service::Work;

/// The contributor of workers whose user gave no nickname, as in the reference.
const ANONYMOUS: &str = "anonymous";

/// The most pairs that one job can give: the sample ids of its chunk.
const MAX_PAIRS: u64 = IDS_PER_CHUNK;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/api/new", get(new))
        .route("/api/validateWorker", post(validate_worker))
        .route("/api/getUploadAddress", get(get_upload_address))
        .route("/api/jobCount", get(job_count))
        .route("/api/newJob", post(new_job))
        .route("/api/updateProgress", post(update_progress))
        .route("/api/markAsDone", post(mark_as_done))
        .route("/api/gpuInvalidDownload", post(gpu_invalid_download))
        .route("/api/failJob", post(fail_job))
        .route("/api/bye", post(bye))
}

async fn new(
    State(app): State<App>,
    headers: HeaderMap,
    params: Params,
) -> Result<Json<NewWorkerResponse>, ApiError> {
    let worker_type = params.worker_type()?;
    // Clients leave the nickname out where their user gave none.
    let nickname = match params.get("nickname").unwrap_or_default().trim() {
        "" => ANONYMOUS,
        nickname => nickname,
    };
    check_nickname(nickname)?;
    let joined = app.service.join(nickname, worker_type).await?;
    Ok(Json(NewWorkerResponse {
        display_name: joined.display_name,
        token: joined.token,
        upload_address: upload_address(&app, &headers, worker_type),
        heartbeat: Some(app.service.config().heartbeat().as_secs()),
    }))
}

async fn validate_worker(State(app): State<App>, fields: Fields) -> Result<&'static str, ApiError> {
    let (token, worker_type) = (fields.token()?, fields.worker_type()?);
    let connected = app.service.is_connected(token, worker_type).await?;
    Ok(if connected { "True" } else { "False" })
}

async fn get_upload_address(
    State(app): State<App>,
    headers: HeaderMap,
    params: Params,
) -> Result<String, ApiError> {
    Ok(upload_address(&app, &headers, params.worker_type()?))
}

async fn job_count(State(app): State<App>, params: Params) -> Result<String, ApiError> {
    let stage = crate::store::Span::from(params.worker_type()?).first;
    let counts = app.service.counts().await?;
    Ok(counts.open_at(stage).to_string())
}

async fn new_job(State(app): State<App>, fields: Fields) -> Result<Json<JobResponse>, ApiError> {
    let (token, worker_type) = (fields.token()?, fields.worker_type()?);
    let claimed = app.service.new_job(token, worker_type).await?;
    let mut job = JobResponse::from(claimed.shard);
    if let Some(handed_over) = claimed.input {
        job.url = handed_over;
    }
    Ok(Json(job))
}

async fn update_progress(State(app): State<App>, fields: Fields) -> Result<&'static str, ApiError> {
    let (token, worker_type) = (fields.token()?, fields.worker_type()?);
    let progress = fields.text("progress")?;
    check_progress(progress)?;
    app.service
        .progress(token, worker_type, progress.to_owned())
        .await?;
    Ok(SUCCESS)
}

/// Beyond the public protocol, a worker may name the job that it means (`number`), and is refused
/// where it holds another one by now.
async fn mark_as_done(State(app): State<App>, fields: Fields) -> Result<&'static str, ApiError> {
    let (token, worker_type) = (fields.token()?, fields.worker_type()?);
    let number = fields.optional_count("number", i64::MAX as u64)?;
    let work = match worker_type {
        WorkerType::Cpu => {
            let url = fields.text("url")?;
            check_result(url)?;
            Work::HandOver(url.to_owned())
        }
        WorkerType::Hybrid | WorkerType::Gpu => {
            let count = fields.optional_count("count", MAX_PAIRS)?;
            Work::Pairs(count.ok_or_else(|| missing("count"))?)
        }
    };
    app.service
        .complete(token, worker_type, work, number)
        .await?;
    Ok(SUCCESS)
}

async fn gpu_invalid_download(
    State(app): State<App>,
    fields: Fields,
) -> Result<&'static str, ApiError> {
    let (token, worker_type) = (fields.token()?, fields.worker_type()?);
    app.service.flag(token, worker_type).await?;
    Ok(SUCCESS)
}

/// Beyond the public protocol: a worker that cannot do its job says why, instead of keeping it or
/// handing it to the next one that cannot.
async fn fail_job(State(app): State<App>, fields: Fields) -> Result<&'static str, ApiError> {
    let (token, worker_type) = (fields.token()?, fields.worker_type()?);
    let number = fields.optional_count("number", i64::MAX as u64)?;
    let message = fields.text("message")?;
    check_message(message)?;
    app.service
        .fail(token, worker_type, message.to_owned(), number)
        .await?;
    Ok(SUCCESS)
}

async fn bye(State(app): State<App>, fields: Fields) -> Result<&'static str, ApiError> {
    let (token, worker_type) = (fields.token()?, fields.worker_type()?);
    app.service.leave(token, worker_type).await?;
    Ok(SUCCESS)
}

/// One of the operator's addresses for that type, or the tracker's own staging.
fn upload_address(app: &App, headers: &HeaderMap, worker_type: WorkerType) -> String {
    let addresses = app.service.config().upload_addresses.get(&worker_type);
    match addresses.map(Vec::as_slice) {
        Some(addresses @ [_, ..]) => addresses[random_range(0..addresses.len())].clone(),
        _ => format!("{}staging/", own_url(app, headers)),
    }
}

/// The address that the caller reached the tracker under.
fn own_url(app: &App, headers: &HeaderMap) -> String {
    if let Some(url) = &app.service.config().public_url {
        return format!("{}/", url.as_str().trim_end_matches('/'));
    }
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    host.and_then(|host| Url::parse(&format!("http://{host}/")).ok())
        .filter(|url| url.path() == "/" && url.query().is_none() && url.username().is_empty())
        .map_or_else(|| format!("http://{}/", app.addr), String::from)
}
