//! The pages for people.

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use cah_protocol::WorkerType;

use super::{App, assets, error::ApiError};
use crate::{
    chart::Chart,
    clock::Timestamp,
    store::{BoardRow, Counts, ParkedJob, Point, WorkerView},
    text::{compact, duration, grouped, percent},
};

/// Workers on the first page.
const WORKERS: u32 = 100;

/// Parked shards on the first page.
const PARKED: u32 = 20;

/// Lines of a leaderboard on the first page, and on its own.
const BOARD: u32 = 10;
const WHOLE_BOARD: u32 = 1_000;

/// Points of a chart: a day of quarters of an hour.
const POINTS: u32 = 97;

/// The time that the rates of the present are taken over, in seconds.
const RATE_WINDOW: Timestamp = 3_600;

/// The shortest time that a rate is told for, in seconds.
const SHORTEST_RATE: Timestamp = 10;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(index))
        .route("/leaderboard", get(leaderboard))
}

/// What every page has.
struct Frame {
    project: String,
    assets: &'static str,
}

impl Frame {
    fn of(app: &App) -> Self {
        Self {
            project: app.service.config().project.clone(),
            assets: assets::VERSION.as_str(),
        }
    }
}

#[derive(Template)]
#[template(path = "index.html")]
struct Index {
    frame: Frame,
    completion: Completion,
    eta: String,
    figures: Vec<Figure>,
    charts: Vec<NamedChart>,
    workers: Vec<WorkerRow>,
    more_workers: String,
    boards: Vec<Board>,
    parked: Vec<Parked>,
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
        let part = |jobs: u64| jobs * 1_000 / total.max(1);
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

/// A number that is only told where it is not 0.
fn some(number: u64) -> String {
    match number {
        0 => String::new(),
        number => grouped(number),
    }
}

struct Parked {
    shard: String,
    url: String,
    failures: String,
    message: String,
}

impl From<ParkedJob> for Parked {
    fn from(job: ParkedJob) -> Self {
        Self {
            shard: grouped(job.shard.number),
            url: job.shard.url,
            failures: grouped(job.failures.into()),
            message: job.message,
        }
    }
}

struct Figure {
    name: &'static str,
    value: String,
    note: String,
}

struct NamedChart {
    name: &'static str,
    id: &'static str,
    chart: Option<Chart>,
}

struct WorkerRow {
    name: String,
    kind: &'static str,
    nickname: String,
    shard: String,
    progress: String,
    jobs: String,
    seen: String,
}

impl WorkerRow {
    fn new(worker: WorkerView, now: Timestamp) -> Self {
        Self {
            kind: worker.span.worker_type().as_str(),
            shard: worker.number.map_or("–".into(), grouped),
            jobs: grouped(worker.jobs_completed),
            seen: format!("{} ago", duration(now - worker.last_seen)),
            name: worker.display_name,
            nickname: worker.nickname,
            progress: worker.progress,
        }
    }
}

struct Board {
    name: &'static str,
    id: &'static str,
    /// CPU workers find no pairs.
    has_pairs: bool,
    rows: Vec<Ranked>,
}

struct Ranked {
    rank: usize,
    nickname: String,
    jobs: String,
    pairs: String,
}

impl Board {
    fn new(name: &'static str, id: &'static str, has_pairs: bool, rows: Vec<BoardRow>) -> Self {
        let ranked = |(i, row): (usize, BoardRow)| Ranked {
            rank: i + 1,
            nickname: row.nickname,
            jobs: grouped(row.jobs),
            pairs: grouped(row.pairs),
        };
        Self {
            name,
            id,
            has_pairs,
            rows: rows.into_iter().enumerate().map(ranked).collect(),
        }
    }
}

async fn index(State(app): State<App>) -> Result<Response, ApiError> {
    let service = &app.service;
    let progress = service.project_progress().await?;
    let points = service.history(POINTS).await?;
    let workers = service.workers(WORKERS).await?;
    let parked = service.parked(PARKED).await?;
    let counts = &progress.counts;
    let more = counts.workers.saturating_sub(workers.len() as u64);
    let now = service.now();
    page(&Index {
        frame: Frame::of(&app),
        completion: Completion::of(counts),
        figures: figures(counts, &points),
        charts: charts(&points),
        workers: workers
            .into_iter()
            .map(|worker| WorkerRow::new(worker, now))
            .collect(),
        more_workers: some(more),
        parked: parked.into_iter().map(Parked::from).collect(),
        boards: boards(&app, BOARD, ["Leaderboard", "CPU leaderboard"]).await?,
        eta: progress.eta,
    })
}

#[derive(Template)]
#[template(path = "leaderboard.html")]
struct Leaderboard {
    frame: Frame,
    boards: Vec<Board>,
}

async fn leaderboard(State(app): State<App>) -> Result<Response, ApiError> {
    page(&Leaderboard {
        frame: Frame::of(&app),
        boards: boards(&app, WHOLE_BOARD, ["Hybrid and GPU workers", "CPU workers"]).await?,
    })
}

/// The board of those who find pairs, and that of CPU workers where there are any.
async fn boards(
    app: &App,
    limit: u32,
    [of_pairs, of_cpu]: [&'static str; 2],
) -> Result<Vec<Board>, ApiError> {
    let pairs = app.service.leaderboard(WorkerType::Hybrid, limit).await?;
    let cpu = app.service.leaderboard(WorkerType::Cpu, limit).await?;
    let mut boards = vec![Board::new(of_pairs, "board", true, pairs)];
    if !cpu.is_empty() {
        boards.push(Board::new(of_cpu, "cpu-board", false, cpu));
    }
    Ok(boards)
}

fn figures(counts: &Counts, points: &[Point]) -> Vec<Figure> {
    let per_shard = match counts.closed {
        0 => "no shard closed yet".into(),
        closed => format!("{} a shard", compact(counts.pairs as f64 / closed as f64)),
    };
    let idle = counts.workers.saturating_sub(counts.leased());
    vec![
        Figure {
            name: "Pairs",
            value: grouped(counts.pairs),
            note: per_shard,
        },
        Figure {
            name: "Pairs an hour",
            value: rate(points, |point| point.pairs),
            note: "over the last hour".into(),
        },
        Figure {
            name: "Shards an hour",
            value: rate(points, |point| point.closed),
            note: "over the last hour".into(),
        },
        Figure {
            name: "Workers",
            value: grouped(counts.workers),
            note: match idle {
                0 if counts.workers == 0 => "none connected".into(),
                0 => "all with a shard".into(),
                idle => format!("{} without a shard", grouped(idle)),
            },
        },
    ]
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

fn charts(points: &[Point]) -> Vec<NamedChart> {
    vec![
        NamedChart {
            name: "Pairs an hour",
            id: "pairs-chart",
            chart: Chart::per_hour(points, |point| point.pairs),
        },
        NamedChart {
            name: "Shards an hour",
            id: "shards-chart",
            chart: Chart::per_hour(points, |point| point.closed),
        },
    ]
}

fn page(template: &impl Template) -> Result<Response, ApiError> {
    let html = template.render().map_err(|error| {
        tracing::error!(%error, "a page could not be made");
        ApiError::Internal
    })?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, html).into_response())
}
