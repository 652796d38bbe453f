//! Files that appear under their name whole or not at all.

use std::{
    ffi::OsString,
    io::{self, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// A file that is being written beside its target. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct PartFile {
    file: NamedTempFile,
    target: PathBuf,
}

impl PartFile {
    /// Begins a file; its folder is created where it is missing.
    pub(crate) fn create(target: PathBuf) -> io::Result<Self> {
        let folder = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(folder)?;
        let mut prefix = OsString::from(".");
        prefix.push(target.file_name().unwrap_or_default());
        prefix.push(".");
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(".part");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.tempfile_in(folder)?;
        Ok(Self { file, target })
    }

    /// Gives the file its name, and takes it from an older one.
    pub(crate) fn publish(self) -> io::Result<PathBuf> {
        self.file.persist(&self.target).map_err(|e| e.error)?;
        Ok(self.target)
    }
}

impl Write for PartFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_file_mut().flush()
    }
}
