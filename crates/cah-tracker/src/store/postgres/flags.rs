//! Workers that say of their input that it is no good, or do not want to go on with it.

use super::{connection::stage as stage_number, pool::Transaction};
use crate::{
    clock::Timestamp,
    store::{
        Accepted, Flag, State, StoreError,
        rules::{self, FLAGGED, GIVEN_BACK},
    },
};

/// A lease that is about to end.
struct Held {
    number: i64,
    attempt: i64,
    stage: i64,
}

pub(super) async fn flag(
    tx: &mut Transaction,
    worker: i64,
    flag: Flag,
    now: Timestamp,
) -> Result<Accepted, StoreError> {
    let Some(held) = lock(tx, worker, flag.number, FLAGGED).await? else {
        return Ok(Accepted::Repeated);
    };
    let (state, stage) = report(tx, worker, &held, flag, now).await?;
    end(tx, &held, state, stage).await?;
    remember(tx, worker, held.number, FLAGGED).await?;
    Ok(Accepted::Counted)
}

/// Opens the job of a worker that does not want to go on with it.
pub(super) async fn give_back(
    tx: &mut Transaction,
    worker: i64,
    number: Option<u64>,
) -> Result<Accepted, StoreError> {
    let Some(held) = lock(tx, worker, number, GIVEN_BACK).await? else {
        return Ok(Accepted::Repeated);
    };
    end(tx, &held, State::Open, held.stage).await?;
    remember(tx, worker, held.number, GIVEN_BACK).await?;
    Ok(Accepted::Counted)
}

/// The lease of a worker, where it is on the job that the call names; `None` where the call repeats
/// one that settled it in this way. The worker is locked first, then its lease, then the job, as in
/// all that is about a worker.
async fn lock(
    tx: &Transaction,
    worker: i64,
    named: Option<u64>,
    how: i64,
) -> Result<Option<Held>, StoreError> {
    let row = tx
        .query_opt(
            "SELECT first_stage, settled, settled_as FROM workers WHERE id = $1 FOR UPDATE",
            &[&worker],
        )
        .await?
        .ok_or(StoreError::UnknownWorker)?;
    let lease = tx
        .query_opt(
            "SELECT number, attempt FROM leases WHERE worker = $1 FOR UPDATE",
            &[&worker],
        )
        .await?;
    let held = lease.map(|lease| Held {
        number: lease.get(0),
        attempt: lease.get(1),
        stage: row.get(0),
    });
    match held {
        Some(held) if rules::is_named(named, held.number) => Ok(Some(held)),
        held => {
            let settled = Option::zip(row.get(1), row.get(2));
            let held = held.map(|held| held.number);
            rules::repeats(named, how, held, settled).map(|_| None)
        }
    }
}

async fn remember(tx: &Transaction, worker: i64, number: i64, how: i64) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE workers SET settled = $2, settled_as = $3 WHERE id = $1",
        &[&worker, &number, &how],
    )
    .await?;
    Ok(())
}

/// Counts the report, and says what becomes of the job.
async fn report(
    tx: &Transaction,
    worker: i64,
    held: &Held,
    flag: Flag,
    now: Timestamp,
) -> Result<(State, i64), StoreError> {
    let (number, stage) = (held.number, held.stage);
    // Two workers that flag the same job one after the other never hold it at the same time: the
    // job's row orders them.
    tx.query_one(
        "SELECT 1 FROM jobs WHERE number = $1 FOR UPDATE",
        &[&number],
    )
    .await?;
    tx.execute(
        "INSERT INTO flags (number, stage, worker, at) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING",
        &[&number, &stage, &worker, &now],
    )
    .await?;
    let reports: i64 = tx
        .query_one(
            "SELECT count(*) FROM flags WHERE number = $1 AND stage = $2",
            &[&number, &stage],
        )
        .await?
        .get(0);
    if reports < i64::from(flag.reports) {
        tx.execute(
            "UPDATE jobs SET setbacks = setbacks + 1 WHERE number = $1",
            &[&number],
        )
        .await?;
        return Ok((State::Open, stage));
    }
    let failures = go_back(tx, held, now).await?;
    let state = rules::after_failures(failures, flag.max_failures);
    Ok((state, i64::from(stage_number(stage).saturating_sub(1))))
}

/// The input is made anew, and the job has failed once more; returns how often. At the first stage
/// there is none to make: there the job falls behind, as with any other setback.
async fn go_back(tx: &Transaction, held: &Held, now: Timestamp) -> Result<i64, StoreError> {
    tx.execute(
        "DELETE FROM flags WHERE number = $1 AND stage = $2",
        &[&held.number, &held.stage],
    )
    .await?;
    tx.execute(
        "INSERT INTO failures (number, attempt, message, at) VALUES ($1, $2, $3, $4)",
        &[&held.number, &held.attempt, &rules::INVALID_INPUT, &now],
    )
    .await?;
    let is_first = held.stage == 0;
    let row = tx
        .query_one(
            "UPDATE jobs SET failures = failures + 1,
                             setbacks = CASE WHEN $2::bool THEN setbacks + 1 ELSE 0 END
             WHERE number = $1 RETURNING failures",
            &[&held.number, &is_first],
        )
        .await?;
    Ok(row.get(0))
}

/// Ends a lease. The attempt is the fence.
async fn end(
    tx: &mut Transaction,
    held: &Held,
    state: State,
    stage: i64,
) -> Result<(), StoreError> {
    let moved = tx
        .execute(
            "UPDATE jobs SET state = $3, stage = $4
             WHERE number = $1 AND attempts = $2 AND state = 1",
            &[&held.number, &held.attempt, &state.code(), &stage],
        )
        .await?;
    if moved != 1 {
        return Err(StoreError::NoLease);
    }
    tx.execute("DELETE FROM leases WHERE number = $1", &[&held.number])
        .await?;
    tx.deltas.leave(State::Leased, held.stage);
    tx.deltas.enter(state, stage);
    Ok(())
}
