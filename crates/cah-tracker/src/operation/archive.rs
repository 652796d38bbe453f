//! Backups: a project as one file that every kind of store reads.
//!
//! The file is gzip over lines of JSON: a head, then for each table a line with its name and
//! columns followed by its rows as arrays, and at the end the number of rows, so that a file that
//! was cut off is found out.
//!
//! Version 1 knew neither days nor outcomes: such a file is read as if it had them.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write},
};

use cah_task::blocking;
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;
use tokio::sync::mpsc;

use super::WriteError;
use crate::clock::Timestamp;
use crate::store::{ArchiveError, Batch, DAY, Rows, Store, StoreError, TABLES};

/// The name and version in the head of a backup, and the oldest version that is read.
const NAME: &str = "cah-tracker";
const VERSION: u32 = 2;
const OLDEST: u32 = 1;

/// Longest line: a row with the longest result, every byte of it escaped.
const MAX_LINE: u64 = 16 << 20;

/// Batches that wait between the file and the store.
const WAITING: usize = 4;

/// A line of a backup.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Row(Vec<Value>),
    Head { archive: String, version: u32 },
    Table { table: String, columns: Vec<String> },
    End { rows: u64 },
}

/// Why a backup was not restored. The store is as it was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The file is no whole backup.
    #[error("{0}; nothing was changed")]
    Backup(String),
    /// The store refused.
    #[error("{0}; nothing was changed")]
    Store(#[from] StoreError),
}

/// Reads a backup to its end, to find out what is wrong with it before there is a store.
///
/// # Errors
/// [`RestoreError::Backup`].
pub async fn check_backup(from: impl Read + Send + 'static) -> Result<(), RestoreError> {
    let read = blocking(move || read_tables(from, |_| true)).await;
    read.map_err(RestoreError::Backup)
}

/// Writes everything that the store has, as it is at one moment; returns the number of rows.
///
/// # Errors
/// A store that refuses, a place that cannot be written to.
pub async fn backup(store: &dyn Store, to: impl Write + Send + 'static) -> Result<u64, WriteError> {
    let (send, rows) = mpsc::channel(WAITING);
    let writing = blocking(move || write(rows, to));
    let dumped = store.dump(send).await;
    let written = writing.await;
    // A full disk ends the dump as well, and says more.
    let rows = written?;
    dumped?;
    Ok(rows)
}

fn write(mut batches: mpsc::Receiver<Rows>, to: impl Write) -> io::Result<u64> {
    let mut gzip = GzEncoder::new(io::BufWriter::new(to), Compression::fast());
    let mut line = |line: &Line| -> io::Result<()> {
        serde_json::to_writer(&mut gzip, line)?;
        gzip.write_all(b"\n")
    };
    line(&Line::Head {
        archive: NAME.into(),
        version: VERSION,
    })?;
    let (mut open, mut rows) = (None, 0);
    while let Some(batch) = batches.blocking_recv() {
        if open != Some(batch.table) {
            open = Some(batch.table);
            let table = &TABLES[batch.table];
            let columns = table.columns.iter().map(|name| (*name).to_owned());
            line(&Line::Table {
                table: table.name.into(),
                columns: columns.collect(),
            })?;
        }
        for row in batch.rows {
            rows += 1;
            line(&Line::Row(row))?;
        }
    }
    line(&Line::End { rows })?;
    let mut file = gzip.finish()?;
    file.flush()?;
    Ok(rows)
}

/// Makes the store what it was when the backup was written; the workers of then have `until` to
/// call.
///
/// # Errors
/// A file that is no whole backup; [`StoreError::Conflict`] for a store that has jobs where
/// `replace` is not set.
pub async fn restore(
    store: &dyn Store,
    from: impl Read + Send + 'static,
    replace: bool,
    until: Timestamp,
) -> Result<(), RestoreError> {
    let (send, rows) = mpsc::channel(WAITING);
    let reading = blocking(move || read(from, &send));
    let loaded = store.load(rows, replace, until).await;
    // The reader tells the store what is wrong with the file, and ends when the store is done.
    reading.await.map_err(RestoreError::Backup)?;
    Ok(loaded?)
}

fn read(from: impl Read, send: &mpsc::Sender<Result<Rows, ArchiveError>>) -> Result<(), String> {
    let read = read_tables(from, |rows| send.blocking_send(Ok(rows)).is_ok());
    if let Err(why) = &read {
        // A store that has refused listens no longer.
        let _ = send.blocking_send(Err(ArchiveError(why.clone())));
    }
    read
}

