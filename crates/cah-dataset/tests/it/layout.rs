//! Names, columns and forms of what is written.

use std::{collections::BTreeMap, fs};

use arrow_array::RecordBatch;
use arrow_schema::DataType;
use bytes::Bytes;
use cah_dataset::{DatasetError, ShardInfo, ShardWriter, Tally};
use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
    basic::Compression,
    file::{
        metadata::PageIndexPolicy,
        properties::ReaderProperties,
        reader::FileReader,
        serialized_reader::{ReadOptionsBuilder, SerializedFileReader},
    },
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::{
    embedding, files, info, names, open, pair, pairs, push, read_parquet, read_tar, row, tally,
    write,
};

#[tokio::test]
async fn a_shard_has_the_files_of_the_layout() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = write(&open(folder.path()).await, info(2), &pairs(3))
        .await
        .unwrap();
    let files = files(folder.path());
    let expected = [
        "images/000000002.tar",
        "img_emb/img_emb_000000002.npy",
        "metadata/metadata_000000002.parquet",
        "stats/000000002.json",
        "text_emb/text_emb_000000002.npy",
    ];
    assert!(files.keys().eq(expected), "{:?}", files.keys());
    for (name, entry) in &manifest.files {
        let digest: String = Sha256::digest(&files[name])
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            (entry.size, &entry.sha256),
            (files[name].len() as u64, &digest)
        );
    }
    assert_eq!(manifest.files.len(), 4);
    assert_eq!((manifest.candidates, manifest.pairs), (6, 3));
    assert_eq!(manifest.info(), info(2));
}

#[tokio::test]
async fn columns_have_the_names_types_and_order_of_the_layout() {
    let folder = tempfile::tempdir().unwrap();
    write(&open(folder.path()).await, info(2), &pairs(2))
        .await
        .unwrap();
    let table = files(folder.path())["metadata/metadata_000000002.parquet"].clone();
    let batch: RecordBatch = read_parquet(table).remove(0);
    let columns: Vec<(String, DataType)> = batch
        .schema()
        .fields()
        .iter()
        .map(|field| (field.name().clone(), field.data_type().clone()))
        .collect();
    let expected = [
        ("SAMPLE_ID", DataType::Int64),
        ("URL", DataType::Utf8),
        ("TEXT", DataType::Utf8),
        ("HEIGHT", DataType::Int32),
        ("WIDTH", DataType::Int32),
        ("LICENSE", DataType::Utf8),
        ("NSFW", DataType::Utf8),
        ("similarity", DataType::Float64),
        ("LANGUAGE", DataType::Utf8),
        ("key", DataType::Utf8),
        ("hash", DataType::Int64),
        ("uid", DataType::Utf8),
        ("page_url", DataType::Utf8),
        ("wat", DataType::Utf8),
        ("original_height", DataType::Int32),
        ("original_width", DataType::Int32),
        ("mime", DataType::Utf8),
        ("sha256", DataType::Utf8),
        ("md5", DataType::Utf8),
        ("pdq", DataType::FixedSizeBinary(32)),
        ("punsafe", DataType::Float32),
        ("pwatermark", DataType::Float32),
        ("aesthetic", DataType::Float32),
    ];
    assert_eq!(
        columns,
        expected.map(|(name, kind)| (name.to_owned(), kind))
    );
    for absent in ["pdq", "punsafe", "pwatermark", "aesthetic"] {
        assert_eq!(
            batch.column_by_name(absent).unwrap().null_count(),
            2,
            "{absent}"
        );
    }
}

