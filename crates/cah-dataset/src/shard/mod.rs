//! One shard, from its first row to its manifest.

mod checks;
mod publication;

use std::{sync::Arc, time::SystemTime};

use self::{
    checks::{check_info, check_pair},
    publication::{Publication, SealedFiles},
};
use crate::{
    columns,
    embeddings::EmbeddingWriter,
    error::{DatasetError, Result},
    manifest::{Manifest, ShardInfo, Tally, check_sums},
    names::ShardNames,
    row::{PairRow, Place, Record, StoredImage},
    storage::{ObjectWriter, Sealed, Store},
    table::{ROWS_PER_BATCH, TableWriter},
    tarball::Tarball,
    text::timestamp,
};

/// Writes the files of one shard.
///
/// Rows are stored in the order in which they are pushed, and the same rows give the same bytes;
/// memory does not grow with their number. No file appears under its name before
/// [`finish`](ShardWriter::finish); a writer that is dropped or aborted leaves nothing.
pub struct ShardWriter {
    store: Store,
    info: ShardInfo,
    started: SystemTime,
    wat: Arc<str>,
    files: Files,
    next_index: u64,
    /// Rows that wait for their batch.
    waiting: Vec<Record>,
    pairs: u64,
    /// Whether a push began and did not end well: its pair is in some files and not in others.
    torn: bool,
}

/// The files while they grow.
struct Files {
    tar: Option<Tarball>,
    table: TableWriter,
    images: EmbeddingWriter,
    texts: EmbeddingWriter,
}

impl ShardWriter {
    /// Begins a shard; what a killed run left of it is removed.
    ///
    /// A complete shard of the same origin is replaced once this one is finished. A run that
    /// wants to keep it asks [`Store::completed`] first.
    ///
    /// # Errors
    /// [`DatasetError::ShardTaken`] where a complete shard of that number has another origin, and
    /// whatever keeps files from being created.
    pub async fn create(store: &Store, info: ShardInfo) -> Result<Self> {
        check_info(&info)?;
        store.completed(&info).await?;
        Ok(Self {
            files: Files::create(store, &info).await?,
            store: store.clone(),
            wat: info.shard.url.as_str().into(),
            info,
            started: SystemTime::now(),
            next_index: 0,
            waiting: Vec::new(),
            pairs: 0,
            torn: false,
        })
    }

    /// How many pairs were pushed.
    pub fn pairs(&self) -> u64 {
        self.pairs
    }

    /// Appends one pair: its row, its image where the shard stores images, and its two embeddings
    /// of [`ShardInfo::dim`] values and length 1. Indices grow from row to row.
    ///
    /// # Errors
    /// [`DatasetError::BadRow`] for a row that breaks a rule: it is not written, and the next one
    /// may follow. After any other error, or when this future is dropped, the shard cannot be
    /// finished any more.
    pub async fn push(
        &mut self,
        row: PairRow,
        image: Option<StoredImage>,
        image_embedding: &[f32],
        text_embedding: &[f32],
    ) -> Result<()> {
        let (number, index) = (self.info.shard.number, row.fetched.index);
        let embeddings = [image_embedding, text_embedding];
        check_pair(
            &self.info,
            self.next_index,
            &row,
            image.as_ref(),
            embeddings,
        )
        .map_err(|why| DatasetError::BadRow { number, index, why })?;
        self.check_unbroken()?;
        let record = self.record(row);
        self.torn = true;
        if let (Some(tar), Some(image)) = (&mut self.files.tar, &image) {
            tar.push(&record, image).await?;
        }
        self.files.images.push(image_embedding).await?;
        self.files.texts.push(text_embedding).await?;
        self.next_index = index + 1;
        self.pairs += 1;
        self.waiting.push(record);
        if self.waiting.len() >= ROWS_PER_BATCH {
            self.write_waiting().await?;
        }
        self.torn = false;
        Ok(())
    }

    /// Completes the shard: its files appear under their names, then the manifest.
    ///
    /// A shard without pairs has a manifest and no files: embedding-reader skips an empty npy
    /// but not the table beside it, and would give every later row the metadata of another one.
    ///
    /// # Errors
    /// [`DatasetError::NotConserved`] where candidates, outcomes and rows do not add up. After
    /// any error the shard has no manifest of this writer, and does not count.
    pub async fn finish(self, tally: Tally) -> Result<Manifest> {
        let store = self.store.clone();
        let finished = self.try_finish(tally).await;
        store.settle().await;
        finished
    }

    /// Gives the shard up, as a drop does, and waits until nothing of it is left.
    pub async fn abort(self) {
        let store = self.store.clone();
        drop(self);
        store.settle().await;
    }

    async fn try_finish(mut self, tally: Tally) -> Result<Manifest> {
        let (number, pairs) = (self.info.shard.number, self.pairs);
        check_sums(tally.candidates, &tally.outcomes, pairs)
            .map_err(|why| DatasetError::NotConserved { number, why })?;
        self.check_unbroken()?;
        if !self.waiting.is_empty() {
            self.write_waiting().await?;
        }
        let files = match pairs {
            0 => SealedFiles::new(),
            _ => self.files.seal(ShardNames(number)).await?,
        };
        let entry = |(name, file): &(String, Sealed)| (name.clone(), file.entry().clone());
        let entries = files.iter().map(entry).collect();
        let times = [self.started, SystemTime::now()].map(timestamp);
        let publication = Publication {
            manifest: Manifest::new(self.info.clone(), tally, pairs, entries, times),
            store: self.store,
            info: self.info,
            files,
        };
        publication.publish().await
    }

    async fn write_waiting(&mut self) -> Result<()> {
        let records = std::mem::take(&mut self.waiting);
        let batch = move || columns::batch(&records);
        self.files.table.write(batch).await
    }

    /// An error or a dropped call may have put a pair into some files and not into others.
    fn check_unbroken(&self) -> Result<()> {
        if !self.torn {
            return Ok(());
        }
        let name = ShardNames(self.info.shard.number).manifest();
        Err(DatasetError::Interrupted(self.store.name_of(&name)))
    }

    /// Adds to a row, which [`check_pair`] found good, what follows from it.
    fn record(&self, row: PairRow) -> Record {
        Record {
            place: Place::new(&self.info.shard, self.wat.clone(), row.fetched.index),
            row,
        }
    }
}

impl Files {
    async fn create(store: &Store, info: &ShardInfo) -> Result<Self> {
        let names = ShardNames(info.shard.number);
        let tar = match info.images {
            Some(_) => Some(Tarball::new(store.create(&names.images()).await?)),
            None => None,
        };
        let table = store.create(&names.metadata()).await?;
        let table = TableWriter::new(table, columns::SCHEMA.clone(), columns::properties(info))?;
        let embeddings =
            |object: ObjectWriter| EmbeddingWriter::new(object, info.dim, store.scratch_folder());
        Ok(Self {
            tar,
            table,
            images: embeddings(store.create(&names.image_embeddings()).await?),
            texts: embeddings(store.create(&names.text_embeddings()).await?),
        })
    }

    /// Brings every byte to its place.
    async fn seal(self, names: ShardNames) -> Result<SealedFiles> {
        let mut sealed = SealedFiles::new();
        if let Some(tar) = self.tar {
            sealed.push((names.images(), tar.seal().await?));
        }
        sealed.push((names.metadata(), self.table.seal().await?));
        sealed.push((names.image_embeddings(), self.images.seal().await?));
        sealed.push((names.text_embeddings(), self.texts.seal().await?));
        Ok(sealed)
    }
}
