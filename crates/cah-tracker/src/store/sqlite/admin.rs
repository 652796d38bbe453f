//! What operators do to jobs and to the project.

use rusqlite::{Connection, params};

use super::{
    chunks::{leave_place, place},
    jobs,
};
use crate::store::{
    State, StoreError,
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
    let accepted: Vec<[i64; 4]> = db
        .prepare_cached(
            "SELECT stage, attempt, contributor, pairs FROM completions
             WHERE number = ?1 AND revoked = 0 ORDER BY attempt DESC, stage DESC",
        )?
        .query_map([number], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
        })?
        .collect::<Result<_, _>>()?;
    for (i, [stage, attempt, contributor, pairs]) in accepted.into_iter().enumerate() {
        let closing = i64::from(closed && i == 0);
        db.prepare_cached(
            "UPDATE completions SET revoked = 1
             WHERE number = ?1 AND stage = ?2 AND attempt = ?3",
        )?
        .execute([number, stage, attempt])?;
        db.prepare_cached(
            "UPDATE boards SET jobs = jobs - 1, closed = closed - ?3, pairs = pairs - ?4
             WHERE stage = ?1 AND contributor = ?2",
        )?
        .execute([stage, contributor, closing, pairs])?;
        jobs::count(db, "UPDATE totals SET pairs = pairs - ?1", closing * pairs)?;
    }
    Ok(())
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
