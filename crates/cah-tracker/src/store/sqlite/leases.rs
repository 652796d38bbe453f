//! Leases: each function is one change, made inside the writer's transaction.

use rand::random_range;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    contributors::{self, Credit},
    jobs, parking,
};
use crate::{
    clock::Timestamp,
    store::{
        Accepted, Claim, Claimed, Completion, Failure, Flag, Moment, Order, Role, State,
        StoreError, keys,
        rules::{self, COMPLETED, FAILED, FLAGGED, GIVEN_BACK, Place, signed, unsigned},
    },
};

/// The next job of a stage. `state = 0` is spelled out so that the partial index applies.
pub(super) const FIRST_OPEN: &str =
    "SELECT number, priority, setbacks FROM jobs WHERE state = 0 AND stage = ?1
     ORDER BY priority DESC, setbacks, number LIMIT 1";

/// The next one after a number, among the first ones' equals.
pub(super) const OPEN_FROM: &str = "SELECT number FROM jobs
     WHERE state = 0 AND stage = ?1 AND priority = ?2 AND setbacks = ?3 AND number >= ?4
     ORDER BY number LIMIT 1";

/// A lease, as a worker holds it.
pub(super) struct Lease {
    pub(super) number: i64,
    attempt: i64,
    /// The stage that the job waited at.
    stage: i64,
}

/// What the database knows about a caller.
struct Standing {
    nickname: String,
    first_stage: i64,
    last_stage: i64,
    /// The project's last stage: what completes it closes the job.
    final_stage: i64,
    lease: Option<Lease>,
    /// The job that was settled last and how, no job claimed since.
    settled: Option<(i64, i64)>,
}

