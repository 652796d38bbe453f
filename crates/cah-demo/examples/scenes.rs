//! Writes generated scenes with their captions for training or evaluation of the
//! tiny CLIP in `models/tiny-clip`.
//!
//! ```sh
//! cargo run --release -p cah-demo --example scenes -- --seed 1 --count 44000 --size 64 --out DIR
//! ```
//!
//! Every picture is drawn at a random size and shape, goes through JPEG, WEBP or PNG
//! as it would on the web, and comes back as CLIP's preprocessing makes it: shorter
//! side to `--size` by bicubic resampling, centre crop. `DIR/images.bin` holds them,
//! uint8 `[count, size, size, 3]`, and `DIR/captions.jsonl` has a line for each. With
//! `--files` the encoded files themselves are written as `DIR/000000.jpg` and so on
//! instead of `images.bin`.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use cah_demo::scene::{Arrangement, Caption, Language, Phrasing, Relation, Rng, Scene};
use clap::Parser;
use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use serde_json::{Value, json};

/// Scenes that one thread makes at a time.
const CHUNK: u64 = 256;

/// What to make; the same flags give the same bytes.
#[derive(Debug, Parser)]
struct Args {
    /// Names the sequence of scenes; training, evaluation and demo use different ones.
    #[arg(long)]
    seed: u64,
    /// Number of scenes.
    #[arg(long)]
    count: u64,
    /// Side of the pictures as CLIP sees them.
    #[arg(long, default_value_t = 64)]
    size: u32,
    /// Smallest shorter side of a picture before preprocessing.
    #[arg(long, default_value_t = 64)]
    min_side: u32,
    /// Largest longer side of a picture before preprocessing.
    #[arg(long, default_value_t = 640)]
    max_side: u32,
    /// Share of scenes on hazard stripes.
    #[arg(long, default_value_t = 0.08)]
    hazard: f32,
    /// Use the sentences and words that training never shows.
    #[arg(long)]
    held_out_phrasing: bool,
    /// Leave out the combinations of colour and shape that evaluation keeps to itself.
    #[arg(long)]
    without_held_out_kinds: bool,
    /// Write the encoded files instead of preprocessed pixels.
    #[arg(long)]
    files: bool,
    /// Folder to write to; made if it is missing.
    #[arg(long)]
    out: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    fs::create_dir_all(&args.out)?;
    let mut captions = create(&args.out.join("captions.jsonl"))?;
    let mut images = match args.files {
        true => None,
        false => Some(create(&args.out.join("images.bin"))?),
    };
    let threads = std::thread::available_parallelism()?.get() as u64;
    for first in (0..args.count).step_by((CHUNK * threads) as usize) {
        for examples in make_chunks(&args, first, threads) {
            for example in examples? {
                writeln!(captions, "{}", example.line)?;
                if let Some(images) = &mut images {
                    images.write_all(&example.pixels)?;
                }
            }
        }
    }
    captions.flush()?;
    images.map_or(Ok(()), |mut images| images.flush())?;
    Ok(())
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(BufWriter::new(file))
}

/// Makes one chunk a thread, and hands them back in order.
fn make_chunks(args: &Args, first: u64, threads: u64) -> Vec<Result<Vec<Example>>> {
    std::thread::scope(|scope| {
        let start = |nth: u64| (first + nth * CHUNK).min(args.count);
        let workers: Vec<_> = (0..threads)
            .map(|nth| scope.spawn(move || make_chunk(args, start(nth)..start(nth + 1))))
            .collect();
        workers
            .into_iter()
            .map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|_| Err(anyhow!("a thread panicked")))
            })
            .collect()
    })
}

fn make_chunk(args: &Args, indices: Range<u64>) -> Result<Vec<Example>> {
    let mut resizer = Resizer::new();
    indices
        .map(|index| Example::make(args, index, &mut resizer))
        .collect()
}

/// A picture as CLIP sees it, and all that is written about it.
struct Example {
    pixels: Vec<u8>,
    line: Value,
}

