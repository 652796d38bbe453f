//! How leases end: what many workers ask for at the same time is one statement for all of them.
//!
//! Each statement locks the rows of the workers first, in the order of their ids, so that nothing
//! happens to a worker while another change about it is under way. A statement that finds nothing
//! to change changes nothing; why, is found out after it.

use std::collections::HashMap;

use tokio_postgres::Row;

use super::{
    connection::{Connection, Params},
    deltas::{Credit, Deltas},
};
use crate::{
    clock::Timestamp,
    store::{
        Accepted, Completion, Failure, State, StoreError, keys,
        rules::{self, Place, signed},
    },
};

/// What one worker made of its job.
pub(super) struct CompleteAsk {
    pub(super) worker: i64,
    pub(super) completion: Completion,
    pub(super) now: Timestamp,
}

/// Why one worker cannot do its job.
pub(super) struct FailAsk {
    pub(super) worker: i64,
    pub(super) failure: Failure,
    pub(super) now: Timestamp,
}

const COMPLETE: &str = "
    WITH held AS MATERIALIZED (
        SELECT l.number, l.attempt, w.id AS worker, w.first_stage, w.last_stage, w.nickname,
               a.closes OR w.last_stage = (SELECT max(stage) FROM stages) AS closes,
               a.pairs, a.output, a.output_key, a.at, a.outcomes
        FROM unnest($1::bigint[], $2::bigint[], $3::bool[], $4::bigint[], $5::text[],
                    $6::bigint[], $7::bigint[], $8::text[])
             AS a (worker, number, closes, pairs, output, output_key, at, outcomes)
        JOIN workers w ON w.id = a.worker JOIN leases l ON l.worker = w.id
        WHERE a.number IS NULL OR a.number = l.number
        ORDER BY w.id FOR UPDATE OF w, l
    ), job AS (
        UPDATE jobs j SET state = CASE WHEN h.closes THEN 2 ELSE 0 END,
                          stage = h.last_stage + CASE WHEN h.closes THEN 0 ELSE 1 END
        FROM held h
        WHERE j.number = h.number AND j.attempts = h.attempt AND j.state = 1
        RETURNING h.*
    ), gone AS (
        DELETE FROM leases USING job WHERE leases.number = job.number
    ), known AS MATERIALIZED (
        SELECT id, nickname FROM contributors WHERE nickname IN (SELECT nickname FROM job)
    ), new AS (
        INSERT INTO contributors (nickname)
        SELECT nickname FROM job EXCEPT SELECT nickname FROM known ORDER BY nickname
        ON CONFLICT (nickname) DO UPDATE SET nickname = excluded.nickname
        RETURNING id, nickname
    ), contributor AS (
        SELECT id, nickname FROM known UNION ALL SELECT id, nickname FROM new
    ), done AS (
        INSERT INTO completions (number, stage, attempt, contributor, pairs, output, output_key,
                                 at, outcomes)
        SELECT number, last_stage, attempt, contributor.id, pairs, output, output_key, at,
               outcomes
        FROM job JOIN contributor USING (nickname)
    ), settled AS (
        UPDATE workers w SET settled = job.number, settled_as = 1,
                             jobs_completed = jobs_completed + 1, pairs = w.pairs + job.pairs
        FROM job WHERE w.id = job.worker
    )
    SELECT worker, first_stage, last_stage, closes, pairs, contributor.id, at, outcomes
    FROM job JOIN contributor USING (nickname)";

/// Ends leases that brought nothing: the jobs are open again, or parked. One that its worker gives
/// back goes behind the open ones with fewer setbacks, so that the worker is not handed it again at
/// once.
const SET_BACK: &str = "
    WITH held AS MATERIALIZED (
        SELECT l.number, l.attempt, w.id AS worker, w.first_stage, a.message, a.max_failures, a.at
        FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[])
             AS a (worker, number, message, max_failures, at)
        JOIN workers w ON w.id = a.worker JOIN leases l ON l.worker = w.id
        WHERE a.number IS NULL OR a.number = l.number
        ORDER BY w.id FOR UPDATE OF w, l
    ), job AS (
        UPDATE jobs j SET failures = j.failures + 1,
                          setbacks = j.setbacks + CASE WHEN $6::bool THEN 1 ELSE 0 END,
                          stage = h.first_stage,
                          state = CASE WHEN j.failures + 1 >= h.max_failures THEN 4 ELSE 0 END
        FROM held h
        WHERE j.number = h.number AND j.attempts = h.attempt AND j.state = 1
        RETURNING h.*, j.state
    ), gone AS (
        DELETE FROM leases USING job WHERE leases.number = job.number
    ), why AS (
        INSERT INTO failures (number, attempt, message, at)
        SELECT number, attempt, message, at FROM job
    ), settled AS (
        UPDATE workers w SET settled = job.number, settled_as = 3
        FROM job WHERE $6::bool AND w.id = job.worker
    )
    SELECT worker, first_stage, state FROM job";

const STANDING: &str = "
    SELECT w.id, l.number, w.settled, w.settled_as
    FROM workers w LEFT JOIN leases l ON l.worker = w.id WHERE w.id = ANY ($1)";

/// The statements that batches send, to be prepared before.
pub(super) const STATEMENTS: &[&str] = &[COMPLETE, SET_BACK];

