//! Jobs and leases: each function is one change, made inside the writer's transaction.

use cah_protocol::{Piece, Shard};
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::{contributors, parking, signed, unsigned};
use crate::{
    clock::Timestamp,
    store::{
        Accepted, AddedChunks, Claimed, Completion, Counts, Failure, Moment, StageCounts,
        StoreError,
    },
};

/// The next job of a stage. `state = 0` is spelled out so that the partial index applies.
pub(super) const OLDEST_OPEN: &str = "SELECT number FROM jobs WHERE state = 0 AND stage = ?1
     ORDER BY priority DESC, failures, number LIMIT 1";

const COMPLETED: i64 = 1;
const FLAGGED: i64 = 2;
const FAILED: i64 = 3;

/// What becomes of a job when its lease ends with a result.
enum End {
    /// It waits at this stage.
    Open(i64),
    Closed,
    Parked,
}

/// A lease, as a worker holds it.
struct Lease {
    number: i64,
    attempt: i64,
}

/// What the database knows about a caller.
struct Standing {
    nickname: String,
    first_stage: i64,
    last_stage: i64,
    lease: Option<Lease>,
    /// The job that was settled last and how, no job claimed since.
    settled: Option<(i64, i64)>,
}

impl Standing {
    fn of(db: &Connection, worker: i64) -> Result<Self, StoreError> {
        db.prepare_cached(
            "SELECT w.nickname, w.first_stage, w.last_stage, l.number, l.attempt, w.settled,
                    w.settled_as
             FROM workers w LEFT JOIN leases l ON l.worker = w.id WHERE w.id = ?1",
        )?
        .query_row([worker], |row| {
            let lease = match row.get(3)? {
                Some(number) => Some(Lease {
                    number,
                    attempt: row.get(4)?,
                }),
                None => None,
            };
            Ok(Self {
                nickname: row.get(0)?,
                first_stage: row.get(1)?,
                last_stage: row.get(2)?,
                lease,
                settled: Option::zip(row.get(5)?, row.get(6)?),
            })
        })
        .optional()?
        .ok_or(StoreError::UnknownWorker)
    }

    /// The lease that a call is about, or that the call repeats one which was accepted.
    fn lease_or_repeat(
        &self,
        number: Option<u64>,
        call: i64,
    ) -> Result<Option<&Lease>, StoreError> {
        let named = |held: i64| number.is_none_or(|number| signed(number) == held);
        match (&self.lease, self.settled) {
            (Some(lease), _) if named(lease.number) => Ok(Some(lease)),
            (None, Some((settled, how))) if how == call && named(settled) => Ok(None),
            _ => Err(StoreError::NoLease),
        }
    }
}

