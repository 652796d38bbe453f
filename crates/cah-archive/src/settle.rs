//! From the folder where an archive was unpacked to the one where it belongs.

use std::{fs, io, path::Path};

use crate::{ArchiveError, Refusal};

type Result<T> = std::result::Result<T, ArchiveError>;

/// Moves everything in `from` to its place below `to`, once it is clear that nothing is in the way.
pub(crate) fn settle(from: &Path, to: &Path) -> Result<()> {
    each(from, to, &mut |step| check(&step))?;
    each(from, to, &mut |step| step.go().map(|()| step.is_folder))
}

/// A file or folder on its way.
struct Step<'a> {
    from: &'a Path,
    to: &'a Path,
    is_folder: bool,
}

/// Takes each entry of a folder, and what is in it where `take` says so.
fn each(from: &Path, to: &Path, take: &mut dyn FnMut(Step<'_>) -> Result<bool>) -> Result<()> {
    let failed = |source| write_error(from, source);
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let step = Step {
            is_folder: entry.file_type().map_err(failed)?.is_dir(),
            from: &from,
            to: &to,
        };
        if take(step)? {
            each(&from, &to, take)?;
        }
    }
    Ok(())
}

/// Whether what is in a folder has to be looked at, too.
///
/// A link that lies where a folder belongs would lead out of the folder; one that lies where a file
/// belongs is replaced, as a file is.
fn check(step: &Step<'_>) -> Result<bool> {
    let found = match fs::symlink_metadata(step.to) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(write_error(step.to, error)),
    };
    match found.is_dir() == step.is_folder {
        true => Ok(step.is_folder),
        false => Err(ArchiveError::refused(
            step.to.as_os_str().as_encoded_bytes(),
            Refusal::InTheWay,
        )),
    }
}

impl Step<'_> {
    fn go(&self) -> Result<()> {
        let gone = match self.is_folder {
            true => match fs::create_dir(self.to) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                created => created,
            },
            false => fs::rename(self.from, self.to),
        };
        gone.map_err(|source| write_error(self.to, source))
    }
}

fn write_error(path: &Path, source: io::Error) -> ArchiveError {
    ArchiveError::Write {
        path: path.to_owned(),
        source,
    }
}