#[tokio::test]
async fn tables_are_compressed_indexed_and_say_what_made_them() {
    let folder = tempfile::tempdir().unwrap();
    write(&open(folder.path()).await, info(2), &pairs(2))
        .await
        .unwrap();
    let table = Bytes::from(files(folder.path())["metadata/metadata_000000002.parquet"].clone());

    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let metadata = ArrowReaderMetadata::load(&table, options).unwrap();
    let metadata = metadata.metadata();
    assert!(metadata.column_index().is_some() && metadata.offset_index().is_some());
    for column in metadata.row_group(0).columns() {
        assert!(matches!(column.compression(), Compression::ZSTD(_)));
        assert!(column.statistics().is_some(), "{}", column.column_path());
    }
    let said: BTreeMap<&str, &str> = metadata
        .file_metadata()
        .key_value_metadata()
        .unwrap()
        .iter()
        .filter_map(|entry| {
            let key = entry.key.strip_prefix("crawlingathome.")?;
            Some((key, entry.value.as_deref()?))
        })
        .collect();
    let expected = [
        ("crawl", "CC-MAIN-2026-43"),
        ("model", "tiny"),
        ("model_digest", "abc"),
        ("program", "cah 0.1.0"),
        ("thresholds", r#"{"similarity":0.3}"#),
    ];
    assert_eq!(said, BTreeMap::from(expected));

    let properties = ReaderProperties::builder()
        .set_read_bloom_filter(true)
        .build();
    let options = ReadOptionsBuilder::new()
        .with_reader_properties(properties)
        .build();
    let reader = SerializedFileReader::new_with_options(table, options).unwrap();
    let group = reader.get_row_group(0).unwrap();
    let filter = group.get_column_bloom_filter(1).expect("a filter on URL");
    assert!(filter.check(&"https://example.org/1.jpg"));
    assert!(!filter.check(&"https://example.org/absent.jpg"));
    assert!(
        group.get_column_bloom_filter(2).is_none(),
        "TEXT needs none"
    );
}

#[tokio::test]
async fn members_carry_the_row_under_both_sets_of_names() {
    let folder = tempfile::tempdir().unwrap();
    let mut third = pair(123_456);
    third.row.fetched.license = Some("https://creativecommons.org/licenses/by/4.0/".into());
    third.row.fetched.language = None;
    write(
        &open(folder.path()).await,
        info(2),
        &[pair(0), pair(7), third],
    )
    .await
    .unwrap();
    let members = read_tar(&files(folder.path())["images/000000002.tar"]);
    let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "00000000200000.jpg",
            "00000000200000.txt",
            "00000000200000.json",
            "00000000200007.jpg",
            "00000000200007.txt",
            "00000000200007.json",
            "000000002123456.jpg",
            "000000002123456.txt",
            "000000002123456.json",
        ]
    );
    assert_eq!(members[4].1, b"caption 7");
    let json: Value = serde_json::from_slice(&members[5].1).unwrap();
    assert_eq!(
        json["SAMPLE_ID"], 500_007,
        "piece 1 starts in the middle of the chunk"
    );
    for (ours, img2dataset) in [
        ("URL", "url"),
        ("TEXT", "caption"),
        ("WIDTH", "width"),
        ("HEIGHT", "height"),
    ] {
        assert_eq!(json[ours], json[img2dataset], "{ours}");
    }
    assert_eq!(json["width"], 3);
    assert_eq!(json["height"], 2);
    assert_eq!(json["original_width"], 30);
    assert_eq!(json["original_height"], 20);
    assert_eq!(json["key"], "00000000200007");
    assert_eq!(json["status"], "success");
    assert_eq!(json["error_message"], Value::Null);
    assert_eq!(json["sha256"], "07".repeat(32));
    assert_eq!(
        (&json["LICENSE"], &json["LANGUAGE"]),
        (&"?".into(), &"en".into())
    );
    let json: Value = serde_json::from_slice(&members[8].1).unwrap();
    assert_eq!(
        json["LICENSE"],
        "https://creativecommons.org/licenses/by/4.0/"
    );
    assert_eq!(json["LANGUAGE"], "");
}

/// Files without rows are what readers stumble over: see `ShardWriter::finish`.
#[tokio::test]
async fn an_empty_shard_is_its_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    // What an earlier attempt with pairs left before its manifest.
    write(&store, info(5), &pairs(2)).await.unwrap();
    fs::remove_file(folder.path().join("stats/000000005.json")).unwrap();

    let manifest = write(&store, info(5), &[]).await.unwrap();
    assert_eq!((manifest.candidates, manifest.pairs), (3, 0));
    assert!(manifest.files.is_empty());
    assert_eq!(names(folder.path()), ["stats/000000005.json"]);
    assert_eq!(store.completed(&info(5)).await.unwrap(), Some(manifest));
}