pub(super) fn claim(db: &Connection, worker: i64, moment: Moment) -> Result<Claimed, StoreError> {
    let standing = Standing::of(db, worker)?;
    if let Some(lease) = &standing.lease {
        reopen(db, lease.number)?;
    }
    let stage = standing.first_stage;
    let number: i64 = db
        .prepare_cached(OLDEST_OPEN)?
        .query_row([stage], |row| row.get(0))
        .optional()?
        .ok_or(StoreError::NoOpenJob)?;
    let attempt: i64 = db
        .prepare_cached(
            "UPDATE jobs SET state = 1, attempts = attempts + 1 WHERE number = ?1
             RETURNING attempts",
        )?
        .query_row([number], |row| row.get(0))?;
    db.prepare_cached(
        "INSERT INTO leases (number, worker, attempt, since) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![number, worker, attempt, moment.now])?;
    db.prepare_cached("UPDATE workers SET settled = NULL, settled_as = NULL WHERE id = ?1")?
        .execute([worker])?;
    shift(db, stage, -1, 1)?;
    Ok(Claimed {
        shard: shard(db, number)?,
        attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
        until: moment.until,
        input: input(db, number, stage)?,
    })
}

pub(super) fn complete(
    db: &Connection,
    worker: i64,
    completion: &Completion,
    now: Timestamp,
) -> Result<Accepted, StoreError> {
    let standing = Standing::of(db, worker)?;
    let Some(lease) = standing.lease_or_repeat(completion.number, COMPLETED)? else {
        return Ok(Accepted::Repeated);
    };
    let end = match completion.closes {
        true => End::Closed,
        false => End::Open(standing.last_stage + 1),
    };
    settle(db, worker, &standing, lease, end, COMPLETED)?;
    if completion.closes {
        count_pairs(db, completion.pairs)?;
    }
    record(db, &standing, lease, completion, now)?;
    db.prepare_cached("UPDATE workers SET jobs_completed = jobs_completed + 1 WHERE id = ?1")?
        .execute([worker])?;
    Ok(Accepted::Counted)
}

pub(super) fn flag(db: &Connection, worker: i64) -> Result<Accepted, StoreError> {
    let standing = Standing::of(db, worker)?;
    let Some(lease) = standing.lease_or_repeat(None, FLAGGED)? else {
        return Ok(Accepted::Repeated);
    };
    let back = (standing.first_stage - 1).max(0);
    settle(db, worker, &standing, lease, End::Open(back), FLAGGED)?;
    Ok(Accepted::Counted)
}

pub(super) fn fail(
    db: &Connection,
    worker: i64,
    failure: &Failure,
    now: Timestamp,
) -> Result<Accepted, StoreError> {
    let standing = Standing::of(db, worker)?;
    let Some(lease) = standing.lease_or_repeat(failure.number, FAILED)? else {
        return Ok(Accepted::Repeated);
    };
    let failures = parking::record(db, lease.number, lease.attempt, &failure.message, now)?;
    let end = match failures >= i64::from(failure.limit) {
        true => End::Parked,
        false => End::Open(standing.first_stage),
    };
    settle(db, worker, &standing, lease, end, FAILED)?;
    Ok(Accepted::Counted)
}

/// Opens a job again whose lease ended without a result.
pub(super) fn reopen(db: &Connection, number: i64) -> Result<(), StoreError> {
    let stage: Option<i64> = db
        .prepare_cached(
            "UPDATE jobs SET state = 0 WHERE number = ?1 AND state = 1 RETURNING stage",
        )?
        .query_row([number], |row| row.get(0))
        .optional()?;
    db.prepare_cached("DELETE FROM leases WHERE number = ?1")?
        .execute([number])?;
    match stage {
        Some(stage) => shift(db, stage, 1, -1),
        None => Ok(()),
    }
}

/// Ends a lease and moves the counters. The attempt is the fence: a job that was leased anew since,
/// closed or taken out does not match.
fn settle(
    db: &Connection,
    worker: i64,
    standing: &Standing,
    lease: &Lease,
    end: End,
    how: i64,
) -> Result<(), StoreError> {
    let (state, next_stage) = match end {
        End::Open(stage) => (0, Some(stage)),
        End::Closed => (2, None),
        End::Parked => (4, None),
    };
    let moved = db
        .prepare_cached(
            "UPDATE jobs SET state = ?3, stage = coalesce(?4, stage)
             WHERE number = ?1 AND attempts = ?2 AND state = 1",
        )?
        .execute(params![lease.number, lease.attempt, state, next_stage])?;
    if moved != 1 {
        return Err(StoreError::NoLease);
    }
    db.prepare_cached("DELETE FROM leases WHERE number = ?1")?
        .execute([lease.number])?;
    db.prepare_cached("UPDATE workers SET settled = ?2, settled_as = ?3 WHERE id = ?1")?
        .execute(params![worker, lease.number, how])?;
    shift(db, standing.first_stage, 0, -1)?;
    match end {
        End::Open(stage) => shift(db, stage, 1, 0),
        End::Closed => count(db, "UPDATE totals SET closed = closed + ?1", 1),
        End::Parked => count(db, "UPDATE totals SET parked = parked + ?1", 1),
    }
}

/// Keeps what was accepted, and counts it for the contributor.
fn record(
    db: &Connection,
    standing: &Standing,
    lease: &Lease,
    completion: &Completion,
    now: Timestamp,
) -> Result<(), StoreError> {
    let contributor = contributors::find_or_add(db, &standing.nickname)?;
    let (stage, pairs) = (standing.last_stage, signed(completion.pairs));
    db.prepare_cached(
        "INSERT INTO completions (number, stage, attempt, contributor, pairs, output, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        lease.number,
        stage,
        lease.attempt,
        contributor,
        pairs,
        completion.output,
        now
    ])?;
    contributors::credit(db, stage, contributor, completion.closes, pairs)
}

