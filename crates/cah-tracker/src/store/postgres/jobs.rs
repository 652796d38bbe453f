//! Jobs: how many there are, and all that is known about them.

use std::collections::HashMap;

use tokio_postgres::Row;

use super::{
    claims::task,
    connection::{Connection, small, stage},
};
use crate::store::{
    CompletionRecord, Counts, FailedAttempt, JobRecord, Kind, StageCounts, State, StoreError,
    Telling,
    rules::{MUCH_TEXT, signed, unsigned},
};

/// The counters, as of the last commit of any tracker. The workers are counted where it is not
/// known how many there are.
pub(super) async fn counts(db: &Connection, workers: Option<i64>) -> Result<Counts, StoreError> {
    let row = db
        .query_one(
            "SELECT p.kind, t.jobs, t.closed, t.banned, t.parked, t.pairs,
                    coalesce($1::bigint, (SELECT count(*) FROM workers)),
                    array(SELECT name FROM stages ORDER BY stage),
                    array(SELECT open FROM stages ORDER BY stage),
                    array(SELECT leased FROM stages ORDER BY stage)
             FROM totals t, project p",
            &[&workers],
        )
        .await?;
    let names: Vec<String> = row.get(7);
    let open: Vec<i64> = row.get(8);
    let leased: Vec<i64> = row.get(9);
    let stages = names.into_iter().zip(open).zip(leased);
    let stages = stages.map(|((name, open), leased)| StageCounts {
        name,
        open: unsigned(open),
        leased: unsigned(leased),
    });
    let count = |column: usize| unsigned(row.get(column));
    Ok(Counts {
        kind: row.get::<_, Option<&str>>(0).and_then(Kind::from_text),
        jobs: count(1),
        closed: count(2),
        banned: count(3),
        parked: count(4),
        pairs: count(5),
        workers: count(6),
        stages: stages.collect(),
    })
}

/// Jobs in order, but no more after those that have much text. How long a text is stands beside it:
/// it is not read for that.
const RECORDS: &str = "
    SELECT number, state, stage, priority, attempts, failures,
           (SELECT data FROM payloads WHERE payloads.number = jobs.number),
           (SELECT url FROM chunks WHERE chunk = (jobs.number + 1) / 2)
    FROM (
        SELECT first.*, sum(
                   coalesce((SELECT octet_length(data) FROM payloads p
                             WHERE p.number = first.number), 0)
                   + coalesce((SELECT sum(octet_length(output)) FROM completions c
                               WHERE c.number = first.number), 0)
               ) OVER (ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
        FROM (SELECT * FROM jobs WHERE number > $1 ORDER BY number LIMIT $2) first
    ) jobs
    WHERE coalesce(before, 0) < $3::bigint ORDER BY number";

pub(super) async fn records(
    db: &Connection,
    after: u64,
    limit: u32,
    telling: Telling,
) -> Result<Vec<JobRecord>, StoreError> {
    // What is accepted between the reads is told already, the job's new state with it next time.
    let (after, limit) = (signed(after), i64::from(limit));
    let much = MUCH_TEXT as i64;
    let jobs = db.query(RECORDS, &[&after, &limit, &much]).await?;
    let numbers: Vec<i64> = jobs.iter().map(|row| row.get(0)).collect();
    let mut completions = completions(db, &numbers, telling).await?;
    let mut failed = failed(db, &numbers, telling).await?;
    let record = |row: &Row| {
        let number = row.get(0);
        Ok(JobRecord {
            number: unsigned(number),
            task: task(number, row.get(6), row.get(7))?,
            // The schema knows no other states.
            state: State::from_code(row.get(1)).unwrap_or(State::Banned),
            stage: stage(row.get(2)),
            priority: row.get(3),
            attempts: small(row.get(4)),
            failures: small(row.get(5)),
            completions: completions.remove(&number).unwrap_or_default(),
            failed: failed.remove(&number).unwrap_or_default(),
        })
    };
    jobs.iter().map(record).collect()
}

async fn completions(
    db: &Connection,
    numbers: &[i64],
    telling: Telling,
) -> Result<HashMap<i64, Vec<CompletionRecord>>, StoreError> {
    let rows = db
        .query(
            "SELECT c.number, c.stage, c.attempt, n.nickname, c.pairs,
                    CASE WHEN $3 THEN c.output END, c.at, c.revoked,
                    octet_length(c.output)::bigint
             FROM completions c JOIN contributors n ON n.id = c.contributor
             JOIN jobs j ON j.number = c.number
             WHERE c.number = ANY ($1) AND c.attempt > j.attempts - $2
             ORDER BY c.attempt, c.stage",
            &[&numbers, &i64::from(telling.attempts), &telling.outputs],
        )
        .await?;
    let mut completions: HashMap<i64, Vec<CompletionRecord>> = HashMap::new();
    for row in rows {
        let of_job = completions.entry(row.get(0)).or_default();
        of_job.push(CompletionRecord {
            stage: stage(row.get(1)),
            attempt: small(row.get(2)),
            nickname: row.get(3),
            pairs: unsigned(row.get(4)),
            output: row.get(5),
            at: row.get(6),
            revoked: row.get::<_, i64>(7) != 0,
            output_bytes: row.get::<_, Option<i64>>(8).map(unsigned),
        });
    }
    Ok(completions)
}

async fn failed(
    db: &Connection,
    numbers: &[i64],
    telling: Telling,
) -> Result<HashMap<i64, Vec<FailedAttempt>>, StoreError> {
    let rows = db
        .query(
            "SELECT f.number, f.attempt, f.message, f.at
             FROM failures f JOIN jobs j ON j.number = f.number
             WHERE f.number = ANY ($1) AND f.attempt > j.attempts - $2 ORDER BY f.attempt",
            &[&numbers, &i64::from(telling.attempts)],
        )
        .await?;
    let mut failed: HashMap<i64, Vec<FailedAttempt>> = HashMap::new();
    for row in rows {
        failed.entry(row.get(0)).or_default().push(FailedAttempt {
            attempt: small(row.get(1)),
            message: row.get(2),
            at: row.get(3),
        });
    }
    Ok(failed)
}