impl Example {
    fn make(args: &Args, index: u64, resizer: &mut Resizer) -> Result<Self> {
        let mut rng = Rng::nth(args.seed, index);
        let scene = draw_scene(args, &mut rng);
        let (width, height) = draw_dimensions(args, &mut rng);
        let file = EncodedImage::random(&scene.render(width, height), &mut rng)?;
        let mut line = describe(args, &scene, &mut rng);
        let pixels = if args.files {
            let name = format!("{index:06}.{}", file.extension);
            fs::write(args.out.join(&name), &file.bytes)?;
            line["file"] = json!(name);
            line["width"] = json!(width);
            line["height"] = json!(height);
            Vec::new()
        } else {
            preprocess(&file.decoded, args.size, resizer)?
        };
        Ok(Self { pixels, line })
    }
}

fn draw_scene(args: &Args, rng: &mut Rng) -> Scene {
    loop {
        let scene = match rng.chance(args.hazard) {
            true => Scene::hazard(rng),
            false => Scene::random(rng),
        };
        if !(args.without_held_out_kinds && scene.is_held_out()) {
            return scene;
        }
    }
}

/// Draws width and height: small pictures are commoner, most are not square.
fn draw_dimensions(args: &Args, rng: &mut Rng) -> (u32, u32) {
    let aspect = match rng.chance(0.25) {
        true => 1.0,
        false => rng.range(1.0, 2.0),
    };
    let largest = (args.max_side as f32 / aspect).max(args.min_side as f32);
    let short = (args.min_side as f32).ln()..largest.ln();
    let short = rng.range(short.start, short.end).exp();
    let (short, long) = (short.round() as u32, (short * aspect).round() as u32);
    match rng.chance(0.6) {
        true => (long, short),
        false => (short, long),
    }
}

/// A picture as a file of the web, and what a decoder makes of it.
struct EncodedImage {
    extension: &'static str,
    bytes: Vec<u8>,
    decoded: RgbImage,
}

impl EncodedImage {
    fn random(picture: &RgbImage, rng: &mut Rng) -> Result<Self> {
        match rng.below(20) {
            0..13 => Self::jpeg(picture, rng),
            13..17 => Self::webp(picture, rng),
            _ => Self::png(picture),
        }
    }

    fn jpeg(picture: &RgbImage, rng: &mut Rng) -> Result<Self> {
        let mut bytes = Vec::new();
        let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 60 + rng.below(36) as u8);
        encoder.set_sampling_factor(match rng.chance(0.7) {
            true => jpeg_encoder::SamplingFactor::R_4_2_0,
            false => jpeg_encoder::SamplingFactor::R_4_4_4,
        });
        let (width, height) = (picture.width() as u16, picture.height() as u16);
        encoder.encode(picture, width, height, jpeg_encoder::ColorType::Rgb)?;
        let pixels = zune_jpeg::JpegDecoder::new(zune_core::bytestream::ZCursor::new(&bytes))
            .decode()
            .map_err(|error| anyhow!("our own JPEG does not decode: {error:?}"))?;
        let decoded = RgbImage::from_raw(picture.width(), picture.height(), pixels)
            .context("our own JPEG decodes to another size")?;
        Ok(Self {
            extension: "jpg",
            bytes,
            decoded,
        })
    }

    fn webp(picture: &RgbImage, rng: &mut Rng) -> Result<Self> {
        let encoder = webp::Encoder::from_rgb(picture, picture.width(), picture.height());
        let bytes = encoder.encode(rng.range(55.0, 95.0)).to_vec();
        let decoded = webp::Decoder::new(&bytes)
            .decode()
            .context("our own WEBP does not decode")?;
        let decoded = RgbImage::from_raw(picture.width(), picture.height(), decoded.to_vec())
            .context("our own WEBP decodes to another size")?;
        Ok(Self {
            extension: "webp",
            bytes,
            decoded,
        })
    }

    fn png(picture: &RgbImage) -> Result<Self> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::Png)?;
        Ok(Self {
            extension: "png",
            bytes: bytes.into_inner(),
            decoded: picture.clone(),
        })
    }
}

