//! Reading back what a shard keeps: addresses and texts.

use arrow_array::{Array, RecordBatch, StringArray};
use bytes::Bytes;
use cah_task::blocking;
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};

use crate::{
    error::{DatasetError, Result},
    names::ShardNames,
    storage::Store,
};

/// What identifies a pair: the address of its image and its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caption {
    /// Column `URL`.
    pub url: String,
    /// Column `TEXT`.
    pub text: String,
}

impl Store {
    /// The addresses and texts of a complete shard's pairs, in their order, out of its table.
    ///
    /// # Errors
    /// A shard that is not complete; a table that cannot be read.
    pub async fn captions(&self, number: u64) -> Result<Vec<Caption>> {
        let manifest = self.manifest(number).await?;
        let manifest = manifest.ok_or_else(|| DatasetError::BadShard {
            number,
            why: format!("it is not complete in `{}`", self.place()),
        })?;
        if manifest.pairs == 0 {
            return Ok(Vec::new());
        }
        let file = ShardNames(number).metadata();
        let table = self.object(&file).await?;
        let captions = blocking(move || captions(table)).await;
        captions.map_err(|cause| DatasetError::encoding(self.name_of(&file), cause))
    }
}

fn captions(table: Bytes) -> parquet::errors::Result<Vec<Caption>> {
    let table = ParquetRecordBatchReaderBuilder::try_new(table)?;
    let columns = ProjectionMask::columns(table.parquet_schema(), ["URL", "TEXT"]);
    let mut captions = Vec::new();
    for batch in table.with_projection(columns).build()? {
        let batch = batch?;
        let (urls, texts) = (column(&batch, "URL")?, column(&batch, "TEXT")?);
        let pairs = urls.iter().zip(texts);
        captions.extend(pairs.map(|(url, text)| Caption {
            url: url.unwrap_or_default().to_owned(),
            text: text.unwrap_or_default().to_owned(),
        }));
    }
    Ok(captions)
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> parquet::errors::Result<&'a StringArray> {
    let column = batch.column_by_name(name);
    let texts = column.and_then(|column| column.as_any().downcast_ref());
    texts.ok_or_else(|| parquet::errors::ParquetError::General(format!("no text column {name}")))
}