#[tokio::test]
async fn without_images_there_is_no_tar() {
    let folder = tempfile::tempdir().unwrap();
    let without = ShardInfo {
        images: None,
        ..info(1)
    };
    let mut bare = pair(0);
    bare.image = None;
    let manifest = write(&open(folder.path()).await, without, &[bare])
        .await
        .unwrap();
    assert_eq!(manifest.files.len(), 3);
    assert!(
        !names(folder.path())
            .iter()
            .any(|name| name.ends_with(".tar"))
    );
}

/// Not even the number of threads shows: only the manifest, which has times, may differ.
#[test]
fn the_same_rows_give_the_same_bytes() {
    let write_with = |runtime: tokio::runtime::Runtime| {
        let folder = tempfile::tempdir().unwrap();
        runtime.block_on(async {
            let rows = pairs(2_500);
            write(&open(folder.path()).await, info(1), &rows)
                .await
                .unwrap();
        });
        let mut files = files(folder.path());
        files.remove("stats/000000001.json").unwrap();
        files
    };
    let one = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let many = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    assert!(write_with(one.unwrap()) == write_with(many.unwrap()));
}

#[tokio::test]
async fn candidates_outcomes_and_rows_add_up_or_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let one_lost = Tally {
        candidates: 6,
        ..tally(2)
    };
    let one_too_many = tally(3);
    for (wrong, part) in [
        (one_lost, "6 candidates"),
        (one_too_many, "3 candidates kept"),
    ] {
        let mut writer = ShardWriter::create(&store, info(1)).await.unwrap();
        for pair in pairs(2) {
            push(&mut writer, &pair).await.unwrap();
        }
        let error = writer.finish(wrong).await.unwrap_err();
        assert!(
            matches!(error, DatasetError::NotConserved { number: 1, .. }),
            "{error}"
        );
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(names(folder.path()), [""; 0]);
    }
}

#[tokio::test]
async fn rows_that_break_a_rule_are_refused_and_the_next_may_follow() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let mut writer = ShardWriter::create(&store, info(1)).await.unwrap();
    push(&mut writer, &pair(4)).await.unwrap();
    let spoilt = |spoil: fn(&mut crate::support::Pair)| {
        let mut pair = pair(5);
        spoil(&mut pair);
        pair
    };
    for (bad, part) in [
        (spoilt(|p| p.row.fetched.index = 4), "after candidate 4"),
        (
            spoilt(|p| p.row.fetched.index = 500_000),
            "500000 sample ids",
        ),
        (spoilt(|p| p.row.similarity = f64::NAN), "similarity"),
        (spoilt(|p| p.row.size.width = u32::MAX), "side"),
        (spoilt(|p| p.image = None), "missing"),
        (spoilt(|p| p.embeddings[0] = vec![1.0]), "1 values, not 6"),
        (
            spoilt(|p| p.embeddings[1] = vec![1.0; 6]),
            "text embedding has length",
        ),
    ] {
        let error = push(&mut writer, &bad).await.unwrap_err();
        assert!(
            matches!(error, DatasetError::BadRow { number: 1, .. }),
            "{error}"
        );
        assert!(error.to_string().contains(part), "{error}");
    }
    for extension in ["", "../x", "tar.gz", "json", "txt", "JPG"] {
        let image = cah_dataset::StoredImage {
            bytes: Bytes::from_static(b"x"),
            extension: extension.into(),
        };
        let pushed = writer
            .push(row(5), Some(image), &embedding(1), &embedding(2))
            .await;
        assert!(
            pushed.unwrap_err().to_string().contains("extension"),
            "{extension}"
        );
    }
    push(&mut writer, &pair(5)).await.unwrap();
    assert_eq!(writer.finish(tally(2)).await.unwrap().pairs, 2);
}

#[tokio::test]
async fn shards_that_cannot_be_numbered_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let mut far = info(1);
    far.shard.start_id = u64::MAX - 5;
    let flat = ShardInfo { dim: 0, ..info(1) };
    for (bad, part) in [(far, "sample ids"), (flat, "embeddings")] {
        let error = ShardWriter::create(&store, bad).await.err().unwrap();
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
}
