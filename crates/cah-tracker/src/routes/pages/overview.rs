//! The first page: how far the project is.

use askama::Template;
use axum::{Router, extract::State, response::Response, routing::get};
use cah_protocol::{OutcomeCounts, Phase};

use super::{
    super::{App, error::ApiError},
    Frame, Noun, WorkersTable, html,
    job::public_about,
    leaderboard::{Board, boards},
    some,
};
use crate::{
    chart::Chart,
    clock::Timestamp,
    service::Progress,
    store::{Counts, Kind, ParkedJob, Point, StageCounts, WorkerQuery},
    text::{compact, grouped, percent},
};

/// Workers on the first page.
const WORKERS: u32 = 100;

/// Parked shards on the first page.
const PARKED: u32 = 20;

/// Lines of a leaderboard on the first page.
const BOARD: u32 = 10;

/// Points of a chart: a day of quarters of an hour.
const POINTS: u32 = 97;

/// The time that the rates of the present are taken over, in seconds.
const RATE_WINDOW: Timestamp = 3_600;

/// The shortest time that a rate is told for, in seconds.
const SHORTEST_RATE: Timestamp = 10;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/", get(index))
}

#[derive(Template)]
#[template(path = "index.html")]
struct Index {
    frame: Frame,
    noun: Noun,
    completion: Completion,
    eta: String,
    figures: Vec<Figure>,
    charts: Vec<NamedChart>,
    workers: WorkersTable,
    more_workers: String,
    stages: Vec<StageRow>,
    outcomes: Vec<OutcomeRow>,
    boards: Vec<Board>,
    parked: Vec<Parked>,
    more_parked: String,
}

/// How far the project is.
struct Completion {
    percent: String,
    closed: String,
    leased: String,
    open: String,
    /// Empty where there are none.
    parked: String,
    total: String,
    /// The bar's parts, in thousandths.
    closed_part: u64,
    leased_part: u64,
}

impl Completion {
    fn of(counts: &Counts) -> Self {
        let (closed, leased, total) = (counts.closed, counts.leased(), counts.total());
        let part = |jobs: u64| thousandths(jobs, total);
        Self {
            percent: percent(closed, total),
            closed: grouped(closed),
            leased: grouped(leased),
            open: grouped(total.saturating_sub(closed + leased + counts.parked)),
            parked: some(counts.parked),
            total: grouped(total),
            closed_part: part(closed),
            leased_part: part(leased),
        }
    }
}

/// A part of a bar, rounded up: what there is can be seen.
fn thousandths(part: u64, whole: u64) -> u64 {
    let thousandths = (u128::from(part) * 1_000).div_ceil(u128::from(whole.max(1)));
    u64::try_from(thousandths).unwrap_or(1_000)
}

struct Parked {
    number: String,
    page: String,
    about: String,
    failures: String,
    messages: Vec<String>,
}

impl From<ParkedJob> for Parked {
    fn from(job: ParkedJob) -> Self {
        Self {
            number: grouped(job.number),
            page: format!("/job/{}", job.number),
            about: public_about(&job.task),
            failures: grouped(job.failures.into()),
            messages: job.messages,
        }
    }
}

struct Figure {
    name: String,
    value: String,
    note: String,
}

struct NamedChart {
    name: String,
    id: &'static str,
    chart: Option<Chart>,
}

async fn index(State(app): State<App>) -> Result<Response, ApiError> {
    Ok(html(render(&app).await?))
}

/// The first page as it is now.
pub(in crate::routes) async fn render(app: &App) -> Result<String, ApiError> {
    let (service, store) = (&app.service, app.service.store());
    let (
        frame,
        Progress {
            counts,
            eta,
            points,
        },
        workers,
        parked,
        outcomes,
    ) = tokio::try_join!(
        Frame::of(app),
        async { Ok(service.project_progress(POINTS).await?) },
        async { Ok(store.workers(first_workers()).await?) },
        async { Ok(store.parked(0, PARKED).await?) },
        async { Ok(store.outcomes().await?) },
    )?;
    let noun = Noun::of(&counts);
    let workers = workers.workers;
    let more = counts.workers.saturating_sub(workers.len() as u64);
    let now = service.now();
    super::render(&Index {
        frame,
        noun,
        completion: Completion::of(&counts),
        figures: figures(&counts, &noun, &points),
        charts: charts(&counts, &points),
        workers: WorkersTable::short(workers, &counts, now),
        more_workers: some(more),
        stages: counts.stages.iter().map(StageRow::from).collect(),
        outcomes: outcome_rows(&outcomes),
        more_parked: some(counts.parked.saturating_sub(parked.len() as u64)),
        parked: parked.into_iter().map(Parked::from).collect(),
        boards: boards(app, &counts, BOARD, ["Leaderboard", "CPU leaderboard"]).await?,
        eta,
    })
}

