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

use crate::{
    manifest::ShardInfo,
    row::{Found, PairRow, Record},
    table,
    text::hex,
};

const PDQ_BYTES: i32 = 32;

/// A column: its name and type, and where its values come from.
struct Column {
    field: Field,
    values: Values,
}

/// What a column is made of.
enum Values {
    /// What is known of a candidate once its image was fetched.
    Fetched(fn(&[Found<'_>]) -> ArrayRef),
    /// What only a pair has.
    Pair(fn(&[Record]) -> Result<ArrayRef, ArrowError>),
}

/// Names, types and order of the columns. Only what a head that may be missing computes is
/// nullable.
static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    let column = |name, data_type, nullable, values| Column {
        field: Field::new(name, data_type, nullable),
        values,
    };
    let fetched = |name, data_type, of: fn(&[Found<'_>]) -> ArrayRef| {
        column(name, data_type, false, Values::Fetched(of))
    };
    let pair = |name, data_type, of: fn(&[Record]) -> Result<ArrayRef, ArrowError>| {
        column(name, data_type, false, Values::Pair(of))
    };
    let perhaps = |name, data_type, of: fn(&[Record]) -> Result<ArrayRef, ArrowError>| {
        column(name, data_type, true, Values::Pair(of))
    };
    use DataType::{Float32, Float64, Int32, Int64, Utf8};
    vec![
        fetched("SAMPLE_ID", Int64, |r| int64(r, |r| r.place.sample_id)),
        fetched("URL", Utf8, |r| text(r, |r| &r.row.url)),
        fetched("TEXT", Utf8, |r| text(r, |r| &r.row.text)),
        pair("HEIGHT", Int32, |r| pixels(r, |r| r.size.height)),
        pair("WIDTH", Int32, |r| pixels(r, |r| r.size.width)),
        fetched("LICENSE", Utf8, |r| text(r, |r| r.license())),
        pair("NSFW", Utf8, |r| Ok(text(r, |r| r.row.nsfw.as_str()))),
        pair("similarity", Float64, |r| float64(r, |r| r.similarity)),
        fetched("LANGUAGE", Utf8, |r| text(r, |r| r.language())),
        fetched("key", Utf8, |r| text(r, |r| &r.place.key)),
        fetched("hash", Int64, |r| int64(r, |r| r.hash())),
        fetched("uid", Utf8, |r| computed_text(r, |r| r.uid())),
        fetched("page_url", Utf8, |r| text(r, |r| &r.row.page_url)),
        fetched("wat", Utf8, |r| text(r, |r| &r.place.wat)),
        pair("original_height", Int32, |r| {
            pixels(r, |r| r.original_size.height)
        }),
        pair("original_width", Int32, |r| {
            pixels(r, |r| r.original_size.width)
        }),
        fetched("mime", Utf8, |r| text(r, |r| &r.row.mime)),
        fetched("sha256", Utf8, |r| computed_text(r, |r| hex(&r.row.sha256))),
        fetched("md5", Utf8, |r| computed_text(r, |r| hex(&r.row.md5))),
        perhaps("pdq", DataType::FixedSizeBinary(PDQ_BYTES), pdq),
        perhaps("punsafe", Float32, |r| score(r, |r| r.punsafe)),
        perhaps("pwatermark", Float32, |r| score(r, |r| r.pwatermark)),
        perhaps("aesthetic", Float32, |r| score(r, |r| r.aesthetic)),
    ]
});

/// The columns of pairs.
pub(crate) static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let fields = COLUMNS.iter().map(|column| column.field.clone());
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
});

/// Those of candidates whose image was fetched.
pub(crate) static FETCHED: LazyLock<SchemaRef> = LazyLock::new(|| {
    let known = |column: &&Column| matches!(column.values, Values::Fetched(_));
    let fields = COLUMNS.iter().filter(known);
    let fields = fields.map(|column| column.field.clone());
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
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

/// The columns of these pairs.
pub(crate) fn batch(records: &[Record]) -> Result<RecordBatch, ArrowError> {
    let found: Vec<Found<'_>> = records.iter().map(Record::found).collect();
    let columns = COLUMNS.iter().map(|column| match column.values {
        Values::Fetched(of) => Ok(of(&found)),
        Values::Pair(of) => of(records),
    });
    RecordBatch::try_new(SCHEMA.clone(), columns.collect::<Result<_, _>>()?)
}

/// The columns of these candidates.
pub(crate) fn fetched_batch(found: &[Found<'_>]) -> Result<RecordBatch, ArrowError> {
    let columns = COLUMNS.iter().filter_map(|column| match column.values {
        Values::Fetched(of) => Some(of(found)),
        Values::Pair(_) => None,
    });
    RecordBatch::try_new(FETCHED.clone(), columns.collect())
}

fn text<R>(records: &[R], of: impl Fn(&R) -> &str) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(records.iter().map(of)))
}

fn computed_text<R>(records: &[R], of: impl Fn(&R) -> String) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(records.iter().map(of)))
}

fn int64<R>(records: &[R], of: impl Fn(&R) -> i64) -> ArrayRef {
    let values = records.iter().map(of);
    Arc::new(PrimitiveArray::<Int64Type>::from_iter_values(values))
}

/// Rows are checked before they come here: no image has more pixels than an i32 counts.
fn pixels(records: &[Record], of: impl Fn(&PairRow) -> u32) -> Result<ArrayRef, ArrowError> {
    let values = records.iter().map(|r| of(&r.row) as i32);
    Ok(Arc::new(PrimitiveArray::<Int32Type>::from_iter_values(
        values,
    )))
}

fn float64(records: &[Record], of: impl Fn(&PairRow) -> f64) -> Result<ArrayRef, ArrowError> {
    let values = records.iter().map(|r| of(&r.row));
    Ok(Arc::new(PrimitiveArray::<Float64Type>::from_iter_values(
        values,
    )))
}

fn score(records: &[Record], of: impl Fn(&PairRow) -> Option<f32>) -> Result<ArrayRef, ArrowError> {
    let values = records.iter().map(|r| of(&r.row));
    Ok(Arc::new(PrimitiveArray::<Float32Type>::from_iter(values)))
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
