//! Lists of WAT files become jobs.
//!
//! A list is read twice: once to check every line, into a temporary file; then from there into
//! the store, in big transactions between which workers are served. A wrong line is so found
//! before the store is touched, whatever the length of the list, in little memory.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write},
};

use flate2::read::MultiGzDecoder;
use thiserror::Error;
use tokio::{sync::mpsc, task::JoinError};
use url::Url;

use crate::store::{AddedChunks, Store, StoreError};

/// Longest URL of a WAT file, in bytes.
const MAX_URL: usize = 2_048;

/// WAT files in one transaction.
const BATCH: usize = 10_000;

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
    /// A line names no WAT file. Nothing was imported.
    #[error("line {line} names no WAT file: {reason}; nothing was imported")]
    Line {
        /// From 1.
        line: u64,
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
    /// The store refused.
    #[error("{source}; {imported} WAT files of the list are in, importing it again adds the rest")]
    Store {
        /// WAT files that were imported, or found there, before.
        imported: u64,
        /// What the store said.
        source: StoreError,
    },
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// WAT files that are new in the store.
    pub wats: u64,
    /// Jobs that were made of them, two each.
    pub jobs: u64,
    /// WAT files that were there before.
    pub known: u64,
}

/// Makes two jobs of each WAT file that `list` names, one path or URL a line, gzip or plain.
///
/// Paths are joined to `base_url` (`https://data.commoncrawl.org/`). Files that the store knows
/// are left as they are, so that importing a list again adds nothing and importing a longer one
/// adds the rest, with the next chunk numbers.
///
/// # Errors
/// See [`ImportError`]; a list with a wrong line leaves the store untouched.
pub async fn import_wat_paths(
    store: &dyn Store,
    list: impl Read + Send + 'static,
    base_url: &str,
) -> Result<Imported, ImportError> {
    let base = Base::parse(base_url)?;
    let checked = off_the_runtime(move || check(list, &base)).await?;
    let (send, mut batches) = mpsc::channel(2);
    let reading = tokio::task::spawn_blocking(move || read_batches(checked, &send));
    let mut total = AddedChunks::default();
    while let Some(batch) = batches.recv().await {
        let added = store.add_chunks(batch).await;
        let added = added.map_err(|source| ImportError::Store {
            imported: total.added + total.known,
            source,
        })?;
        total.added += added.added;
        total.known += added.known;
    }
    finished(reading.await).map_err(ImportError::Keep)?;
    Ok(Imported {
        wats: total.added,
        jobs: 2 * total.added,
        known: total.known,
    })
}

async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImportError> + Send + 'static,
) -> Result<T, ImportError> {
    finished(tokio::task::spawn_blocking(work).await)
}

/// The result of work that nobody cancels; a panic in it continues here.
fn finished<T>(work: Result<T, JoinError>) -> T {
    work.unwrap_or_else(|failure| std::panic::resume_unwind(failure.into_panic()))
}

/// The address that relative paths belong to, with a slash at its end.
struct Base(String);

impl Base {
    fn parse(text: &str) -> Result<Self, ImportError> {
        let refuse = |reason: &str| ImportError::BaseUrl {
            url: text.chars().take(200).collect(),
            reason: reason.into(),
        };
        let url = Url::parse(text).map_err(|error| refuse(&error.to_string()))?;
        if !is_fetchable(&url) {
            return Err(refuse("it starts with another scheme"));
        }
        Ok(Self(format!("{}/", text.trim_end_matches('/'))))
    }

    /// The address of the file that a line names, or what is wrong with the line.
    fn resolve(&self, line: &str) -> Result<String, String> {
        if line
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || "<>\"`\\{}|^".contains(c))
        {
            return Err(format!("`{}` has characters that no path has", start(line)));
        }
        let url = if line.contains("://") {
            line.to_owned()
        } else {
            format!("{}{}", self.0, line.trim_start_matches('/'))
        };
        if url.len() > MAX_URL {
            return Err(format!("its URL is longer than {MAX_URL} bytes"));
        }
        let parsed = Url::parse(&url).map_err(|error| format!("`{}`: {error}", start(line)))?;
        if !is_fetchable(&parsed) {
            return Err(format!("`{}` is no http, https or s3 address", start(line)));
        }
        let path = parsed.path();
        if path.ends_with(".wat.gz") || path.ends_with(".wat") {
            Ok(url)
        } else {
            Err(format!(
                "`{}` ends in neither .wat.gz nor .wat",
                start(line)
            ))
        }
    }
}

fn is_fetchable(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https" | "s3") && url.has_host()
}

