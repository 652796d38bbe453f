//! Whole WAT files, as the clients take them that do both shards of one without a lease.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Extension, Json, Router,
    extract::State,
    routing::{get, post},
};
use cah_protocol::{JobResponse, Shard, check_nickname, check_result};
use serde_json::{Value, json};

use super::{
    App,
    callers::{KEPT_OUT, PathKey},
    crawlingathome::MAX_PAIRS,
    error::ApiError,
    extract::{Fields, LargeFields, missing},
    operator, staging,
    workers::check_key,
};
use crate::store::{Caller, Completion, HandIn, HandInBy, Kind, StoreError};

/// The most shards that one call may hand in.
const MAX_SHARDS: usize = 1_000;

/// How long it is believed that there is no whole file, once all open jobs were looked at: so many
/// times the time that took, and no less than that.
const BELIEF: u32 = 20;
const SHORTEST_BELIEF: Duration = Duration::from_secs(1);

/// Until when it is known that no file has both of its shards open.
#[derive(Default)]
pub(super) struct WholeWats(Mutex<Known>);

#[derive(Default)]
struct Known {
    none_until: Option<Instant>,
    /// How often jobs were opened, so that a search that began before finds out nothing.
    opened: u64,
}

impl WholeWats {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_be_there(&self) -> bool {
        let none_until = self.known().none_until;
        none_until.is_none_or(|until| Instant::now() >= until)
    }

    /// Takes note that a search found none; `opened` is what it was when the search began.
    fn are_missing(&self, search: Duration, opened: u64) {
        let mut known = self.known();
        if known.opened == opened {
            let until = Instant::now() + (BELIEF * search).max(SHORTEST_BELIEF);
            known.none_until = Some(until);
        }
    }

    /// Forgets that there is none, since an operator opened jobs.
    pub(super) fn may_be_back(&self) {
        let mut known = self.known();
        known.opened += 1;
        known.none_until = None;
    }
}

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/custom/get-cpu-wat", get(get_cpu_wat))
        .route("/custom/lookup-wat", post(lookup_wat))
        .route("/custom/markasdone-cpu", post(mark_as_done_cpu))
        .route("/custom/markasdone", post(mark_as_done))
}

async fn get_cpu_wat(State(app): State<App>, key: Key) -> Result<String, ApiError> {
    check_allowed(&app, key)?;
    if app.service.counts().await?.kind == Some(Kind::Data) {
        return Err(ApiError::NoOpenJob);
    }
    if let Some(url) = whole_wat(&app).await? {
        return Ok(url);
    }
    let url = app.service.store().open_chunk(false).await?;
    url.ok_or(ApiError::NoOpenJob)
}

/// A file whose two shards are open: it may take a look at all open jobs to find one, or none.
async fn whole_wat(app: &App) -> Result<Option<String>, ApiError> {
    if !app.whole_wats.may_be_there() {
        return Ok(None);
    }
    let _turn = app.slow_reads.acquire().await;
    // Whoever had the turn before may have found out.
    if !app.whole_wats.may_be_there() {
        return Ok(None);
    }
    let (begun, opened) = (Instant::now(), app.whole_wats.known().opened);
    let url = app.service.store().open_chunk(true).await?;
    if url.is_none() {
        app.whole_wats.are_missing(begun.elapsed(), opened);
    }
    Ok(url)
}

/// The join key, which these clients can have in the path only.
type Key = Option<Extension<PathKey>>;

fn check_allowed(app: &App, key: Key) -> Result<(), ApiError> {
    match app.service.config().whole_wats {
        true => check_key(app, None, key),
        false => Err(ApiError::Forbidden(
            "This tracker gives out no whole WAT files; join it as a worker.",
        )),
    }
}

async fn lookup_wat(
    State(app): State<App>,
    key: Key,
    fields: Fields,
) -> Result<Json<Value>, ApiError> {
    check_allowed(&app, key)?;
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

async fn mark_as_done_cpu(
    State(app): State<App>,
    key: Key,
    LargeFields(fields): LargeFields,
) -> Result<Json<Value>, ApiError> {
    check_allowed(&app, key)?;
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
                output: Some(staging::kept_form(&app, url)),
                closes: url.contains("postgres"),
                ..Completion::default()
            },
        });
    }
    let by = HandInBy {
        nickname: nickname(&fields)?,
        operator: false,
    };
    if app.service.keeps_out(Some(&by.nickname), None) {
        return Err(KEPT_OUT);
    }
    let caller = match fields.optional_text("token")? {
        Some(_) => Some(fields.caller()?),
        None => None,
    };
    let completed = app.service.hand_in(results, by).await?;
    if let Some(caller) = caller {
        note_progress(&app, caller).await?;
    }
    Ok(Json(json!({"status": "success", "completed": completed})))
}

/// These clients need no token. One that was timed out is no reason to refuse what they made, and
/// they understand no refusal.
async fn note_progress(app: &App, caller: Caller) -> Result<(), ApiError> {
    let progress = "Handed in a WAT file".to_owned();
    match app.service.progress(caller, progress).await {
        Ok(_) | Err(StoreError::UnknownWorker) => Ok(()),
        Err(error) => Err(error.into()),
    }
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
