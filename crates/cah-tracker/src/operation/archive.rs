//! Backups: a project as one file that every kind of store reads.
//!
//! The file is gzip over lines of JSON: a head, then for each table a line with its name and
//! columns followed by its rows as arrays, and at the end the number of rows, so that a file that
//! was cut off is found out.

use std::io::{self, BufRead, BufReader, Read, Write};

use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;
use tokio::sync::mpsc;

use super::{WriteError, finished};
use crate::clock::Timestamp;
use crate::store::{ArchiveError, Batch, Rows, Store, StoreError, TABLES};

/// The name and version in the head of a backup.
const NAME: &str = "cah-tracker";
const VERSION: u32 = 1;

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
    let reading = tokio::task::spawn_blocking(move || read_tables(from, |_| true));
    finished(reading.await).map_err(RestoreError::Backup)
}

/// Writes everything that the store has, as it is at one moment; returns the number of rows.
///
/// # Errors
/// A store that refuses, a place that cannot be written to.
pub async fn backup(store: &dyn Store, to: impl Write + Send + 'static) -> Result<u64, WriteError> {
    let (send, rows) = mpsc::channel(WAITING);
    let writing = tokio::task::spawn_blocking(move || write(rows, to));
    let dumped = store.dump(send).await;
    let written = finished(writing.await);
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
    let reading = tokio::task::spawn_blocking(move || read(from, &send));
    let loaded = store.load(rows, replace, until).await;
    // The reader tells the store what is wrong with the file, and ends when the store is done.
    finished(reading.await).map_err(RestoreError::Backup)?;
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
    match lines.next()? {
        Some(Line::Head { archive, version }) if archive == NAME && version == VERSION => {}
        Some(Line::Head { archive, version }) if archive == NAME => {
            return Err(format!(
                "the backup was written by another version of the tracker (format {version}, this \
                 one reads {VERSION})"
            ));
        }
        _ => return Err("the file is no backup of a tracker".into()),
    }
    let mut batch: Option<Batch> = None;
    let mut count = 0;
    loop {
        match lines.next()? {
            Some(Line::Row(row)) => {
                let batch = batch
                    .as_mut()
                    .ok_or_else(|| lines.wrong("it has no table"))?;
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
                    .position(|known| known.name == table && known.columns == columns)
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
                batch.map(|batch| take(batch.rest()));
                return Ok(());
            }
            Some(Line::End { .. }) => return Err("the backup has not all of its rows".into()),
            Some(Line::Head { .. }) => return Err(lines.wrong("it is a second head")),
            None => return Err("the backup is cut off".into()),
        }
    }
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