/// Enough of a line to recognise it.
fn start(line: &str) -> String {
    line.chars()
        .take(120)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Reads the whole list and keeps its URLs in a temporary file, one a line.
fn check(list: impl Read + 'static, base: &Base) -> Result<File, ImportError> {
    let mut lines = Lines::open(list).map_err(|source| ImportError::Read { line: 0, source })?;
    let mut kept = BufWriter::new(tempfile::tempfile().map_err(ImportError::Keep)?);
    let mut any = false;
    while let Some(line) = lines.next()? {
        let url = base.resolve(line).map_err(|reason| ImportError::Line {
            line: lines.number,
            reason,
        })?;
        writeln!(kept, "{url}").map_err(ImportError::Keep)?;
        any = true;
    }
    if !any {
        return Err(ImportError::Empty);
    }
    let mut file = kept
        .into_inner()
        .map_err(|error| ImportError::Keep(error.into_error()))?;
    file.rewind().map_err(ImportError::Keep)?;
    Ok(file)
}

fn read_batches(checked: File, send: &mpsc::Sender<Vec<String>>) -> io::Result<()> {
    let mut batch = Vec::with_capacity(BATCH);
    for url in BufReader::new(checked).lines() {
        batch.push(url?);
        if batch.len() == BATCH && send.blocking_send(std::mem::take(&mut batch)).is_err() {
            return Ok(());
        }
    }
    if !batch.is_empty() {
        // The receiver goes away only where the import has failed, which it reports itself.
        let _ = send.blocking_send(batch);
    }
    Ok(())
}

/// The lines of a list, gzip or plain by its first bytes; empty lines are passed over.
struct Lines {
    reader: Box<dyn BufRead>,
    buffer: Vec<u8>,
    number: u64,
}

impl Lines {
    fn open(mut list: impl Read + 'static) -> io::Result<Self> {
        let mut head = Vec::with_capacity(2);
        list.by_ref().take(2).read_to_end(&mut head)?;
        let gzip = head == [0x1f, 0x8b];
        let whole = io::Cursor::new(head).chain(list);
        Ok(Self {
            reader: if gzip {
                Box::new(BufReader::new(MultiGzDecoder::new(whole)))
            } else {
                Box::new(BufReader::new(whole))
            },
            buffer: Vec::new(),
            number: 0,
        })
    }

    /// The next line that is not empty, without the blanks around it.
    fn next(&mut self) -> Result<Option<&str>, ImportError> {
        loop {
            if !self.fill()? {
                return Ok(None);
            }
            if !self.buffer.trim_ascii().is_empty() {
                break;
            }
        }
        let wrong = |reason: &str| ImportError::Line {
            line: self.number,
            reason: reason.into(),
        };
        if self.buffer.trim_ascii().len() > MAX_URL {
            return Err(wrong(&format!("it is longer than {MAX_URL} bytes")));
        }
        let text = str::from_utf8(&self.buffer).map_err(|_| wrong("it is not UTF-8"))?;
        Ok(Some(text.trim()))
    }

    /// Reads one line, but no more than shows that it is too long; false at the end.
    fn fill(&mut self) -> Result<bool, ImportError> {
        self.buffer.clear();
        // Room for a line break of two characters, and for one more that shows the excess.
        let most = MAX_URL as u64 + 3;
        let read = self
            .reader
            .by_ref()
            .take(most)
            .read_until(b'\n', &mut self.buffer)
            .map_err(|source| ImportError::Read {
                line: self.number,
                source,
            })?;
        self.number += 1;
        Ok(read > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "https://data.example.org";

    fn urls(list: &'static [u8]) -> Result<Vec<String>, ImportError> {
        let file = check(list, &Base::parse(BASE)?)?;
        Ok(BufReader::new(file).lines().map(Result::unwrap).collect())
    }

    fn refusal(list: &'static [u8]) -> String {
        urls(list).unwrap_err().to_string()
    }

    #[test]
    fn paths_are_joined_and_urls_are_left() {
        assert_eq!(
            urls(b"a/b.warc.wat.gz\r\n\n  /c.wat  \ns3://bucket/d.wat.gz").unwrap(),
            [
                "https://data.example.org/a/b.warc.wat.gz",
                "https://data.example.org/c.wat",
                "s3://bucket/d.wat.gz"
            ]
        );
    }

    #[test]
    fn a_wrong_line_is_named_with_its_number() {
        assert_eq!(
            refusal(b"a.wat.gz\n\nb.warc.gz\n"),
            "line 3 names no WAT file: `b.warc.gz` ends in neither .wat.gz nor .wat; nothing was \
             imported"
        );
        assert!(refusal(b"<html>").starts_with("line 1 names no WAT file: `<html>` has"));
        assert!(refusal(b"a.wat\nb\0.wat").starts_with("line 2"));
        assert!(refusal(b"a.wat\n\xff.wat").contains("line 2 names no WAT file: it is not UTF-8"));
        assert!(refusal(b"file:///etc/x.wat").contains("no http, https or s3 address"));
        assert!(refusal(b"\n \n").contains("empty"));
    }

    #[test]
    fn an_endless_line_is_refused_without_being_read() {
        let endless = io::repeat(b'a');
        let longest = format!("{BASE}/{}.wat\r\n", "a".repeat(MAX_URL - BASE.len() - 5));
        assert!(check(io::Cursor::new(longest), &Base::parse(BASE).unwrap()).is_ok());
        let error = check(endless, &Base::parse(BASE).unwrap()).unwrap_err();
        assert!(error.to_string().contains("longer than 2048 bytes"));
    }

    #[test]
    fn gzip_is_known_by_its_content_and_damage_is_told() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"a.wat.gz\nb.wat.gz\n").unwrap();
        let mut bytes = gzip.finish().unwrap();
        let base = Base::parse(BASE).unwrap();
        assert!(check(io::Cursor::new(bytes.clone()), &base).is_ok());
        bytes.truncate(bytes.len() - 9);
        assert!(matches!(
            check(io::Cursor::new(bytes), &base),
            Err(ImportError::Read { .. })
        ));
    }

    #[test]
    fn a_base_must_be_an_address() {
        for wrong in ["", "data.example.org", "ftp://host/", "http://"] {
            assert!(Base::parse(wrong).is_err(), "{wrong}");
        }
    }
}
