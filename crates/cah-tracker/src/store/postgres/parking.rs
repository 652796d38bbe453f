//! Jobs that failed so often that a person should look at them.

use super::{
    chunks,
    claims::task,
    connection::{Connection, small},
    pool::Transaction,
};
use crate::store::{
    ParkedJob, State, StoreError,
    rules::{self, signed, unsigned},
};

/// The latest messages that are shown of a parked job.
const MESSAGES: i64 = 3;

pub(super) const LIST: &str = "
    SELECT number, failures,
           (SELECT data FROM payloads WHERE payloads.number = jobs.number),
           (SELECT url FROM chunks WHERE chunk = (jobs.number + 1) / 2),
           array(SELECT message FROM failures f WHERE f.number = jobs.number
                 ORDER BY attempt DESC LIMIT $2)
    FROM jobs WHERE state = 4 AND number > $3 ORDER BY number LIMIT $1";

pub(super) async fn list(
    db: &Connection,
    after: u64,
    limit: u32,
) -> Result<Vec<ParkedJob>, StoreError> {
    let rows = db
        .query(LIST, &[&i64::from(limit), &MESSAGES, &signed(after)])
        .await?;
    let parked = rows.iter().map(|row| {
        let number = row.get(0);
        Ok(ParkedJob {
            number: unsigned(number),
            task: task(number, row.get(2), row.get(3))?,
            failures: small(row.get(1)),
            messages: row.get(4),
        })
    });
    parked.collect()
}

/// Opens parked jobs again: one or all.
pub(super) async fn requeue(tx: &mut Transaction, number: Option<u64>) -> Result<u64, StoreError> {
    let rows = tx
        .query(
            // In the order of their numbers, so that two who lock several never wait for each other.
            "WITH parked AS MATERIALIZED (
                 SELECT number FROM jobs
                 WHERE state = 4 AND ($1::bigint IS NULL OR number = $1)
                 ORDER BY number FOR UPDATE
             ), opened AS (
                 UPDATE jobs SET state = 0, failures = 0, setbacks = 0
                 FROM parked WHERE jobs.number = parked.number RETURNING stage
             )
             SELECT stage, count(*) FROM opened GROUP BY stage",
            &[&number.map(signed)],
        )
        .await?;
    let mut opened = 0;
    for row in rows {
        let (stage, jobs) = (row.get(0), row.get::<_, i64>(1));
        tx.deltas.enter_many(State::Open, stage, jobs);
        tx.deltas.enter_many(State::Parked, stage, -jobs);
        opened += unsigned(jobs);
    }
    if let (Some(number), 0) = (number, opened) {
        let there = chunks::place(tx, signed(number)).await?;
        return Err(rules::not_parked(number, there));
    }
    Ok(opened)
}
