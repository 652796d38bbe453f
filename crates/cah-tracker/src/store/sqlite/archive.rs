//! The whole content as rows, out and in.

use data_encoding::HEXLOWER;
use rusqlite::{
    Connection, ToSql, params_from_iter,
    types::{Value as Column, ValueRef},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::clock::Timestamp;
use crate::store::{ArchiveError, Batch, Rows, StoreError, TABLES, Table, rules};

/// Sends every table, within one transaction of a connection that only reads.
pub(super) fn dump(db: &Connection, send: &mpsc::Sender<Rows>) -> rusqlite::Result<()> {
    db.execute_batch("BEGIN")?;
    let sent = TABLES
        .iter()
        .enumerate()
        .try_for_each(|(index, table)| dump_table(db, index, table, send));
    db.execute_batch("ROLLBACK")?;
    sent
}

fn dump_table(
    db: &Connection,
    index: usize,
    table: &Table,
    send: &mpsc::Sender<Rows>,
) -> rusqlite::Result<()> {
    let columns = table.columns.join(", ");
    let mut rows = db.prepare(&format!("SELECT {columns} FROM {}", table.name))?;
    let mut rows = rows.query([])?;
    let mut batch = Batch::of(index);
    while let Some(row) = rows.next()? {
        let values = (0..table.columns.len()).map(|i| row.get_ref(i).map(value));
        let full = batch.push(values.collect::<Result<_, _>>()?);
        if full.is_some_and(|rows| send.blocking_send(rows).is_err()) {
            return Ok(());
        }
    }
    // Tables without rows are told as well. Whoever listened and went away needs no more.
    let _ = send.blocking_send(batch.rest());
    Ok(())
}

fn value(column: ValueRef<'_>) -> Value {
    match column {
        ValueRef::Integer(number) => json!(number),
        ValueRef::Text(text) => json!(String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => json!(HEXLOWER.encode(bytes)),
        // The schema has no other types.
        ValueRef::Null | ValueRef::Real(_) => Value::Null,
    }
}

/// Replaces everything by what comes, within the writer's savepoint.
pub(super) fn load(
    db: &Connection,
    mut rows: mpsc::Receiver<Result<Rows, ArchiveError>>,
    replace: bool,
    until: Timestamp,
) -> Result<(), StoreError> {
    let jobs: i64 = db.query_row("SELECT jobs FROM totals", [], |row| row.get(0))?;
    if jobs > 0 && !replace {
        return Err(rules::has_jobs(jobs));
    }
    for table in TABLES.iter().rev() {
        db.execute(&format!("DELETE FROM {}", table.name), [])?;
    }
    while let Some(batch) = rows.blocking_recv() {
        insert(db, batch.map_err(|e| StoreError::Conflict(e.to_string()))?)?;
    }
    check(db)?;
    db.execute("UPDATE workers SET deadline = max(deadline, ?1)", [until])?;
    Ok(())
}

fn insert(db: &Connection, batch: Rows) -> Result<(), StoreError> {
    let table = &TABLES[batch.table];
    let places = vec!["?"; table.columns.len()].join(", ");
    let columns = table.columns.join(", ");
    let sql = format!("INSERT INTO {} ({columns}) VALUES ({places})", table.name);
    let mut insert = db.prepare_cached(&sql)?;
    for row in batch.rows {
        let values: Vec<Column> = table
            .columns
            .iter()
            .zip(row)
            .map(|(name, value)| column(name, value))
            .collect();
        let values = values.iter().map(|value| value as &dyn ToSql);
        insert
            .execute(params_from_iter(values))
            .map_err(|error| does_not_fit(table.name, &error))?;
    }
    Ok(())
}

fn column(name: &str, value: Value) -> Column {
    match value {
        Value::String(text) if matches!(name, "token_hash" | "upload_hash") => HEXLOWER
            .decode(text.as_bytes())
            .map_or(Column::Text(text), Column::Blob),
        Value::String(text) => Column::Text(text),
        Value::Number(number) => number.as_i64().map_or(Column::Null, Column::Integer),
        _ => Column::Null,
    }
}

/// What the schema refuses was never in a store; other errors are the store's own.
fn does_not_fit(table: &str, error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::ConstraintViolation | rusqlite::ErrorCode::TypeMismatch) => {
            rules::does_not_fit(table, &error.to_string())
        }
        _ => StoreError::unavailable(error.to_string()),
    }
}

/// An archive whose counters do not match its rows is not the whole of a project.
fn check(db: &Connection) -> Result<(), StoreError> {
    let whole: Option<bool> = db.query_row(rules::IS_WHOLE, [], |row| row.get(0))?;
    match whole {
        Some(true) => Ok(()),
        _ => Err(rules::is_not_whole()),
    }
}
