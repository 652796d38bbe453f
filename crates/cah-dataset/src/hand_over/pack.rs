//! Images → the tar that is handed over.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use parquet::{arrow::ArrowWriter, file::metadata::KeyValue};
use sha2::{Digest, Sha256};

use super::{ABOUT, HandOver, TABLE, image_member};
use crate::{
    columns,
    error::{DatasetError, Result},
    row::{FetchedRow, Found, Place},
    table::{self, ROWS_PER_BATCH},
    tarball::{self, BLOCK},
};

/// The tar of a hand-over while it grows, a file of this machine. Its calls block.
///
/// One that continues after a crash asks with [`holds`](Self::holds) for one image after the other
/// whether it is there, and then cuts off what follows the last that is.
#[derive(Debug)]
pub struct HandOverPacker {
    path: PathBuf,
    file: File,
    number: u64,
    /// Of the images that are known to be there.
    length: u64,
}

impl HandOverPacker {
    /// Opens the tar of a shard, which is made where it is missing. Nothing that is in it is
    /// believed yet.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn open(path: &Path, number: u64) -> Result<Self> {
        let mut options = File::options();
        let options = options.create(true).truncate(false).read(true).write(true);
        let file = options.open(path);
        Ok(Self {
            file: file.map_err(|cause| DatasetError::io(path.display().to_string(), cause))?,
            path: path.to_owned(),
            number,
            length: 0,
        })
    }

    /// Whether the next member is the image of this candidate, as it was downloaded.
    ///
    /// # Errors
    /// A disk that does not give back what is on it.
    pub fn holds(&mut self, row: &FetchedRow) -> Result<bool> {
        let member = self.next_member().map_err(|e| self.failed(e))?;
        let Some(member) = member else {
            return Ok(false);
        };
        let image = &member[BLOCK..];
        let expected = tarball::member(&image_member(self.number, row.index), image);
        let held = member == expected[..member.len()] && Sha256::digest(image)[..] == row.sha256;
        if held {
            self.length += expected.len() as u64;
        }
        Ok(held)
    }

    /// The header and the bytes of the member after those that are known to be there.
    fn next_member(&mut self) -> io::Result<Option<Vec<u8>>> {
        let left = self.file.metadata()?.len().saturating_sub(self.length);
        if left < BLOCK as u64 {
            return Ok(None);
        }
        self.file.seek(io::SeekFrom::Start(self.length))?;
        let mut member = vec![0; BLOCK];
        self.file.read_exact(&mut member)?;
        let size = tarball::size_of(&member);
        let Some(size) =
            size.filter(|size| size.next_multiple_of(BLOCK as u64) <= left - BLOCK as u64)
        else {
            return Ok(None);
        };
        member.resize(BLOCK + size as usize, 0);
        self.file.read_exact(&mut member[BLOCK..])?;
        Ok(Some(member))
    }

    /// Cuts off what follows the images that are known to be there.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn cut(&mut self) -> Result<()> {
        let cut = self.file.set_len(self.length);
        let cut = cut.and_then(|()| self.file.seek(io::SeekFrom::Start(self.length)));
        cut.map(drop).map_err(|e| self.failed(e))
    }

    /// Appends the image of a candidate.
    ///
    /// # Errors
    /// A disk that takes no more.
    pub fn push(&mut self, row: &FetchedRow, image: &[u8]) -> Result<()> {
        let member = tarball::member(&image_member(self.number, row.index), image);
        self.file.write_all(&member).map_err(|e| self.failed(e))?;
        self.length += member.len() as u64;
        Ok(())
    }

    /// Appends the table of the candidates whose images were pushed, in the order of their indices,
    /// and the end mark. On return everything is on the disk.
    ///
    /// # Errors
    /// [`DatasetError::NotConserved`] where images and outcomes do not add up to the candidates;
    /// [`DatasetError::BadShard`] for settings that no manifest has room for; whatever a row
    /// brings; a disk that takes no more.
    pub fn finish(
        mut self,
        about: &HandOver,
        rows: impl Iterator<Item = Result<FetchedRow>>,
    ) -> Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let scratch = tempfile::tempfile_in(folder).map_err(|e| self.failed(e))?;
        let mut table = self.write_table(scratch, about, rows)?;
        let mut append = || {
            let length = table.stream_position()?;
            table.rewind()?;
            let header = tarball::header(TABLE, length);
            self.file.write_all(header.as_bytes())?;
            io::copy(&mut table, &mut self.file)?;
            let padding = length.next_multiple_of(BLOCK as u64) - length;
            self.file.write_all(&[0; BLOCK][..padding as usize])?;
            self.file.write_all(&tarball::END)?;
            self.file.sync_all()
        };
        append().map_err(|e| self.failed(e))
    }

    fn write_table(
        &self,
        scratch: File,
        about: &HandOver,
        rows: impl Iterator<Item = Result<FetchedRow>>,
    ) -> Result<File> {
        let failed = |cause| DatasetError::encoding(self.path.display().to_string(), cause);
        let number = self.number;
        let bad = |why| DatasetError::BadShard { number, why };
        about.check_settings().map_err(bad)?;
        let about_json = KeyValue::new(ABOUT.to_owned(), about.to_json());
        let properties = table::properties("URL", vec![about_json]);
        let schema = columns::FETCHED.clone();
        let mut writer = ArrowWriter::try_new(scratch, schema, Some(properties)).map_err(failed)?;
        let wat: Arc<str> = about.shard.url.as_str().into();
        let mut count = 0;
        let mut rows = rows.peekable();
        while rows.peek().is_some() {
            let some = rows.by_ref().take(ROWS_PER_BATCH);
            let some: Vec<FetchedRow> = some.collect::<Result<_>>()?;
            count += some.len() as u64;
            let place = |row: &FetchedRow| Place::new(&about.shard, wat.clone(), row.index);
            let places: Vec<Place> = some.iter().map(place).collect();
            let found = some.iter().zip(&places);
            let found: Vec<Found<'_>> = found.map(|(row, place)| Found { row, place }).collect();
            let batch = columns::fetched_batch(&found).map_err(|e| failed(e.into()))?;
            writer.write(&batch).map_err(failed)?;
        }
        let check = about.check(count);
        check.map_err(|why| DatasetError::NotConserved { number, why })?;
        writer.into_inner().map_err(failed)
    }

    fn failed(&self, cause: io::Error) -> DatasetError {
        DatasetError::io(self.path.display().to_string(), cause)
    }
}
