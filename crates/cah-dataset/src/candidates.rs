//! The table of candidates: what extraction alone gives.

use std::{collections::HashSet, sync::Arc};

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};

use crate::{
    error::{DatasetError, Result},
    row::uid,
    storage::{Store, split_file},
    table::{self, TableWriter},
};

/// The columns of cc2dataset, in its order.
const CC2DATASET: [&str; 5] = ["uid", "url", "alt", "cc_filename", "page_url"];

/// Candidates that are collected before they are encoded; they are small.
const ROWS_PER_BATCH: usize = 8 * table::ROWS_PER_BATCH;

/// One link of a page. Its `uid` is added here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// The address that it points to.
    pub url: String,
    /// The alternative text, as it stands in the page.
    pub alt: String,
    /// The WAT file.
    pub cc_filename: String,
    /// The page.
    pub page_url: String,
    /// What else is known, one value for each column of ours.
    pub ours: Vec<Option<String>>,
}

/// Writes one parquet file of candidates, which appears under its name when it is finished.
pub struct CandidateWriter {
    store: Store,
    table: TableWriter,
    schema: SchemaRef,
    ours: usize,
    waiting: Vec<Candidate>,
    rows: u64,
}

impl CandidateWriter {
    /// Begins the file at `target`, a path or `s3://bucket/name.parquet`: cc2dataset's columns
    /// (`uid`, `url`, `alt`, `cc_filename`, `page_url`), then `ours`, all of them nullable text.
    /// With no columns of ours the file has exactly cc2dataset's.
    ///
    /// # Errors
    /// As [`Store::open`]; column names that are empty or given twice.
    pub async fn create(target: &str, ours: &[&str]) -> Result<Self> {
        let schema = schema(target, ours)?;
        let (place, name) = split_file(target)?;
        let store = Store::open(&place).await?;
        let object = store.create(&name).await?;
        let properties = table::properties("url", Vec::new());
        Ok(Self {
            store,
            table: TableWriter::new(object, schema.clone(), properties)?,
            schema,
            ours: ours.len(),
            waiting: Vec::new(),
            rows: 0,
        })
    }

    /// Appends one candidate.
    ///
    /// # Errors
    /// [`DatasetError::BadColumns`] where [`Candidate::ours`] has not one value for each column;
    /// that candidate is not written. After any other error the file cannot be finished.
    pub async fn push(&mut self, candidate: Candidate) -> Result<()> {
        if candidate.ours.len() != self.ours {
            return Err(DatasetError::BadColumns {
                file: self.table.name().to_owned(),
                why: format!("{} values for {} columns", candidate.ours.len(), self.ours),
            });
        }
        self.rows += 1;
        self.waiting.push(candidate);
        if self.waiting.len() >= ROWS_PER_BATCH {
            self.flush().await?;
        }
        Ok(())
    }

    /// Completes the file; returns its number of rows.
    pub async fn finish(self) -> Result<u64> {
        let store = self.store.clone();
        let finished = self.try_finish().await;
        store.settle().await;
        finished
    }

    async fn try_finish(mut self) -> Result<u64> {
        self.flush().await?;
        self.table.seal().await?.publish().await?;
        Ok(self.rows)
    }

    async fn flush(&mut self) -> Result<()> {
        let (schema, candidates) = (self.schema.clone(), std::mem::take(&mut self.waiting));
        self.table.write(move || batch(schema, &candidates)).await
    }
}

fn schema(target: &str, ours: &[&str]) -> Result<SchemaRef> {
    let mut seen: HashSet<&str> = HashSet::from([""]);
    let names: Vec<&str> = CC2DATASET.iter().chain(ours).copied().collect();
    if let Some(twice) = names.iter().find(|name| !seen.insert(name)) {
        return Err(DatasetError::BadColumns {
            file: target.to_owned(),
            why: format!("there can be no column `{twice}` of ours"),
        });
    }
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let fields: Vec<Field> = names.into_iter().map(text).collect();
    Ok(Arc::new(Schema::new(fields)))
}

fn batch(schema: SchemaRef, candidates: &[Candidate]) -> Result<RecordBatch, ArrowError> {
    let text = |of: fn(&Candidate) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(candidates.iter().map(of)))
    };
    let uids = candidates.iter().map(|c| uid(&c.url, &c.alt));
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(uids)),
        text(|c| &c.url),
        text(|c| &c.alt),
        text(|c| &c.cc_filename),
        text(|c| &c.page_url),
    ];
    let ours = schema.fields().len() - columns.len();
    columns.extend((0..ours).map(|i| -> ArrayRef {
        Arc::new(StringArray::from_iter(
            candidates.iter().map(|c| c.ours[i].as_deref()),
        ))
    }));
    RecordBatch::try_new(schema, columns)
}
