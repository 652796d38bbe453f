//! An extracted hand-over → candidates and their images.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{Array, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use cah_protocol::{IDS_PER_SHARD, Piece, Shard};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{
            ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
        },
    },
    errors::ParquetError,
};
use sha2::{Digest, Sha256};

use super::{ABOUT, HandOver, TABLE, image_member};
use crate::{
    columns,
    error::{DatasetError, Result},
    row::{FetchedRow, Found, NO_LICENSE, Place},
    text::from_hex,
};

/// Bytes that the table may have: room for half a million candidates.
const MOST_TABLE_BYTES: u64 = 1 << 30;

/// Bytes that its word about itself may have.
const MOST_ABOUT_BYTES: usize = 1 << 20;

/// Bytes that one text may have.
const MOST_TEXT_BYTES: usize = 1 << 16;

/// Rows that are read at a time. Few, for each may have long texts.
const ROWS: usize = 128;

/// What was handed over, extracted into a folder. Its calls block.
///
/// Whatever is wrong with it is [`DatasetError::BadHandOver`]; only what the machine does not let
/// be read is another error.
#[derive(Debug)]
pub struct HandedOver {
    folder: PathBuf,
    about: HandOver,
    /// Rows that the table says it has.
    images: u64,
    wat: Arc<str>,
}

impl HandedOver {
    /// Reads what a hand-over for this job says about itself, and believes it only if it is of that
    /// shard and adds up. The job's own URL is not looked at: it says where the tar was.
    ///
    /// # Errors
    /// See [`HandedOver`].
    pub fn open(folder: &Path, job: &Shard) -> Result<Self> {
        let bad = |why: String| bad(job.number, why);
        let table = open_table(folder, job.number)?;
        let metadata = table.metadata().file_metadata();
        let named = metadata.key_value_metadata().into_iter().flatten();
        let about = named.filter(|entry| entry.key == ABOUT);
        let about = about.filter_map(|entry| entry.value.as_deref()).next();
        let about = about.ok_or_else(|| bad("its table does not say what it is of".into()))?;
        if about.len() > MOST_ABOUT_BYTES {
            return Err(bad("it says too much about itself".into()));
        }
        let about = HandOver::parse(about).map_err(bad)?;
        let images = u64::try_from(metadata.num_rows()).map_err(|e| bad(e.to_string()))?;
        check_shard(&about.shard, job).map_err(bad)?;
        about.check_settings().map_err(bad)?;
        about.check(images).map_err(bad)?;
        Ok(Self {
            folder: folder.to_owned(),
            images,
            wat: about.shard.url.as_str().into(),
            about,
        })
    }

    /// What it says about itself. The shard's URL is that of the WAT file, as the CPU worker has it.
    pub fn about(&self) -> &HandOver {
        &self.about
    }

    /// The candidates in their order, each of which keeps the rules of a dataset.
    ///
    /// # Errors
    /// See [`HandedOver`]. After an error comes nothing more.
    pub fn rows(&self) -> Result<impl Iterator<Item = Result<FetchedRow>> + Send + use<>> {
        let number = self.about.shard.number;
        let table = open_table(&self.folder, number)?;
        let names = columns::FETCHED.fields().iter();
        let names: Vec<&str> = names.map(|field| field.name().as_str()).collect();
        let mask = ProjectionMask::columns(table.parquet_schema(), names);
        let table = table.with_projection(mask).with_batch_size(ROWS);
        let batches = guarded(number, || table.build())?;
        Ok(Rows {
            batches,
            shard: self.about.shard.clone(),
            wat: self.wat.clone(),
            next_index: 0,
            missing: self.images,
            left: Vec::new().into_iter(),
            ended: false,
        })
    }

    /// The bytes that a candidate's image has, before it is read.
    ///
    /// # Errors
    /// See [`HandedOver`].
    pub fn image_length(&self, row: &FetchedRow) -> Result<u64> {
        let member = self.member(row);
        match look_at(&self.folder.join(&member))? {
            None => Err(self.bad_image(&member, "is missing")),
            Some(metadata) if !metadata.is_file() => Err(self.bad_image(&member, "is no file")),
            Some(metadata) => Ok(metadata.len()),
        }
    }

    /// The image of a candidate, the bytes that its row says, at most `most` of them.
    ///
    /// # Errors
    /// See [`HandedOver`].
    pub fn image(&self, row: &FetchedRow, most: u64) -> Result<Bytes> {
        let member = self.member(row);
        let path = self.folder.join(&member);
        if self.image_length(row)? > most {
            return Err(self.bad_image(&member, &format!("has more than {most} bytes")));
        }
        let bytes = fs::read(&path).map_err(|e| failed(&path, e))?;
        if Sha256::digest(&bytes)[..] != row.sha256 {
            return Err(self.bad_image(&member, "is not what was downloaded"));
        }
        Ok(bytes.into())
    }

