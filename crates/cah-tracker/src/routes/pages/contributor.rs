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
    Frame, Noun, WorkersTable, encoded, page, some,
};
use crate::{
    chart::Chart,
    store::{ContributorView, Kind, WorkerQuery, stage_name},
    text::{date, grouped},
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
    workers: WorkersTable,
    /// Those that are not shown; empty where there are none.
    more_workers: String,
    /// Where they are found.
    search: String,
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
    let ((nickname, view), counts, frame) = tokio::try_join!(
        find_contributor(&app, path),
        async { Ok(app.service.counts().await?) },
        Frame::of(&app),
    )?;
    let own = WorkerQuery {
        nickname: Some(nickname.clone()),
        limit: WORKERS,
        ..WorkerQuery::default()
    };
    let connected = app.service.store().workers(own).await?;
    let more = connected
        .found
        .saturating_sub(connected.workers.len() as u64);
    let now = app.service.now();
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
        day: date(day.begin),
        stage: stage(day.stage),
        jobs: grouped(day.jobs),
        pairs: grouped(day.pairs),
    });
    page(&ContributorPage {
        frame,
        noun: Noun::of(&counts),
        has_pairs: counts.kind != Some(Kind::Data),
        places: places.collect(),
        chart: Chart::per_day(&view.days, now),
        days: days.collect(),
        more_workers: some(more),
        search: format!("/workers?q={}", encoded(&nickname)),
        workers: WorkersTable::short(connected.workers, &counts, now),
        nickname,
    })
}
