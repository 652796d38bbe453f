//! Property: whatever rows are written, the same rows are read.

use arrow_array::{
    Array, FixedSizeBinaryArray, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray,
};
use cah_dataset::{FetchedRow, ImageSize, Nsfw, PairRow};
use half::f16;
use proptest::{collection::vec, option, prelude::*};
use serde_json::Value;

use crate::support::{
    DIM, Pair, embedding, files, info, open, read_npy, read_parquet, read_tar, write,
};

fn size() -> impl Strategy<Value = ImageSize> {
    (1..=i32::MAX as u32, 1..=i32::MAX as u32)
        .prop_map(|(width, height)| ImageSize { width, height })
}

fn nsfw() -> impl Strategy<Value = Nsfw> {
    prop_oneof![Just(Nsfw::Unlikely), Just(Nsfw::Unsure), Just(Nsfw::Nsfw)]
}

prop_compose! {
    fn texts()(
        url in ".{0,40}",
        text in any::<String>(),
        page_url in ".{0,40}",
        mime in "image/[a-z]{3,5}",
        license in option::of(".{1,30}"),
        language in option::of("[a-z]{2}"),
    ) -> FetchedRow {
        FetchedRow { url, text, page_url, mime, license, language, ..crate::support::row(0).fetched }
    }
}

prop_compose! {
    fn any_row()(
        texts in texts(),
        size in size(),
        original_size in size(),
        nsfw in nsfw(),
        similarity in -1.0f64..=1.0,
        sha256: [u8; 32],
        md5: [u8; 16],
        pdq in option::of(any::<[u8; 32]>()),
        scores in [option::of(0f32..1.0), option::of(0f32..1.0), option::of(0f32..10.0)],
    ) -> PairRow {
        let [punsafe, pwatermark, aesthetic] = scores;
        PairRow {
            fetched: FetchedRow { sha256, md5, ..texts },
            size, original_size, nsfw, similarity, pdq, punsafe, pwatermark, aesthetic,
        }
    }
}

/// Rows with images of any bytes, at indices with gaps.
fn any_pairs() -> impl Strategy<Value = Vec<Pair>> {
    let one = (
        any_row(),
        1..9_000u64,
        vec(any::<u8>(), 0..2_000),
        0..500u64,
    );
    vec(one, 1..40).prop_map(|ones| {
        let mut index = 0;
        ones.into_iter()
            .map(|(row, gap, image, seed)| {
                index += gap;
                Pair {
                    row: at(index, row),
                    image: Some(image),
                    embeddings: [embedding(seed), embedding(seed + 1)],
                }
            })
            .collect()
    })
}

fn at(index: u64, mut row: PairRow) -> PairRow {
    row.fetched.index = index;
    row
}

