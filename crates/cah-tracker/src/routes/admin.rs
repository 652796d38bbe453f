//! What operators do by call: each command of `cah tracker`, for whoever has the admin token.

use std::{
    fmt::Display,
    fs::File,
    io::{self, BufReader, Seek, Write},
};

use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, State},
    http::header,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use cah_protocol::{check_banner, check_message};
use cah_task::blocking;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio_util::io::ReaderStream;

use super::{
    App,
    callers::Address,
    error::{ApiError, sentence},
    extract::{Fields, MAX_NUMBER, Params, missing},
    operator::{self, Operator},
};
use crate::{
    operation::{
        self, Board, COMMON_CRAWL, CheckedList, Format, ImportError, Imported, ParkedJob,
        RestoreError, Status, WriteError, how_much_is_in,
    },
    store::{Excluded, Exclusion, StoreError},
};

/// Lines of a leaderboard that are told unless the call asks for fewer.
const MAX_CONTRIBUTORS: u32 = 100_000;

/// The text that takes the banner down, in the call of the public tracker.
const RESET: &str = "RESET";

/// The calls that end soon.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/admin/status", get(status))
        .route("/admin/init", post(init))
        .route("/admin/reset-job", post(reset_job))
        .route("/admin/ban-job", post(ban_job))
        .route("/admin/requeue", post(requeue))
        .route("/admin/parked", get(parked))
        .route("/admin/banner", get(banner).post(set_banner))
        .route("/admin/contributors", get(contributors))
        .route("/admin/ban", post(ban))
        .route("/admin/unban", post(unban))
        .route("/admin/bans", get(bans))
        .route("/admin/set-banner", get(set_banner_by_password))
        .route("/admin/ban-shard", post(ban_shard))
        .route("/admin/reset-shard", post(reset_shard))
}

/// Those that move a whole project: they take as long and are as large as it needs.
pub(super) fn long_routes() -> Router<App> {
    Router::new()
        .route("/admin/import", post(import))
        .route("/admin/export", get(export))
        .route("/admin/backup", get(backup))
        .route("/admin/restore", post(restore))
        .layer(DefaultBodyLimit::disable())
}

async fn status(_: Operator, State(app): State<App>) -> Result<Json<Status>, ApiError> {
    Ok(Json(operation::status(app.service.store()).await?))
}

async fn init(
    _: Operator,
    State(app): State<App>,
    fields: Fields,
) -> Result<Json<Status>, ApiError> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let stages: Option<Vec<String>> = fields.list("stages")?.iter().map(text).collect();
    let stages = stages.ok_or_else(|| ApiError::BadRequest("`stages` must be texts.".into()))?;
    operation::check_stages(&stages).map_err(bad_request)?;
    app.service.store().init(stages).await?;
    status(Operator, State(app)).await
}

async fn reset_job(
    _: Operator,
    State(app): State<App>,
    fields: Fields,
) -> Result<Json<Value>, ApiError> {
    let number = fields.number("number")?;
    app.service.store().reset(number).await?;
    app.whole_wats.may_be_back();
    tracing::info!(number, "an operator reset a job");
    Ok(Json(json!({"number": number, "state": "open"})))
}

async fn ban_job(
    _: Operator,
    State(app): State<App>,
    fields: Fields,
) -> Result<Json<Value>, ApiError> {
    let number = fields.number("number")?;
    app.service.store().ban(number).await?;
    tracing::info!(number, "an operator banned a job");
    Ok(Json(json!({"number": number, "state": "banned"})))
}

async fn requeue(
    _: Operator,
    State(app): State<App>,
    fields: Fields,
) -> Result<Json<Value>, ApiError> {
    let number = fields.optional_count("number", MAX_NUMBER)?;
    let requeued = app.service.store().requeue(number).await?;
    app.whole_wats.may_be_back();
    Ok(Json(json!({ "requeued": requeued })))
}

/// Parked jobs that are told at a time.
const PARKED: u32 = 100;

/// The first parked jobs after number `after`: some, as long as there are any.
async fn parked(
    _: Operator,
    State(app): State<App>,
    params: Params,
) -> Result<Json<Vec<ParkedJob>>, ApiError> {
    let after = params.count("after")?.unwrap_or_default();
    let parked = operation::parked(app.service.store(), after, PARKED);
    Ok(Json(parked.await?))
}

async fn banner(_: Operator, State(app): State<App>) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({"banner": app.service.store().banner().await?})))
}

