//! Tables in parquet, encoded away from the async threads and sent while they grow.

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use cah_task::blocking;
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties},
    },
    schema::types::ColumnPath,
};

use crate::{
    error::{DatasetError, Result},
    storage::{ObjectWriter, Sealed},
};

/// Rows that are collected before they are encoded.
pub(crate) const ROWS_PER_BATCH: usize = 1024;

/// Largest row group: what readers skip or read at a time, and what is held in memory.
const ROWS_PER_GROUP: usize = 16 * 1024;
const BYTES_PER_GROUP: usize = 16 << 20;

/// A false hit of the Bloom filter costs one row group read in vain.
const BLOOM_FALSE_HITS: f64 = 0.01;

/// One parquet file on its way.
pub(crate) struct TableWriter {
    object: ObjectWriter,
    /// Away while a batch is encoded, so that a dropped call leaves a writer that refuses.
    encoder: Option<ArrowWriter<Vec<u8>>>,
}

impl TableWriter {
    pub(crate) fn new(
        object: ObjectWriter,
        schema: SchemaRef,
        properties: WriterProperties,
    ) -> Result<Self> {
        let encoder = ArrowWriter::try_new(Vec::new(), schema, Some(properties))
            .map_err(|e| DatasetError::encoding(object.name(), e))?;
        Ok(Self {
            object,
            encoder: Some(encoder),
        })
    }

    /// What messages call the file.
    pub(crate) fn name(&self) -> &str {
        self.object.name()
    }

    /// Encodes one batch, which `rows` makes on the pool, too.
    pub(crate) async fn write(
        &mut self,
        rows: impl FnOnce() -> Result<RecordBatch, ArrowError> + Send + 'static,
    ) -> Result<()> {
        let mut encoder = self.take_encoder()?;
        let encoded = blocking(move || {
            encoder.write(&rows()?)?;
            let bytes = std::mem::take(encoder.inner_mut());
            Ok::<_, ParquetError>((encoder, bytes))
        });
        let (encoder, bytes) = encoded.await.map_err(|e| self.failed(e))?;
        self.encoder = Some(encoder);
        self.object.write(&bytes).await
    }

    /// Writes the footer and sends what is left.
    pub(crate) async fn seal(mut self) -> Result<Sealed> {
        let encoder = self.take_encoder()?;
        let rest = blocking(move || encoder.into_inner()).await;
        let rest = rest.map_err(|e| self.failed(e))?;
        self.object.write(&rest).await?;
        self.object.seal().await
    }

    fn take_encoder(&mut self) -> Result<ArrowWriter<Vec<u8>>> {
        let encoder = self.encoder.take();
        encoder.ok_or_else(|| DatasetError::Interrupted(self.name().to_owned()))
    }

    fn failed(&self, cause: ParquetError) -> DatasetError {
        DatasetError::encoding(self.name(), cause)
    }
}

/// How every table here is written: zstd, statistics and page index, and a Bloom filter on the
/// column of addresses, by which rows are looked up.
pub(crate) fn properties(url_column: &str, metadata: Vec<KeyValue>) -> WriterProperties {
    let url = ColumnPath::from(url_column);
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
        .set_max_row_group_bytes(Some(BYTES_PER_GROUP))
        .set_column_bloom_filter_enabled(url.clone(), true)
        .set_column_bloom_filter_fpp(url.clone(), BLOOM_FALSE_HITS)
        .set_column_bloom_filter_max_ndv(url, ROWS_PER_GROUP as u64)
        .set_key_value_metadata((!metadata.is_empty()).then_some(metadata))
        .build()
}
