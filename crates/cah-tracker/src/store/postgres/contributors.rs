//! Leaderboards.

use super::{connection::Connection, pool::Transaction};
use crate::store::{BoardRow, StoreError, rules::unsigned};

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

pub(super) async fn leaderboard(
    db: &Connection,
    stage: u8,
    limit: u32,
) -> Result<Vec<BoardRow>, StoreError> {
    let rows = db
        .query(
            "SELECT c.nickname, b.jobs, b.pairs FROM boards b
             JOIN contributors c ON c.id = b.contributor
             WHERE b.stage = $1 ORDER BY b.jobs DESC, b.pairs DESC LIMIT $2",
            &[&i64::from(stage), &i64::from(limit)],
        )
        .await?;
    let rows = rows.iter().map(|row| BoardRow {
        nickname: row.get(0),
        jobs: unsigned(row.get(1)),
        pairs: unsigned(row.get(2)),
    });
    Ok(rows.collect())
}
