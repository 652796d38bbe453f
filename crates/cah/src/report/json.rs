//! The table as a file for scripts.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use super::Table;

/// Where the table goes as JSON: a place that could be written to when the run began.
#[derive(Debug)]
pub(crate) struct JsonFile(PathBuf);

impl JsonFile {
    /// Makes sure that the file can be written, and leaves nothing there: what is wrong with it is
    /// better known before a long run than after it.
    pub(crate) fn check(path: Option<&Path>) -> Result<Option<Self>> {
        let Some(path) = path else { return Ok(None) };
        // A link is not replaced, but what it leads to.
        let file = Self(path.canonicalize().unwrap_or_else(|_| path.into()));
        file.probe().with_context(|| file.cannot_be_written())?;
        Ok(Some(file))
    }

    /// Writes the table. It appears under its name when it is whole.
    pub(crate) fn write(&self, table: &Table) -> Result<()> {
        let mut json = serde_json::to_vec_pretty(table)?;
        json.push(b'\n');
        self.replace(&json)
            .with_context(|| self.cannot_be_written())
    }

    fn probe(&self) -> io::Result<()> {
        match self.kind() {
            Kind::Special => return Ok(()),
            // Only opened: what is there stays until there is something better.
            Kind::There => drop(File::options().write(true).open(&self.0)?),
            Kind::Missing => {}
        }
        self.stage().map(drop)
    }

    fn replace(&self, json: &[u8]) -> io::Result<()> {
        if self.kind() == Kind::Special {
            return File::options().write(true).open(&self.0)?.write_all(json);
        }
        let mut staged = self.stage()?;
        staged.write_all(json)?;
        staged.as_file().sync_all()?;
        staged.persist(&self.0).map_err(|error| error.error)?;
        Ok(())
    }

    fn kind(&self) -> Kind {
        match fs::metadata(&self.0) {
            Ok(metadata) if metadata.is_file() || metadata.is_dir() => Kind::There,
            Ok(_) => Kind::Special,
            Err(_) => Kind::Missing,
        }
    }

    fn stage(&self) -> io::Result<NamedTempFile> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".cah-").suffix(".json.part");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let folder = self.0.parent().filter(|path| !path.as_os_str().is_empty());
        builder.tempfile_in(folder.unwrap_or(Path::new(".")))
    }

    fn cannot_be_written(&self) -> String {
        format!("cannot write the table to {}", self.0.display())
    }
}

/// What is at a path.
#[derive(PartialEq)]
enum Kind {
    Missing,
    /// A file, or a folder, which says itself that it is none.
    There,
    /// A device or a pipe: it is written to and not replaced.
    Special,
}