async fn set_banner(
    _: Operator,
    State(app): State<App>,
    fields: Fields,
) -> Result<Json<Value>, ApiError> {
    let text = fields.text("text")?.trim();
    check_banner(text)?;
    app.service.store().set_banner(text.to_owned()).await?;
    Ok(Json(json!({ "banner": text })))
}

async fn contributors(
    _: Operator,
    State(app): State<App>,
    params: Params,
) -> Result<Json<Vec<Board>>, ApiError> {
    let limit = match params.count("limit")? {
        Some(limit) => u32::try_from(limit).unwrap_or(u32::MAX),
        None => MAX_CONTRIBUTORS,
    };
    let limit = limit.min(MAX_CONTRIBUTORS);
    let boards = operation::contributors(app.service.store(), limit).await?;
    Ok(Json(boards))
}

/// Keeps out a `nickname`, a `network` or the address of a `worker`, with the `reason`.
async fn ban(
    _: Operator,
    State(app): State<App>,
    Address(own): Address,
    fields: Fields,
) -> Result<Json<Value>, ApiError> {
    let whom = match fields.optional_text("worker")? {
        Some(name) => Excluded::Network(operation::network_of(app.service.store(), name).await?),
        None => excluded(&fields)?,
    };
    if let Excluded::Network(network) = &whom
        && network.contains(&own)
    {
        let text = format!("you call from {network} yourself");
        return Err(ApiError::Conflict(text));
    }
    let reason = fields.optional_text("reason")?.unwrap_or_default();
    check_message(reason)?;
    let removed = app.service.exclude(whom.clone(), reason.to_owned()).await?;
    tracing::info!(?whom, removed, "an operator keeps somebody out");
    Ok(Json(json!({"banned": whom, "removed": removed})))
}

async fn unban(
    _: Operator,
    State(app): State<App>,
    fields: Fields,
) -> Result<Json<Value>, ApiError> {
    let whom = excluded(&fields)?;
    match app.service.readmit(whom.clone()).await? {
        true => Ok(Json(json!({ "unbanned": whom }))),
        false => Err(ApiError::NotFound("Nobody keeps that one out.")),
    }
}

fn excluded(fields: &Fields) -> Result<Excluded, ApiError> {
    let nickname = fields.optional_text("nickname")?;
    let network = fields.optional_text("network")?;
    let named = operation::parse_excluded(nickname, network).map_err(bad_request)?;
    named.ok_or_else(|| ApiError::BadRequest("Name one: `nickname`, `network` or `worker`.".into()))
}

async fn bans(_: Operator, State(app): State<App>) -> Result<Json<Vec<Exclusion>>, ApiError> {
    Ok(Json(app.service.store().exclusions().await?))
}

/// `GET /admin/set-banner?password=…&text=…`, as the public tracker has it.
async fn set_banner_by_password(
    State(app): State<App>,
    params: Params,
) -> Result<&'static str, ApiError> {
    operator::check_password(&app, params.get("password"))?;
    let text = params.get("text").ok_or_else(|| missing("text"))?.trim();
    check_banner(text)?;
    let (text, answer) = match text {
        RESET => ("", "The banner was taken down."),
        text => (text, "The banner was set."),
    };
    app.service.store().set_banner(text.to_owned()).await?;
    Ok(answer)
}

async fn ban_shard(State(app): State<App>, fields: Fields) -> Result<Json<Value>, ApiError> {
    let number = by_password(&app, &fields)?;
    legacy(app.service.store().ban(number).await, "banned", number)
}

async fn reset_shard(State(app): State<App>, fields: Fields) -> Result<Json<Value>, ApiError> {
    let number = by_password(&app, &fields)?;
    let reset = app.service.store().reset(number).await;
    app.whole_wats.may_be_back();
    legacy(reset, "reset", number)
}

/// The shard's number, which these calls carry as `count`.
fn by_password(app: &App, fields: &Fields) -> Result<u64, ApiError> {
    operator::check_password(app, fields.optional_text("password")?)?;
    fields.number("count")
}

fn legacy(done: Result<(), StoreError>, what: &str, number: u64) -> Result<Json<Value>, ApiError> {
    match done {
        Ok(()) => Ok(Json(json!({
            "status": "success",
            "detail": format!("Shard {number} was {what}."),
        }))),
        Err(StoreError::NoSuchJob(_)) => Ok(Json(json!({
            "status": "failed",
            "detail": format!("There is no shard {number}."),
        }))),
        Err(error) => Err(error.into()),
    }
}

