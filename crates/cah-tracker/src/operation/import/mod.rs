//! Lists become jobs.
//!
//! A list is read twice: once to check every entry, into a temporary file; then from there into
//! the store, in big transactions between which workers are served. A wrong entry is so found
//! before the store is touched, whatever the length of the list, in little memory.

mod brace;
mod check;
mod json;
mod lines;
mod wat_paths;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
};

use cah_task::blocking;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::mpsc;

use super::{WrongStages, check_stages};
use crate::store::{Added, Store, StoreError};

/// Entries in one transaction, and their text at most.
const BATCH: usize = 10_000;
const BATCH_BYTES: usize = 16 << 20;

/// Where Common Crawl's files are: what stands before the paths of its lists.
pub const COMMON_CRAWL: &str = "https://data.commoncrawl.org/";

/// How a list is written. All but brace expressions may be gzip.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Paths or URLs of WAT files, one a line: two jobs each. Paths are joined to `base_url`
    /// ([`COMMON_CRAWL`]).
    WatPaths {
        /// What stands before each path.
        base_url: String,
    },
    /// A JSON list of texts, lists and objects: a job each.
    Json,
    /// Any text: a job for each line that is not blank.
    Lines,
    /// A brace expression like `data/{00..99}.tar`: a job for each word.
    Brace,
}

impl Format {
    /// The format of that name; `base_url` counts for lists of WAT files.
    pub fn named(name: &str, base_url: &str) -> Option<Self> {
        let all = [
            Self::WatPaths {
                base_url: base_url.to_owned(),
            },
            Self::Json,
            Self::Lines,
            Self::Brace,
        ];
        all.into_iter().find(|format| format.name() == name)
    }

    /// The name that flags and calls use.
    pub fn name(&self) -> &'static str {
        match self {
            Self::WatPaths { .. } => "wat-paths",
            Self::Json => "json",
            Self::Lines => "txt",
            Self::Brace => "brace",
        }
    }

    /// Whether the entries are WAT files.
    pub fn is_of_shards(&self) -> bool {
        matches!(self, Self::WatPaths { .. })
    }
}

/// Why a list was not imported.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The base is no address.
    #[error("the base URL `{url}` is no http, https or s3 address: {reason}")]
    BaseUrl {
        /// What was given.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A line is no entry. Nothing was imported.
    #[error("line {line} of the list: {reason}; nothing was imported")]
    Line {
        /// From 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// A JSON list is wrong; the text says at which line and column. Nothing was imported.
    #[error("the JSON list: {0}; nothing was imported")]
    Json(String),
    /// A brace expression is wrong. Nothing was imported.
    #[error("the brace expression `{expression}`: {reason}; nothing was imported")]
    Brace {
        /// Its beginning.
        expression: String,
        /// What is wrong.
        reason: String,
    },
    /// The list names nothing at all.
    #[error("the list is empty; nothing was imported")]
    Empty,
    /// The list cannot be read.
    #[error("the list cannot be read after line {line}: {source}; nothing was imported")]
    Read {
        /// The last line that could be read.
        line: u64,
        /// Why not.
        source: io::Error,
    },
    /// The list, checked, cannot be kept for the second reading.
    #[error(
        "the folder for temporary files cannot keep the list: {0}; free some space, or name another folder in TMPDIR"
    )]
    Keep(#[source] io::Error),
    /// A project of other jobs than shards has to say what its stages are.
    #[error(
        "the project is new: name the stages that each job goes through (`--stages NAME,NAME`); nothing was imported"
    )]
    NoStages,
    /// The stages have names that stages cannot have.
    #[error("{0}; nothing was imported")]
    Stages(#[from] WrongStages),
    /// The store refused.
    #[error("{source}; {}", how_much_is_in(*.imported))]
    Store {
        /// Entries that were imported, or found there, before.
        imported: u64,
        /// What the store said.
        source: StoreError,
    },
}

