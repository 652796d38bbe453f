//! The whole content as rows, out and in.

use std::pin::pin;

use data_encoding::HEXLOWER;
use futures::TryStreamExt;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{
    connection::{Connection, is_of_the_values, message},
    pool::{Pooled, Transaction},
};
use crate::clock::Timestamp;
use crate::store::{ArchiveError, Batch, Rows, StoreError, TABLES, Table, rules};

/// A whole project takes its time, and so does whoever reads or writes the archive.
const PATIENCE: &str = "
    SET LOCAL statement_timeout = 0;
    SET LOCAL idle_in_transaction_session_timeout = 0;
    SET LOCAL lock_timeout = '60s';
";

/// Sends every table, as it is at one moment.
pub(super) async fn dump(db: &mut Pooled, send: &mpsc::Sender<Rows>) -> Result<(), StoreError> {
    // Given up half way, the connection goes.
    db.spend();
    db.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await?;
    db.run(PATIENCE).await?;
    // Before the moment is fixed: nobody empties a table that has not been read yet.
    db.run(&format!("LOCK TABLE {} IN ACCESS SHARE MODE", names()))
        .await?;
    for (index, table) in TABLES.iter().enumerate() {
        if !dump_table(db, index, table, send).await? {
            break;
        }
    }
    db.run("ROLLBACK").await
}

pub(super) fn names() -> String {
    let names: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
    names.join(", ")
}

/// Whether anybody still listens.
async fn dump_table(
    db: &Connection,
    index: usize,
    table: &Table,
    send: &mpsc::Sender<Rows>,
) -> Result<bool, StoreError> {
    let sql = format!("SELECT {} FROM {}", table.columns.join(", "), table.name);
    let none: [&(dyn ToSql + Sync); 0] = [];
    let rows = db.client().query_raw(&sql, none).await?;
    let mut rows = pin!(rows);
    let mut batch = Batch::of(index);
    while let Some(row) = rows.try_next().await? {
        let full = batch.push((0..row.len()).map(|i| value(&row, i)).collect());
        if let Some(rows) = full
            && send.send(rows).await.is_err()
        {
            return Ok(false);
        }
    }
    // Tables without rows are told as well. Whoever listened and went away needs no more.
    Ok(send.send(batch.rest()).await.is_ok())
}

fn value(row: &Row, column: usize) -> Value {
    match *row.columns()[column].type_() {
        Type::INT8 => json!(row.get::<_, Option<i64>>(column)),
        Type::BYTEA => match row.get::<_, Option<&[u8]>>(column) {
            Some(bytes) => json!(HEXLOWER.encode(bytes)),
            None => Value::Null,
        },
        // The schema has no other types.
        _ => json!(row.get::<_, Option<&str>>(column)),
    }
}

/// Replaces everything by what comes, within a transaction.
pub(super) async fn load(
    tx: &mut Transaction,
    rows: &mut mpsc::Receiver<Result<Rows, ArchiveError>>,
    replace: bool,
    until: Timestamp,
) -> Result<(), StoreError> {
    tx.run(PATIENCE).await?;
    // Before anything else is locked, for nobody may hold a row of these and wait for another.
    let lock = format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", names());
    tx.run(&lock).await?;
    let row = tx.query_one("SELECT jobs FROM totals", &[]).await?;
    let jobs: i64 = row.get(0);
    if jobs > 0 && !replace {
        return Err(rules::has_jobs(jobs));
    }
    tx.run(&format!("TRUNCATE {}", names())).await?;
    while let Some(batch) = rows.recv().await {
        insert(tx, batch.map_err(|e| StoreError::Conflict(e.to_string()))?).await?;
    }
    check(tx).await?;
    number_on(tx).await?;
    tx.execute(
        "UPDATE workers SET deadline = greatest(deadline, $1)",
        &[&until],
    )
    .await?;
    tx.deltas.part_from_all();
    Ok(())
}