/// Shorter side to `size` by bicubic resampling, then the central square.
fn preprocess(picture: &RgbImage, size: u32, resizer: &mut Resizer) -> Result<Vec<u8>> {
    let (width, height) = picture.dimensions();
    let short = width.min(height);
    let scale = |side: u32| (u64::from(side) * u64::from(size) / u64::from(short)) as u32;
    let source = Image::from_vec_u8(width, height, picture.as_raw().clone(), PixelType::U8x3)?;
    let mut scaled = Image::new(scale(width), scale(height), PixelType::U8x3);
    let bicubic = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    resizer.resize(&source, &mut scaled, &bicubic)?;
    let (left, top) = ((scaled.width() - size) / 2, (scaled.height() - size) / 2);
    let row_bytes = scaled.width() as usize * 3;
    let pixels = scaled
        .buffer()
        .chunks_exact(row_bytes)
        .skip(top as usize)
        .take(size as usize)
        .flat_map(|row| &row[left as usize * 3..][..size as usize * 3])
        .copied()
        .collect();
    Ok(pixels)
}

/// The line of `captions.jsonl`: facts as text, captions with the facts they claim.
fn describe(args: &Args, scene: &Scene, rng: &mut Rng) -> Value {
    let phrasing = match args.held_out_phrasing {
        true => Phrasing::HeldOut,
        false => Phrasing::Train,
    };
    let captions: Vec<Value> = (0..4)
        .map(|_| caption_value(&scene.describe(rng, phrasing)))
        .collect();
    let negatives: Vec<Value> = (0..2)
        .map(|_| caption_value(&hard_negative(scene, phrasing, rng)))
        .collect();
    let mismatch = scene.random_mismatch(rng).describe(rng, phrasing);
    json!({
        "hazard": scene.is_hazard(),
        "facts": scene.facts().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "attributes": attributes(scene),
        "captions": captions,
        "ground": caption_value(&scene.describe_ground(rng)),
        "negatives": negatives,
        "foreign": Language::ALL.map(|language| scene.caption_in(language)),
        "mismatch": caption_value(&mismatch),
    })
}

fn caption_value(caption: &Caption) -> Value {
    let claims: Vec<String> = caption.claims.iter().map(ToString::to_string).collect();
    json!({ "text": caption.text, "claims": claims })
}

/// A sentence about a scene that differs in one thing, false for this one.
fn hard_negative(scene: &Scene, phrasing: Phrasing, rng: &mut Rng) -> Caption {
    loop {
        let caption = scene.altered(rng).describe(rng, phrasing);
        if !scene.agrees(&caption) {
            return caption;
        }
    }
}

/// What the auxiliary heads learn, each a class number or -1 where there is none.
fn attributes(scene: &Scene) -> Value {
    let mut kinds = scene.arrangement.kinds();
    let first = kinds.next();
    let class = |value: Option<i64>| value.unwrap_or(-1);
    // Told from left to right and from top to bottom, so that a pair has one reading.
    let (first, second, relation) = match scene.arrangement {
        Arrangement::Pair {
            first,
            relation: relation @ (Relation::RightOf | Relation::Below),
            second,
        } => (Some(second), Some(first), Some(relation.converse())),
        Arrangement::Pair {
            relation, second, ..
        } => (first, Some(second), Some(relation)),
        _ => (first, None, None),
    };
    let (place, size) = match scene.arrangement {
        Arrangement::Single { place, size, .. } => (Some(place), Some(size)),
        _ => (None, None),
    };
    json!({
        "colour": class(first.map(|kind| kind.colour as i64)),
        "shape": class(first.map(|kind| kind.shape as i64)),
        "second_colour": class(second.map(|kind| kind.colour as i64)),
        "second_shape": class(second.map(|kind| kind.shape as i64)),
        "relation": class(relation.map(|relation| i64::from(relation == Relation::Above))),
        "count": scene.arrangement.count() as i64 - 1,
        "place": class(place.map(|place| place as i64)),
        "size": class(size.map(|size| size as i64)),
        "texture": scene.ground.texture as i64,
        "ground": scene.ground.colour as i64,
        "second_ground": scene.ground.second as i64,
    })
}