/// Accepts results of those workers that hold the job; `None` for the others.
pub(super) async fn complete(
    db: &Connection,
    asks: &[&CompleteAsk],
    deltas: &mut Deltas,
) -> Result<Vec<Option<Accepted>>, StoreError> {
    if asks.is_empty() {
        return Ok(Vec::new());
    }
    let workers: Vec<i64> = asks.iter().map(|ask| ask.worker).collect();
    let what = || asks.iter().map(|ask| &ask.completion);
    let numbers: Vec<Option<i64>> = what().map(|made| made.number.map(signed)).collect();
    let closes: Vec<bool> = what().map(|made| made.closes).collect();
    let pairs: Vec<i64> = what().map(|made| signed(made.pairs)).collect();
    let outputs: Vec<Option<&str>> = what().map(|made| made.output.as_deref()).collect();
    let keys = outputs.iter().map(|output| output.map(keys::of_text));
    let keys: Vec<Option<i64>> = keys.collect();
    let at: Vec<i64> = asks.iter().map(|ask| ask.now).collect();
    let outcomes = what().map(|made| rules::outcomes_text(&made.outcomes));
    let outcomes: Vec<Option<String>> = outcomes.collect::<Result<_, _>>()?;
    let params: Params<'_> = &[
        &workers, &numbers, &closes, &pairs, &outputs, &keys, &at, &outcomes,
    ];
    let rows = db.query(COMPLETE, params).await?;
    for row in &rows {
        let (last, closes) = (row.get(2), row.get(3));
        let next = Place::after(last, closes);
        deltas.leave(State::Leased, row.get(1));
        deltas.enter(next.state, next.stage);
        deltas.credit(&Credit {
            stage: last,
            closed: closes,
            pairs: row.get(4),
            contributor: row.get(5),
            at: row.get(6),
            by: 1,
        });
        deltas.count_outcomes(&rules::outcomes_of(row.get(7)), 1);
    }
    Ok(accepted(&rows, asks.iter().map(|ask| ask.worker)))
}

/// Takes jobs back from those workers that hold them; `None` for the others.
pub(super) async fn fail(
    db: &Connection,
    asks: &[&FailAsk],
    deltas: &mut Deltas,
) -> Result<Vec<Option<Accepted>>, StoreError> {
    let setbacks: Vec<Setback<'_>> = asks
        .iter()
        .map(|ask| Setback {
            worker: ask.worker,
            number: ask.failure.number.map(signed),
            message: &ask.failure.message,
            max_failures: ask.failure.max_failures,
            now: ask.now,
        })
        .collect();
    let rows = set_back(db, &setbacks, true, deltas).await?;
    Ok(accepted(&rows, asks.iter().map(|ask| ask.worker)))
}

/// Who is among the rows that a statement returned has been counted.
fn accepted(rows: &[Row], workers: impl Iterator<Item = i64>) -> Vec<Option<Accepted>> {
    let counted: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    let answer = |worker| counted.contains(&worker).then_some(Accepted::Counted);
    workers.map(answer).collect()
}

/// A lease that ends without a result, and not because its worker left.
pub(super) struct Setback<'a> {
    pub(super) worker: i64,
    /// The job, where the worker names it.
    pub(super) number: Option<i64>,
    pub(super) message: &'a str,
    pub(super) max_failures: u32,
    pub(super) now: Timestamp,
}

/// Returns a row for each job that was taken back. `settles`: the worker gives it back, and may say
/// so again.
pub(super) async fn set_back(
    db: &Connection,
    setbacks: &[Setback<'_>],
    settles: bool,
    deltas: &mut Deltas,
) -> Result<Vec<Row>, StoreError> {
    if setbacks.is_empty() {
        return Ok(Vec::new());
    }
    let workers: Vec<i64> = setbacks.iter().map(|s| s.worker).collect();
    let numbers: Vec<Option<i64>> = setbacks.iter().map(|s| s.number).collect();
    let messages: Vec<&str> = setbacks.iter().map(|s| s.message).collect();
    let limits = setbacks.iter().map(|s| i64::from(s.max_failures));
    let limits: Vec<i64> = limits.collect();
    let at: Vec<i64> = setbacks.iter().map(|s| s.now).collect();
    let rows = db
        .query(
            SET_BACK,
            &[&workers, &numbers, &messages, &limits, &at, &settles],
        )
        .await?;
    for row in &rows {
        let (stage, state) = (row.get(1), row.get(2));
        deltas.leave(State::Leased, stage);
        // The statement yields no others.
        deltas.enter(State::from_code(state).unwrap_or(State::Open), stage);
    }
    Ok(rows)
}

/// A call that found no such lease.
pub(super) struct Vain {
    pub(super) worker: i64,
    pub(super) number: Option<u64>,
    /// How the call would have settled the job.
    pub(super) how: i64,
}

/// Why calls found nothing to change: they repeat what was accepted, or are refused.
pub(super) async fn explain(
    db: &Connection,
    vain: &[Vain],
) -> Result<Vec<Result<Accepted, StoreError>>, StoreError> {
    if vain.is_empty() {
        return Ok(Vec::new());
    }
    let workers: Vec<i64> = vain.iter().map(|call| call.worker).collect();
    let rows = db.query(STANDING, &[&workers]).await?;
    let rows = rows.into_iter().map(|row| (row.get(0), row));
    let standings: HashMap<i64, Row> = rows.collect();
    let answers = vain.iter().map(|call| {
        let row = standings.get(&call.worker);
        let row = row.ok_or(StoreError::UnknownWorker)?;
        rules::repeats(
            call.number,
            call.how,
            row.get(1),
            Option::zip(row.get(2), row.get(3)),
        )
    });
    Ok(answers.collect())
}
