//! What operators do to jobs and to the project.

use tokio_postgres::Row;

use super::{
    chunks::{leave_place, place},
    connection::{Connection, storable},
    deltas::Credit,
    pool::Transaction,
    workers,
};
use crate::store::{
    Excluded, Exclusion, State, StoreError,
    rules::{self, signed},
};

pub(super) async fn exclusions(db: &Connection) -> Result<Vec<Exclusion>, StoreError> {
    let rows = db
        .query(
            "SELECT kind, whom, reason, at FROM exclusions ORDER BY at DESC, kind, whom",
            &[],
        )
        .await?;
    let exclusion = |row: &Row| {
        Some(Exclusion {
            // Nothing else is ever stored.
            whom: Excluded::from_texts(row.get(0), row.get(1))?,
            reason: row.get(2),
            at: row.get(3),
        })
    };
    Ok(rows.iter().filter_map(exclusion).collect())
}

/// Keeps somebody out, and returns the workers that went.
pub(super) async fn exclude(
    tx: &mut Transaction,
    exclusion: &Exclusion,
) -> Result<Vec<i64>, StoreError> {
    // Nobody joins meanwhile who could not see it yet. Whoever has locked rows has locked the table
    // too, and is waited for here before there are rows that it could wait for.
    tx.run("LOCK TABLE workers IN EXCLUSIVE MODE").await?;
    let (kind, whom) = exclusion.whom.as_texts();
    tx.execute(
        "INSERT INTO exclusions (kind, whom, reason, at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (kind, whom) DO UPDATE SET reason = excluded.reason, at = excluded.at",
        &[
            &kind,
            &storable(&whom),
            &storable(&exclusion.reason),
            &exclusion.at,
        ],
    )
    .await?;
    let connected = tx
        .query("SELECT id, nickname, address FROM workers ORDER BY id", &[])
        .await?;
    let is_meant = |row: &&Row| {
        let address: &str = row.get(2);
        exclusion.whom.means(Some(row.get(1)), address.parse().ok())
    };
    let meant: Vec<i64> = connected
        .iter()
        .filter(is_meant)
        .map(|row| row.get(0))
        .collect();
    workers::lock(tx, &meant).await?;
    let mut deltas = std::mem::take(&mut tx.deltas);
    workers::leave(tx, &meant, &mut deltas).await?;
    tx.deltas = deltas;
    Ok(meant)
}

pub(super) async fn readmit(tx: &Transaction, whom: &Excluded) -> Result<bool, StoreError> {
    let (kind, whom) = whom.as_texts();
    let gone = tx
        .execute(
            "DELETE FROM exclusions WHERE kind = $1 AND whom = $2",
            &[&kind, &storable(&whom)],
        )
        .await?;
    Ok(gone > 0)
}

pub(super) async fn init(tx: &mut Transaction, stages: &[String]) -> Result<(), StoreError> {
    // Nobody joins and nothing is imported meanwhile.
    tx.run("LOCK TABLE jobs, workers IN SHARE ROW EXCLUSIVE MODE")
        .await?;
    let rows = tx
        .query("SELECT name FROM stages ORDER BY stage", &[])
        .await?;
    let names: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    if names == stages {
        return Ok(());
    }
    let in_use = tx
        .query_opt(
            "(SELECT 1 FROM jobs LIMIT 1) UNION ALL (SELECT 1 FROM workers LIMIT 1) LIMIT 1",
            &[],
        )
        .await?;
    if in_use.is_some() {
        return Err(rules::has_stages(&names));
    }
    tx.execute("DELETE FROM stages", &[]).await?;
    let numbers: Vec<i64> = (0..).take(stages.len()).collect();
    tx.execute(
        "INSERT INTO stages (stage, name) SELECT * FROM unnest($1::bigint[], $2::text[])",
        &[&numbers, &stages],
    )
    .await?;
    Ok(())
}

/// Makes a job as new, whatever was done with it, and opens it or takes it out.
pub(super) async fn renew(
    tx: &mut Transaction,
    number: u64,
    into: State,
) -> Result<(), StoreError> {
    let id = signed(number);
    let there = place(tx, id).await?;
    let there = there.ok_or(StoreError::NoSuchJob(number))?;
    leave_place(tx, id, &there).await?;
    revoke(tx, id, there.state == State::Closed).await?;
    tx.execute("DELETE FROM flags WHERE number = $1", &[&id])
        .await?;
    tx.execute(
        "UPDATE jobs SET state = $2, stage = 0, failures = 0, setbacks = 0 WHERE number = $1",
        &[&id, &into.code()],
    )
    .await?;
    tx.deltas.enter(into, 0);
    Ok(())
}

/// Takes back what was accepted of a job, from the boards too. Where it was closed, the latest
/// completion is the one that closed it.
async fn revoke(tx: &mut Transaction, number: i64, closed: bool) -> Result<(), StoreError> {
    let rows = tx
        .query(
            "WITH taken AS (
                 UPDATE completions SET revoked = 1 WHERE number = $1 AND revoked = 0
                 RETURNING stage, attempt, contributor, pairs, at, outcomes
             )
             SELECT stage, contributor, pairs, at, outcomes FROM taken
             ORDER BY attempt DESC, stage DESC",
            &[&number],
        )
        .await?;
    for (i, row) in rows.iter().enumerate() {
        tx.deltas.credit(&Credit {
            stage: row.get(0),
            contributor: row.get(1),
            closed: closed && i == 0,
            pairs: row.get(2),
            at: row.get(3),
            by: -1,
        });
        let outcomes = rules::outcomes_of(row.get(4));
        tx.deltas.count_outcomes(&outcomes, -1);
    }
    Ok(())
}

pub(super) async fn banner(db: &Connection) -> Result<String, StoreError> {
    let row = db.query_one("SELECT banner FROM project", &[]).await?;
    Ok(row.get(0))
}

pub(super) async fn set_banner(tx: &Transaction, text: &str) -> Result<(), StoreError> {
    tx.execute("UPDATE project SET banner = $1", &[&storable(text)])
        .await?;
    Ok(())
}
