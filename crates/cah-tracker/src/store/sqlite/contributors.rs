//! Leaderboards, what contributors did day by day, and where candidates ended.

use cah_protocol::OutcomeCounts;
use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    clock::Timestamp,
    store::{
        BoardRow, ContributorView, Day, Standing, StoreError,
        rules::{self, DAY, signed, unsigned},
    },
};

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

/// A job that a contributor finished at a stage, or with `by` -1 one that counts no longer.
pub(super) struct Credit {
    pub(super) stage: i64,
    pub(super) contributor: i64,
    pub(super) closed: bool,
    pub(super) pairs: i64,
    pub(super) at: Timestamp,
    pub(super) by: i64,
}

/// Counts a job on the board of its stage, and on its day.
pub(super) fn credit(db: &Connection, credit: &Credit) -> Result<(), StoreError> {
    let Credit {
        stage,
        contributor,
        by,
        ..
    } = credit;
    let closed = by * i64::from(credit.closed);
    let pairs = by * credit.pairs;
    let on_board = db
        .prepare_cached(
            "UPDATE boards SET jobs = jobs + ?3, closed = closed + ?4, pairs = pairs + ?5
             WHERE stage = ?1 AND contributor = ?2",
        )?
        .execute([stage, contributor, by, &closed, &pairs])?;
    if on_board == 0 {
        db.prepare_cached(
            "INSERT INTO boards (stage, contributor, jobs, closed, pairs)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute([stage, contributor, by, &closed, &pairs])?;
    }
    let day = credit.at.div_euclid(DAY);
    let on_day = db
        .prepare_cached(
            "UPDATE days SET jobs = jobs + ?4, pairs = pairs + ?5
             WHERE contributor = ?1 AND stage = ?2 AND day = ?3",
        )?
        .execute([contributor, stage, &day, by, &pairs])?;
    if on_day == 0 {
        db.prepare_cached(
            "INSERT INTO days (contributor, stage, day, jobs, pairs) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute([contributor, stage, &day, by, &pairs])?;
    }
    Ok(())
}

/// Counts where candidates ended, or with `by` -1 no longer.
pub(super) fn count_outcomes(
    db: &Connection,
    outcomes: &OutcomeCounts,
    by: i64,
) -> Result<(), StoreError> {
    let mut count =
        db.prepare_cached("UPDATE outcomes SET candidates = candidates + ?2 WHERE outcome = ?1")?;
    let mut add =
        db.prepare_cached("INSERT INTO outcomes (outcome, candidates) VALUES (?1, ?2)")?;
    for (outcome, candidates) in outcomes.iter() {
        let counted = params![outcome.name(), by * signed(candidates)];
        if count.execute(counted)? == 0 {
            add.execute(counted)?;
        }
    }
    Ok(())
}

pub(super) fn outcomes(db: &Connection) -> rusqlite::Result<OutcomeCounts> {
    let mut counts = OutcomeCounts::default();
    let mut rows = db.prepare_cached("SELECT outcome, candidates FROM outcomes")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        counts.add_named(&name, unsigned(row.get(1)?));
    }
    Ok(counts)
}

pub(super) fn view(
    db: &Connection,
    nickname: &str,
    days: u32,
) -> rusqlite::Result<Option<ContributorView>> {
    let id: Option<i64> = db
        .prepare_cached("SELECT id FROM contributors WHERE nickname = ?1")?
        .query_row([nickname], |row| row.get(0))
        .optional()?;
    let Some(id) = id else {
        return Ok(None);
    };
    let boards: Vec<Standing> = db
        .prepare_cached(
            "SELECT stage, jobs, pairs,
                    (SELECT count(*) FROM boards other
                     WHERE other.stage = b.stage
                       AND (other.jobs, other.pairs) > (b.jobs, b.pairs))
             FROM boards b WHERE contributor = ?1 AND jobs > 0 ORDER BY stage",
        )?
        .query_map([id], |row| {
            Ok(Standing {
                stage: row.get(0)?,
                jobs: unsigned(row.get(1)?),
                pairs: unsigned(row.get(2)?),
                rank: unsigned(row.get(3)?) + 1,
            })
        })?
        .collect::<Result<_, _>>()?;
    if boards.is_empty() {
        return Ok(None);
    }
    let mut days: Vec<Day> = db
        .prepare_cached(
            "SELECT stage, day, jobs, pairs FROM days WHERE contributor = ?1 AND jobs > 0
             ORDER BY day DESC, stage LIMIT ?2",
        )?
        .query_map(params![id, days], |row| {
            Ok(Day {
                stage: row.get(0)?,
                begin: DAY * row.get::<_, i64>(1)?,
                jobs: unsigned(row.get(2)?),
                pairs: unsigned(row.get(3)?),
            })
        })?
        .collect::<Result<_, _>>()?;
    days.reverse();
    Ok(Some(ContributorView { boards, days }))
}

pub(super) fn leaderboard(
    db: &Connection,
    stage: u8,
    limit: u32,
) -> rusqlite::Result<Vec<BoardRow>> {
    let rows = db
        .prepare_cached(
            "SELECT c.nickname, b.jobs, b.pairs FROM boards b
             JOIN contributors c ON c.id = b.contributor
             WHERE b.stage = ?1 AND b.jobs > 0 ORDER BY b.jobs DESC, b.pairs DESC LIMIT ?2",
        )?
        .query_map(params![stage, limit], |row| {
            Ok(BoardRow {
                rank: 0,
                nickname: row.get(0)?,
                jobs: unsigned(row.get(1)?),
                pairs: unsigned(row.get(2)?),
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(rules::ranked(rows))
}
