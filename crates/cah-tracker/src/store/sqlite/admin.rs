//! What operators do to jobs and to the project.

use std::net::IpAddr;

use rusqlite::{Connection, params};

use super::{
    chunks::{leave_place, place},
    contributors::{self, Credit},
    jobs, workers,
};
use crate::store::{
    Excluded, Exclusion, State, StoreError,
    rules::{self, signed},
};

pub(super) fn init(db: &Connection, stages: &[String]) -> Result<(), StoreError> {
    let names: Vec<String> = db
        .prepare_cached("SELECT name FROM stages ORDER BY stage")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    if names == stages {
        return Ok(());
    }
    let in_use = db
        .prepare_cached("SELECT 1 FROM jobs UNION ALL SELECT 1 FROM workers LIMIT 1")?
        .exists([])?;
    if in_use {
        return Err(rules::has_stages(&names));
    }
    db.execute("DELETE FROM stages", [])?;
    for (stage, name) in (0_i64..).zip(stages) {
        db.execute(
            "INSERT INTO stages (stage, name) VALUES (?1, ?2)",
            params![stage, name],
        )?;
    }
    Ok(())
}

/// Makes a job as new, whatever was done with it, and opens it or takes it out.
pub(super) fn renew(db: &Connection, number: u64, into: State) -> Result<(), StoreError> {
    let id = signed(number);
    let there = place(db, id)?.ok_or(StoreError::NoSuchJob(number))?;
    leave_place(db, id, &there)?;
    revoke(db, id, there.state == State::Closed)?;
    db.prepare_cached("DELETE FROM flags WHERE number = ?1")?
        .execute([id])?;
    db.prepare_cached(
        "UPDATE jobs SET state = ?2, stage = 0, failures = 0, setbacks = 0 WHERE number = ?1",
    )?
    .execute([id, into.code()])?;
    jobs::enter(db, into, 0)
}

/// Takes back what was accepted of a job, from the boards too. Where it was closed, the latest
/// completion is the one that closed it.
fn revoke(db: &Connection, number: i64, closed: bool) -> Result<(), StoreError> {
    let accepted: Vec<(Credit, Option<String>)> = db
        .prepare_cached(
            "SELECT stage, contributor, pairs, at, outcomes FROM completions
             WHERE number = ?1 AND revoked = 0 ORDER BY attempt DESC, stage DESC",
        )?
        .query_map([number], |row| {
            let credit = Credit {
                stage: row.get(0)?,
                contributor: row.get(1)?,
                closed: false,
                pairs: row.get(2)?,
                at: row.get(3)?,
                by: -1,
            };
            Ok((credit, row.get(4)?))
        })?
        .collect::<Result<_, _>>()?;
    db.prepare_cached("UPDATE completions SET revoked = 1 WHERE number = ?1")?
        .execute([number])?;
    for (i, (mut credit, outcomes)) in accepted.into_iter().enumerate() {
        credit.closed = closed && i == 0;
        contributors::credit(db, &credit)?;
        contributors::count_outcomes(db, &rules::outcomes_of(outcomes.as_deref()), -1)?;
        let pairs = i64::from(credit.closed) * credit.pairs;
        jobs::count(db, "UPDATE totals SET pairs = pairs - ?1", pairs)?;
    }
    Ok(())
}

pub(super) fn exclusions(db: &Connection) -> rusqlite::Result<Vec<Exclusion>> {
    let mut rows = db.prepare_cached(
        "SELECT kind, whom, reason, at FROM exclusions ORDER BY at DESC, kind, whom",
    )?;
    let mut rows = rows.query([])?;
    let mut exclusions = Vec::new();
    while let Some(row) = rows.next()? {
        let (kind, whom): (String, String) = (row.get(0)?, row.get(1)?);
        // Nothing else is ever stored.
        if let Some(whom) = Excluded::from_texts(&kind, &whom) {
            exclusions.push(Exclusion {
                whom,
                reason: row.get(2)?,
                at: row.get(3)?,
            });
        }
    }
    Ok(exclusions)
}

/// Whether an operator keeps such a worker out.
pub(super) fn excludes(db: &Connection, nickname: &str, address: IpAddr) -> rusqlite::Result<bool> {
    let excluded = exclusions(db)?;
    let means = |excluded: &Exclusion| excluded.whom.means(Some(nickname), Some(address));
    Ok(excluded.iter().any(means))
}

/// Keeps somebody out, and returns the workers that went.
pub(super) fn exclude(db: &Connection, exclusion: &Exclusion) -> Result<Vec<i64>, StoreError> {
    let (kind, whom) = exclusion.whom.as_texts();
    db.prepare_cached(
        "INSERT INTO exclusions (kind, whom, reason, at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET reason = excluded.reason, at = excluded.at",
    )?
    .execute(params![kind, whom, exclusion.reason, exclusion.at])?;
    let mut connected = db.prepare_cached("SELECT id, nickname, address FROM workers")?;
    let mut connected = connected.query([])?;
    let mut meant = Vec::new();
    while let Some(row) = connected.next()? {
        let (nickname, address): (String, String) = (row.get(1)?, row.get(2)?);
        if exclusion.whom.means(Some(&nickname), address.parse().ok()) {
            meant.push(row.get(0)?);
        }
    }
    for worker in &meant {
        workers::remove(db, *worker)?;
    }
    Ok(meant)
}

pub(super) fn readmit(db: &Connection, whom: &Excluded) -> Result<bool, StoreError> {
    let (kind, whom) = whom.as_texts();
    let gone = db
        .prepare_cached("DELETE FROM exclusions WHERE kind = ?1 AND whom = ?2")?
        .execute([kind, &whom])?;
    Ok(gone > 0)
}

pub(super) fn banner(db: &Connection) -> rusqlite::Result<String> {
    db.prepare_cached("SELECT banner FROM project")?
        .query_row([], |row| row.get(0))
}

pub(super) fn set_banner(db: &Connection, text: &str) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE project SET banner = ?1")?
        .execute([text])?;
    Ok(())
}
