//! The calls that workers of both dialects make at the same addresses.
//!
//! A call with a `type` is a Crawling@Home worker's, one with a `stage` a DistCompute worker's.
//! Where neither is given, the token tells what its worker was taken in as.

use axum::{
    Extension, Json, Router,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use cah_protocol::{
    JobResponse, NewWorkerResponse, SUCCESS, Shard, check_message, check_nickname, check_progress,
    distcompute, stage_of_letter,
};

use super::{
    App,
    callers::{Address, KEPT_OUT, PathKey},
    crawlingathome,
    error::ApiError,
    extract::{Fields, MAX_NUMBER, Params},
    staging,
};
use crate::{
    service::{JoinError, NoJob},
    store::{Claimed, Counts, Role, Task},
    token::TokenForm,
};

/// The contributor of workers whose user gave no nickname, as in the reference.
const ANONYMOUS: &str = "anonymous";

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/api/new", get(new))
        .route("/api/validateWorker", post(validate_worker))
        .route("/api/jobCount", get(job_count))
        .route("/api/newJob", post(new_job))
        .route("/api/updateProgress", post(update_progress))
        .route("/api/failJob", post(fail_job))
        .route("/api/returnJob", post(return_job))
        .route("/api/bye", post(bye))
}

async fn new(
    State(app): State<App>,
    Address(address): Address,
    key: Option<Extension<PathKey>>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    check_key(&app, params.get("key"), key)?;
    // Clients leave the nickname out where their user gave none.
    let nickname = match params.get("nickname").unwrap_or_default().trim() {
        "" => ANONYMOUS,
        nickname => nickname,
    };
    check_nickname(nickname)?;
    let counts = app.service.counts().await?;
    let role = role(&params, &counts)?;
    let join = app
        .service
        .join(nickname, role, address, token_form(&params)?, &counts);
    let joined = join.await?;
    let heartbeat = Some(app.service.config().heartbeat().as_secs());
    Ok(match role {
        Role::Crawler(worker_type) => Json(NewWorkerResponse {
            upload_address: crawlingathome::upload_address(
                &app,
                &headers,
                worker_type,
                Some(&joined.token),
            )
            .await?,
            display_name: joined.display_name,
            token: joined.token,
            heartbeat,
        })
        .into_response(),
        Role::Stage(_) => Json(distcompute::NewWorkerResponse {
            token: joined.token,
            display_name: joined.display_name,
            project: app.service.config().project.clone(),
            stage_name: joined.stage_name,
            heartbeat,
        })
        .into_response(),
    })
}

/// The token that the client takes: old ones take UUIDs only.
fn token_form(params: &Params) -> Result<TokenForm, ApiError> {
    match params.get("token_bits") {
        None => Ok(TokenForm::Uuid),
        Some("256") => Ok(TokenForm::Long),
        Some(_) => Err(ApiError::BadRequest(
            "`token_bits` must be 256; leave it out for a UUID.".into(),
        )),
    }
}

/// Whether the caller may take part: the key is in the query or in the path before it.
pub(super) fn check_key(
    app: &App,
    in_query: Option<&str>,
    in_path: Option<Extension<PathKey>>,
) -> Result<(), ApiError> {
    let Some(key) = &app.service.config().join_key else {
        return Ok(());
    };
    let in_path = in_path.map(|Extension(PathKey(key))| key);
    let keys = in_query.into_iter().chain(in_path.as_deref());
    match keys.into_iter().any(|sent| key.matches(sent)) {
        true => Ok(()),
        false => Err(ApiError::Forbidden(
            "This tracker takes in only those who know its join key; ask its operator.",
        )),
    }
}

/// What the query asks to be: a stage, or else a type of worker.
fn role(params: &Params, counts: &Counts) -> Result<Role, ApiError> {
    match params.get("stage") {
        Some(stage) => Ok(Role::Stage(find_stage(stage, counts)?)),
        None => Ok(params.worker_type()?.into()),
    }
}

/// A stage by its letter, or by its name.
fn find_stage(text: &str, counts: &Counts) -> Result<u8, ApiError> {
    let named = |stage: &crate::store::StageCounts| stage.name.eq_ignore_ascii_case(text);
    let by_name = || counts.stages.iter().position(named);
    let stage = stage_of_letter(text).or_else(|| by_name().and_then(|at| u8::try_from(at).ok()));
    stage
        .filter(|stage| usize::from(*stage) < counts.stages.len())
        .ok_or_else(|| {
            let names = counts.stages.iter().zip('a'..);
            let names: Vec<String> = names
                .map(|(stage, letter)| format!("{letter} ({})", stage.name))
                .collect();
            ApiError::BadRequest(format!(
                "Unknown stage; the stages are {}.",
                names.join(", ")
            ))
        })
}