/// A list in the body; `format` is `wat-paths`, `json`, `txt` or `brace`.
async fn import(
    _: Operator,
    State(app): State<App>,
    params: Params,
    body: Body,
) -> Result<Json<Imported>, ApiError> {
    let base_url = params.get("base_url").unwrap_or(COMMON_CRAWL);
    let format = params.get("format");
    let format = format.and_then(|name| Format::named(name, base_url));
    let format = format.ok_or_else(|| {
        ApiError::BadRequest("`format` must be wat-paths, json, txt or brace.".into())
    })?;
    let names = |text: &str| text.split(',').map(|name| name.trim().to_owned()).collect();
    let stages = params.get("stages").map(names);
    let priority = params.integer("priority")?.unwrap_or_default();
    let list = CheckedList::read(received(body).await?, format).await?;
    let imported = operation::import(app.service.store(), list, stages, priority).await;
    // A part may be in, even if the rest is not.
    app.whole_wats.may_be_back();
    Ok(Json(imported?))
}

/// All jobs, or those after number `after`, `limit` at most.
async fn export(_: Operator, State(app): State<App>, params: Params) -> Result<Response, ApiError> {
    let after = params.count("after")?.unwrap_or_default();
    let limit = params.count("limit")?.unwrap_or(u64::MAX);
    let file = temporary()?;
    let copy = file.try_clone().map_err(|error| no_room(&error))?;
    operation::export(app.service.store(), copy, after, limit).await?;
    send(file, "application/x-ndjson")
}

async fn backup(_: Operator, State(app): State<App>) -> Result<Response, ApiError> {
    let file = temporary()?;
    let copy = file.try_clone().map_err(|error| no_room(&error))?;
    operation::backup(app.service.store(), copy).await?;
    send(file, "application/gzip")
}

/// A backup in the body; `replace=true` where the store has jobs that should go.
async fn restore(
    _: Operator,
    State(app): State<App>,
    params: Params,
    body: Body,
) -> Result<Json<Status>, ApiError> {
    let replace = match params.get("replace") {
        Some("true") => true,
        None | Some("false") => false,
        Some(_) => {
            let text = "`replace` must be true or false.";
            return Err(ApiError::BadRequest(text.into()));
        }
    };
    app.service.restore(received(body).await?, replace).await?;
    app.whole_wats.may_be_back();
    tracing::warn!("an operator restored a backup");
    status(Operator, State(app)).await
}

fn temporary() -> Result<File, ApiError> {
    tempfile::tempfile().map_err(|error| no_room(&error))
}

fn no_room(error: &io::Error) -> ApiError {
    tracing::error!(%error, "the folder for temporary files cannot be used");
    ApiError::NoRoom
}

/// Keeps a body in a temporary file, so that it is whole before anything is done with it.
async fn received(body: Body) -> Result<BufReader<File>, ApiError> {
    let mut file = temporary()?;
    let mut body = body.into_data_stream();
    while let Some(bytes) = body.next().await {
        let bytes =
            bytes.map_err(|_| ApiError::BadRequest("The body did not arrive whole.".into()))?;
        file = off_the_runtime(move || {
            file.write_all(&bytes)?;
            Ok(file)
        })
        .await?;
    }
    file.rewind().map_err(|error| no_room(&error))?;
    Ok(BufReader::new(file))
}

async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    blocking(work).await.map_err(|error| no_room(&error))
}

fn send(mut file: File, content_type: &'static str) -> Result<Response, ApiError> {
    file.rewind().map_err(|error| no_room(&error))?;
    let body = Body::from_stream(ReaderStream::new(tokio::fs::File::from_std(file)));
    Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
}

fn bad_request(error: impl Display) -> ApiError {
    ApiError::BadRequest(sentence(&error.to_string()))
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Store(error) => error.into(),
            WriteError::Place(error) => no_room(&error),
        }
    }
}

impl From<ImportError> for ApiError {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Store {
                source: StoreError::Conflict(_),
                ..
            } => Self::Conflict(error.to_string()),
            ImportError::Store { source, imported } => {
                tracing::error!(%source, "an import was interrupted");
                Self::Interrupted(how_much_is_in(imported))
            }
            ImportError::Keep(error) => no_room(&error),
            wrong => bad_request(wrong),
        }
    }
}

impl From<RestoreError> for ApiError {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Store(StoreError::Conflict(_)) => Self::Conflict(error.to_string()),
            RestoreError::Store(error) => error.into(),
            wrong => bad_request(wrong),
        }
    }
}
