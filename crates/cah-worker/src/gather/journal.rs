//! One line for each candidate: a checksum, and what became of it as JSON.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Seek, Write},
    path::{Path, PathBuf},
};

use cah_dataset::FetchedRow;
use cah_protocol::Outcome;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::WorkerError;

/// Digits of a checksum.
const DIGITS: usize = 16;

/// What became of a candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    /// Its image is in the tar.
    Image(FetchedRow),
    /// It has none.
    Ended {
        url: String,
        text: String,
        outcome: Outcome,
    },
}

/// A journal that is written on.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Goes on after the first `length` bytes; what follows them is cut off.
    pub(super) fn open(path: &Path, length: u64) -> Result<Self, WorkerError> {
        let open = || {
            let mut options = File::options();
            let mut file = options
                .create(true)
                .truncate(false)
                .write(true)
                .open(path)?;
            file.set_len(length)?;
            file.seek(io::SeekFrom::End(0))?;
            Ok(file)
        };
        Ok(Self {
            path: path.to_owned(),
            file: open().map_err(|cause| WorkerError::state(path, cause))?,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn append(&mut self, entry: &Entry) -> Result<(), WorkerError> {
        // Numbers and texts always become JSON.
        let json = serde_json::to_string(entry).expect("an entry is plain data");
        let line = format!("{:016x} {json}\n", xxh3_64(json.as_bytes()));
        let written = self.file.write_all(line.as_bytes());
        written.map_err(|cause| WorkerError::state(&self.path, cause))
    }
}

/// The entries of a journal, each with the length of the journal up to its end; none after the first
/// line that is not as it was written.
pub(super) fn entries(path: &Path) -> Result<Entries, WorkerError> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Entries(None)),
        Err(cause) => Err(WorkerError::state(path, cause)),
        Ok(file) => Ok(Entries(Some((BufReader::new(file), 0)))),
    }
}

pub(super) struct Entries(Option<(BufReader<File>, u64)>);

impl Iterator for Entries {
    type Item = (Entry, u64);

    fn next(&mut self) -> Option<Self::Item> {
        let (reader, end) = self.0.as_mut()?;
        let mut line = Vec::new();
        // What the disk does not give back is as good as torn.
        let length = reader.read_until(b'\n', &mut line).unwrap_or_default();
        let entry = parse(&line);
        *end += length as u64;
        let found = entry.map(|entry| (entry, *end));
        if found.is_none() {
            self.0 = None;
        }
        found
    }
}

fn parse(line: &[u8]) -> Option<Entry> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (checksum, json) = line.split_once(' ')?;
    let checksum = u64::from_str_radix(checksum, 16)
        .ok()
        .filter(|_| checksum.len() == DIGITS)?;
    (checksum == xxh3_64(json.as_bytes())).then(|| serde_json::from_str(json).ok())?
}
