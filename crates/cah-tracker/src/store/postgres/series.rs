//! The points behind charts and ETA.

use super::{connection::Connection, pool::Transaction};
use crate::{
    clock::Timestamp,
    store::{Point, StoreError, rules::unsigned},
};

pub(super) async fn record(tx: &Transaction, now: Timestamp) -> Result<(), StoreError> {
    // Points of the future were recorded by a clock that was wrong, and would stand before all
    // that come until then.
    tx.execute("DELETE FROM series WHERE at > $1", &[&now])
        .await?;
    tx.execute(
        "INSERT INTO series (at, closed, pairs) SELECT $1::bigint, closed, pairs FROM totals
         ON CONFLICT (at) DO UPDATE SET closed = excluded.closed, pairs = excluded.pairs",
        &[&now],
    )
    .await?;
    Ok(())
}

pub(super) async fn last(db: &Connection, limit: u32) -> Result<Vec<Point>, StoreError> {
    let rows = db
        .query(
            "SELECT at, closed, pairs FROM series ORDER BY at DESC LIMIT $1",
            &[&i64::from(limit)],
        )
        .await?;
    let points = rows.iter().rev().map(|row| Point {
        at: row.get(0),
        closed: unsigned(row.get(1)),
        pairs: unsigned(row.get(2)),
    });
    Ok(points.collect())
}
