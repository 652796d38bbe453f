//! The table that extraction alone gives.

use std::fs;

use arrow_array::{Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use cah_dataset::{Candidate, CandidateWriter, DatasetError};

use crate::support::{names, read_parquet};

fn candidate(i: usize, ours: &[Option<&str>]) -> Candidate {
    Candidate {
        url: format!("https://example.org/{i}.jpg"),
        alt: format!("text {i}"),
        cc_filename: "crawl-data/x.wat.gz".into(),
        page_url: "https://example.org/".into(),
        ours: ours.iter().map(|value| value.map(str::to_owned)).collect(),
    }
}

fn text<'a>(batch: &'a RecordBatch, name: &str) -> &'a StringArray {
    batch
        .column_by_name(name)
        .unwrap()
        .as_any()
        .downcast_ref()
        .unwrap()
}

fn columns(batch: &RecordBatch) -> Vec<String> {
    let fields = batch.schema_ref().fields();
    assert!(
        fields
            .iter()
            .all(|field| *field.data_type() == DataType::Utf8)
    );
    fields.iter().map(|field| field.name().clone()).collect()
}

#[tokio::test]
async fn columns_of_cc2dataset_come_first_then_ours() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("out/candidates.parquet");
    let ours = ["text", "license", "language"];
    let mut writer = CandidateWriter::create(target.to_str().unwrap(), &ours)
        .await
        .unwrap();
    let rows = 20_000;
    for i in 0..rows {
        let license = (i % 2 == 0).then_some("by");
        writer
            .push(candidate(i, &[Some("repaired"), license, None]))
            .await
            .unwrap();
    }
    assert!(!target.exists(), "it appears when it is finished");
    assert_eq!(writer.finish().await.unwrap(), rows as u64);

    let batches = read_parquet(fs::read(&target).unwrap());
    assert_eq!(
        batches.iter().map(RecordBatch::num_rows).sum::<usize>(),
        rows
    );
    let first = &batches[0];
    let expected = [
        "uid",
        "url",
        "alt",
        "cc_filename",
        "page_url",
        "text",
        "license",
        "language",
    ];
    assert_eq!(columns(first), expected);
    assert_eq!(text(first, "url").value(1), "https://example.org/1.jpg");
    assert_eq!(text(first, "alt").value(1), "text 1");
    assert_eq!(text(first, "cc_filename").value(1), "crawl-data/x.wat.gz");
    assert_eq!(text(first, "text").value(1), "repaired");
    assert!(text(first, "license").is_valid(0) && text(first, "license").is_null(1));
    assert!(text(first, "language").is_null(0));
    let in_order = batches
        .iter()
        .flat_map(|batch| text(batch, "url").iter().flatten());
    assert!(in_order.eq((0..rows).map(|i| format!("https://example.org/{i}.jpg"))));
    assert_eq!(names(&folder.path().join("out")), ["candidates.parquet"]);
}

#[tokio::test]
async fn raw_is_exactly_what_cc2dataset_has() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("raw.parquet");
    fs::write(&target, "an older one").unwrap();
    let mut writer = CandidateWriter::create(target.to_str().unwrap(), &[])
        .await
        .unwrap();
    writer.push(candidate(0, &[])).await.unwrap();
    writer.finish().await.unwrap();
    let batch = read_parquet(fs::read(&target).unwrap()).remove(0);
    assert_eq!(
        columns(&batch),
        ["uid", "url", "alt", "cc_filename", "page_url"]
    );
}

#[tokio::test]
async fn a_table_without_rows_is_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("none.parquet");
    let writer = CandidateWriter::create(target.to_str().unwrap(), &[])
        .await
        .unwrap();
    assert_eq!(writer.finish().await.unwrap(), 0);
    assert!(read_parquet(fs::read(&target).unwrap()).is_empty());
}

#[tokio::test]
async fn a_dropped_writer_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("c.parquet");
    fs::write(&target, "an older one").unwrap();
    let mut writer = CandidateWriter::create(target.to_str().unwrap(), &[])
        .await
        .unwrap();
    for i in 0..10_000 {
        writer.push(candidate(i, &[])).await.unwrap();
    }
    drop(writer);
    assert_eq!(fs::read(&target).unwrap(), b"an older one");
    assert_eq!(names(folder.path()), ["c.parquet"]);
}

#[tokio::test]
async fn columns_and_values_must_match() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("c.parquet");
    let target = target.to_str().unwrap();
    for bad in [["url", "x"], ["x", "x"], ["x", ""]] {
        let error = CandidateWriter::create(target, &bad).await.err().unwrap();
        assert!(matches!(error, DatasetError::BadColumns { .. }), "{error}");
    }
    let mut writer = CandidateWriter::create(target, &["x"]).await.unwrap();
    let error = writer.push(candidate(0, &[])).await.unwrap_err();
    assert!(
        error.to_string().contains("0 values for 1 columns"),
        "{error}"
    );
    writer.push(candidate(0, &[None])).await.unwrap();
    assert_eq!(writer.finish().await.unwrap(), 1);
    assert!(CandidateWriter::create("s3://bucket/", &[]).await.is_err());
}
