//! One job: what was done with it.

use askama::Template;
use axum::{
    Router,
    extract::{Path, State, rejection::PathRejection},
    response::Response,
    routing::get,
};

use super::{
    super::{App, error::ApiError},
    Frame, Noun, ago, contributor_page, page,
};
use crate::{
    clock::Timestamp,
    store::{JobRecord, StageCounts, State as JobState, Task, stage_name},
    text::{grouped, shortened},
};

/// Characters of a job's data, or of what was handed over, on a page.
const DATA: usize = 2_000;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/job/{number}", get(job))
}

pub(in crate::routes) type JobPath = Result<Path<u64>, PathRejection>;

/// Finds the job that an address means.
pub(in crate::routes) async fn find_job(app: &App, path: JobPath) -> Result<JobRecord, ApiError> {
    let Path(number) =
        path.map_err(|_| ApiError::BadRequest("A job has a number, from 1 on.".into()))?;
    let before = number.checked_sub(1).ok_or(ApiError::NoSuchJob(number))?;
    let records = app.service.store().records(before, 1).await?;
    let found = records.into_iter().find(|record| record.number == number);
    found.ok_or(ApiError::NoSuchJob(number))
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

async fn job(State(app): State<App>, path: JobPath) -> Result<Response, ApiError> {
    let record = find_job(&app, path).await?;
    let counts = app.service.counts().await?;
    let stage = match record.state {
        // It is through with all of them, or in none.
        JobState::Closed | JobState::Banned => String::new(),
        _ => stage_name(&counts.stages, record.stage)
            .unwrap_or_default()
            .to_owned(),
    };
    let (about, piece) = match &record.task {
        Task::Shard(shard) if u8::from(shard.piece) == 0 => (shard.url.clone(), "first half"),
        Task::Shard(shard) => (shard.url.clone(), "second half"),
        Task::Data(data) => (shortened(data, DATA), ""),
    };
    page(&JobPage {
        frame: Frame::of(&app).await?,
        noun: Noun::of(&counts),
        number: grouped(record.number),
        about,
        piece,
        state: record.state.as_str(),
        stage,
        priority: record.priority,
        attempts: grouped(record.attempts.into()),
        events: events(record, &counts.stages, app.service.now()),
    })
}

/// Everything that was done with a job, the latest first.
fn events(record: JobRecord, stages: &[StageCounts], now: Timestamp) -> Vec<Event> {
    let done = record.completions.into_iter().map(|done| {
        let revoked = if done.revoked {
            ", taken back later"
        } else {
            ""
        };
        let output = done.output.map(|output| shortened(&output, DATA));
        let pairs = match done.pairs {
            0 => String::new(),
            pairs => format!("{} pairs", grouped(pairs)),
        };
        Event {
            attempt: done.attempt,
            what: format!(
                "{} done{revoked}",
                stage_name(stages, done.stage).unwrap_or_default()
            ),
            page: contributor_page(&done.nickname),
            nickname: done.nickname,
            details: output.unwrap_or(pairs),
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
