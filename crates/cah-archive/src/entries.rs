//! The entries of a tar, their headers checked before anything is made of them.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
};

use tar::{EntryType, Header, PaxExtensions};

use crate::{ArchiveError, Limits, Refusal, name};

const BLOCK: usize = 512;

/// The longest header beyond the block that every entry has: long names and extended attributes.
const LONGEST_EXTENSION: u64 = 1 << 20;

/// Bytes of an entry that are moved at a time.
const BUFFER: usize = 128 << 10;

type Result<T> = std::result::Result<T, ArchiveError>;

/// An entry that may be extracted.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Below the folder; empty for the folder itself.
    pub(crate) path: PathBuf,
    /// Its bytes, of a file; nothing for a folder.
    pub(crate) file: Option<u64>,
}

/// Reads entry after entry.
pub(crate) struct Entries<'a, R> {
    input: R,
    limits: &'a Limits,
    /// Bytes that came so far.
    seen: u64,
    entries: u64,
    /// Whether a header was one.
    begun: bool,
    buffer: Vec<u8>,
}

/// What stands before an entry and is about it.
#[derive(Default)]
struct Extension {
    name: Option<Vec<u8>>,
    size: Option<u64>,
    is_sparse: bool,
}

impl<'a, R: Read> Entries<'a, R> {
    pub(crate) fn new(input: R, limits: &'a Limits) -> Self {
        Self {
            input,
            limits,
            seen: 0,
            entries: 0,
            begun: false,
            buffer: vec![0; BUFFER],
        }
    }

