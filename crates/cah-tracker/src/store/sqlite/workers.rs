//! The rows of the connected workers.

use std::net::IpAddr;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{admin, leases};
use crate::{
    clock::Timestamp,
    machine::machine_of,
    store::{
        Moment, NewWorker, Reaped, Role, StoreError, WorkerList, WorkerQuery, WorkerView,
        presence::{Beat, Known, Presence},
        rules::{self, unsigned},
    },
    token::TokenHash,
};

/// The workers that were connected when they were stored last.
pub(super) fn stored(db: &Connection) -> Result<Vec<Known>, StoreError> {
    let known = db
        .prepare("SELECT id, token_hash, role, last_seen, deadline, progress FROM workers")?
        .query_map([], |row| {
            Ok(Known {
                worker: row.get(0)?,
                token: TokenHash::from_bytes(row.get(1)?),
                role: role(row, 2)?,
                last_seen: row.get(3)?,
                deadline: row.get(4)?,
                progress: row.get::<_, String>(5)?.into(),
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(known)
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
    if admin::excludes(db, &worker.nickname, worker.address)? {
        return Err(StoreError::Excluded);
    }
    let machine = machine_of(worker.address).to_string();
    // Where any number may be there they are not even counted.
    if let Some(places) = worker.places
        && neighbours(db, &machine, places)? >= places
    {
        return Err(StoreError::Crowded(places));
    }
    let stages: i64 = db
        .prepare_cached("SELECT count(*) FROM stages")?
        .query_row([], |row| row.get(0))?;
    let span = worker
        .role
        .span(stages as usize)
        .ok_or_else(rules::no_such_stage)?;
    db.prepare_cached(
        "INSERT INTO workers (token_hash, display_name, nickname, first_stage, last_stage,
                              progress, first_seen, last_seen, deadline, role, address,
                              machine, upload_hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?
    .execute(params![
        worker.token.as_bytes(),
        worker.display_name,
        worker.nickname,
        span.first,
        span.last,
        worker.progress,
        moment.now,
        moment.until,
        worker.role.as_text(),
        worker.address.to_string(),
        machine,
        worker.upload_key.as_bytes()
    ])?;
    Ok(db.last_insert_rowid())
}

/// How many workers of a machine are connected, counted no further than to `most`.
fn neighbours(db: &Connection, machine: &str, most: u32) -> rusqlite::Result<u32> {
    db.prepare_cached("SELECT count(*) FROM (SELECT 1 FROM workers WHERE machine = ?1 LIMIT ?2)")?
        .query_row(params![machine, most], |row| row.get(0))
}

/// The job of a worker by one of its secrets.
pub(super) fn held_by(db: &Connection, secret: TokenHash) -> Result<u64, StoreError> {
    let held: Option<Option<i64>> = db
        .prepare_cached(
            "SELECT l.number FROM workers w LEFT JOIN leases l ON l.worker = w.id
             WHERE w.token_hash = ?1 OR w.upload_hash = ?1",
        )?
        .query_row([secret.as_bytes()], |row| row.get(0))
        .optional()?;
    let held = held.ok_or(StoreError::UnknownWorker)?;
    held.map(unsigned).ok_or(StoreError::NoLease)
}

/// Removes a worker that says goodbye and re-opens what it holds.
pub(super) fn remove(db: &Connection, worker: i64) -> Result<(), StoreError> {
    leases::leave_open(db, worker)?;
    delete(db, worker)
}

/// Removes workers that fell silent; what they hold has failed.
pub(super) fn reap(
    db: &Connection,
    workers: &[i64],
    max_failures: u32,
    now: Timestamp,
) -> Result<Reaped, StoreError> {
    let mut reaped = Reaped::default();
    for worker in workers {
        let held = match leases::held(db, *worker) {
            // It said bye earlier in the same batch of changes.
            Err(StoreError::UnknownWorker) => continue,
            held => held?,
        };
        if let Some(lease) = held {
            leases::set_back(db, &lease, rules::FELL_SILENT, max_failures, now)?;
            reaped.jobs += 1;
        }
        delete(db, *worker)?;
        reaped.workers += 1;
    }
    Ok(reaped)
}

fn delete(db: &Connection, worker: i64) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM workers WHERE id = ?1")?
        .execute([worker])?;
    Ok(())
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

const VIEW: &str = "SELECT w.id, w.display_name, w.role, w.nickname, l.number, w.progress,
            w.jobs_completed, w.first_seen, w.last_seen, w.pairs, l.since
     FROM workers w LEFT JOIN leases l ON l.worker = w.id";

/// Those with a text in one of their names; `?1` is NULL where all are asked for.
const NAMED: &str = "(?1 IS NULL OR lower_case(w.display_name) LIKE ?1 ESCAPE '\\'
                      OR lower_case(w.nickname) LIKE ?1 ESCAPE '\\')";

/// What counts the workers that are asked for, and what reads some of them.
pub(super) fn list_sql(query: &WorkerQuery) -> [String; 2] {
    // An index finds those of a contributor.
    let of = match query.nickname {
        Some(_) => "w.nickname = ?2",
        None => "?2 IS NULL",
    };
    let folded = |column: &str| format!("lower_case({column})");
    let order = rules::worker_order(query.sort, query.descending, folded);
    [
        format!("SELECT count(*) FROM workers w WHERE {of} AND {NAMED}"),
        format!("{VIEW} WHERE {of} AND {NAMED} ORDER BY {order} LIMIT ?3 OFFSET ?4"),
    ]
}

pub(super) fn list(
    db: &Connection,
    presence: &Presence,
    query: &WorkerQuery,
) -> rusqlite::Result<WorkerList> {
    let text = (!query.text.is_empty()).then(|| rules::like(&query.text));
    let nickname = &query.nickname;
    let [count, some] = list_sql(query);
    let found: i64 = db
        .prepare_cached(&count)?
        .query_row(params![text, nickname], |row| row.get(0))?;
    let workers = db
        .prepare_cached(&some)?
        .query_map(params![text, nickname, query.limit, query.skip], |row| {
            view(row, presence)
        })?
        .collect::<Result<_, _>>()?;
    Ok(WorkerList {
        workers,
        found: unsigned(found),
    })
}

pub(super) fn address(db: &Connection, display_name: &str) -> rusqlite::Result<Option<IpAddr>> {
    let address: Option<String> = db
        .prepare_cached("SELECT address FROM workers WHERE display_name = ?1")?
        .query_row([display_name], |row| row.get(0))
        .optional()?;
    Ok(address.and_then(|address| address.parse().ok()))
}

pub(super) fn find(
    db: &Connection,
    presence: &Presence,
    role: Role,
    display_name: &str,
) -> rusqlite::Result<Option<WorkerView>> {
    db.prepare_cached(&format!("{VIEW} WHERE w.display_name = ?1 AND w.role = ?2"))?
        .query_row([display_name, &role.as_text()], |row| view(row, presence))
        .optional()
}

fn view(row: &Row<'_>, presence: &Presence) -> rusqlite::Result<WorkerView> {
    let mut view = WorkerView {
        display_name: row.get(1)?,
        role: role(row, 2)?,
        nickname: row.get(3)?,
        number: row.get::<_, Option<i64>>(4)?.map(unsigned),
        progress: row.get(5)?,
        jobs_completed: unsigned(row.get(6)?),
        first_seen: row.get(7)?,
        last_seen: row.get(8)?,
        pairs: unsigned(row.get(9)?),
        working_since: row.get(10)?,
    };
    presence.refresh(row.get(0)?, &mut view);
    Ok(view)
}

fn role(row: &Row<'_>, column: usize) -> rusqlite::Result<Role> {
    let text: String = row.get(column)?;
    // Only roles are ever stored.
    Ok(Role::from_text(&text).unwrap_or(Role::Stage(0)))
}
