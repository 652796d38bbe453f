//! Pairs to write and the means to read what became of them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use arrow_array::RecordBatch;
use bytes::Bytes;
use cah_dataset::{
    FetchedRow, ImageSize, Manifest, Model, Nsfw, PairRow, Result, ShardInfo, ShardWriter, Store,
    StoredImage, Tally,
};
use cah_protocol::{Outcome, OutcomeCounts, Shard};
use half::f16;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

pub(crate) const DIM: usize = 6;

/// What is pushed for one pair.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) row: PairRow,
    pub(crate) image: Option<Vec<u8>>,
    pub(crate) embeddings: [Vec<f32>; 2],
}

pub(crate) fn info(number: u64) -> ShardInfo {
    ShardInfo {
        shard: Shard::numbered(number, "https://crawl/x.wat.gz"),
        crawl: "CC-MAIN-2026-43".into(),
        model: Model {
            name: "tiny".into(),
            digest: "abc".into(),
        },
        dim: DIM,
        images: Some("original".into()),
        thresholds: BTreeMap::from([("similarity".into(), 0.3.into())]),
        program: "cah 0.1.0".into(),
    }
}

pub(crate) fn row(index: u64) -> PairRow {
    PairRow {
        fetched: FetchedRow {
            index,
            url: format!("https://example.org/{index}.jpg"),
            text: format!("caption {index}"),
            license: None,
            language: Some("en".into()),
            page_url: "https://example.org/".into(),
            mime: "image/jpeg".into(),
            sha256: [index as u8; 32],
            md5: [index as u8; 16],
        },
        size: ImageSize {
            width: 3,
            height: 2,
        },
        original_size: ImageSize {
            width: 30,
            height: 20,
        },
        nsfw: Nsfw::Unlikely,
        similarity: 0.5,
        pdq: None,
        punsafe: None,
        pwatermark: None,
        aesthetic: None,
    }
}

pub(crate) fn pair(index: u64) -> Pair {
    Pair {
        row: row(index),
        image: Some(vec![index as u8; 100 + index as usize % 1000]),
        embeddings: [embedding(index), embedding(index + 1)],
    }
}

pub(crate) fn pairs(count: u64) -> Vec<Pair> {
    (0..count).map(pair).collect()
}

/// Some direction, of length 1.
pub(crate) fn embedding(seed: u64) -> Vec<f32> {
    let values: Vec<f32> = (0..DIM as u64)
        .map(|i| ((seed * 7 + i * 3) % 11) as f32 + 0.5)
        .collect();
    let length = values.iter().map(|x| x * x).sum::<f32>().sqrt();
    values.into_iter().map(|x| x / length).collect()
}

pub(crate) async fn push(writer: &mut ShardWriter, pair: &Pair) -> Result<()> {
    let image = pair.image.as_ref().map(|bytes| StoredImage {
        bytes: Bytes::from(bytes.clone()),
        extension: "jpg".into(),
    });
    let [image_embedding, text_embedding] = &pair.embeddings;
    let row = pair.row.clone();
    writer
        .push(row, image, image_embedding, text_embedding)
        .await
}

/// Three candidates that timed out besides those kept.
pub(crate) fn tally(kept: u64) -> Tally {
    let mut outcomes = OutcomeCounts::default();
    (0..kept).for_each(|_| outcomes.add(Outcome::Kept));
    (0..3).for_each(|_| outcomes.add(Outcome::TimedOut));
    Tally {
        candidates: kept + 3,
        outcomes,
        seconds: BTreeMap::from([("fetch".into(), 1.25)]),
    }
}

pub(crate) async fn write(store: &Store, info: ShardInfo, pairs: &[Pair]) -> Result<Manifest> {
    let mut writer = ShardWriter::create(store, info).await?;
    for pair in pairs {
        push(&mut writer, pair).await?;
    }
    writer.finish(tally(pairs.len() as u64)).await
}

pub(crate) async fn open(folder: &Path) -> Store {
    Store::open(folder.to_str().unwrap()).await.unwrap()
}

/// Every file below a folder, by its relative name; hidden ones, too.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
                found.insert(name.to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    files(folder).into_keys().collect()
}

pub(crate) fn read_tar(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().unwrap();
    let read = |mut entry: tar::Entry<'_, &[u8]>| {
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), content)
    };
    entries.map(|entry| read(entry.unwrap())).collect()
}

pub(crate) fn read_parquet(bytes: Vec<u8>) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap();
    reader.build().unwrap().map(Result::unwrap).collect()
}

pub(crate) fn read_npy(bytes: &[u8]) -> (Vec<u64>, Vec<f16>) {
    let npy = npyz::NpyFile::new(bytes).unwrap();
    let shape = npy.shape().to_vec();
    (shape, npy.into_vec().unwrap())
}

/// The folder that a test was given, when it runs as its own child process.
///
/// What ends a process or binds all of it (a kill, a limit, the environment) is tried out in a
/// child: the test starts its own binary again, for itself alone, with this variable set.
pub(crate) fn child_folder() -> Option<PathBuf> {
    std::env::var_os("CAH_DATASET_CHILD").map(PathBuf::from)
}

/// This test binary, for one test, as the child of that test.
pub(crate) fn child(test: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env("CAH_DATASET_CHILD", folder);
    command
}

pub(crate) fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
