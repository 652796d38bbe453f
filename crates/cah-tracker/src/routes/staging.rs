//! The tracker's staging: where CPU workers bring what GPU workers take.
//!
//! In a bucket, workers bring and take at signed addresses, which are good for twelve hours; what is
//! stored and shown of them has no signature. In a folder, they call the tracker itself:
//! `PUT /staging/KEY/` or `PUT /staging/KEY/NAME` with the key of the address that a worker was told, or
//! `PUT /staging/NAME` with its token as `Authorization: Bearer TOKEN`; the answer is the address to
//! hand in. A worker brings files while it holds a job; of those that it does not hand over only the
//! last few stay. Part of the folder's disk stays free.

use axum::{
    Extension, Router,
    body::Body,
    extract::{DefaultBodyLimit, Path, Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, put},
};
use tower::ServiceExt;
use tower_http::services::ServeFile;

use super::{
    App, callers::PathKey, crawlingathome::own_url, error::ApiError, operator::bearer,
    workers::check_key,
};
use crate::{
    staging::{BadSignature, Bucket, Folder, Staging, StagingError},
    store::{HandedOver, Store, StoreError},
    token::TokenHash,
};

const NO_STAGING: ApiError = ApiError::NotFound(
    "This tracker has no staging; its operator names the addresses where results are brought.",
);

const NO_JOB: ApiError =
    ApiError::Forbidden("Files are brought by workers that hold a job; this one holds none.");

/// Without the deadline of other calls: files are large, and lines slow.
pub(super) fn long_routes() -> Router<App> {
    Router::new()
        .route("/staging/{name}", get(send).put(take_with_token))
        .route("/staging/{key}/", put(take_with_key))
        .route("/staging/{key}/{name}", put(take_with_key_and_name))
        .layer(DefaultBodyLimit::disable())
}

fn folder(app: &App) -> Result<&Folder, ApiError> {
    let folder = app.staging.as_ref().and_then(Staging::folder);
    folder.ok_or(NO_STAGING)
}

fn bucket(app: &App) -> Option<&Bucket> {
    app.staging.as_ref().and_then(Staging::bucket)
}

/// A signed address for a new object, where the staging is in a bucket.
pub(super) async fn signed_to_bring(app: &App) -> Result<Option<String>, ApiError> {
    match bucket(app) {
        Some(bucket) => Ok(Some(bucket.address_to_bring().await?)),
        None => Ok(None),
    }
}

/// Whether the caller may be told a signed address: a connected worker, or one who could join.
pub(super) async fn check_may_bring(
    app: &App,
    token: Option<&str>,
    in_query: Option<&str>,
    in_path: Option<Extension<PathKey>>,
) -> Result<(), ApiError> {
    if bucket(app).is_none() {
        return Ok(());
    }
    let known = match token {
        Some(token) => app.service.store().held_by(TokenHash::of(token)).await,
        None => Err(StoreError::UnknownWorker),
    };
    match known {
        Ok(_) | Err(StoreError::NoLease) => Ok(()),
        Err(StoreError::UnknownWorker) => check_key(app, in_query, in_path),
        Err(error) => Err(error.into()),
    }
}

/// What is stored of a text that a worker hands over: of an address in the tracker's bucket the form
/// that everybody may see.
pub(super) fn kept_form(app: &App, text: &str) -> String {
    let kept = bucket(app).and_then(|bucket| bucket.kept_form(text));
    kept.unwrap_or_else(|| text.to_owned())
}

/// Where a worker finds its input: what lies in the tracker's bucket at an address that is signed
/// for it.
pub(super) async fn signed_to_take(app: &App, input: String) -> Result<String, ApiError> {
    let Some(bucket) = bucket(app) else {
        return Ok(input);
    };
    let signed = bucket.address_to_take(&input).await?;
    Ok(signed.unwrap_or(input))
}

/// Refuses an object for a job that another job waits with: the worker brought both to the same
/// address, and the second has replaced the first. Repeating a call is no such thing.
pub(super) async fn check_is_new(
    app: &App,
    token: TokenHash,
    address: &str,
) -> Result<(), ApiError> {
    let Some(address) = bucket(app).and_then(|bucket| bucket.kept_form(address)) else {
        return Ok(());
    };
    let store = app.service.store();
    if store.handed_over(vec![address]).await? != [HandedOver::Waits] {
        return Ok(());
    }
    match store.held_by(token).await {
        Ok(_) => Err(ApiError::BadRequest(
            "Another job was handed over at this address. Each file needs an address of its own; \
             /api/getUploadAddress tells one."
                .into(),
        )),
        Err(_) => Ok(()),
    }
}

async fn take_with_key(
    State(app): State<App>,
    Path(key): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    take(&app, &key, &headers, body).await
}

/// As curl calls, which adds the file's name to an address that ends like a folder's. The staging
/// names files itself.
async fn take_with_key_and_name(
    app: State<App>,
    Path((key, _)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    take_with_key(app, Path(key), headers, body).await
}

async fn take_with_token(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let token = bearer(&headers).ok_or(ApiError::Unauthorized(
        "This call needs the worker's token, as `Authorization: Bearer TOKEN`.",
    ))?;
    take(&app, token, &headers, body).await
}

/// Takes a file of whoever has the secret, and answers where it is found.
async fn take(
    app: &App,
    secret: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let staging = folder(app)?;
    let store = app.service.store();
    let number = held(store, secret).await?;
    let arrived = staging.receive(number, body.into_data_stream()).await?;
    // That may have taken hours, and who lost its job meanwhile must not push out what the next
    // worker brings for it.
    if held(store, secret).await? != number {
        return Err(ApiError::NoLease);
    }
    let name = staging.keep(store, arrived).await?;
    let address = format!("{}staging/{name}", own_url(app, headers));
    tracing::debug!(number, name, "took what a worker hands over");
    Ok((StatusCode::CREATED, address).into_response())
}

/// The job of whoever has the secret.
async fn held(store: &dyn Store, secret: &str) -> Result<u64, ApiError> {
    match store.held_by(TokenHash::of(secret)).await {
        Err(StoreError::NoLease) => Err(NO_JOB),
        held => Ok(held?),
    }
}

/// Sends a file, or the part of it that is asked for.
async fn send(
    State(app): State<App>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    const NONE: ApiError = ApiError::NotFound("There is no such file; it may be used up.");
    let path = folder(&app)?.path_of(&name).ok_or(NONE)?;
    let Ok(sent) = ServeFile::new(path).oneshot(request).await;
    match sent.status() {
        StatusCode::NOT_FOUND => Err(NONE),
        _ => Ok(sent.map(Body::new)),
    }
}

impl From<BadSignature> for ApiError {
    fn from(error: BadSignature) -> Self {
        tracing::error!(%error, "the staging's bucket cannot be used");
        Self::NoBucket
    }
}

impl From<StagingError> for ApiError {
    fn from(error: StagingError) -> Self {
        match error {
            StagingError::TooLarge(most) => {
                Self::TooLarge(usize::try_from(most).unwrap_or(usize::MAX))
            }
            StagingError::Broken => Self::TooSlow,
            StagingError::TooMany(files) => Self::TooManyFiles(files),
            StagingError::NoRoom => {
                tracing::error!(%error, "the staging takes no more files until some space is free");
                Self::StagingFull
            }
            StagingError::Store(error) => error.into(),
            StagingError::Io(error) => {
                tracing::error!(%error, "the staging folder took no file");
                Self::NoStagingRoom
            }
        }
    }
}
