//! Lists become jobs.
//!
//! A list is read twice: once to check every entry, into a temporary file; then from there into
//! the store, in big transactions between which workers are served. A wrong entry is so found
//! before the store is touched, whatever the length of the list, in little memory.

mod brace;
mod json;
mod lines;
mod wat_paths;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write},
};

use cah_protocol::{MAX_RESULT_BYTES, check_result};
use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::mpsc;

use self::{
    brace::Braces,
    lines::Lines,
    wat_paths::{Base, MAX_URL},
};
use super::{check_stages, finished};
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
    /// The store refused.
    #[error("{source}; {imported} entries of the list are in, importing it again adds the rest")]
    Store {
        /// Entries that were imported, or found there, before.
        imported: u64,
        /// What the store said.
        source: StoreError,
    },
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
/// See [`ImportError`]; a list with a wrong entry leaves the store untouched.
pub async fn import(
    store: &dyn Store,
    list: impl Read + Send + 'static,
    format: Format,
    stages: Option<Vec<String>>,
    priority: i64,
) -> Result<Imported, ImportError> {
    let of_shards = format.is_of_shards();
    let checked = off_the_runtime(move || check(list, &format)).await?;
    prepare(store, of_shards, stages).await?;
    let (send, mut batches) = mpsc::channel(2);
    let reading = tokio::task::spawn_blocking(move || read_batches(checked, &send));
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
    finished(reading.await).map_err(ImportError::Keep)?;
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
            check_stages(&stages).map_err(refused)?;
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

async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImportError> + Send + 'static,
) -> Result<T, ImportError> {
    finished(tokio::task::spawn_blocking(work).await)
}

