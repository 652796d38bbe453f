//! The tracker's own staging: where CPU workers bring what GPU workers take.
//!
//! `PUT /staging/KEY/NAME` with the key of the address that a worker was told, or
//! `PUT /staging/NAME` with its token as `Authorization: Bearer TOKEN`; the answer is the address to
//! hand in. A worker brings files while it holds a job.

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Path, Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, put},
};
use tower::ServiceExt;
use tower_http::services::ServeFile;

use super::{App, crawlingathome::own_url, error::ApiError, operator::bearer};
use crate::{
    staging::{Staging, StagingError},
    store::StoreError,
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
        .route("/staging/{key}/{name}", put(take_with_key))
        .layer(DefaultBodyLimit::disable())
}

fn staging(app: &App) -> Result<&Staging, ApiError> {
    app.staging.as_ref().ok_or(NO_STAGING)
}

async fn take_with_key(
    State(app): State<App>,
    Path((key, _)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    take(&app, &key, &headers, body).await
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
    let staging = staging(app)?;
    let held = app.service.store().held_by(TokenHash::of(secret)).await;
    let number = match held {
        Ok(number) => number,
        Err(StoreError::NoLease) => return Err(NO_JOB),
        Err(error) => return Err(error.into()),
    };
    let name = staging.take(number, body.into_data_stream()).await?;
    let address = format!("{}staging/{name}", own_url(app, headers));
    tracing::debug!(number, name, "took what a worker hands over");
    Ok((StatusCode::CREATED, address).into_response())
}

/// Sends a file, or the part of it that is asked for.
async fn send(
    State(app): State<App>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    const NONE: ApiError = ApiError::NotFound("There is no such file; it may be used up.");
    let path = staging(&app)?.path_of(&name).ok_or(NONE)?;
    let Ok(sent) = ServeFile::new(path).oneshot(request).await;
    match sent.status() {
        StatusCode::NOT_FOUND => Err(NONE),
        _ => Ok(sent.map(Body::new)),
    }
}

impl From<StagingError> for ApiError {
    fn from(error: StagingError) -> Self {
        match error {
            StagingError::TooLarge(most) => {
                Self::TooLarge(usize::try_from(most).unwrap_or(usize::MAX))
            }
            StagingError::Broken => Self::TooSlow,
            StagingError::Io(error) => {
                tracing::error!(%error, "the staging folder took no file");
                Self::NoStagingRoom
            }
        }
    }
}
