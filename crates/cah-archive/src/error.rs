use std::{io, path::PathBuf};

use thiserror::Error;

/// Why an archive was not extracted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The bytes are something else than a tar.
    #[error("it is no tar, plain or in gzip")]
    NotATar,
    /// The archive ends too early, or is damaged.
    #[error("the archive is damaged: {0}")]
    Damaged(String),
    /// An entry that is not extracted, and so nothing else is.
    #[error("the archive's entry `{entry}` is refused: {why}")]
    Refused {
        /// The name of the entry, with what cannot be shown escaped.
        entry: String,
        /// What is wrong with it.
        why: Refusal,
    },
    /// More bytes than [`Limits::total`](crate::Limits::total).
    #[error("the archive is larger than {0} bytes once it is inflated")]
    TooLarge(u64),
    /// More entries than [`Limits::entries`](crate::Limits::entries).
    #[error("the archive has more than {0} entries")]
    TooMany(u64),
    /// The bytes of the archive do not come any more.
    #[error("reading the archive failed: {0}")]
    Read(#[source] io::Error),
    /// This machine does not take a file: a disk that is full, a folder that is read-only.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// What is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A name that begins at the root, or with a drive.
    #[error("its name is absolute")]
    Absolute,
    /// A name with `..` in it.
    #[error("its name leads out of the folder")]
    Outside,
    /// A name that is empty, not UTF-8, or has control characters.
    #[error("its name is no text")]
    BadName,
    /// A name longer than file systems take.
    #[error("its name is too long")]
    LongName,
    /// A symbolic or hard link.
    #[error("it is a link")]
    Link,
    /// A device, a pipe, or what no archive of files has.
    #[error("it is neither a file nor a folder")]
    Special,
    /// A file with holes, whose length is not that of its bytes.
    #[error("it is a sparse file")]
    Sparse,
    /// A header that contradicts itself.
    #[error("its header makes no sense")]
    BadHeader,
    /// The second entry of one name.
    #[error("an entry before it has its name")]
    Twice,
    /// More bytes than [`Limits::entry`](crate::Limits::entry).
    #[error("it has more than {0} bytes")]
    TooLarge(u64),
    /// What lies in the folder already: a folder where a file is to be, or a link or file where a
    /// folder is to be.
    #[error("something of another kind lies in its place; take another folder, or clear it")]
    InTheWay,
}

impl ArchiveError {
    /// Whether the archive is what is wrong, so that nobody can use it. Otherwise it is this
    /// machine, or the way here.
    pub fn is_of_the_archive(&self) -> bool {
        match self {
            Self::NotATar | Self::Damaged(_) | Self::TooLarge(_) | Self::TooMany(_) => true,
            Self::Refused { why, .. } => *why != Refusal::InTheWay,
            Self::Read(_) | Self::Write { .. } => false,
        }
    }

    /// An entry is refused; its name is shown so that it harms no terminal.
    pub(crate) fn refused(name: &[u8], why: Refusal) -> Self {
        const SHOWN: usize = 200;
        let name = String::from_utf8_lossy(name);
        let entry = name.chars().take(SHOWN).flat_map(char::escape_debug);
        Self::Refused {
            entry: entry.collect(),
            why,
        }
    }
}