/// Anybody may ask, and is told: who names no worker, or none that there could be, is none.
async fn validate_worker(State(app): State<App>, fields: Fields) -> Result<&'static str, ApiError> {
    let connected = match fields.caller() {
        Ok(caller) => app.service.is_connected(caller).await?,
        Err(_) => false,
    };
    Ok(if connected { "True" } else { "False" })
}

async fn job_count(State(app): State<App>, params: Params) -> Result<String, ApiError> {
    let counts = app.service.counts().await?;
    let span = role(&params, &counts)?.span(counts.stages.len());
    let open = span.map_or(0, |span| counts.open_at(span.first));
    Ok(open.to_string())
}

async fn new_job(
    State(app): State<App>,
    Address(address): Address,
    fields: Fields,
) -> Result<Response, ApiError> {
    let caller = fields.caller()?;
    let mut claimed = app.service.new_job(caller, address).await?;
    if let Some(input) = claimed.input.take() {
        match staging::signed_to_take(&app, input).await {
            Ok(address) => claimed.input = Some(address),
            Err(error) => {
                // It is no failure of the worker's, which knows of no job.
                let number = Some(claimed.number);
                app.service.give_back(caller, address, number).await?;
                return Err(error);
            }
        }
    }
    match claimed.role {
        Role::Crawler(_) => crawler_job(claimed).map(|job| Json(job).into_response()),
        Role::Stage(_) => Ok(Json(stage_job(claimed)?).into_response()),
    }
}

fn crawler_job(claimed: Claimed) -> Result<JobResponse, ApiError> {
    let Task::Shard(shard) = claimed.task else {
        // Crawling@Home workers are not taken in by a project of other jobs.
        tracing::error!(
            number = claimed.number,
            "a shard was asked for, but is none"
        );
        return Err(ApiError::Internal);
    };
    let mut job = JobResponse::from(shard);
    if let Some(handed_over) = claimed.input {
        job.url = handed_over;
    }
    Ok(job)
}

fn stage_job(claimed: Claimed) -> Result<distcompute::JobResponse, ApiError> {
    let data = match (claimed.input, claimed.task) {
        (Some(handed_over), _) => handed_over,
        (None, Task::Data(data)) => data,
        (None, Task::Shard(shard)) => shard_data(shard)?,
    };
    Ok(distcompute::JobResponse {
        data,
        number: claimed.number,
    })
}

/// A shard as the data of a job, with the fields of a Crawling@Home job.
fn shard_data(shard: Shard) -> Result<String, ApiError> {
    let json = serde_json::to_string(&JobResponse::from(shard)).map_err(|error| {
        tracing::error!(%error, "a job could not be written");
        ApiError::Internal
    })?;
    Ok(format!("{}{json}", distcompute::JSON_PREFIX))
}

async fn update_progress(State(app): State<App>, fields: Fields) -> Result<&'static str, ApiError> {
    let caller = fields.caller()?;
    let progress = fields.text("progress")?;
    check_progress(progress)?;
    let role = app.service.progress(caller, progress.to_owned()).await?;
    Ok(done(role))
}

/// Beyond the public protocols: a worker that cannot do its job says why, instead of keeping it or
/// handing it to the next one that cannot.
async fn fail_job(
    State(app): State<App>,
    Address(address): Address,
    fields: Fields,
) -> Result<&'static str, ApiError> {
    let caller = fields.caller()?;
    let number = fields.optional_count("number", MAX_NUMBER)?;
    let message = fields.text("message")?;
    check_message(message)?;
    app.service
        .fail(caller, address, message.to_owned(), number)
        .await?;
    Ok(SUCCESS)
}

/// Beyond the public protocols: a worker that does not want to go on gives its job back, and stays.
async fn return_job(
    State(app): State<App>,
    Address(address): Address,
    fields: Fields,
) -> Result<&'static str, ApiError> {
    let caller = fields.caller()?;
    let number = fields.optional_count("number", MAX_NUMBER)?;
    app.service.give_back(caller, address, number).await?;
    Ok(SUCCESS)
}

async fn bye(
    State(app): State<App>,
    Address(address): Address,
    fields: Fields,
) -> Result<&'static str, ApiError> {
    let role = app.service.leave(fields.caller()?, address).await?;
    Ok(done(role))
}

/// What a call that was carried out is answered, in the worker's dialect.
fn done(role: Role) -> &'static str {
    match role {
        Role::Crawler(_) => SUCCESS,
        Role::Stage(_) => distcompute::OK,
    }
}

impl From<NoJob> for ApiError {
    fn from(error: NoJob) -> Self {
        match error {
            NoJob::Braked(seconds) => Self::Braked(seconds),
            NoJob::Store(error) => error.into(),
        }
    }
}

impl From<JoinError> for ApiError {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::NoSuchStage(text) => Self::BadRequest(text),
            JoinError::Excluded => KEPT_OUT,
            JoinError::Full(workers) => Self::Full(workers),
            JoinError::Crowded(workers) => Self::Crowded(workers),
            JoinError::Store(error) => error.into(),
        }
    }
}