fn column<'a, T: 'static>(batch: &'a RecordBatch, name: &str) -> &'a T {
    batch
        .column_by_name(name)
        .unwrap()
        .as_any()
        .downcast_ref()
        .unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check_table(batch: &RecordBatch, i: usize, pair: &Pair) {
    let row = &pair.row;
    let text = |name: &str| column::<StringArray>(batch, name).value(i);
    let number = |name: &str| column::<Int32Array>(batch, name).value(i) as u32;
    let score = |name: &str| {
        let scores = column::<Float32Array>(batch, name);
        scores.is_valid(i).then(|| scores.value(i))
    };
    assert_eq!(
        column::<Int64Array>(batch, "SAMPLE_ID").value(i),
        row.fetched.index as i64
    );
    assert_eq!(text("URL"), row.fetched.url);
    assert_eq!(text("TEXT"), row.fetched.text);
    assert_eq!(number("HEIGHT"), row.size.height);
    assert_eq!(number("WIDTH"), row.size.width);
    assert_eq!(
        text("LICENSE"),
        row.fetched.license.as_deref().unwrap_or("?")
    );
    assert_eq!(text("NSFW"), row.nsfw.as_str());
    assert_eq!(
        column::<Float64Array>(batch, "similarity").value(i),
        row.similarity
    );
    assert_eq!(
        text("LANGUAGE"),
        row.fetched.language.as_deref().unwrap_or("")
    );
    assert_eq!(text("key"), format!("000000001{:05}", row.fetched.index));
    assert_eq!(text("page_url"), row.fetched.page_url);
    assert_eq!(text("wat"), "https://crawl/x.wat.gz");
    assert_eq!(number("original_height"), row.original_size.height);
    assert_eq!(number("original_width"), row.original_size.width);
    assert_eq!(text("mime"), row.fetched.mime);
    assert_eq!(text("sha256"), hex(&row.fetched.sha256));
    assert_eq!(text("md5"), hex(&row.fetched.md5));
    let pdq = column::<FixedSizeBinaryArray>(batch, "pdq");
    assert_eq!(
        pdq.is_valid(i).then(|| pdq.value(i)),
        row.pdq.as_ref().map(|p| &p[..])
    );
    assert_eq!(score("punsafe"), row.punsafe);
    assert_eq!(score("pwatermark"), row.pwatermark);
    assert_eq!(score("aesthetic"), row.aesthetic);
}

fn check_members(members: &[(String, Vec<u8>)], batch: &RecordBatch, i: usize, pair: &Pair) {
    let key = column::<StringArray>(batch, "key").value(i);
    let [image, text, json] = &members[3 * i..3 * i + 3] else {
        panic!("three members a pair");
    };
    assert_eq!(image, &(format!("{key}.jpg"), pair.image.clone().unwrap()));
    assert_eq!(
        text,
        &(
            format!("{key}.txt"),
            pair.row.fetched.text.clone().into_bytes()
        )
    );
    assert_eq!(json.0, format!("{key}.json"));
    let json: Value = serde_json::from_slice(&json.1).unwrap();
    assert_eq!(json["caption"], pair.row.fetched.text);
    assert_eq!(json["similarity"], pair.row.similarity);
    assert_eq!(json["hash"], column::<Int64Array>(batch, "hash").value(i));
    assert_eq!(json["uid"], column::<StringArray>(batch, "uid").value(i));
    for column in batch.schema().fields() {
        assert!(json.get(column.name()).is_some(), "{column}");
    }
}

fn check_embeddings(npy: &[u8], pairs: &[Pair], which: usize) {
    let (shape, values) = read_npy(npy);
    assert_eq!(shape, [pairs.len() as u64, DIM as u64]);
    let expected = pairs.iter().flat_map(|pair| &pair.embeddings[which]);
    assert!(values.into_iter().eq(expected.map(|x| f16::from_f32(*x))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_rows_come_back(pairs in any_pairs()) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            write(&open(folder.path()).await, info(1), &pairs).await.unwrap();
        });
        let files = files(folder.path());
        let batches = read_parquet(files["metadata/metadata_000000001.parquet"].clone());
        let members = read_tar(&files["images/000000001.tar"]);
        prop_assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), pairs.len());
        prop_assert_eq!(members.len(), 3 * pairs.len());
        if let Some(batch) = batches.first() {
            for (i, pair) in pairs.iter().enumerate() {
                check_table(batch, i, pair);
                check_members(&members, batch, i, pair);
            }
        }
        check_embeddings(&files["img_emb/img_emb_000000001.npy"], &pairs, 0);
        check_embeddings(&files["text_emb/text_emb_000000001.npy"], &pairs, 1);
    }
}

/// More rows than one batch and one row group, and more embeddings than one buffer.
#[tokio::test]
async fn many_rows_keep_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let dim = 64;
    let shard = cah_dataset::ShardInfo {
        dim,
        images: None,
        ..info(1)
    };
    let mut writer = cah_dataset::ShardWriter::create(&store, shard)
        .await
        .unwrap();
    let count = 20_000usize;
    for index in 0..count {
        // One value is 1 and says which row it is.
        let mut direction = vec![0f32; dim];
        direction[index % dim] = 1.0;
        let row = crate::support::row(index as u64);
        writer
            .push(row, None, &direction, &direction)
            .await
            .unwrap();
    }
    writer
        .finish(crate::support::tally(count as u64))
        .await
        .unwrap();
    let files = files(folder.path());
    let batches = read_parquet(files["metadata/metadata_000000001.parquet"].clone());
    let ids = batches
        .iter()
        .flat_map(|b| column::<Int64Array>(b, "SAMPLE_ID").values());
    assert!(ids.copied().eq(0..count as i64));
    for name in [
        "img_emb/img_emb_000000001.npy",
        "text_emb/text_emb_000000001.npy",
    ] {
        let (shape, values) = read_npy(&files[name]);
        assert_eq!(shape, [count as u64, dim as u64]);
        for (index, row) in values.chunks(dim).enumerate() {
            let one = row.iter().position(|x| *x == f16::ONE);
            assert_eq!(one, Some(index % dim), "row {index} of {name}");
        }
    }
}
