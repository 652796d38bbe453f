//! The table of pairs: the LAION-400M release's columns, then ours.

use std::sync::{Arc, LazyLock};

use arrow_array::{
    ArrayRef, RecordBatch,
    builder::FixedSizeBinaryBuilder,
    types::{Float32Type, Float64Type, Int32Type, Int64Type},
    {PrimitiveArray, StringArray},
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use parquet::file::{metadata::KeyValue, properties::WriterProperties};

use crate::{manifest::ShardInfo, row::Record, table, text::hex};

const PDQ_BYTES: i32 = 32;

/// Names, types and order of the columns. Only what a head that may be missing computes is
/// nullable.
pub(crate) static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let always = |name, data_type| Field::new(name, data_type, false);
    let perhaps = |name, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        always("SAMPLE_ID", DataType::Int64),
        always("URL", DataType::Utf8),
        always("TEXT", DataType::Utf8),
        always("HEIGHT", DataType::Int32),
        always("WIDTH", DataType::Int32),
        always("LICENSE", DataType::Utf8),
        always("NSFW", DataType::Utf8),
        always("similarity", DataType::Float64),
        always("LANGUAGE", DataType::Utf8),
        always("key", DataType::Utf8),
        always("hash", DataType::Int64),
        always("uid", DataType::Utf8),
        always("page_url", DataType::Utf8),
        always("wat", DataType::Utf8),
        always("original_height", DataType::Int32),
        always("original_width", DataType::Int32),
        always("mime", DataType::Utf8),
        always("sha256", DataType::Utf8),
        always("md5", DataType::Utf8),
        perhaps("pdq", DataType::FixedSizeBinary(PDQ_BYTES)),
        perhaps("punsafe", DataType::Float32),
        perhaps("pwatermark", DataType::Float32),
        perhaps("aesthetic", DataType::Float32),
    ]))
});

/// How the table of this shard is written, with what made it in the file's metadata.
pub(crate) fn properties(info: &ShardInfo) -> WriterProperties {
    // Maps with text keys always become JSON.
    let thresholds = serde_json::to_string(&info.thresholds).expect("settings are plain data");
    let metadata = [
        ("model", info.model.name.clone()),
        ("model_digest", info.model.digest.clone()),
        ("thresholds", thresholds),
        ("crawl", info.crawl.clone()),
        ("program", info.program.clone()),
    ]
    .map(|(key, value)| KeyValue::new(format!("crawlingathome.{key}"), value));
    table::properties("URL", metadata.into())
}

/// The columns of these records.
pub(crate) fn batch(records: &[Record]) -> Result<RecordBatch, ArrowError> {
    let columns: Vec<ArrayRef> = vec![
        int64(records, |r| r.sample_id),
        text(records, |r| &r.row.url),
        text(records, |r| &r.row.text),
        pixels(records, |r| r.row.size.height),
        pixels(records, |r| r.row.size.width),
        text(records, |r| r.license()),
        text(records, |r| r.row.nsfw.as_str()),
        float64(records, |r| r.row.similarity),
        text(records, |r| r.language()),
        text(records, |r| &r.key),
        int64(records, Record::hash),
        computed_text(records, Record::uid),
        text(records, |r| &r.row.page_url),
        text(records, |r| &r.wat),
        pixels(records, |r| r.row.original_size.height),
        pixels(records, |r| r.row.original_size.width),
        text(records, |r| &r.row.mime),
        computed_text(records, |r| hex(&r.row.sha256)),
        computed_text(records, |r| hex(&r.row.md5)),
        pdq(records)?,
        score(records, |r| r.row.punsafe),
        score(records, |r| r.row.pwatermark),
        score(records, |r| r.row.aesthetic),
    ];
    RecordBatch::try_new(SCHEMA.clone(), columns)
}

fn text(records: &[Record], of: impl Fn(&Record) -> &str) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(records.iter().map(of)))
}

fn computed_text(records: &[Record], of: impl Fn(&Record) -> String) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(records.iter().map(of)))
}

fn int64(records: &[Record], of: impl Fn(&Record) -> i64) -> ArrayRef {
    let values = records.iter().map(of);
    Arc::new(PrimitiveArray::<Int64Type>::from_iter_values(values))
}

/// Rows are checked before they come here: no image has more pixels than an i32 counts.
fn pixels(records: &[Record], of: impl Fn(&Record) -> u32) -> ArrayRef {
    let values = records.iter().map(|r| of(r) as i32);
    Arc::new(PrimitiveArray::<Int32Type>::from_iter_values(values))
}

fn float64(records: &[Record], of: impl Fn(&Record) -> f64) -> ArrayRef {
    let values = records.iter().map(of);
    Arc::new(PrimitiveArray::<Float64Type>::from_iter_values(values))
}

fn score(records: &[Record], of: impl Fn(&Record) -> Option<f32>) -> ArrayRef {
    let values = records.iter().map(of);
    Arc::new(PrimitiveArray::<Float32Type>::from_iter(values))
}

fn pdq(records: &[Record]) -> Result<ArrayRef, ArrowError> {
    let mut column = FixedSizeBinaryBuilder::with_capacity(records.len(), PDQ_BYTES);
    for record in records {
        match &record.row.pdq {
            Some(pdq) => column.append_value(pdq)?,
            None => column.append_null(),
        }
    }
    Ok(Arc::new(column.finish()))
}
