//! The rows of the connected workers.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    jobs,
    presence::{Beat, Presence},
    unsigned,
};
use crate::{
    store::{Caller, Moment, NewWorker, Reaped, Span, StoreError, WorkerView},
    token::TokenHash,
};

/// Enters the workers that were connected when the store was closed.
pub(super) fn load(db: &Connection, presence: &Presence) -> Result<(), StoreError> {
    let mut rows = db.prepare(
        "SELECT id, token_hash, first_stage, last_stage, last_seen, deadline, progress
         FROM workers",
    )?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let caller = Caller {
            token: TokenHash::from_bytes(row.get(1)?),
            span: span(row, 2)?,
        };
        let progress: String = row.get(6)?;
        presence.enter(row.get(0)?, caller, row.get(4)?, row.get(5)?, &progress);
    }
    Ok(())
}

/// Adds a worker and returns its id.
pub(super) fn insert(
    db: &Connection,
    worker: &NewWorker,
    moment: Moment,
) -> Result<i64, StoreError> {
    let taken = db
        .prepare_cached("SELECT 1 FROM workers WHERE display_name = ?1")?
        .exists([&worker.display_name])?;
    if taken {
        return Err(StoreError::NameTaken);
    }
    let Caller { token, span } = worker.caller;
    db.prepare_cached(
        "INSERT INTO workers (token_hash, display_name, nickname, first_stage, last_stage,
                              progress, first_seen, last_seen, deadline)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8)",
    )?
    .execute(params![
        token.as_bytes(),
        worker.display_name,
        worker.nickname,
        span.first,
        span.last,
        worker.progress,
        moment.now,
        moment.until
    ])?;
    Ok(db.last_insert_rowid())
}

/// Removes a worker and re-opens what it holds; the number of jobs re-opened.
pub(super) fn remove(db: &Connection, worker: i64) -> Result<u64, StoreError> {
    let held: Option<i64> = db
        .prepare_cached("SELECT number FROM leases WHERE worker = ?1")?
        .query_row([worker], |row| row.get(0))
        .optional()?;
    if let Some(number) = held {
        jobs::reopen(db, number)?;
    }
    let removed = db
        .prepare_cached("DELETE FROM workers WHERE id = ?1")?
        .execute([worker])?;
    match removed {
        0 => Err(StoreError::UnknownWorker),
        _ => Ok(u64::from(held.is_some())),
    }
}

pub(super) fn remove_all(db: &Connection, workers: &[i64]) -> Result<Reaped, StoreError> {
    let mut reaped = Reaped::default();
    for worker in workers {
        match remove(db, *worker) {
            Ok(jobs) => {
                reaped.jobs += jobs;
                reaped.workers += 1;
            }
            // It said bye earlier in the same batch of changes.
            Err(StoreError::UnknownWorker) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(reaped)
}

pub(super) fn store_beats(db: &Connection, beats: &[Beat]) -> Result<(), StoreError> {
    let mut update = db.prepare_cached(
        "UPDATE workers SET last_seen = ?2, deadline = ?3, progress = ?4 WHERE id = ?1",
    )?;
    for beat in beats {
        update.execute(params![
            beat.worker,
            beat.last_seen,
            beat.deadline,
            beat.progress
        ])?;
    }
    Ok(())
}

const VIEW: &str = "SELECT w.id, w.display_name, w.first_stage, w.last_stage, w.nickname, l.number,
            w.progress, w.jobs_completed, w.first_seen, w.last_seen
     FROM workers w LEFT JOIN leases l ON l.worker = w.id";

pub(super) fn list(
    db: &Connection,
    presence: &Presence,
    limit: u32,
) -> rusqlite::Result<Vec<WorkerView>> {
    db.prepare_cached(&format!("{VIEW} ORDER BY w.id LIMIT ?1"))?
        .query_map([limit], |row| view(row, presence))?
        .collect()
}

pub(super) fn find(
    db: &Connection,
    presence: &Presence,
    span: Span,
    display_name: &str,
) -> rusqlite::Result<Option<WorkerView>> {
    db.prepare_cached(&format!(
        "{VIEW} WHERE w.display_name = ?1 AND w.first_stage = ?2 AND w.last_stage = ?3"
    ))?
    .query_row(params![display_name, span.first, span.last], |row| {
        view(row, presence)
    })
    .optional()
}

fn view(row: &Row<'_>, presence: &Presence) -> rusqlite::Result<WorkerView> {
    let mut view = WorkerView {
        display_name: row.get(1)?,
        span: span(row, 2)?,
        nickname: row.get(4)?,
        number: row.get::<_, Option<i64>>(5)?.map(unsigned),
        progress: row.get(6)?,
        jobs_completed: unsigned(row.get(7)?),
        first_seen: row.get(8)?,
        last_seen: row.get(9)?,
    };
    presence.refresh(row.get(0)?, &mut view);
    Ok(view)
}

/// Two columns, the first and the last stage.
fn span(row: &Row<'_>, first: usize) -> rusqlite::Result<Span> {
    Ok(Span {
        first: row.get(first)?,
        last: row.get(first + 1)?,
    })
}
