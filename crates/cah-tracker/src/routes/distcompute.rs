//! The calls of DistCompute workers that no other worker makes.

use axum::{Router, extract::State, routing::post};
use cah_protocol::{OutcomeCounts, check_result, distcompute};

use super::{
    App,
    callers::Address,
    error::ApiError,
    extract::{Fields, LargeFields, MAX_NUMBER},
    staging,
};
use crate::service::Work;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/api/completeJob", post(complete_job))
        .route("/api/flagInvalidData", post(flag_invalid_data))
}

async fn complete_job(
    State(app): State<App>,
    Address(address): Address,
    LargeFields(fields): LargeFields,
) -> Result<&'static str, ApiError> {
    let caller = fields.caller()?;
    let number = fields.optional_count("number", MAX_NUMBER)?;
    let data = fields.text("data")?;
    check_result(data)?;
    let work = Work::Data(staging::kept_form(&app, data));
    let none = OutcomeCounts::default();
    app.service
        .complete(caller, address, work, none, number)
        .await?;
    Ok(distcompute::OK)
}

async fn flag_invalid_data(
    State(app): State<App>,
    Address(address): Address,
    fields: Fields,
) -> Result<&'static str, ApiError> {
    let caller = fields.caller()?;
    let number = fields.optional_count("number", MAX_NUMBER)?;
    app.service.flag(caller, address, number).await?;
    Ok(distcompute::OK)
}
