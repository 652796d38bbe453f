//! The points behind charts and ETA.

use rusqlite::Connection;

use crate::{
    clock::Timestamp,
    store::{Point, StoreError, rules::unsigned},
};

pub(super) fn record(db: &Connection, now: Timestamp) -> Result<(), StoreError> {
    // Points of the future were recorded by a clock that was wrong, and would stand before all
    // that come until then.
    db.prepare_cached("DELETE FROM series WHERE at > ?1")?
        .execute([now])?;
    db.prepare_cached(
        "INSERT OR REPLACE INTO series (at, closed, pairs) SELECT ?1, closed, pairs FROM totals",
    )?
    .execute([now])?;
    Ok(())
}

pub(super) fn last(db: &Connection, limit: u32) -> rusqlite::Result<Vec<Point>> {
    let mut points: Vec<Point> = db
        .prepare_cached("SELECT at, closed, pairs FROM series ORDER BY at DESC LIMIT ?1")?
        .query_map([limit], |row| {
            Ok(Point {
                at: row.get(0)?,
                closed: unsigned(row.get(1)?),
                pairs: unsigned(row.get(2)?),
            })
        })?
        .collect::<Result<_, _>>()?;
    points.reverse();
    Ok(points)
}
