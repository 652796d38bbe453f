//! One contributor: what it did, and when.

use askama::Template;
use axum::{
    Router,
    extract::{Path, State, rejection::PathRejection},
    response::Response,
    routing::get,
};

use super::{
    super::{App, error::ApiError},
    Frame, Noun, WorkerRow, page,
};
use crate::{
    chart::Chart,
    store::{ContributorView, Day, Kind, WorkerQuery, stage_name},
    text::grouped,
};

/// Days of the history, over all stages.
const DAYS: u32 = 400;

/// Connected workers that are shown.
const WORKERS: u32 = 100;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/contributor/{nickname}", get(contributor))
}

pub(in crate::routes) type ContributorPath = Result<Path<String>, PathRejection>;

/// Finds the contributor that an address means.
pub(in crate::routes) async fn find_contributor(
    app: &App,
    path: ContributorPath,
) -> Result<(String, ContributorView), ApiError> {
    let Path(nickname) =
        path.map_err(|_| ApiError::BadRequest("The address is not UTF-8.".into()))?;
    let view = app.service.store().contributor(nickname.clone(), DAYS);
    match view.await? {
        Some(view) => Ok((nickname, view)),
        None => Err(ApiError::NotFound(
            "There is no contributor of that name who has finished anything.",
        )),
    }
}

#[derive(Template)]
#[template(path = "contributor.html")]
struct ContributorPage {
    frame: Frame,
    noun: Noun,
    nickname: String,
    has_pairs: bool,
    places: Vec<Place>,
    chart: Option<Chart>,
    days: Vec<DayRow>,
    workers: Vec<WorkerRow>,
}

/// A place on the leaderboard of a stage.
struct Place {
    stage: String,
    rank: String,
    jobs: String,
    pairs: String,
}

struct DayRow {
    day: String,
    stage: String,
    jobs: String,
    pairs: String,
}

async fn contributor(State(app): State<App>, path: ContributorPath) -> Result<Response, ApiError> {
    let (nickname, view) = find_contributor(&app, path).await?;
    let counts = app.service.counts().await?;
    let query = WorkerQuery {
        text: nickname.clone(),
        skip: 0,
        limit: WORKERS,
    };
    let connected = app.service.store().workers(query).await?.workers;
    let now = app.service.now();
    let own = connected
        .into_iter()
        .filter(|worker| worker.nickname == nickname);
    let stage = |stage| {
        stage_name(&counts.stages, stage)
            .unwrap_or_default()
            .to_owned()
    };
    let places = view.boards.iter().map(|standing| Place {
        stage: stage(standing.stage),
        rank: grouped(standing.rank),
        jobs: grouped(standing.jobs),
        pairs: grouped(standing.pairs),
    });
    let days = view.days.iter().rev().map(|day| DayRow {
        day: date(day),
        stage: stage(day.stage),
        jobs: grouped(day.jobs),
        pairs: grouped(day.pairs),
    });
    page(&ContributorPage {
        frame: Frame::of(&app).await?,
        noun: Noun::of(&counts),
        has_pairs: counts.kind != Some(Kind::Data),
        places: places.collect(),
        chart: Chart::per_day(&view.days, now),
        days: days.collect(),
        workers: own
            .map(|worker| WorkerRow::new(worker, &counts.stages, now))
            .collect(),
        nickname,
    })
}

/// `2026-01-31`.
fn date(day: &Day) -> String {
    let date = time::OffsetDateTime::from_unix_timestamp(day.begin).map(|time| time.date());
    // Years that no calendar has come from clocks that are wrong.
    date.map_or_else(|_| "?".into(), |date| date.to_string())
}
