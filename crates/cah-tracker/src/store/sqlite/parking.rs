//! Jobs that fail, and those that failed so often that a person should look at them.

use rusqlite::{Connection, params};

use super::{chunks, jobs};
use crate::{
    clock::Timestamp,
    store::{
        ParkedJob, StoreError,
        rules::{self, signed, unsigned},
    },
};

/// Keeps why an attempt failed, and returns how often the job has failed by now.
pub(super) fn record(
    db: &Connection,
    number: i64,
    attempt: i64,
    message: &str,
    now: Timestamp,
) -> Result<i64, StoreError> {
    db.prepare_cached(
        "INSERT INTO failures (number, attempt, message, at) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![number, attempt, message, now])?;
    let failures = db
        .prepare_cached(
            "UPDATE jobs SET failures = failures + 1 WHERE number = ?1 RETURNING failures",
        )?
        .query_row([number], |row| row.get(0))?;
    Ok(failures)
}

/// The latest messages that are shown of a parked job.
const MESSAGES: u32 = 3;

pub(super) fn list(db: &Connection, after: u64, limit: u32) -> rusqlite::Result<Vec<ParkedJob>> {
    let mut messages = db.prepare_cached(
        "SELECT message FROM failures WHERE number = ?1 ORDER BY attempt DESC LIMIT ?2",
    )?;
    let mut rows = db.prepare_cached(
        "SELECT number, failures FROM jobs WHERE state = 4 AND number > ?1
         ORDER BY number LIMIT ?2",
    )?;
    rows.query_map(params![signed(after), limit], |row| {
        let number = row.get(0)?;
        Ok(ParkedJob {
            number: unsigned(number),
            task: jobs::task(db, number)?,
            failures: row.get(1)?,
            messages: messages
                .query_map(params![number, MESSAGES], |row| row.get(0))?
                .collect::<Result<_, _>>()?,
        })
    })?
    .collect()
}

/// Opens parked jobs again: one or all.
pub(super) fn requeue(db: &Connection, number: Option<u64>) -> Result<u64, StoreError> {
    let number = number.map(signed);
    let by_stage: Vec<(i64, i64)> = db
        .prepare(
            "SELECT stage, count(*) FROM jobs
             WHERE state = 4 AND (?1 IS NULL OR number = ?1) GROUP BY stage",
        )?
        .query_map([number], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (stage, jobs) in &by_stage {
        jobs::shift(db, *stage, *jobs, 0)?;
    }
    let opened = db.execute(
        "UPDATE jobs SET state = 0, failures = 0, setbacks = 0
         WHERE state = 4 AND (?1 IS NULL OR number = ?1)",
        [number],
    )? as u64;
    if let (Some(number), 0) = (number, opened) {
        let there = chunks::place(db, number)?;
        return Err(rules::not_parked(unsigned(number), there));
    }
    let fewer = -signed(opened);
    jobs::count(db, "UPDATE totals SET parked = parked + ?1", fewer)?;
    Ok(opened)
}
