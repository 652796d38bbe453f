//! SHA-256 in hex, as the hub and the manifests write it.

use std::{fs::File, io, path::Path};

use sha2::{Digest as _, Sha256};

/// The hash of what is written to it.
#[derive(Default)]
pub(super) struct Digest(Sha256);

impl Digest {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn hex(self) -> String {
        let bytes = self.0.finalize();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn of_file(path: &Path) -> io::Result<String> {
        let mut digest = Self::default();
        io::copy(&mut File::open(path)?, &mut digest)?;
        Ok(digest.hex())
    }
}

impl io::Write for Digest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
