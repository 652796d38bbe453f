//! Who did how much.

use askama::Template;
use axum::{Router, extract::State, response::Response, routing::get};
use cah_protocol::stage_letter;

use super::{
    super::{App, error::ApiError},
    Frame, Noun, contributor_page, page,
};
use crate::{
    store::{BoardRow, Counts, Kind, StageCounts},
    text::grouped,
};

/// Lines of a leaderboard on its own page.
pub(in crate::routes) const MAX_LINES: u32 = 1_000;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/leaderboard", get(leaderboard))
}

/// The leaderboard of a stage.
pub(super) struct Board {
    pub(super) name: String,
    pub(super) id: String,
    /// What is counted: shards, or jobs of another kind.
    pub(super) noun: &'static str,
    /// CPU workers find no pairs.
    pub(super) has_pairs: bool,
    pub(super) rows: Vec<Ranked>,
}

/// A line of it.
pub(super) struct Ranked {
    pub(super) rank: String,
    pub(super) nickname: String,
    pub(super) page: String,
    pub(super) jobs: String,
    pub(super) pairs: String,
}

impl Board {
    fn new(name: &str, id: &str, noun: &'static str, has_pairs: bool, rows: Vec<BoardRow>) -> Self {
        let ranked = |row: BoardRow| Ranked {
            rank: grouped(row.rank),
            page: contributor_page(&row.nickname),
            nickname: row.nickname,
            jobs: grouped(row.jobs),
            pairs: grouped(row.pairs),
        };
        Self {
            name: name.to_owned(),
            id: id.to_owned(),
            noun,
            has_pairs,
            rows: rows.into_iter().map(ranked).collect(),
        }
    }
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
        boards: boards(&app, &counts, MAX_LINES, names).await?,
    })
}

/// For shards the board of those who find pairs, and that of CPU workers where there are any; for
/// other jobs one of each stage.
pub(super) async fn boards(
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