impl Standing {
    fn of(db: &Connection, worker: i64) -> Result<Self, StoreError> {
        db.prepare_cached(
            "SELECT w.nickname, w.first_stage, w.last_stage, (SELECT max(stage) FROM stages),
                    w.settled, w.settled_as, l.number, l.attempt
             FROM workers w LEFT JOIN leases l ON l.worker = w.id WHERE w.id = ?1",
        )?
        .query_row([worker], |row| {
            let first_stage = row.get(1)?;
            let lease = match row.get(6)? {
                Some(number) => Some(Lease {
                    number,
                    attempt: row.get(7)?,
                    stage: first_stage,
                }),
                None => None,
            };
            Ok(Self {
                nickname: row.get(0)?,
                first_stage,
                last_stage: row.get(2)?,
                final_stage: row.get(3)?,
                lease,
                settled: Option::zip(row.get(4)?, row.get(5)?),
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
        match &self.lease {
            Some(lease) if rules::is_named(number, lease.number) => Ok(Some(lease)),
            held => {
                let held = held.as_ref().map(|lease| lease.number);
                rules::repeats(number, call, held, self.settled).map(|_| None)
            }
        }
    }
}

/// `None` where no job is open; a job that the caller held is no longer its own even then.
pub(super) fn claim(
    db: &Connection,
    worker: i64,
    role: Role,
    claim: Claim,
    moment: Moment,
) -> Result<Option<Claimed>, StoreError> {
    let standing = Standing::of(db, worker)?;
    if let Some(lease) = &standing.lease {
        set_back(db, lease, rules::ASKED_ANEW, claim.max_failures, moment.now)?;
    }
    let stage = standing.first_stage;
    let Some(number) = first_open(db, stage, claim.order)? else {
        return Ok(None);
    };
    let task = jobs::task(db, number)?;
    if !role.does(&task) {
        return Err(StoreError::UnknownWorker);
    }
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
    jobs::shift(db, stage, -1, 1)?;
    Ok(Some(Claimed {
        role,
        number: unsigned(number),
        task,
        attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
        until: moment.until,
        input: jobs::input(db, number, stage)?,
    }))
}

/// A job that would be claimed now, and where it stands in the order.
pub(super) struct FirstOpen {
    number: i64,
    pub(super) priority: i64,
    pub(super) setbacks: i64,
}

pub(super) fn first_open(
    db: &Connection,
    stage: i64,
    order: Order,
) -> rusqlite::Result<Option<i64>> {
    if order == Order::Oldest {
        return Ok(oldest(db, stage)?.map(|first| first.number));
    }
    let Some((first, from)) = draw(db, stage)? else {
        return Ok(None);
    };
    let drawn = db
        .prepare_cached(OPEN_FROM)?
        .query_row([stage, first.priority, first.setbacks, from], |row| {
            row.get(0)
        })
        .optional()?;
    Ok(Some(drawn.unwrap_or(first.number)))
}

fn oldest(db: &Connection, stage: i64) -> rusqlite::Result<Option<FirstOpen>> {
    db.prepare_cached(FIRST_OPEN)?
        .query_row([stage], |row| {
            Ok(FirstOpen {
                number: row.get(0)?,
                priority: row.get(1)?,
                setbacks: row.get(2)?,
            })
        })
        .optional()
}

/// The first open job of a stage, and a number from which on to look among its equals.
pub(super) fn draw(db: &Connection, stage: i64) -> rusqlite::Result<Option<(FirstOpen, i64)>> {
    let Some(first) = oldest(db, stage)? else {
        return Ok(None);
    };
    let jobs: i64 = db
        .prepare_cached("SELECT jobs FROM totals")?
        .query_row([], |row| row.get(0))?;
    let from = random_range(first.number..=jobs.max(first.number));
    Ok(Some((first, from)))
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
    let stage = standing.last_stage;
    let closes = completion.closes || stage == standing.final_stage;
    settle(db, worker, lease, Place::after(stage, closes), COMPLETED)?;
    let done = Done {
        number: lease.number,
        attempt: lease.attempt,
        stage,
        closes,
    };
    record(db, &standing.nickname, done, completion, now)?;
    db.prepare_cached(
        "UPDATE workers SET jobs_completed = jobs_completed + 1, pairs = pairs + ?2 WHERE id = ?1",
    )?
    .execute([worker, signed(completion.pairs)])?;
    Ok(Accepted::Counted)
}

pub(super) fn flag(
    db: &Connection,
    worker: i64,
    flag: Flag,
    now: Timestamp,
) -> Result<Accepted, StoreError> {
    let standing = Standing::of(db, worker)?;
    let Some(lease) = standing.lease_or_repeat(flag.number, FLAGGED)? else {
        return Ok(Accepted::Repeated);
    };
    let (number, stage) = (lease.number, lease.stage);
    db.prepare_cached(
        "INSERT INTO flags (number, stage, worker, at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO NOTHING",
    )?
    .execute(params![number, stage, worker, now])?;
    let reports: i64 = db
        .prepare_cached("SELECT count(*) FROM flags WHERE number = ?1 AND stage = ?2")?
        .query_row([number, stage], |row| row.get(0))?;
    let end = match reports >= i64::from(flag.reports) {
        true => {
            start_anew(db, number, stage)?;
            let attempt = lease.attempt;
            let failures = parking::record(db, number, attempt, rules::INVALID_INPUT, now)?;
            Place {
                state: rules::after_failures(failures, flag.max_failures),
                stage: (stage - 1).max(0),
            }
        }
        false => {
            fall_behind(db, number)?;
            Place {
                state: State::Open,
                stage,
            }
        }
    };
    settle(db, worker, lease, end, FLAGGED)?;
    Ok(Accepted::Counted)
}

/// Puts a job behind the open ones with fewer setbacks, so that who set it back is not handed it
/// again at once.
fn fall_behind(db: &Connection, number: i64) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE jobs SET setbacks = setbacks + 1 WHERE number = ?1")?
        .execute([number])?;
    Ok(())
}

/// Forgets what was said of an input that is made anew. At the first stage there is none to make:
/// there the job falls behind, as with any other setback.
fn start_anew(db: &Connection, number: i64, stage: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM flags WHERE number = ?1 AND stage = ?2")?
        .execute([number, stage])?;
    if stage == 0 {
        return fall_behind(db, number);
    }
    db.prepare_cached("UPDATE jobs SET setbacks = 0 WHERE number = ?1")?
        .execute([number])?;
    Ok(())
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
    fall_behind(db, lease.number)?;
    set_back(db, lease, &failure.message, failure.max_failures, now)?;
    remember(db, worker, lease.number, FAILED)?;
    Ok(Accepted::Counted)
}

/// Ends a lease that brought nothing: the job is open again, or parked.
pub(super) fn set_back(
    db: &Connection,
    lease: &Lease,
    message: &str,
    max_failures: u32,
    now: Timestamp,
) -> Result<(), StoreError> {
    let failures = parking::record(db, lease.number, lease.attempt, message, now)?;
    let end = Place {
        state: rules::after_failures(failures, max_failures),
        stage: lease.stage,
    };
    end_lease(db, lease, end)
}

/// Opens the job of a worker that does not want to go on with it.
pub(super) fn give_back(
    db: &Connection,
    worker: i64,
    number: Option<u64>,
) -> Result<Accepted, StoreError> {
    let standing = Standing::of(db, worker)?;
    let Some(lease) = standing.lease_or_repeat(number, GIVEN_BACK)? else {
        return Ok(Accepted::Repeated);
    };
    settle(db, worker, lease, open_at(lease), GIVEN_BACK)?;
    Ok(Accepted::Counted)
}

/// Where a job is that nothing has become of.
fn open_at(lease: &Lease) -> Place {
    Place {
        state: State::Open,
        stage: lease.stage,
    }
}

/// Opens the job of a worker that leaves, and returns whether it had one.
pub(super) fn leave_open(db: &Connection, worker: i64) -> Result<bool, StoreError> {
    let Some(lease) = Standing::of(db, worker)?.lease else {
        return Ok(false);
    };
    end_lease(db, &lease, open_at(&lease))?;
    Ok(true)
}

/// The lease that a worker holds.
pub(super) fn held(db: &Connection, worker: i64) -> Result<Option<Lease>, StoreError> {
    Ok(Standing::of(db, worker)?.lease)
}

/// Ends a lease as its worker asked for, so that it may ask again.
fn settle(
    db: &Connection,
    worker: i64,
    lease: &Lease,
    end: Place,
    how: i64,
) -> Result<(), StoreError> {
    end_lease(db, lease, end)?;
    remember(db, worker, lease.number, how)
}

fn remember(db: &Connection, worker: i64, number: i64, how: i64) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE workers SET settled = ?2, settled_as = ?3 WHERE id = ?1")?
        .execute([worker, number, how])?;
    Ok(())
}

/// Ends a lease and moves the counters. The attempt is the fence: a job that was leased anew since,
/// closed or taken out does not match.
fn end_lease(db: &Connection, lease: &Lease, end: Place) -> Result<(), StoreError> {
    let moved = db
        .prepare_cached(
            "UPDATE jobs SET state = ?3, stage = ?4
             WHERE number = ?1 AND attempts = ?2 AND state = 1",
        )?
        .execute([lease.number, lease.attempt, end.state.code(), end.stage])?;
    if moved != 1 {
        return Err(StoreError::NoLease);
    }
    db.prepare_cached("DELETE FROM leases WHERE number = ?1")?
        .execute([lease.number])?;
    jobs::shift(db, lease.stage, 0, -1)?;
    jobs::enter(db, end.state, end.stage)
}

/// A stage of a job that is done.
pub(super) struct Done {
    pub(super) number: i64,
    pub(super) attempt: i64,
    pub(super) stage: i64,
    pub(super) closes: bool,
}

/// Keeps what was accepted, and counts it for the contributor.
pub(super) fn record(
    db: &Connection,
    nickname: &str,
    done: Done,
    completion: &Completion,
    now: Timestamp,
) -> Result<(), StoreError> {
    let contributor = contributors::find_or_add(db, nickname)?;
    let pairs = signed(completion.pairs);
    db.prepare_cached(
        "INSERT INTO completions (number, stage, attempt, contributor, pairs, output, output_key,
                                  at, outcomes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        done.number,
        done.stage,
        done.attempt,
        contributor,
        pairs,
        completion.output,
        completion.output.as_deref().map(keys::of_text),
        now,
        rules::outcomes_text(&completion.outcomes)?
    ])?;
    if done.closes {
        jobs::count(db, "UPDATE totals SET pairs = pairs + ?1", pairs)?;
    }
    contributors::count_outcomes(db, &completion.outcomes, 1)?;
    let credit = Credit {
        stage: done.stage,
        contributor,
        closed: done.closes,
        pairs,
        at: now,
        by: 1,
    };
    contributors::credit(db, &credit)
}