/// What an import that was interrupted has done, and what to do about the rest.
pub(crate) fn how_much_is_in(imported: u64) -> String {
    match imported {
        0 => "nothing was imported".into(),
        1 => "1 entry of the list is in, importing it again adds the rest".into(),
        n => format!("{n} entries of the list are in, importing it again adds the rest"),
    }
}

/// A list whose entries have been found good: they are kept in a temporary file.
#[derive(Debug)]
pub struct CheckedList {
    entries: File,
    of_shards: bool,
}

impl CheckedList {
    /// Reads a list to its end.
    ///
    /// # Errors
    /// What is wrong with the list, and where.
    pub async fn read(
        list: impl Read + Send + 'static,
        format: Format,
    ) -> Result<Self, ImportError> {
        let of_shards = format.is_of_shards();
        let entries = blocking(move || check::check(list, &format)).await?;
        Ok(Self { entries, of_shards })
    }
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Entries that are new in the store: WAT files or jobs.
    pub added: u64,
    /// Jobs that were made of them: two of each WAT file, one of each other entry.
    pub jobs: u64,
    /// Entries that were there before.
    pub known: u64,
}

/// Makes jobs of what `list` names, behind those that are there; ones of a higher `priority` are
/// claimed first. `stages`, where given, names the project's stages; a new one of other jobs than
/// shards needs it.
///
/// Entries that the store knows are left as they are, so that importing a list again adds nothing
/// and importing a longer one adds the rest, with the next numbers.
///
/// # Errors
/// [`ImportError::NoStages`], and what the store says.
pub async fn import(
    store: &dyn Store,
    CheckedList { entries, of_shards }: CheckedList,
    stages: Option<Vec<String>>,
    priority: i64,
) -> Result<Imported, ImportError> {
    prepare(store, of_shards, stages).await?;
    let (send, mut batches) = mpsc::channel(2);
    let reading = blocking(move || read_batches(entries, &send));
    let mut total = Added::default();
    while let Some(batch) = batches.recv().await {
        let added = match of_shards {
            true => store.add_chunks(batch, priority).await,
            false => store.add_payloads(batch, priority).await,
        };
        let added = added.map_err(|source| ImportError::Store {
            imported: total.added + total.known,
            source,
        })?;
        total.added += added.added;
        total.known += added.known;
    }
    reading.await.map_err(ImportError::Keep)?;
    Ok(Imported {
        added: total.added,
        jobs: if of_shards { 2 } else { 1 } * total.added,
        known: total.known,
    })
}

/// Gives the project its stages.
async fn prepare(
    store: &dyn Store,
    of_shards: bool,
    stages: Option<Vec<String>>,
) -> Result<(), ImportError> {
    let refused = |source| ImportError::Store {
        imported: 0,
        source,
    };
    match stages {
        Some(stages) => {
            check_stages(&stages)?;
            store.init(stages).await.map_err(refused)
        }
        None if of_shards => Ok(()),
        None => match store.counts().await.map_err(refused)? {
            counts if counts.kind.is_none() && counts.has_default_stages() => {
                Err(ImportError::NoStages)
            }
            _ => Ok(()),
        },
    }
}

fn read_batches(checked: File, send: &mpsc::Sender<Vec<String>>) -> io::Result<()> {
    let (mut batch, mut bytes) = (Vec::with_capacity(BATCH), 0);
    for line in BufReader::new(checked).lines() {
        let entry: String = serde_json::from_str(&line?)?;
        bytes += entry.len();
        batch.push(entry);
        let full = batch.len() == BATCH || bytes >= BATCH_BYTES;
        if full && send.blocking_send(std::mem::take(&mut batch)).is_err() {
            return Ok(());
        }
        bytes = if full { 0 } else { bytes };
    }
    if !batch.is_empty() {
        // The receiver goes away only where the import has failed, which it reports itself.
        let _ = send.blocking_send(batch);
    }
    Ok(())
}
