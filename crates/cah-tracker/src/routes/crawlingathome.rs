//! The calls of Crawling@Home workers that no other worker makes.

use axum::{
    Extension, Json, Router,
    extract::State,
    http::{HeaderMap, header},
    routing::{get, post},
};
use cah_protocol::{IDS_PER_CHUNK, OutcomeCounts, SUCCESS, WorkerType, check_result};
use rand::random_range;
use url::Url;

use super::{
    App,
    callers::{Address, PathKey},
    error::ApiError,
    extract::{Fields, LargeFields, MAX_NUMBER, Params, missing},
    staging,
};
use crate::{
    service::Work,
    store::{Caller, HandedOver, Role},
    token::upload_key,
};

/// The most pairs that one job can give: the sample ids of its chunk.
pub(super) const MAX_PAIRS: u64 = IDS_PER_CHUNK;

/// The most candidates of a job that may end in one outcome.
const MAX_CANDIDATES: u64 = 1_000_000_000;

/// The most addresses that one call may ask about.
const MAX_ADDRESSES: usize = 10_000;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/api/getUploadAddress", get(get_upload_address))
        .route("/api/markAsDone", post(mark_as_done))
        .route("/api/gpuInvalidDownload", post(gpu_invalid_download))
        .route("/api/isCompleted", post(is_completed))
}

async fn get_upload_address(
    State(app): State<App>,
    key: Option<Extension<PathKey>>,
    headers: HeaderMap,
    params: Params,
) -> Result<String, ApiError> {
    let token = params.get("token");
    staging::check_may_bring(&app, token, params.get("key"), key).await?;
    upload_address(&app, &headers, params.worker_type()?, token).await
}

/// Beyond the public protocol, a worker may name the job that it means (`number`), and is refused
/// where it holds another one by now.
async fn mark_as_done(
    State(app): State<App>,
    Address(address): Address,
    LargeFields(fields): LargeFields,
) -> Result<&'static str, ApiError> {
    let worker_type = fields.worker_type()?;
    let caller = Caller {
        role: Some(Role::Crawler(worker_type)),
        ..fields.caller()?
    };
    let number = fields.optional_count("number", MAX_NUMBER)?;
    let work = match worker_type {
        WorkerType::Cpu => {
            let url = fields.text("url")?;
            check_result(url)?;
            staging::check_is_new(&app, caller.token, url).await?;
            Work::HandOver(staging::kept_form(&app, url))
        }
        WorkerType::Hybrid | WorkerType::Gpu => {
            let count = fields.optional_count("count", MAX_PAIRS)?;
            Work::Pairs(count.ok_or_else(|| missing("count"))?)
        }
    };
    let outcomes = outcomes(&fields)?;
    let completion = app
        .service
        .complete(caller, address, work, outcomes, number);
    completion.await?;
    Ok(SUCCESS)
}

/// Where the candidates ended, where the worker tells, beyond the public protocol.
fn outcomes(fields: &Fields) -> Result<OutcomeCounts, ApiError> {
    let Some(told) = fields.optional_object("outcomes")? else {
        return Ok(OutcomeCounts::default());
    };
    let told: OutcomeCounts = serde_json::from_value(told.clone().into())
        .map_err(|_| ApiError::BadRequest("`outcomes` must be counts by outcome.".into()))?;
    if told
        .iter()
        .any(|(_, candidates)| candidates > MAX_CANDIDATES)
    {
        let text = format!("`outcomes` may count {MAX_CANDIDATES} at most.");
        return Err(ApiError::BadRequest(text));
    }
    Ok(told)
}

async fn gpu_invalid_download(
    State(app): State<App>,
    Address(address): Address,
    fields: Fields,
) -> Result<&'static str, ApiError> {
    let caller = fields.caller()?;
    let number = fields.optional_count("number", MAX_NUMBER)?;
    app.service.flag(caller, address, number).await?;
    Ok(SUCCESS)
}

async fn is_completed(
    State(app): State<App>,
    LargeFields(fields): LargeFields,
) -> Result<Json<Vec<String>>, ApiError> {
    let addresses = fields.list("addresses")?;
    if addresses.len() > MAX_ADDRESSES {
        return Err(ApiError::BadRequest(format!(
            "`addresses` has more than {MAX_ADDRESSES} addresses."
        )));
    }
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let addresses: Option<Vec<String>> = addresses.iter().map(text).collect();
    let addresses =
        addresses.ok_or_else(|| ApiError::BadRequest("`addresses` must be texts.".into()))?;
    let kept = addresses.iter().map(|text| staging::kept_form(&app, text));
    let told = app.service.store().handed_over(kept.collect()).await?;
    let asked = addresses.into_iter().zip(told);
    let finished = asked.filter(|(_, told)| *told != HandedOver::Waits);
    Ok(Json(finished.map(|(address, _)| address).collect()))
}

/// One of the operator's addresses for that type, or the tracker's own staging: for a CPU worker one
/// where any program can bring a file, signed or with the worker's key.
pub(super) async fn upload_address(
    app: &App,
    headers: &HeaderMap,
    worker_type: WorkerType,
    token: Option<&str>,
) -> Result<String, ApiError> {
    if let addresses @ [_, ..] = app.service.config().upload_addresses_of(worker_type) {
        return Ok(addresses[random_range(0..addresses.len())].clone());
    }
    let brings = worker_type == WorkerType::Cpu;
    if brings && let Some(signed) = staging::signed_to_bring(app).await? {
        return Ok(signed);
    }
    let token = token.filter(|_| brings);
    let key = token.map(|token| format!("{}/", upload_key(token)));
    let (url, key) = (own_url(app, headers), key.unwrap_or_default());
    Ok(format!("{url}staging/{key}"))
}

/// The address that the caller reached the tracker under.
pub(super) fn own_url(app: &App, headers: &HeaderMap) -> String {
    if let Some(url) = &app.service.config().public_url {
        return format!("{}/", url.as_str().trim_end_matches('/'));
    }
    let scheme = match app.service.config().tls {
        Some(_) => "https",
        None => "http",
    };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    host.and_then(|host| Url::parse(&format!("{scheme}://{host}/")).ok())
        .filter(|url| url.path() == "/" && url.query().is_none() && url.username().is_empty())
        .map_or_else(|| format!("{scheme}://{}/", app.addr), String::from)
}
