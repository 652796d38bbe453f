//! Leaderboards.

use rusqlite::{Connection, OptionalExtension, params};

use crate::store::{BoardRow, StoreError, rules::unsigned};

/// The id of a nickname, given out with the first job that counts for it.
pub(super) fn find_or_add(db: &Connection, nickname: &str) -> Result<i64, StoreError> {
    let known: Option<i64> = db
        .prepare_cached("SELECT id FROM contributors WHERE nickname = ?1")?
        .query_row([nickname], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    db.prepare_cached("INSERT INTO contributors (nickname) VALUES (?1)")?
        .execute([nickname])?;
    Ok(db.last_insert_rowid())
}

/// Counts one more job of a contributor on the board of a stage.
pub(super) fn credit(
    db: &Connection,
    stage: i64,
    contributor: i64,
    closed: bool,
    pairs: i64,
) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO boards (stage, contributor, jobs, closed, pairs) VALUES (?1, ?2, 1, ?3, ?4)
         ON CONFLICT DO UPDATE SET jobs = jobs + 1, closed = closed + excluded.closed,
                                   pairs = pairs + excluded.pairs",
    )?
    .execute(params![stage, contributor, closed, pairs])?;
    Ok(())
}

pub(super) fn leaderboard(
    db: &Connection,
    stage: u8,
    limit: u32,
) -> rusqlite::Result<Vec<BoardRow>> {
    db.prepare_cached(
        "SELECT c.nickname, b.jobs, b.pairs FROM boards b
         JOIN contributors c ON c.id = b.contributor
         WHERE b.stage = ?1 ORDER BY b.jobs DESC, b.pairs DESC LIMIT ?2",
    )?
    .query_map(params![stage, limit], |row| {
        Ok(BoardRow {
            nickname: row.get(0)?,
            jobs: unsigned(row.get(1)?),
            pairs: unsigned(row.get(2)?),
        })
    })?
    .collect()
}