/// Where jobs are that are not done.
struct StageRow {
    name: String,
    open: String,
    leased: String,
}

impl From<&StageCounts> for StageRow {
    fn from(stage: &StageCounts) -> Self {
        Self {
            name: stage.name.clone(),
            open: grouped(stage.open),
            leased: grouped(stage.leased),
        }
    }
}

fn first_workers() -> WorkerQuery {
    WorkerQuery {
        limit: WORKERS,
        ..WorkerQuery::default()
    }
}

/// Where candidates ended, in the order of the pipeline.
struct OutcomeRow {
    name: String,
    phase: &'static str,
    is_kept: bool,
    candidates: String,
    percent: String,
    /// Of all candidates, in thousandths.
    part: u64,
}

fn outcome_rows(outcomes: &OutcomeCounts) -> Vec<OutcomeRow> {
    let all = outcomes.candidates();
    let row = |(outcome, candidates): (cah_protocol::Outcome, u64)| OutcomeRow {
        name: outcome.name().replace('_', " "),
        phase: match outcome.phase() {
            Phase::Rules => "rules",
            Phase::Fetch => "download",
            Phase::Decode => "image",
            Phase::Match => "CLIP",
            Phase::Kept => "kept",
        },
        is_kept: outcome.phase() == Phase::Kept,
        candidates: grouped(candidates),
        percent: percent(candidates, all),
        part: thousandths(candidates, all),
    };
    outcomes.iter().map(row).collect()
}

fn figures(counts: &Counts, noun: &Noun, points: &[Point]) -> Vec<Figure> {
    let idle = counts.workers.saturating_sub(counts.leased());
    let mut figures = Vec::new();
    if counts.kind != Some(Kind::Data) {
        figures.push(Figure {
            name: "Pairs".into(),
            value: grouped(counts.pairs),
            note: match counts.closed {
                0 => "no shard closed yet".into(),
                closed => format!("{} a shard", compact(counts.pairs as f64 / closed as f64)),
            },
        });
        figures.push(Figure {
            name: "Pairs an hour".into(),
            value: rate(points, |point| point.pairs),
            note: "over the last hour".into(),
        });
    }
    figures.push(Figure {
        name: format!("{} an hour", noun.capital),
        value: rate(points, |point| point.closed),
        note: "over the last hour".into(),
    });
    figures.push(Figure {
        name: "Workers".into(),
        value: grouped(counts.workers),
        note: match idle {
            0 if counts.workers == 0 => "none connected".into(),
            0 => format!("all with a {}", noun.one),
            idle => format!("{} without a {}", grouped(idle), noun.one),
        },
    });
    figures
}

/// How fast a counter grew over the last hour, per hour.
fn rate(points: &[Point], counter: fn(&Point) -> u64) -> String {
    let Some(last) = points.last() else {
        return "–".into();
    };
    let first = points
        .iter()
        .find(|point| last.at - point.at <= RATE_WINDOW);
    match first.map(|first| (first, last.at - first.at)) {
        Some((first, time)) if time >= SHORTEST_RATE => {
            let grown = counter(last).saturating_sub(counter(first));
            compact(grown as f64 * 3_600.0 / time as f64)
        }
        _ => "–".into(),
    }
}

fn charts(counts: &Counts, points: &[Point]) -> Vec<NamedChart> {
    let mut charts = Vec::new();
    if counts.kind != Some(Kind::Data) {
        charts.push(NamedChart {
            name: "Pairs an hour".into(),
            id: "pairs-chart",
            chart: Chart::per_hour(points, |point| point.pairs),
        });
    }
    charts.push(NamedChart {
        name: format!("{} an hour", Noun::of(counts).capital),
        id: "shards-chart",
        chart: Chart::per_hour(points, |point| point.closed),
    });
    charts
}
