//! Leaderboards, what contributors did day by day, and where candidates ended.

use cah_protocol::OutcomeCounts;

use super::{
    connection::{Connection, Params, stage, storable},
    pool::Transaction,
};
use crate::store::{
    BoardRow, ContributorView, Day, Standing, StoreError,
    rules::{self, DAY, unsigned},
};

/// The id of a nickname, given out with the first job that counts for it.
pub(super) async fn find_or_add(tx: &Transaction, nickname: &str) -> Result<i64, StoreError> {
    let known = tx
        .query_opt(
            "SELECT id FROM contributors WHERE nickname = $1",
            &[&nickname],
        )
        .await?;
    let row = match known {
        Some(row) => row,
        None => {
            tx.query_one(
                "INSERT INTO contributors (nickname) VALUES ($1)
                 ON CONFLICT (nickname) DO UPDATE SET nickname = excluded.nickname RETURNING id",
                &[&nickname],
            )
            .await?
        }
    };
    Ok(row.get(0))
}

pub(super) async fn view(
    db: &Connection,
    nickname: &str,
    days: u32,
) -> Result<Option<ContributorView>, StoreError> {
    let known = db
        .query_opt(
            "SELECT id FROM contributors WHERE nickname = $1",
            &[&storable(nickname)],
        )
        .await?;
    let Some(id) = known.map(|row| row.get::<_, i64>(0)) else {
        return Ok(None);
    };
    let days = i64::from(days);
    let (of_boards, of_days): (Params<'_>, Params<'_>) = (&[&id], &[&id, &days]);
    // Sent together.
    let (boards, days) = futures::try_join!(
        db.query(
            "SELECT stage, jobs, pairs,
                    (SELECT count(*) FROM boards other
                     WHERE other.stage = b.stage
                       AND (other.jobs, other.pairs) > (b.jobs, b.pairs))
             FROM boards b WHERE contributor = $1 AND jobs > 0 ORDER BY stage",
            of_boards,
        ),
        db.query(
            "SELECT stage, day, jobs, pairs FROM days WHERE contributor = $1 AND jobs > 0
             ORDER BY day DESC, stage LIMIT $2",
            of_days,
        ),
    )?;
    if boards.is_empty() {
        return Ok(None);
    }
    let boards = boards.iter().map(|row| Standing {
        stage: stage(row.get(0)),
        jobs: unsigned(row.get(1)),
        pairs: unsigned(row.get(2)),
        rank: unsigned(row.get(3)) + 1,
    });
    let days = days.iter().rev().map(|row| Day {
        stage: stage(row.get(0)),
        begin: DAY * row.get::<_, i64>(1),
        jobs: unsigned(row.get(2)),
        pairs: unsigned(row.get(3)),
    });
    Ok(Some(ContributorView {
        boards: boards.collect(),
        days: days.collect(),
    }))
}

pub(super) async fn outcomes(db: &Connection) -> Result<OutcomeCounts, StoreError> {
    let rows = db
        .query("SELECT outcome, candidates FROM outcomes", &[])
        .await?;
    let mut counts = OutcomeCounts::default();
    for row in rows {
        counts.add_named(row.get(0), unsigned(row.get(1)));
    }
    Ok(counts)
}

pub(super) const LEADERBOARD: &str = "
    SELECT c.nickname, b.jobs, b.pairs FROM boards b
    JOIN contributors c ON c.id = b.contributor
    WHERE b.stage = $1 AND b.jobs > 0 ORDER BY b.jobs DESC, b.pairs DESC LIMIT $2";

pub(super) async fn leaderboard(
    db: &Connection,
    stage: u8,
    limit: u32,
) -> Result<Vec<BoardRow>, StoreError> {
    let rows = db
        .query(LEADERBOARD, &[&i64::from(stage), &i64::from(limit)])
        .await?;
    let rows = rows.iter().map(|row| BoardRow {
        rank: 0,
        nickname: row.get(0),
        jobs: unsigned(row.get(1)),
        pairs: unsigned(row.get(2)),
    });
    Ok(rules::ranked(rows.collect()))
}