    /// The next entry, once the content of the last one was [copied](Self::copy). Nothing is left
    /// to be read where there is none.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>> {
        let mut extension = None;
        while let Some(header) = self.header()? {
            self.begun = true;
            let name = header.path_bytes();
            let size = header.entry_size();
            let size = size.map_err(|_| ArchiveError::refused(&name, Refusal::BadHeader))?;
            match header.entry_type() {
                EntryType::XGlobalHeader => {
                    let of_all = self.extended(&name, size)?;
                    if of_all.name.is_some() || of_all.size.is_some() || of_all.is_sparse {
                        return Err(ArchiveError::refused(&name, Refusal::BadHeader));
                    }
                }
                EntryType::XHeader => {
                    // The name in a long name's header stays, where there are both.
                    let before: Extension = extension.take().unwrap_or_default();
                    let extended = self.extended(&name, size)?;
                    extension = Some(Extension {
                        name: extended.name.or(before.name),
                        ..extended
                    });
                }
                EntryType::GNULongName => {
                    let mut long = self.small(&name, size)?;
                    long.pop_if(|last| *last == 0);
                    extension.get_or_insert_default().name = Some(long);
                }
                _ => return self.entry(&header, size, extension).map(Some),
            }
        }
        match extension {
            Some(_) => Err(truncated()),
            None => Ok(None),
        }
    }

    fn entry(&mut self, header: &Header, size: u64, extension: Option<Extension>) -> Result<Entry> {
        let extension = extension.unwrap_or_default();
        let size = extension.size.unwrap_or(size);
        let name = match extension.name {
            Some(name) => name,
            None => header.path_bytes().into_owned(),
        };
        let refuse = |why| Err(ArchiveError::refused(&name, why));
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(ArchiveError::TooMany(self.limits.entries));
        }
        let is_file = match header.entry_type() {
            EntryType::Regular | EntryType::Continuous => !name.ends_with(b"/"),
            EntryType::Directory => false,
            EntryType::Link | EntryType::Symlink | EntryType::GNULongLink => {
                return refuse(Refusal::Link);
            }
            EntryType::GNUSparse => return refuse(Refusal::Sparse),
            _ => return refuse(Refusal::Special),
        };
        let path = match name::below_folder(&name) {
            Ok(path) => path,
            Err(why) => return refuse(why),
        };
        match is_file {
            _ if extension.is_sparse => refuse(Refusal::Sparse),
            true if path.as_os_str().is_empty() => refuse(Refusal::BadName),
            true if size > self.limits.entry => refuse(Refusal::TooLarge(self.limits.entry)),
            true if size > self.limits.total - self.seen => {
                Err(ArchiveError::TooLarge(self.limits.total))
            }
            false if size > 0 => refuse(Refusal::BadHeader),
            _ => Ok(Entry {
                path,
                file: is_file.then_some(size),
            }),
        }
    }

    /// Copies the content of the entry that came last, which has `size` bytes.
    pub(crate) fn copy(
        &mut self,
        size: u64,
        out: &mut impl Write,
        write_error: impl Fn(io::Error) -> ArchiveError,
    ) -> Result<()> {
        let mut left = size;
        let mut buffer = std::mem::take(&mut self.buffer);
        while left > 0 {
            let part = left.min(BUFFER as u64) as usize;
            self.whole(&mut buffer[..part])?;
            out.write_all(&buffer[..part]).map_err(&write_error)?;
            left -= part as u64;
        }
        self.buffer = buffer;
        self.padding(size)
    }

    /// The next header; `None` at the archive's end, which is read to the last byte.
    fn header(&mut self) -> Result<Option<Header>> {
        let mut header = Header::new_old();
        let read = self.fill(header.as_mut_bytes())?;
        if read < BLOCK {
            return Err(match self.begun {
                true => truncated(),
                false => ArchiveError::NotATar,
            });
        }
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            return self.end().map(|()| None);
        }
        match is_sound(&header) {
            true => Ok(Some(header)),
            false if self.begun => Err(damaged("a header's checksum is wrong")),
            false => Err(ArchiveError::NotATar),
        }
    }

    /// Only zeros may stand behind the end.
    fn end(&mut self) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        loop {
            let read = self.fill(&mut buffer)?;
            if buffer[..read].iter().any(|byte| *byte != 0) {
                return Err(damaged("something stands behind its end"));
            }
            if read < buffer.len() {
                return Ok(());
            }
        }
    }

    /// What an extended header says of the entry that follows.
    fn extended(&mut self, name: &[u8], size: u64) -> Result<Extension> {
        let text = self.small(name, size)?;
        let bad = || ArchiveError::refused(name, Refusal::BadHeader);
        let mut extension = Extension::default();
        for pair in PaxExtensions::new(&text) {
            let pair = pair.map_err(|_| bad())?;
            let value = pair.value_bytes();
            match pair.key_bytes() {
                b"path" => extension.name = Some(value.to_vec()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok();
                    let size = size.and_then(|size| size.parse().ok());
                    extension.size = Some(size.ok_or_else(bad)?);
                }
                key if key.starts_with(b"GNU.sparse.") => extension.is_sparse = true,
                _ => {}
            }
        }
        Ok(extension)
    }

    /// A header's content, which has to be short.
    fn small(&mut self, name: &[u8], size: u64) -> Result<Vec<u8>> {
        if size > LONGEST_EXTENSION {
            return Err(ArchiveError::refused(name, Refusal::BadHeader));
        }
        let mut content = Vec::new();
        // A `Vec` takes whatever is written to it.
        self.copy(size, &mut content, ArchiveError::Read)?;
        Ok(content)
    }

    fn padding(&mut self, size: u64) -> Result<()> {
        let over = (size % BLOCK as u64) as usize;
        match over {
            0 => Ok(()),
            over => self.whole(&mut [0; BLOCK][over..]),
        }
    }

    fn whole(&mut self, buffer: &mut [u8]) -> Result<()> {
        match self.fill(buffer)? == buffer.len() {
            true => Ok(()),
            false => Err(truncated()),
        }
    }

    /// Fills a buffer as far as the input goes, and the limit.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.input.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ArchiveError::Read(error)),
            }
        }
        self.seen += filled as u64;
        match self.seen > self.limits.total {
            true => Err(ArchiveError::TooLarge(self.limits.total)),
            false => Ok(filled),
        }
    }
}

/// Whether a header has the checksum that it says, which is taken with blanks in its own place.
fn is_sound(header: &Header) -> bool {
    const PLACE: std::ops::Range<usize> = 148..156;
    let bytes = header.as_bytes().iter().enumerate();
    let sum: u32 = bytes
        .map(|(at, byte)| match PLACE.contains(&at) {
            true => u32::from(b' '),
            false => u32::from(*byte),
        })
        .sum();
    header.cksum().is_ok_and(|told| told == sum)
}

fn truncated() -> ArchiveError {
    damaged("it ends too early")
}

fn damaged(why: &str) -> ArchiveError {
    ArchiveError::Damaged(why.into())
}
