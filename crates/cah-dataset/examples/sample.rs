//! Writes a small dataset with real images, for readers to be tried on.
//!
//! `cargo run -p cah-dataset --example sample -- OUT [--side PIXELS] [--candidates FILE] [--abort]`
//!
//! OUT is a folder or `s3://bucket/prefix`. Shards 1 and 3 have pairs, shard 2 has none.
//! `--side` makes the images larger (64 by default), `--candidates` also writes a table of
//! candidates, and `--abort` gives up in the middle of shard 4, after which nothing of it is left.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example tells what it wrote"
)]

use std::{collections::BTreeMap, error::Error, process::ExitCode};

use bytes::Bytes;
use cah_dataset::{
    Candidate, CandidateWriter, FetchedRow, ImageSize, Model, Nsfw, PairRow, ShardInfo,
    ShardWriter, Store, StoredImage, Tally,
};
use cah_protocol::{Outcome, OutcomeCounts, Piece, Shard};
use jpeg_encoder::{ColorType, Encoder};
use md5::Md5;
use sha2::{Digest, Sha256};

const DIM: usize = 8;
const CAPTIONS: [&str; 6] = [
    "a red square on green",
    "Ein Kätzchen, \"zitiert\"; 猫と犬",
    "two\nlines",
    "100 % of <b>it</b> & more",
    "naïve café — déjà vu",
    "plain",
];

type Failure = Box<dyn Error>;

struct Arguments {
    out: String,
    side: u16,
    candidates: Option<String>,
    abort: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Failure> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let store = Store::open(&arguments.out).await?;
    if arguments.abort {
        return give_up(&store, arguments.side).await;
    }
    for (shard, pairs) in [
        (Shard::of_chunk(1, Piece::First, wat(1)), 12),
        (Shard::of_chunk(1, Piece::Second, wat(1)), 0),
        (Shard::of_chunk(2, Piece::First, wat(2)), 5),
    ] {
        let number = shard.number;
        let mut writer = ShardWriter::create(&store, info(shard)).await?;
        for index in 0..pairs {
            push(&mut writer, number, index * 3, arguments.side).await?;
        }
        let manifest = writer.finish(tally(pairs)).await?;
        println!("shard {}: {} pairs", manifest.number, manifest.pairs);
    }
    if let Some(target) = &arguments.candidates {
        write_candidates(target).await?;
    }
    Ok(())
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut arguments = Self {
            out: String::new(),
            side: 64,
            candidates: None,
            abort: false,
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--side" => arguments.side = words.next().ok_or("--side PIXELS")?.parse()?,
                "--candidates" => {
                    arguments.candidates = Some(words.next().ok_or("--candidates FILE")?);
                }
                "--abort" => arguments.abort = true,
                _ => arguments.out = word,
            }
        }
        Ok(arguments)
    }
}

fn wat(chunk: u64) -> String {
    format!("https://data.example.org/crawl-data/CC-MAIN-2026-43/wat/{chunk:05}.wat.gz")
}

fn info(shard: Shard) -> ShardInfo {
    ShardInfo {
        shard,
        crawl: "CC-MAIN-2026-43".into(),
        model: Model {
            name: "sample".into(),
            digest: "0123456789abcdef".into(),
        },
        dim: DIM,
        images: Some("original".into()),
        thresholds: BTreeMap::from([("similarity".into(), 0.3.into())]),
        program: concat!("cah-dataset ", env!("CARGO_PKG_VERSION")).into(),
    }
}

async fn push(writer: &mut ShardWriter, shard: u64, index: u64, side: u16) -> Result<(), Failure> {
    let image = jpeg(index, side)?;
    let size = ImageSize {
        width: side.into(),
        height: (side / 2).into(),
    };
    let caption = CAPTIONS[index as usize % CAPTIONS.len()];
    let row = PairRow {
        fetched: FetchedRow {
            index,
            url: format!("https://images.example.org/{shard}/{index}/ü?a=1&b=2#c"),
            text: format!("{caption} {index}"),
            license: index
                .is_multiple_of(2)
                .then(|| "https://creativecommons.org/licenses/by/4.0/".into()),
            language: index.is_multiple_of(2).then(|| "en".into()),
            page_url: "https://pages.example.org/".into(),
            mime: "image/jpeg".into(),
            sha256: Sha256::digest(&image).into(),
            md5: Md5::digest(&image).into(),
        },
        size,
        original_size: size,
        nsfw: Nsfw::Unlikely,
        similarity: 0.3 + index as f64 / 1000.0,
        pdq: None,
        punsafe: None,
        pwatermark: None,
        aesthetic: None,
    };
    let stored = StoredImage {
        bytes: Bytes::from(image),
        extension: "jpg".into(),
    };
    let embeddings = [embedding(index), embedding(index + 1)];
    writer
        .push(row, Some(stored), &embeddings[0], &embeddings[1])
        .await?;
    Ok(())
}

/// Noise, so that the file is about as long as the image has pixels; twice as wide as high.
fn jpeg(seed: u64, side: u16) -> Result<Vec<u8>, Failure> {
    let height = side / 2;
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    let pixels: Vec<u8> = std::iter::repeat_with(noise)
        .take(usize::from(side) * usize::from(height) * 3)
        .collect();
    let mut image = Vec::new();
    Encoder::new(&mut image, 92).encode(&pixels, side, height, ColorType::Rgb)?;
    Ok(image)
}

fn embedding(seed: u64) -> Vec<f32> {
    let value = |i: u64| ((seed * 5 + i * 3) % 13) as f32 - 5.5;
    let values: Vec<f32> = (0..DIM as u64).map(value).collect();
    let length = values.iter().map(|x| x * x).sum::<f32>().sqrt();
    values.into_iter().map(|x| x / length).collect()
}

fn tally(pairs: u64) -> Tally {
    let mut outcomes = OutcomeCounts::default();
    (0..pairs).for_each(|_| outcomes.add(Outcome::Kept));
    (0..2 * pairs).for_each(|_| outcomes.add(Outcome::LowSimilarity));
    Tally {
        candidates: 3 * pairs,
        outcomes,
        seconds: BTreeMap::new(),
    }
}

async fn give_up(store: &Store, side: u16) -> Result<(), Failure> {
    let shard = Shard::of_chunk(2, Piece::Second, wat(2));
    let mut writer = ShardWriter::create(store, info(shard)).await?;
    for index in 0..12 {
        push(&mut writer, 4, index, side).await?;
    }
    writer.abort().await;
    println!("shard 4: given up");
    Ok(())
}

async fn write_candidates(target: &str) -> Result<(), Failure> {
    let mut writer = CandidateWriter::create(target, &["text", "license", "language"]).await?;
    for (i, alt) in CAPTIONS.iter().enumerate() {
        let candidate = Candidate {
            url: format!("https://images.example.org/{i}.jpg"),
            alt: (*alt).to_owned(),
            cc_filename: wat(1),
            page_url: "https://pages.example.org/".into(),
            ours: vec![Some(alt.trim().to_owned()), None, Some("en".into())],
        };
        writer.push(candidate).await?;
    }
    println!("candidates: {}", writer.finish().await?);
    Ok(())
}
