//! Whole WAT files, as the clients take them that do both shards of one without a lease.

use std::collections::BTreeSet;

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use cah_protocol::{JobResponse, Shard, check_nickname, check_result};
use serde_json::{Value, json};

use super::{
    App,
    crawlingathome::MAX_PAIRS,
    error::ApiError,
    extract::{Fields, missing},
    operator,
};
use crate::store::{Completion, HandIn, HandInBy, Kind};

/// The most shards that one call may hand in.
const MAX_SHARDS: usize = 1_000;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/custom/get-cpu-wat", get(get_cpu_wat))
        .route("/custom/lookup-wat", post(lookup_wat))
        .route("/custom/markasdone-cpu", post(mark_as_done_cpu))
        .route("/custom/markasdone", post(mark_as_done))
}

async fn get_cpu_wat(State(app): State<App>) -> Result<String, ApiError> {
    if app.service.counts().await?.kind == Some(Kind::Data) {
        return Err(ApiError::NoOpenJob);
    }
    let _turn = app.slow_reads.acquire().await;
    let url = app.service.store().open_chunk().await?;
    url.ok_or(ApiError::NoOpenJob)
}

async fn lookup_wat(State(app): State<App>, fields: Fields) -> Result<Json<Value>, ApiError> {
    let url = fields.text("url")?;
    let shards = app.service.store().open_shards(url.to_owned()).await?;
    Ok(Json(match shards.len() {
        2.. => json!({
            "status": "success",
            "shards": shards.into_iter().map(numbered).collect::<Vec<_>>(),
        }),
        _ => json!({
            "status": "failed",
            "detail": "Fewer than two shards of this WAT file are open.",
        }),
    }))
}

/// A shard as these clients read it: its number, and a job without one.
fn numbered(shard: Shard) -> Value {
    let job = JobResponse::from(shard);
    json!([job.number, {
        "url": job.url,
        "start_id": job.start_id,
        "end_id": job.end_id,
        "shard": job.shard,
    }])
}

async fn mark_as_done_cpu(State(app): State<App>, fields: Fields) -> Result<Json<Value>, ApiError> {
    let urls = fields.object("urls")?;
    let mut results = Vec::new();
    for number in shards(&fields)? {
        let url = match urls.get(&number.to_string()) {
            Some(Value::String(url)) => url,
            Some(_) => return Err(ApiError::BadRequest("`urls` must be texts.".into())),
            None => return Err(missing(&format!("urls.{number}"))),
        };
        check_result(url)?;
        results.push(HandIn {
            number,
            completion: Completion {
                output: Some(url.clone()),
                closes: url.contains("postgres"),
                ..Completion::default()
            },
        });
    }
    let by = HandInBy {
        nickname: nickname(&fields)?,
        operator: false,
    };
    if fields.optional_text("token")?.is_some() {
        // One that was timed out is told so, as with any other call.
        let progress = "Handed in a WAT file".to_owned();
        app.service.progress(fields.caller()?, progress).await?;
    }
    let completed = app.service.hand_in(results, by).await?;
    Ok(Json(json!({"status": "success", "completed": completed})))
}

async fn mark_as_done(State(app): State<App>, fields: Fields) -> Result<Json<Value>, ApiError> {
    operator::check_password(&app, fields.optional_text("password")?)?;
    let numbers = shards(&fields)?;
    let count = fields.optional_count("count", MAX_PAIRS * numbers.len() as u64)?;
    let count = count.ok_or_else(|| missing("count"))?;
    let by = HandInBy {
        nickname: nickname(&fields)?,
        operator: true,
    };
    let results = share(count, &numbers);
    let completed = app.service.hand_in(results, by).await?;
    Ok(Json(match completed {
        0 => json!({"status": "failed", "detail": "No such shard can be closed.", "completed": 0}),
        _ => json!({"status": "success", "completed": completed}),
    }))
}

/// The pairs of several shards, told as one number, in equal parts.
fn share(count: u64, numbers: &[u64]) -> Vec<HandIn> {
    let shards = numbers.len().max(1) as u64;
    let part = |i: u64| count / shards + u64::from(i < count % shards);
    (0..)
        .zip(numbers)
        .map(|(i, number)| HandIn {
            number: *number,
            completion: Completion {
                pairs: part(i),
                closes: true,
                ..Completion::default()
            },
        })
        .collect()
}

/// The job numbers of a call, each once.
fn shards(fields: &Fields) -> Result<Vec<u64>, ApiError> {
    let shards = fields.list("shards")?;
    let number = |value: &Value| value.as_u64().filter(|number| *number <= i64::MAX as u64);
    let numbers: Option<BTreeSet<u64>> = shards.iter().map(number).collect();
    match numbers {
        Some(numbers) if (1..=MAX_SHARDS).contains(&shards.len()) => Ok(Vec::from_iter(numbers)),
        _ => Err(ApiError::BadRequest(format!(
            "`shards` must be a list of 1 to {MAX_SHARDS} job numbers."
        ))),
    }
}

fn nickname(fields: &Fields) -> Result<String, ApiError> {
    let nickname = fields.text("nickname")?.trim();
    check_nickname(nickname)?;
    match nickname {
        "" => Err(missing("nickname")),
        nickname => Ok(nickname.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_shared_out_without_a_rest() {
        let pairs = |count, numbers: &[u64]| -> Vec<u64> {
            let shared = share(count, numbers);
            shared.iter().map(|done| done.completion.pairs).collect()
        };
        assert_eq!(pairs(7, &[1, 2]), [4, 3]);
        assert_eq!(pairs(0, &[1, 2, 3]), [0, 0, 0]);
        assert_eq!(pairs(5, &[9]), [5]);
    }
}