/// Moves a stage's counters.
pub(super) fn shift(db: &Connection, stage: i64, open: i64, leased: i64) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE stages SET open = open + ?2, leased = leased + ?3 WHERE stage = ?1")?
        .execute([stage, open, leased])?;
    Ok(())
}

fn count_pairs(db: &Connection, pairs: u64) -> Result<(), StoreError> {
    let add = "UPDATE totals SET pairs = pairs + ?1";
    count(db, add, signed(pairs))
}

/// Moves one of the project's counters.
pub(super) fn count(db: &Connection, sql: &str, by: i64) -> Result<(), StoreError> {
    db.prepare_cached(sql)?.execute([by])?;
    Ok(())
}

/// The shard with this number.
pub(super) fn shard(db: &Connection, number: i64) -> rusqlite::Result<Shard> {
    let number = unsigned(number);
    let chunk = number.div_ceil(2);
    let piece = if number % 2 == 1 {
        Piece::First
    } else {
        Piece::Second
    };
    let url: String = db
        .prepare_cached("SELECT url FROM chunks WHERE chunk = ?1")?
        .query_row([signed(chunk)], |row| row.get(0))?;
    Ok(Shard::of_chunk(chunk, piece, url))
}

/// What the stage before handed over last.
fn input(db: &Connection, number: i64, stage: i64) -> Result<Option<String>, StoreError> {
    if stage == 0 {
        return Ok(None);
    }
    let output = db
        .prepare_cached(
            "SELECT output FROM completions WHERE number = ?1 AND stage = ?2
             ORDER BY attempt DESC LIMIT 1",
        )?
        .query_row([number, stage - 1], |row| row.get(0))
        .optional()?;
    Ok(output.flatten())
}

pub(super) fn add_chunks(db: &Connection, urls: &[String]) -> Result<AddedChunks, StoreError> {
    let mut find = db.prepare_cached("SELECT 1 FROM chunks WHERE url_key = ?1 AND url = ?2")?;
    let mut add_chunk =
        db.prepare_cached("INSERT INTO chunks (chunk, url, url_key) VALUES (?1, ?2, ?3)")?;
    let mut add_jobs = db.prepare_cached("INSERT INTO jobs (number) VALUES (?1), (?2)")?;
    let mut chunk: i64 = db
        .prepare_cached("SELECT coalesce(max(chunk), 0) FROM chunks")?
        .query_row([], |row| row.get(0))?;
    let mut result = AddedChunks::default();
    for url in urls {
        let key = url_key(url);
        if find.exists(params![key, url])? {
            result.known += 1;
            continue;
        }
        chunk += 1;
        add_chunk.execute(params![chunk, url, key])?;
        add_jobs.execute([2 * chunk - 1, 2 * chunk])?;
        result.added += 1;
    }
    let jobs = 2 * signed(result.added);
    shift(db, 0, jobs, 0)?;
    db.prepare_cached("UPDATE totals SET jobs = jobs + ?1")?
        .execute([jobs])?;
    Ok(result)
}

/// Where a URL stands in the index: by its folder's hash, then by its file's. Lists go folder by
/// folder, so an import writes to few pages of the index at a time.
fn url_key(url: &str) -> i64 {
    let (folder, file) = url.rsplit_once('/').unwrap_or(("", url));
    let hash = |text: &str| {
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let [a, b, c, d, ..] = digest;
        [a, b, c, d]
    };
    let ([a, b, c, d], [e, f, g, h]) = (hash(folder), hash(file));
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The counters, without the number of workers, which is known in memory.
pub(super) fn counts(db: &Connection) -> Result<Counts, StoreError> {
    let mut counts = db
        .prepare_cached("SELECT jobs, closed, banned, parked, pairs FROM totals")?
        .query_row([], |row| {
            Ok(Counts {
                jobs: unsigned(row.get(0)?),
                closed: unsigned(row.get(1)?),
                banned: unsigned(row.get(2)?),
                parked: unsigned(row.get(3)?),
                pairs: unsigned(row.get(4)?),
                ..Counts::default()
            })
        })?;
    counts.stages = db
        .prepare_cached("SELECT name, open, leased FROM stages ORDER BY stage")?
        .query_map([], |row| {
            Ok(StageCounts {
                name: row.get(0)?,
                open: unsigned(row.get(1)?),
                leased: unsigned(row.get(2)?),
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(counts)
}
