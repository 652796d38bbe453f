//! A WAT file, inflated.

use std::{io::Read, path::PathBuf};

use cah_archive::Gunzip;
use cah_source::AnySource;
use cah_staged::StagedFile;
use cah_wat::{Piece, Reader};

use super::{
    DownloadError, DownloadOptions,
    feed::{self, Fed, Wanted},
};

/// What each record begins with.
const MAGIC: &[u8] = b"WARC/";

/// Inflated bytes that are written at a time.
const BUFFER: usize = 256 << 10;

/// Writes a WAT file, or a piece of it, to `target`.
pub(crate) async fn download(
    source: &AnySource,
    piece: Piece,
    target: PathBuf,
    options: &DownloadOptions,
) -> Result<PathBuf, DownloadError> {
    let location = source.location().to_owned();
    if source.length() == Some(0) {
        let reason = "empty".into();
        return Err(DownloadError::NotAWat { location, reason });
    }
    let reader = match piece {
        Piece::Whole => None,
        half => Some(Reader::for_piece(source.needed_length()?, half)),
    };
    let start = reader.as_ref().map_or(0, Reader::start_offset);
    let wanted = Wanted {
        source,
        start,
        total: source.length().map(|length| match piece {
            Piece::First => length.div_ceil(2),
            Piece::Whole | Piece::Second => length - start,
        }),
        progress: options.progress.as_ref(),
    };
    feed::through(wanted, move |fed| {
        let write = |source| DownloadError::write(&target, source);
        // What a killed process left of it would fill the disk.
        let staged =
            cah_staged::remove_leftovers(&target).and_then(|()| StagedFile::create(target.clone()));
        let mut staged = staged.map_err(write)?;
        let copy = Copy {
            location,
            target: target.clone(),
        };
        match reader {
            None => copy.whole(fed, &mut staged)?,
            Some(reader) => copy.piece(fed, reader, &mut staged)?,
        }
        staged.publish().map_err(write)?;
        Ok(target)
    })
    .await
}

/// A file on its way, for the words of what goes wrong.
struct Copy {
    location: String,
    target: PathBuf,
}

impl Copy {
    /// Every byte, as it lies inflated.
    fn whole(&self, fed: Fed, staged: &mut StagedFile) -> Result<(), DownloadError> {
        let mut inflated = Gunzip::new(fed).map_err(|error| self.damaged(error))?;
        let mut buffer = vec![0; BUFFER];
        let mut begins = Vec::with_capacity(MAGIC.len());
        loop {
            match inflated.read(&mut buffer) {
                Ok(0) if begins.len() < MAGIC.len() => return Err(self.something_else()),
                Ok(0) => return Ok(()),
                Ok(read) => {
                    let missing = read.min(MAGIC.len() - begins.len());
                    begins.extend_from_slice(&buffer[..missing]);
                    if !MAGIC.starts_with(&begins) {
                        return Err(self.something_else());
                    }
                    let written = staged.append(&buffer[..read]);
                    written.map_err(|error| DownloadError::write(&self.target, error))?;
                }
                Err(error) => return Err(self.damaged(error)),
            }
        }
    }

    /// The records of a half.
    fn piece(
        &self,
        mut fed: Fed,
        mut reader: Reader,
        staged: &mut StagedFile,
    ) -> Result<(), DownloadError> {
        let not_a_wat = |error: cah_wat::Error| DownloadError::NotAWat {
            location: self.location.clone(),
            reason: error.to_string(),
        };
        let (mut bytes, mut written) = (Vec::new(), Ok(()));
        let mut write = |record: cah_wat::Record<'_>| {
            if written.is_ok() {
                bytes.clear();
                for part in record.parts() {
                    bytes.extend_from_slice(part);
                }
                written = staged.append(&bytes);
            }
        };
        while !reader.is_done() {
            let chunk = fed.chunk().map_err(|error| self.damaged(error))?;
            if chunk.is_empty() {
                break;
            }
            reader.decode(&chunk, &mut write).map_err(not_a_wat)?;
        }
        let report = reader.finish(&mut write).map_err(not_a_wat)?;
        written.map_err(|error| DownloadError::write(&self.target, error))?;
        match (report.is_whole(), report.truncated) {
            (true, _) => Ok(()),
            (false, true) => Err(self.damaged("it ends too early")),
            (false, false) => Err(self.damaged(format!(
                "{} of its records cannot be read",
                report.damaged.max(1)
            ))),
        }
    }

    /// A page about a file that has moved comes with status 200, too.
    fn something_else(&self) -> DownloadError {
        DownloadError::NotAWat {
            location: self.location.clone(),
            reason: "no WAT file: it does not begin with a record".into(),
        }
    }

    fn damaged(&self, reason: impl ToString) -> DownloadError {
        DownloadError::Damaged {
            location: self.location.clone(),
            reason: reason.to_string(),
        }
    }
}