    fn member(&self, row: &FetchedRow) -> String {
        image_member(self.about.shard.number, row.index)
    }

    fn bad_image(&self, member: &str, why: &str) -> DatasetError {
        bad(self.about.shard.number, format!("{member} {why}"))
    }
}

/// What lies at a path, if anything does. A file where a folder should be is the tar's doing.
fn look_at(path: &Path) -> Result<Option<Metadata>> {
    use io::ErrorKind::{NotADirectory, NotFound};
    match fs::symlink_metadata(path) {
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(None),
        metadata => metadata.map(Some).map_err(|e| failed(path, e)),
    }
}

type Table = ParquetRecordBatchReaderBuilder<File>;

fn open_table(folder: &Path, number: u64) -> Result<Table> {
    let bad = |why: String| bad(number, why);
    let path = folder.join(TABLE);
    let Some(metadata) = look_at(&path)? else {
        return Err(bad(format!("it has no {TABLE}")));
    };
    if !metadata.is_file() || metadata.len() > MOST_TABLE_BYTES {
        return Err(bad(format!("its {TABLE} is no table of candidates")));
    }
    let mut file = File::open(&path).map_err(|e| failed(&path, e))?;
    // What the disk refuses is not to be blamed on what was handed over.
    let mut magic = [0; 4];
    match file.read_exact(&mut magic) {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            return Err(failed(&path, error));
        }
        read if read.is_err() || &magic != b"PAR1" => {
            return Err(bad(format!("its {TABLE} is no parquet")));
        }
        _ => {}
    }
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let table = guarded(number, || Table::try_new_with_options(file, options))?;
    for wanted in columns::FETCHED.fields() {
        let found = table.schema().field_with_name(wanted.name());
        if !found.is_ok_and(|found| found.data_type() == wanted.data_type()) {
            let name = wanted.name();
            return Err(bad(format!("its table has no column {name} as it should")));
        }
    }
    Ok(table)
}

/// Runs a reader that was made for honest files: whatever becomes of it, the file is to blame.
fn guarded<T>(number: u64, read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(read) => read.map_err(|error| bad(number, format!("its table cannot be read: {error}"))),
        Err(_) => Err(bad(number, "its table cannot be read".into())),
    }
}

fn check_shard(handed_over: &Shard, job: &Shard) -> Result<(), String> {
    let named = |shard: &Shard| {
        let piece = u8::from(shard.piece);
        (shard.number, piece, shard.start_id, shard.end_id)
    };
    if named(handed_over) != named(job) {
        let number = handed_over.number;
        return Err(format!("it is of shard {number} or of another project"));
    }
    if job.start_id.checked_add(2 * IDS_PER_SHARD).is_none() {
        return Err("its sample ids are larger than can be counted".into());
    }
    match handed_over.url.len() > MOST_TEXT_BYTES {
        true => Err("the address of its WAT file is too long".into()),
        false => Ok(()),
    }
}

struct Rows {
    batches: ParquetRecordBatchReader,
    shard: Shard,
    wat: Arc<str>,
    next_index: u64,
    /// Rows that are still to come. The reader gives what the row groups have, and does not care
    /// whether that is what the table says.
    missing: u64,
    left: std::vec::IntoIter<FetchedRow>,
    ended: bool,
}