async fn insert(db: &Connection, batch: Rows) -> Result<(), StoreError> {
    let table = &TABLES[batch.table];
    if batch.rows.is_empty() {
        return Ok(());
    }
    let columns = table.columns.join(", ");
    let shape = format!("SELECT {columns} FROM {}", table.name);
    let shape = db.client().prepare(&shape).await?;
    let types: Vec<&Type> = shape
        .columns()
        .iter()
        .map(|column| column.type_())
        .collect();
    let columns_of_rows = transpose(table, &types, batch.rows)?;
    let places: Vec<String> = types
        .iter()
        .enumerate()
        .map(|(i, of)| format!("${}::{}[]", i + 1, of.name()))
        .collect();
    let sql = format!(
        "INSERT INTO {} ({columns}) SELECT * FROM unnest({})",
        table.name,
        places.join(", ")
    );
    let params = columns_of_rows.iter().map(Column::as_sql);
    let inserted = db.client().execute_raw(&sql, params).await;
    inserted.map_err(|error| does_not_fit(table.name, error.into()))?;
    Ok(())
}

/// The values of one column.
enum Column {
    Numbers(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
    Bytes(Vec<Option<Vec<u8>>>),
}

impl Column {
    fn new(of: &Type) -> Self {
        match *of {
            Type::INT8 => Self::Numbers(Vec::new()),
            Type::BYTEA => Self::Bytes(Vec::new()),
            _ => Self::Texts(Vec::new()),
        }
    }

    fn push(&mut self, value: Value) -> Result<(), &'static str> {
        match (self, value) {
            (Self::Numbers(column), Value::Null) => column.push(None),
            (Self::Texts(column), Value::Null) => column.push(None),
            (Self::Bytes(column), Value::Null) => column.push(None),
            (Self::Numbers(column), Value::Number(number)) => {
                let number = number.as_i64().ok_or("a number is out of range")?;
                column.push(Some(number));
            }
            (Self::Texts(column), Value::String(text)) => {
                if text.contains('\0') {
                    return Err("a text has a NUL character, which PostgreSQL cannot store");
                }
                column.push(Some(text));
            }
            (Self::Bytes(column), Value::String(text)) => {
                let bytes = HEXLOWER.decode(text.as_bytes());
                column.push(Some(bytes.map_err(|_| "bytes are not in hex")?));
            }
            _ => return Err("a value is of another type than its column"),
        }
        Ok(())
    }

    fn as_sql(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Numbers(column) => column,
            Self::Texts(column) => column,
            Self::Bytes(column) => column,
        }
    }
}

fn transpose(
    table: &Table,
    types: &[&Type],
    rows: Vec<Vec<Value>>,
) -> Result<Vec<Column>, StoreError> {
    let mut columns: Vec<Column> = types.iter().map(|of| Column::new(of)).collect();
    for row in rows {
        if row.len() != columns.len() {
            return Err(rules::does_not_fit(
                table.name,
                "a row has too many values or too few",
            ));
        }
        for (column, value) in columns.iter_mut().zip(row) {
            column
                .push(value)
                .map_err(|why| rules::does_not_fit(table.name, why))?;
        }
    }
    Ok(columns)
}

/// What the schema refuses was never in a store; other errors are the store's own.
fn does_not_fit(table: &str, error: StoreError) -> StoreError {
    match is_of_the_values(&error) {
        true => rules::does_not_fit(table, message(&error).unwrap_or_default()),
        false => error,
    }
}

/// An archive whose counters do not match its rows is not the whole of a project.
async fn check(db: &Connection) -> Result<(), StoreError> {
    let row = db.client().query_one(rules::IS_WHOLE, &[]).await?;
    match row.get(0) {
        Some(true) => Ok(()),
        _ => Err(rules::is_not_whole()),
    }
}

/// Has new rows numbered after those that came, and after those that were there: a number that was
/// somebody's is nobody else's.
async fn number_on(db: &Connection) -> Result<(), StoreError> {
    for table in TABLES {
        let (name, Some(column)) = (table.name, table.drawn) else {
            continue;
        };
        db.run(&format!(
            "SELECT setval(pg_get_serial_sequence('{name}', '{column}'),
                           greatest(nextval(pg_get_serial_sequence('{name}', '{column}')),
                                    (SELECT coalesce(max({column}), 0) + 1 FROM {name})), false)"
        ))
        .await?;
    }
    Ok(())
}
