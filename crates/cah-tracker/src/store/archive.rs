//! A project's whole content as rows, in a form that every store writes and reads: to keep it, and
//! to take it from one store to another.

use async_trait::async_trait;
use serde_json::Value;
use thiserror::Error;
use tokio::sync::mpsc;

use super::StoreError;
use crate::clock::Timestamp;

/// A table of the archive, and its columns in the order in which a row has its values.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name, in every store.
    pub name: &'static str,
    /// Their names.
    pub columns: &'static [&'static str],
    /// The column whose values the store draws itself for new rows.
    pub drawn: Option<&'static str>,
}

const fn table(name: &'static str, columns: &'static [&'static str]) -> Table {
    Table {
        name,
        columns,
        drawn: None,
    }
}

const fn drawn(name: &'static str, columns: &'static [&'static str]) -> Table {
    Table {
        name,
        columns,
        drawn: Some(columns[0]),
    }
}

/// All tables, those that others refer to first.
pub static TABLES: &[Table] = &[
    table("project", &["id", "kind", "banner"]),
    table("stages", &["stage", "name", "open", "leased"]),
    table(
        "totals",
        &["id", "jobs", "closed", "banned", "parked", "pairs"],
    ),
    table("chunks", &["chunk", "url", "url_key"]),
    table(
        "jobs",
        &[
            "number", "state", "stage", "priority", "failures", "attempts", "setbacks",
        ],
    ),
    table("payloads", &["number", "data", "data_key"]),
    table("failures", &["number", "attempt", "message", "at"]),
    drawn(
        "workers",
        &[
            "id",
            "token_hash",
            "display_name",
            "nickname",
            "first_stage",
            "last_stage",
            "progress",
            "jobs_completed",
            "first_seen",
            "last_seen",
            "deadline",
            "settled",
            "settled_as",
            "role",
            "address",
            "pairs",
            "machine",
            "upload_hash",
        ],
    ),
    table("leases", &["number", "worker", "attempt", "since"]),
    drawn("contributors", &["id", "nickname"]),
    table(
        "boards",
        &["stage", "contributor", "jobs", "closed", "pairs"],
    ),
    table(
        "completions",
        &[
            "number",
            "stage",
            "attempt",
            "contributor",
            "pairs",
            "output",
            "at",
            "revoked",
            "output_key",
            "outcomes",
        ],
    ),
    table("outcomes", &["outcome", "candidates"]),
    table("days", &["contributor", "stage", "day", "jobs", "pairs"]),
    table("exclusions", &["kind", "whom", "reason", "at"]),
    table("flags", &["number", "stage", "worker", "at"]),
    table("series", &["at", "closed", "pairs"]),
];

/// Some rows of one table. A value is null, a whole number or text; bytes are text in hex.
#[derive(Debug)]
pub struct Rows {
    /// Which table, as an index into [`TABLES`].
    pub table: usize,
    /// Values in the order of the table's columns.
    pub rows: Vec<Vec<Value>>,
}

/// The most rows that are handed on at a time, and the text after which there are fewer.
const BATCH: usize = 1_000;
const BATCH_BYTES: usize = 16 << 20;

/// Puts the rows of a table together into some that are handed on at a time.
#[derive(Debug)]
pub(crate) struct Batch {
    rows: Rows,
    bytes: usize,
}

impl Batch {
    pub(crate) fn of(table: usize) -> Self {
        Self {
            rows: Rows {
                table,
                rows: Vec::new(),
            },
            bytes: 0,
        }
    }

    /// Which table the rows are of, as an index into [`TABLES`].
    pub(crate) fn table(&self) -> usize {
        self.rows.table
    }

    /// Adds a row; returns the rows where these are enough.
    pub(crate) fn push(&mut self, row: Vec<Value>) -> Option<Rows> {
        let text = row.iter().filter_map(Value::as_str);
        self.bytes += text.map(str::len).sum::<usize>();
        self.rows.rows.push(row);
        let full = self.rows.rows.len() >= BATCH || self.bytes >= BATCH_BYTES;
        full.then(|| std::mem::replace(self, Self::of(self.table())).rows)
    }

    /// The rows that are left; a table may have none at all.
    pub(crate) fn rest(self) -> Rows {
        self.rows
    }
}

/// Why rows cannot be had from an archive.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct ArchiveError(pub String);

/// Writing and reading archives.
#[async_trait]
pub trait Archive: Send + Sync {
    /// Sends everything, as it is at one moment, table by table.
    async fn dump(&self, rows: mpsc::Sender<Rows>) -> Result<(), StoreError>;

    /// Replaces everything by what comes, all or nothing; the workers that come with it have
    /// `until` then to call. [`StoreError::Conflict`] where the store has jobs and `replace` is not
    /// set, and for rows that are no project.
    async fn load(
        &self,
        rows: mpsc::Receiver<Result<Rows, ArchiveError>>,
        replace: bool,
        until: Timestamp,
    ) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_neither_long_nor_large() {
        let mut batch = Batch::of(3);
        for _ in 1..BATCH {
            assert!(batch.push(vec![7.into(), Value::Null]).is_none());
        }
        let rows = batch.push(vec!["x".into()]).unwrap();
        assert_eq!((rows.table, rows.rows.len()), (3, BATCH));
        let large = || vec!["x".repeat(BATCH_BYTES / 2).into()];
        assert!(batch.push(large()).is_none());
        assert_eq!(batch.push(large()).unwrap().rows.len(), 2);
        assert_eq!(batch.rest().rows.len(), 0);
    }
}