/// Enough of a line to recognise it.
fn start(line: &str) -> String {
    line.chars()
        .take(120)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Reads the whole list and keeps its entries in a temporary file, a JSON text a line.
fn check(list: impl Read + 'static, format: &Format) -> Result<File, ImportError> {
    let mut kept = Kept::new()?;
    let unreadable = |source| ImportError::Read { line: 0, source };
    match format {
        Format::WatPaths { base_url } => {
            let base = Base::parse(base_url)?;
            let mut lines = Lines::new(unzipped(list).map_err(unreadable)?, MAX_URL);
            while let Some((line, text)) = lines.next()? {
                let url = base.resolve(text);
                kept.push(&url.map_err(|reason| ImportError::Line { line, reason })?)?;
            }
        }
        Format::Lines => {
            let list = unzipped(list).map_err(unreadable)?;
            let mut lines = Lines::new(list, MAX_RESULT_BYTES);
            while let Some((line, text)) = lines.next()? {
                let sound = check_result(text).map_err(|e| e.to_string());
                sound.map_err(|reason| ImportError::Line { line, reason })?;
                kept.push(text)?;
            }
        }
        Format::Json => {
            let list = BufReader::new(unzipped(list).map_err(unreadable)?);
            let mut full = None;
            let read = json::read(list, |job| {
                check_result(&job).map_err(|e| format!("is no job: {e}"))?;
                kept.push(&job).map_err(|error| {
                    let text = error.to_string();
                    full = Some(error);
                    text
                })
            });
            if let Some(error) = full {
                return Err(error);
            }
            read.map_err(|error| ImportError::Json(error.to_string()))?;
        }
        Format::Brace => expand(list, &mut kept)?,
    }
    kept.finish()
}

/// Keeps the words of a brace expression, which is the whole list.
fn expand(list: impl Read, kept: &mut Kept) -> Result<(), ImportError> {
    let mut lines = Lines::new(list, MAX_RESULT_BYTES);
    let Some((_, text)) = lines.next()? else {
        return Ok(());
    };
    let refuse = |reason: String| ImportError::Brace {
        expression: start(text),
        reason,
    };
    check_result(text).map_err(|e| refuse(e.to_string()))?;
    let braces = Braces::parse(text).map_err(refuse)?;
    braces.words().try_for_each(|word| kept.push(&word))
}

/// The entries that were found good.
struct Kept {
    file: BufWriter<File>,
    any: bool,
}

impl Kept {
    fn new() -> Result<Self, ImportError> {
        let file = tempfile::tempfile().map_err(ImportError::Keep)?;
        Ok(Self {
            file: BufWriter::new(file),
            any: false,
        })
    }

    fn push(&mut self, entry: &str) -> Result<(), ImportError> {
        self.any = true;
        serde_json::to_writer(&mut self.file, entry)
            .map_err(io::Error::from)
            .and_then(|()| self.file.write_all(b"\n"))
            .map_err(ImportError::Keep)
    }

    fn finish(self) -> Result<File, ImportError> {
        if !self.any {
            return Err(ImportError::Empty);
        }
        let mut file = self
            .file
            .into_inner()
            .map_err(|error| ImportError::Keep(error.into_error()))?;
        file.rewind().map_err(ImportError::Keep)?;
        Ok(file)
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

/// A list as it is, gzip or plain by its first bytes.
fn unzipped(mut list: impl Read + 'static) -> io::Result<Box<dyn Read>> {
    let mut head = Vec::with_capacity(2);
    list.by_ref().take(2).read_to_end(&mut head)?;
    let gzip = head == [0x1f, 0x8b];
    let whole = io::Cursor::new(head).chain(list);
    Ok(match gzip {
        true => Box::new(MultiGzDecoder::new(whole)),
        false => Box::new(whole),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "https://data.example.org";

    fn wat_paths() -> Format {
        Format::WatPaths {
            base_url: BASE.into(),
        }
    }

    fn entries(list: &'static [u8], format: &Format) -> Result<Vec<String>, ImportError> {
        let file = check(list, format)?;
        let entry = |line: io::Result<String>| serde_json::from_str(&line.unwrap()).unwrap();
        Ok(BufReader::new(file).lines().map(entry).collect())
    }

    fn refusal(list: &'static [u8], format: &Format) -> String {
        entries(list, format).unwrap_err().to_string()
    }

    #[test]
    fn paths_are_joined_and_urls_are_left() {
        let list = b"a/b.warc.wat.gz\r\n\n  /c.wat  \ns3://bucket/d.wat.gz";
        assert_eq!(
            entries(list, &wat_paths()).unwrap(),
            [
                "https://data.example.org/a/b.warc.wat.gz",
                "https://data.example.org/c.wat",
                "s3://bucket/d.wat.gz"
            ]
        );
    }

    #[test]
    fn a_wrong_line_is_named_with_its_number() {
        let refusal = |list| refusal(list, &wat_paths());
        assert_eq!(
            refusal(b"a.wat.gz\n\nb.warc.gz\n"),
            "line 3 of the list: `b.warc.gz` ends in neither .wat.gz nor .wat; nothing was imported"
        );
        assert!(refusal(b"<html>").starts_with("line 1 of the list: `<html>` has"));
        assert!(refusal(b"a.wat\nb\0.wat").starts_with("line 2"));
        assert!(refusal(b"a.wat\n\xff.wat").contains("line 2 of the list: it is not UTF-8"));
        assert!(refusal(b"file:///etc/x.wat").contains("no http, https or s3 address"));
        assert!(refusal(b"\n \n").contains("empty"));
    }

    #[test]
    fn other_lists_are_read_as_they_are_written() {
        let lines = entries(b" one \n\ntwo\tb\r\n", &Format::Lines).unwrap();
        assert_eq!(lines, ["one", "two\tb"]);
        assert!(refusal(b"a\nb\0", &Format::Lines).starts_with("line 2 of the list"));
        let json = entries(br#"["a\nb", {"x": 1}]"#, &Format::Json).unwrap();
        assert_eq!(json, ["a\nb", r#"<!json!>{"x":1}"#]);
        let refused = refusal(b"[\"a\",\n7]", &Format::Json);
        assert!(refused.contains("job 2 of the list is no text") && refused.contains("line 2"));
        assert!(refusal(b"[\"\\u0000\"]", &Format::Json).contains("control character"));
        assert!(refusal(b"[]", &Format::Json).contains("empty"));
        let braces = entries(b"{a,b}{1..2}", &Format::Brace).unwrap();
        assert_eq!(braces, ["a1", "a2", "b1", "b2"]);
        assert!(refusal(b"{a", &Format::Brace).contains("not closed"));
    }

    #[test]
    fn an_endless_line_is_refused_without_being_read() {
        let longest = format!("{BASE}/{}.wat\r\n", "a".repeat(MAX_URL - BASE.len() - 5));
        assert!(check(io::Cursor::new(longest), &wat_paths()).is_ok());
        for format in [wat_paths(), Format::Lines, Format::Brace] {
            let error = check(io::repeat(b'a'), &format).unwrap_err();
            assert!(error.to_string().contains("longer than"), "{error}");
        }
    }

    #[test]
    fn gzip_is_known_by_its_content_and_damage_is_told() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"a.wat.gz\nb.wat.gz\n").unwrap();
        let mut bytes = gzip.finish().unwrap();
        assert!(check(io::Cursor::new(bytes.clone()), &wat_paths()).is_ok());
        bytes.truncate(bytes.len() - 9);
        assert!(matches!(
            check(io::Cursor::new(bytes), &wat_paths()),
            Err(ImportError::Read { .. })
        ));
    }
}
