//! From an archive's bytes to files in a folder.

use std::{
    cell::Cell,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use cah_staged::StagedFolder;

use crate::{
    ArchiveError, Gunzip, Limits, Refusal,
    entries::{Entries, Entry},
    settle::settle,
    unsynced::Unsynced,
};

type Result<T> = std::result::Result<T, ArchiveError>;

/// What an archive had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extracted {
    /// Its files.
    pub files: u64,
    /// The bytes in them.
    pub bytes: u64,
}

/// Extracts a tar, plain or in gzip (told by its first bytes), into a folder, which is created where
/// it is missing. The archive is read to its end.
///
/// Files of the same name that lie in the folder already are replaced. Modes, owners and times are
/// not taken from the archive. Everything is written beside its place first: an archive that is
/// refused leaves nothing behind, and one that is not gets into place file by file, each of them
/// whole and on the disk. What extractions that were killed left in the folder is removed.
///
/// # Errors
/// [`ArchiveError::Refused`] for entries that are absolute, lead out of the folder by `..` or by a
/// link that lies there, are no file or folder, have no proper name, come twice or are too large;
/// the others for archives that are none, damaged or too large, and for what the system says.
pub fn extract(reader: impl Read, folder: &Path, limits: &Limits) -> Result<Extracted> {
    let is_new = !folder.exists();
    let write_error = |source| ArchiveError::Write {
        path: folder.to_owned(),
        source,
    };
    let result = match StagedFolder::create_in(folder) {
        Ok(staging) => {
            let unpacked = unpack(reader, staging.path(), folder, limits);
            unpacked.and_then(|extracted| settle(staging.path(), folder).map(|()| extracted))
        }
        Err(error) => Err(write_error(error)),
    };
    if result.is_err() && is_new {
        // It stays where somebody else has put something into it.
        let _ = fs::remove_dir(folder);
    }
    result
}

/// Unpacks into a folder that is new and nobody else's: what is there was put there by this very
/// archive.
fn unpack(reader: impl Read, staging: &Path, folder: &Path, limits: &Limits) -> Result<Extracted> {
    let failed = Cell::new(false);
    let input = Watched {
        reader,
        failed: &failed,
    };
    let unpacked = Gunzip::new(input)
        .map_err(ArchiveError::Read)
        .and_then(|input| entries(Entries::new(input, limits), staging, folder));
    match unpacked {
        // It was not the reader that failed: what it read is no gzip.
        Err(ArchiveError::Read(error)) if !failed.get() => {
            Err(ArchiveError::Damaged(error.to_string()))
        }
        unpacked => unpacked,
    }
}

fn entries<R: Read>(
    mut entries: Entries<'_, R>,
    staging: &Path,
    folder: &Path,
) -> Result<Extracted> {
    let mut extracted = Extracted::default();
    let mut parents = Parents::default();
    let mut unsynced = Unsynced::default();
    let sync_error = |source, path: &Path| write_error(source, path, folder);
    while let Some(Entry { path, file }) = entries.next()? {
        let staged = staging.join(&path);
        let write_error = |source| write_error(source, &path, folder);
        let Some(size) = file else {
            fs::create_dir_all(staged).map_err(write_error)?;
            continue;
        };
        parents.create(&staged).map_err(write_error)?;
        let mut out = File::create_new(staged).map_err(write_error)?;
        entries.copy(size, &mut out, write_error)?;
        unsynced.push(path, out, sync_error)?;
        extracted.files += 1;
        extracted.bytes += size;
    }
    unsynced.sync(sync_error)?;
    Ok(extracted)
}

/// What it means that the system refuses to write an entry.
fn write_error(source: io::Error, path: &Path, folder: &Path) -> ArchiveError {
    use io::ErrorKind::{AlreadyExists, IsADirectory, NotADirectory};
    match source.kind() {
        AlreadyExists | NotADirectory | IsADirectory => {
            ArchiveError::refused(path.as_os_str().as_encoded_bytes(), Refusal::Twice)
        }
        _ => ArchiveError::Write {
            path: folder.join(path),
            source,
        },
    }
}

/// The folders of the files, created once.
#[derive(Default)]
struct Parents(PathBuf);

impl Parents {
    fn create(&mut self, file: &Path) -> io::Result<()> {
        match file.parent() {
            Some(parent) if parent != self.0 => {
                fs::create_dir_all(parent)?;
                self.0 = parent.to_owned();
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// A reader that takes note of its failure, so that it can be told from a decoder's.
struct Watched<'a, R> {
    reader: R,
    failed: &'a Cell<bool>,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer);
        let is_failure = |error: &io::Error| error.kind() != io::ErrorKind::Interrupted;
        if read.as_ref().is_err_and(is_failure) {
            self.failed.set(true);
        }
        read
    }
}