impl Iterator for Rows {
    type Item = Result<FetchedRow>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.left.next() {
                return Some(Ok(row));
            }
            if self.ended {
                return None;
            }
            match self.more() {
                Ok(Some(rows)) => self.left = rows.into_iter(),
                Ok(None) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl Rows {
    fn more(&mut self) -> Result<Option<Vec<FetchedRow>>> {
        let number = self.shard.number;
        let batches = &mut self.batches;
        let batch = guarded(number, || Ok(batches.next().transpose()?))?;
        let more = match batch {
            Some(batch) => self.checked(&batch).map(Some),
            None if self.missing > 0 => Err(format!("{} of its rows are missing", self.missing)),
            None => Ok(None),
        };
        more.map_err(|why| bad(number, why))
    }

    fn checked(&mut self, batch: &RecordBatch) -> Result<Vec<FetchedRow>, String> {
        let text = |name| Texts::of(batch, name);
        let texts = Columns {
            ids: numbers(batch, "SAMPLE_ID")?,
            hashes: numbers(batch, "hash")?,
            urls: text("URL")?,
            texts: text("TEXT")?,
            licenses: text("LICENSE")?,
            languages: text("LANGUAGE")?,
            keys: text("key")?,
            uids: text("uid")?,
            page_urls: text("page_url")?,
            wats: text("wat")?,
            mimes: text("mime")?,
            sha256s: text("sha256")?,
            md5s: text("md5")?,
        };
        (0..batch.num_rows()).map(|i| self.row(&texts, i)).collect()
    }

    fn row(&mut self, columns: &Columns<'_>, i: usize) -> Result<FetchedRow, String> {
        let id = columns.ids.value(i);
        let index = index_of(&self.shard, id).filter(|index| *index >= self.next_index);
        let index = index.ok_or_else(|| format!("{id} is no sample id that could follow"))?;
        let bad = |what: &str| format!("candidate {index} has {what}");
        let text = |texts: &Texts<'_>| texts.get(i).map_err(&bad);
        let some = |text: String, none: &str| Some(text).filter(|text| text != none);
        let row = FetchedRow {
            index,
            url: text(&columns.urls)?,
            text: text(&columns.texts)?,
            license: some(text(&columns.licenses)?, NO_LICENSE),
            language: some(text(&columns.languages)?, ""),
            page_url: text(&columns.page_urls)?,
            mime: text(&columns.mimes)?,
            sha256: from_hex(&text(&columns.sha256s)?).ok_or_else(|| bad("no sha256"))?,
            md5: from_hex(&text(&columns.md5s)?).ok_or_else(|| bad("no md5"))?,
        };
        if !is_web_address(&row.url) {
            return Err(bad("no address of an image"));
        }
        let place = Place::new(&self.shard, self.wat.clone(), index);
        let found = Found {
            row: &row,
            place: &place,
        };
        let said = (
            text(&columns.keys)?,
            text(&columns.uids)?,
            text(&columns.wats)?,
        );
        if said != (place.key.clone(), found.uid(), place.wat.to_string()) {
            return Err(bad("a key, uid or WAT file that is not its own"));
        }
        if columns.hashes.value(i) != found.hash() {
            return Err(bad("a hash that is not its own"));
        }
        self.next_index = index + 1;
        let missing = self.missing.checked_sub(1);
        self.missing = missing.ok_or("it has more rows than it says")?;
        Ok(row)
    }
}

struct Columns<'a> {
    ids: &'a Int64Array,
    hashes: &'a Int64Array,
    urls: Texts<'a>,
    texts: Texts<'a>,
    licenses: Texts<'a>,
    languages: Texts<'a>,
    keys: Texts<'a>,
    uids: Texts<'a>,
    page_urls: Texts<'a>,
    wats: Texts<'a>,
    mimes: Texts<'a>,
    sha256s: Texts<'a>,
    md5s: Texts<'a>,
}

/// A column of texts, none of which is missing.
struct Texts<'a>(&'a StringArray);

impl<'a> Texts<'a> {
    fn of(batch: &'a RecordBatch, name: &str) -> Result<Self, String> {
        column(batch, name).map(Self)
    }

    fn get(&self, i: usize) -> Result<String, &'static str> {
        let text = self.0.value(i);
        match text.len() > MOST_TEXT_BYTES {
            true => Err("a text that is too long"),
            false => Ok(text.to_owned()),
        }
    }
}

fn numbers<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a Int64Array, String> {
    column(batch, name)
}

fn column<'a, T: Array + 'static>(batch: &'a RecordBatch, name: &str) -> Result<&'a T, String> {
    let column = batch.column_by_name(name);
    let column = column.filter(|column| column.null_count() == 0);
    let typed = column.and_then(|column| column.as_any().downcast_ref());
    typed.ok_or_else(|| format!("its column {name} has gaps"))
}

/// The index of the candidate with this sample id, if it is of the shard.
fn index_of(shard: &Shard, id: i64) -> Option<u64> {
    let first = match shard.piece {
        Piece::First => shard.start_id,
        Piece::Second => shard.start_id + IDS_PER_SHARD,
    };
    let index = u64::try_from(id).ok()?.checked_sub(first)?;
    (index < IDS_PER_SHARD).then_some(index)
}

/// Whether this is an absolute http(s) URL in the form that rules leave it in.
fn is_web_address(url: &str) -> bool {
    let rest = url.strip_prefix("http://");
    let rest = rest.or_else(|| url.strip_prefix("https://"));
    let plain = |c: char| !c.is_control() && !c.is_whitespace();
    rest.is_some_and(|rest| !rest.is_empty() && rest.chars().all(plain))
}

fn bad(number: u64, why: String) -> DatasetError {
    DatasetError::BadHandOver { number, why }
}

fn failed(path: &Path, cause: io::Error) -> DatasetError {
    DatasetError::io(path.display().to_string(), cause)
}