/// Hands the rows of a backup on, for as long as `take` wants them.
fn read_tables(from: impl Read, mut take: impl FnMut(Rows) -> bool) -> Result<(), String> {
    let mut lines = Lines {
        reader: BufReader::new(MultiGzDecoder::new(from)),
        number: 0,
    };
    let version = match lines.next()? {
        Some(Line::Head { archive, version }) if archive == NAME => version,
        _ => return Err("the file is no backup of a tracker".into()),
    };
    if !(OLDEST..=VERSION).contains(&version) {
        return Err(format!(
            "the backup was written by another version of the tracker (format {version}, this one \
             reads {OLDEST} to {VERSION}); restore it with that one"
        ));
    }
    let mut older = (version == OLDEST).then(FirstVersion::default);
    let mut batch: Option<Batch> = None;
    let mut count = 0;
    loop {
        match lines.next()? {
            Some(Line::Row(mut row)) => {
                let batch = batch
                    .as_mut()
                    .ok_or_else(|| lines.wrong("it has no table"))?;
                if let Some(older) = &mut older {
                    older.complete(batch.table(), &mut row);
                }
                if row.len() != TABLES[batch.table()].columns.len() {
                    return Err(lines.wrong("it has other columns than its table"));
                }
                count += 1;
                if batch.push(row).is_some_and(|rows| !take(rows)) {
                    return Ok(());
                }
            }
            Some(Line::Table { table, columns }) => {
                let known = TABLES
                    .iter()
                    .position(|known| known.name == table)
                    .filter(|known| match &mut older {
                        Some(older) => older.begin(*known, &columns),
                        None => TABLES[*known].columns == columns,
                    })
                    .ok_or_else(|| lines.wrong("it names a table that there is not"))?;
                if !batch.is_none_or(|batch| take(batch.rest())) {
                    return Ok(());
                }
                batch = Some(Batch::of(known));
            }
            Some(Line::End { rows }) if rows == count => {
                // The end of the file has the checksum.
                if lines.next()?.is_some() {
                    return Err(lines.wrong("it comes after the end"));
                }
                let days = older.and_then(FirstVersion::days);
                let _ = batch.map(Batch::rest).into_iter().chain(days).all(take);
                return Ok(());
            }
            Some(Line::End { .. }) => return Err("the backup has not all of its rows".into()),
            Some(Line::Head { .. }) => return Err(lines.wrong("it is a second head")),
            None => return Err("the backup is cut off".into()),
        }
    }
}

/// What is added to a backup of version 1. Its last ones have all tables and columns already.
#[derive(Default)]
struct FirstVersion {
    /// The values that rows of the table at hand lack.
    lacking: &'static [Lacking],
    has_days: bool,
    /// Jobs and pairs by contributor, stage and day.
    days: BTreeMap<[i64; 3], [i64; 2]>,
}

#[derive(Clone, Copy)]
enum Lacking {
    Nothing,
    Number,
    Text,
}

impl FirstVersion {
    /// The columns that a table was given since, at its end.
    fn added(table: &str) -> &'static [Lacking] {
        match table {
            "workers" => &[Lacking::Text, Lacking::Number, Lacking::Text, Lacking::Text],
            "completions" => &[Lacking::Nothing],
            _ => &[],
        }
    }

    /// Begins a table; whether there is one with such columns.
    fn begin(&mut self, table: usize, columns: &[String]) -> bool {
        let known = &TABLES[table];
        self.has_days |= known.name == "days";
        let added = Self::added(known.name);
        // Not all were added at once.
        let lacking = known.columns.len().saturating_sub(columns.len());
        let has = added.len().saturating_sub(lacking);
        self.lacking = &added[has..];
        let there = known.columns.len() - self.lacking.len();
        known.columns[..there] == *columns
    }

    /// Adds what a row lacks, and counts it for its day where it is a completion.
    fn complete(&mut self, table: usize, row: &mut Vec<Value>) {
        let name = TABLES[table].name;
        row.extend(self.lacking.iter().map(|lacking| match lacking {
            Lacking::Nothing => Value::Null,
            Lacking::Number => json!(0),
            Lacking::Text => json!(""),
        }));
        if name != "completions" {
            return;
        }
        let columns = ["contributor", "stage", "at", "pairs", "revoked"];
        let numbers = columns.map(|column| number(table, row, column));
        // What is none of these is refused with its row.
        if let [
            Some(contributor),
            Some(stage),
            Some(at),
            Some(pairs),
            Some(0),
        ] = numbers
        {
            let day = self.days.entry([contributor, stage, at / DAY]).or_default();
            day[0] += 1;
            day[1] = day[1].saturating_add(pairs);
        }
    }

    /// The days that the backup does not have.
    fn days(self) -> Option<Rows> {
        let table = TABLES.iter().position(|table| table.name == "days")?;
        let row = |([contributor, stage, day], [jobs, pairs]): ([i64; 3], [i64; 2])| {
            [contributor, stage, day, jobs, pairs]
                .map(Value::from)
                .into()
        };
        (!self.has_days).then(|| Rows {
            table,
            rows: self.days.into_iter().map(row).collect(),
        })
    }
}

/// A number in a row of a table.
fn number(table: usize, row: &[Value], column: &str) -> Option<i64> {
    let at = TABLES[table]
        .columns
        .iter()
        .position(|name| *name == column)?;
    row.get(at)?.as_i64()
}

struct Lines<R> {
    reader: R,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<Line>, String> {
        let mut text = Vec::new();
        let read = self
            .reader
            .by_ref()
            .take(MAX_LINE)
            .read_until(b'\n', &mut text)
            .map_err(|error| format!("the backup cannot be read: {error}"))?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let line = serde_json::from_slice(&text);
        line.map(Some)
            .map_err(|_| self.wrong("it is no line of a backup"))
    }

    fn wrong(&self, why: &str) -> String {
        format!("line {} of the backup: {why}", self.number)
    }
}
