//! The pages for people.

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use cah_protocol::stage_letter;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{App, assets, error::ApiError, pages::role_name};
use crate::{
    chart::Chart,
    clock::Timestamp,
    operation::{self, ParkedJob},
    service::Progress,
    store::{BoardRow, Counts, Kind, Point, StageCounts, WorkerView},
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
pub(super) struct Frame {
    pub(super) project: String,
    pub(super) assets: &'static str,
    /// What the operator tells everybody; empty where nothing.
    pub(super) banner: String,
}

impl Frame {
    pub(super) async fn of(app: &App) -> Result<Self, ApiError> {
        Ok(Self {
            project: app.service.config().project.clone(),
            assets: assets::VERSION.as_str(),
            banner: app.service.store().banner().await?,
        })
    }
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
    workers: Vec<WorkerRow>,
    more_workers: String,
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
    number: String,
    about: String,
    failures: String,
    messages: Vec<String>,
}

impl From<ParkedJob> for Parked {
    fn from(job: ParkedJob) -> Self {
        Self {
            number: grouped(job.number),
            about: job.about,
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

struct WorkerRow {
    name: String,
    kind: String,
    page: String,
    nickname: String,
    shard: String,
    progress: String,
    jobs: String,
    seen: String,
}

impl WorkerRow {
    fn new(worker: WorkerView, stages: &[StageCounts], now: Timestamp) -> Self {
        let kind = role_name(worker.role, stages);
        Self {
            page: format!(
                "/worker/{}/{}",
                utf8_percent_encode(&kind.to_lowercase(), NON_ALPHANUMERIC),
                worker.display_name
            ),
            kind,
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
    name: String,
    id: String,
    /// What is counted: shards, or jobs of another kind.
    noun: &'static str,
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
    fn new(name: &str, id: &str, noun: &'static str, has_pairs: bool, rows: Vec<BoardRow>) -> Self {
        let ranked = |(i, row): (usize, BoardRow)| Ranked {
            rank: i + 1,
            nickname: row.nickname,
            jobs: grouped(row.jobs),
            pairs: grouped(row.pairs),
        };
        Self {
            name: name.to_owned(),
            id: id.to_owned(),
            noun,
            has_pairs,
            rows: rows.into_iter().enumerate().map(ranked).collect(),
        }
    }
}

async fn index(State(app): State<App>) -> Result<Response, ApiError> {
    Ok(html(render_index(&app).await?))
}

/// The first page as it is now.
pub(super) async fn render_index(app: &App) -> Result<String, ApiError> {
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
    ) = tokio::try_join!(
        Frame::of(app),
        async { Ok(service.project_progress(POINTS).await?) },
        async { Ok(store.workers(WORKERS).await?) },
        async { Ok(operation::parked(store, 0, PARKED).await?) },
    )?;
    let noun = Noun::of(&counts);
    let more = counts.workers.saturating_sub(workers.len() as u64);
    let now = service.now();
    render(&Index {
        frame,
        noun,
        completion: Completion::of(&counts),
        figures: figures(&counts, &noun, &points),
        charts: charts(&counts, &points),
        workers: workers
            .into_iter()
            .map(|worker| WorkerRow::new(worker, &counts.stages, now))
            .collect(),
        more_workers: some(more),
        more_parked: some(counts.parked.saturating_sub(parked.len() as u64)),
        parked: parked.into_iter().map(Parked::from).collect(),
        boards: boards(app, &counts, BOARD, ["Leaderboard", "CPU leaderboard"]).await?,
        eta,
    })
}

#[derive(Template)]
#[template(path = "leaderboard.html")]
struct Leaderboard {
    frame: Frame,
    boards: Vec<Board>,
}

async fn leaderboard(State(app): State<App>) -> Result<Response, ApiError> {
    let counts = app.service.counts().await?;
    let names = ["Hybrid and GPU workers", "CPU workers"];
    page(&Leaderboard {
        frame: Frame::of(&app).await?,
        boards: boards(&app, &counts, WHOLE_BOARD, names).await?,
    })
}

/// For shards the board of those who find pairs, and that of CPU workers where there are any; for
/// other jobs one of each stage.
async fn boards(
    app: &App,
    counts: &Counts,
    limit: u32,
    [of_pairs, of_cpu]: [&str; 2],
) -> Result<Vec<Board>, ApiError> {
    let store = app.service.store();
    let noun = Noun::of(counts);
    let stages = (0_u8..).zip(&counts.stages);
    if counts.kind == Some(Kind::Data) {
        let mut boards = Vec::new();
        for (stage, StageCounts { name, .. }) in stages {
            let rows = store.leaderboard(stage, limit).await?;
            let id = format!("board-{}", stage_letter(stage));
            boards.push(Board::new(name, &id, noun.capital, false, rows));
        }
        return Ok(boards);
    }
    let last = stages.last().map_or(0, |(stage, _)| stage);
    let (pairs, cpu) =
        tokio::try_join!(store.leaderboard(last, limit), store.leaderboard(0, limit))?;
    let mut boards = vec![Board::new(of_pairs, "board", noun.capital, true, pairs)];
    if last > 0 && !cpu.is_empty() {
        boards.push(Board::new(of_cpu, "cpu-board", noun.capital, false, cpu));
    }
    Ok(boards)
}

/// What the project's jobs are called.
#[derive(Clone, Copy)]
struct Noun {
    one: &'static str,
    many: &'static str,
    capital: &'static str,
}

impl Noun {
    fn of(counts: &Counts) -> Self {
        match counts.kind {
            Some(Kind::Data) => Self {
                one: "job",
                many: "jobs",
                capital: "Jobs",
            },
            Some(Kind::Shards) | None => Self {
                one: "shard",
                many: "shards",
                capital: "Shards",
            },
        }
    }
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

pub(super) fn page(template: &impl Template) -> Result<Response, ApiError> {
    render(template).map(html)
}

fn render(template: &impl Template) -> Result<String, ApiError> {
    template.render().map_err(|error| {
        tracing::error!(%error, "a page could not be made");
        ApiError::Internal
    })
}

fn html(page: String) -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}
