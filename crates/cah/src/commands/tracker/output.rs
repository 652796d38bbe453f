//! Files that commands write.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use tempfile::{Builder, NamedTempFile};

/// A file that is written. It gets its name once it is whole; what is no plain file, like a pipe,
/// is written to as it is.
pub(super) enum Output {
    Plain { file: NamedTempFile, path: PathBuf },
    Special(File),
}

impl Output {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let unwritable = || format!("cannot write {}", path.display());
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => bail!("{} is a folder; name a file", path.display()),
            Ok(found) if !found.is_file() => {
                let file = OpenOptions::new().write(true).open(path);
                Ok(Self::Special(file.with_context(unwritable)?))
            }
            found => {
                let path = match found {
                    // A link stays one: what it leads to is written.
                    Ok(_) => fs::canonicalize(path).with_context(unwritable)?,
                    Err(_) => path.to_owned(),
                };
                let folder = folder_of(&path);
                let file = Builder::new()
                    .prefix(".cah-")
                    .suffix(".part")
                    .tempfile_in(folder);
                let file =
                    file.with_context(|| format!("cannot write into {}", folder.display()))?;
                Ok(Self::Plain { file, path })
            }
        }
    }

    /// What is written here is in the file.
    pub(super) fn writer(&self) -> Result<File> {
        Ok(match self {
            Self::Plain { file, .. } => file.as_file().try_clone()?,
            Self::Special(file) => file.try_clone()?,
        })
    }

    /// Whether it gets a name, and is no pipe or device.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain { .. })
    }

    /// Gives the file its name, for good.
    pub(super) fn keep(self) -> Result<()> {
        let Self::Plain { file, path } = self else {
            return Ok(());
        };
        let unwritable = || format!("cannot write {}", path.display());
        file.as_file().sync_all().with_context(unwritable)?;
        file.persist(&path)
            .map_err(|error| error.error)
            .with_context(unwritable)?;
        // The name is in the folder.
        File::open(folder_of(&path))
            .and_then(|folder| folder.sync_all())
            .with_context(unwritable)
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_is_there_as_a_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let names = || fs::read_dir(folder.path()).unwrap().count();
        let output = Output::create(&path).unwrap();
        output.writer().unwrap().write_all(b"half").unwrap();
        drop(output);
        assert_eq!(names(), 0);
        let output = Output::create(&path).unwrap();
        output.writer().unwrap().write_all(b"whole").unwrap();
        output.keep().unwrap();
        assert_eq!((names(), fs::read(&path).unwrap()), (1, b"whole".to_vec()));
    }

    #[cfg(unix)]
    #[test]
    fn links_and_devices_stay_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("out"), folder.path().join("link"));
        fs::write(&path, "old").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let output = Output::create(&link).unwrap();
        output.writer().unwrap().write_all(b"new").unwrap();
        output.keep().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let nothing = Output::create(Path::new("/dev/null")).unwrap();
        assert!(matches!(nothing, Output::Special(_)));
        nothing.keep().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
