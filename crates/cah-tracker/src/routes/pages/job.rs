//! One job: what was done with it.

use askama::Template;
use axum::{
    Router,
    extract::{Path, State, rejection::PathRejection},
    http::HeaderMap,
    response::Response,
    routing::get,
};

use super::{
    super::{App, error::ApiError, operator::has_token},
    Frame, Noun, ago, contributor_page, page, some,
};
use crate::{
    clock::Timestamp,
    store::{
        CompletionRecord, JobRecord, StageCounts, State as JobState, Task, Telling, stage_name,
    },
    text::{grouped, shortened},
};

/// Characters of a job's data, or of what was handed over, on an operator's page.
const DATA: usize = 2_000;

/// The last attempts at a job that are told at once.
const ATTEMPTS: u32 = 100;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/job/{number}", get(job))
}

pub(in crate::routes) type JobPath = Result<Path<u64>, PathRejection>;

/// A job, as far as it concerns whoever asks.
pub(in crate::routes) struct FoundJob {
    pub(in crate::routes) record: JobRecord,
    /// Texts that jobs are about and addresses that workers hand over are told to operators only.
    pub(in crate::routes) to_operator: bool,
    /// Attempts before those that are told.
    pub(in crate::routes) attempts_left_off: u32,
}

/// Finds the job that an address means.
pub(in crate::routes) async fn find_job(
    app: &App,
    path: JobPath,
    headers: &HeaderMap,
) -> Result<FoundJob, ApiError> {
    let Path(number) =
        path.map_err(|_| ApiError::BadRequest("A job has a number, from 1 on.".into()))?;
    let to_operator = has_token(app, headers);
    let telling = Telling {
        attempts: ATTEMPTS,
        outputs: to_operator,
    };
    let record = app.service.store().record(number, telling).await?;
    let record = record.ok_or(ApiError::NoSuchJob(number))?;
    Ok(FoundJob {
        to_operator,
        attempts_left_off: record.attempts.saturating_sub(ATTEMPTS),
        record,
    })
}

/// What everybody may know of what a job is about.
pub(super) fn public_about(task: &Task) -> String {
    match task {
        Task::Shard(shard) => shard.url.clone(),
        Task::Data(data) => bytes_of_text(data.len() as u64),
    }
}

fn bytes_of_text(bytes: u64) -> String {
    format!("{} bytes of text", grouped(bytes))
}

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    frame: Frame,
    noun: Noun,
    number: String,
    about: String,
    /// Which half of a WAT file; empty for other jobs.
    piece: &'static str,
    state: &'static str,
    stage: String,
    priority: i64,
    attempts: String,
    events: Vec<Event>,
    /// Attempts before these; empty where there are none.
    left_off: String,
}

/// Something that was done with the job.
struct Event {
    attempt: u32,
    what: String,
    /// Whose it was; empty where that is not known.
    nickname: String,
    page: String,
    details: String,
    when: String,
    is_failure: bool,
}

async fn job(
    State(app): State<App>,
    path: JobPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (found, counts, frame) = tokio::try_join!(
        find_job(&app, path, &headers),
        async { Ok(app.service.counts().await?) },
        Frame::of(&app),
    )?;
    let FoundJob {
        record,
        to_operator,
        attempts_left_off,
    } = found;
    let stage = match record.state {
        // It is through with all of them, or in none.
        JobState::Closed | JobState::Banned => String::new(),
        _ => stage_name(&counts.stages, record.stage)
            .unwrap_or_default()
            .to_owned(),
    };
    let piece = match record.task.shard().map(|shard| u8::from(shard.piece)) {
        Some(0) => "first half",
        Some(_) => "second half",
        None => "",
    };
    let about = match &record.task {
        Task::Data(data) if to_operator => shortened(data, DATA),
        task => public_about(task),
    };
    page(&JobPage {
        frame,
        noun: Noun::of(&counts),
        number: grouped(record.number),
        about,
        piece,
        state: record.state.as_str(),
        stage,
        priority: record.priority,
        attempts: grouped(record.attempts.into()),
        left_off: some(attempts_left_off.into()),
        events: events(record, &counts.stages, app.service.now()),
    })
}

/// What was done with a job, the latest first.
fn events(record: JobRecord, stages: &[StageCounts], now: Timestamp) -> Vec<Event> {
    let done = record.completions.into_iter().map(|done| {
        let revoked = if done.revoked {
            ", taken back later"
        } else {
            ""
        };
        Event {
            attempt: done.attempt,
            what: format!(
                "{} done{revoked}",
                stage_name(stages, done.stage).unwrap_or_default()
            ),
            page: contributor_page(&done.nickname),
            details: details(&done),
            nickname: done.nickname,
            when: ago(done.at, now),
            is_failure: false,
        }
    });
    let failed = record.failed.into_iter().map(|failed| Event {
        attempt: failed.attempt,
        what: "failed".into(),
        nickname: String::new(),
        page: String::new(),
        details: failed.message,
        when: ago(failed.at, now),
        is_failure: true,
    });
    let mut events: Vec<Event> = done.chain(failed).collect();
    events.sort_by_key(|event| std::cmp::Reverse(event.attempt));
    events
}

/// What a result brought: pairs, and what was handed over or how long that is.
fn details(done: &CompletionRecord) -> String {
    let pairs = match done.pairs {
        0 => None,
        pairs => Some(format!("{} pairs", grouped(pairs))),
    };
    let output = match (&done.output, done.output_bytes) {
        (Some(output), _) => Some(shortened(output, DATA)),
        (None, bytes) => bytes.map(bytes_of_text),
    };
    let all: Vec<String> = pairs.into_iter().chain(output).collect();
    all.join(", ")
}
