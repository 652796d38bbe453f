//! The model that comes with the program, run by our engine on scenes that it never saw.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use cah_clip::{Embeddings, Limits, Model, ModelFiles, Pixels, cosine, decode};
use cah_demo::scene::{Caption, Phrasing, Rng, Scene};
use jpeg_encoder::{ColorType, Encoder};

use crate::harness::{cah, succeed};

/// Neither the demo's seed nor one of the model's scripts.
const SEED: u64 = 5005;
const SCENES: u64 = 400;
const LEAST_AUC: f64 = 0.97;
const LARGEST_MODEL: u64 = 6_000_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny-clip")
}

/// A scene as a file of the web with a sentence in words that training never shows, and the
/// sentence of another scene that has nothing in common with it.
struct Example {
    scene: Scene,
    jpeg: Vec<u8>,
    caption: Caption,
    contradiction: String,
}

impl Example {
    fn nth(index: u64) -> Self {
        let mut rng = Rng::nth(SEED, index);
        let scene = Scene::random(&mut rng);
        let (width, height) = (160 + rng.below(200) as u16, 160 + rng.below(200) as u16);
        let picture = scene.render(width.into(), height.into());
        let mut jpeg = Vec::new();
        Encoder::new(&mut jpeg, 70 + rng.below(26) as u8)
            .encode(&picture, width, height, ColorType::Rgb)
            .unwrap();
        let caption = scene.describe(&mut rng, Phrasing::HeldOut);
        let other = scene.random_mismatch(&mut rng);
        let contradiction = other.caption(&mut rng, Phrasing::HeldOut);
        Self {
            scene,
            jpeg,
            caption,
            contradiction,
        }
    }

    fn pixels(&self, model: &Model) -> Pixels {
        let any_size = Limits {
            min_bytes: 0,
            ..Limits::default()
        };
        model.preprocess(&decode(&self.jpeg, &any_size).unwrap().image)
    }
}

/// Area under the ROC curve: how often a match is more similar than a mismatch.
fn auc(matches: &[f32], mismatches: &[f32]) -> f64 {
    let won = |a: &f32, b: &f32| match a.total_cmp(b) {
        std::cmp::Ordering::Greater => 1.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Less => 0.0,
    };
    let pairs = matches
        .iter()
        .flat_map(|a| mismatches.iter().map(move |b| won(a, b)));
    pairs.sum::<f64>() / (matches.len() * mismatches.len()) as f64
}

/// The similarity of each row of `images` with the row of `texts` in the same place.
fn similarities(images: &Embeddings, texts: &Embeddings) -> Vec<f32> {
    assert_eq!(images.len(), texts.len());
    let rows = images.rows().zip(texts.rows());
    rows.map(|(image, text)| cosine(image, text)).collect()
}

#[test]
fn matches_are_told_from_mismatches() {
    let model = Model::load(ModelFiles::from_folder(folder()).unwrap()).unwrap();
    let examples: Vec<_> = (0..SCENES).map(Example::nth).collect();
    assert!(examples.iter().any(|example| example.scene.is_held_out()));
    let pixels: Vec<_> = examples.iter().map(|one| one.pixels(&model)).collect();
    let captions: Vec<_> = examples.iter().map(|one| &one.caption.text).collect();
    let contradictions: Vec<_> = examples.iter().map(|one| &one.contradiction).collect();
    let images = model.embed_images(&pixels).unwrap();
    let captions = model.embed_texts(&captions).unwrap();
    let contradictions = model.embed_texts(&contradictions).unwrap();
    let matches = similarities(&images, &captions);

    let mismatches = similarities(&images, &contradictions);
    let contradicting = auc(&matches, &mismatches);
    assert!(contradicting >= LEAST_AUC, "{contradicting}");

    // Any other scene's sentence that is not true of this one as well, however close it comes.
    let count = examples.len();
    let mismatches: Vec<_> = (0..count)
        .flat_map(|image| (1..10).map(move |step| (image, (image + step) % count)))
        .filter(|(image, text)| !examples[*image].scene.agrees(&examples[*text].caption))
        .map(|(image, text)| cosine(images.row(image), captions.row(text)))
        .collect();
    let random = auc(&matches, &mismatches);
    assert!(random >= LEAST_AUC, "{random}");
}

#[test]
fn the_model_is_small_enough_to_commit() {
    let files: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| {
            let name = entry.file_name().into_string().unwrap();
            [".safetensors", ".json", ".txt"]
                .iter()
                .any(|end| name.ends_with(end))
        })
        .collect();
    assert!(files.iter().any(|f| f.file_name() == "model.safetensors"));
    let bytes: u64 = files.iter().map(|f| f.metadata().unwrap().len()).sum();
    assert!(bytes <= LARGEST_MODEL, "{bytes} bytes");
}

/// What the model learnt from, was tuned on and is measured by are different scenes, and the demo
/// shows others again.
#[test]
fn every_use_of_scenes_has_a_seed_of_its_own() {
    let script = fs::read_to_string(folder().join("scenes.py")).unwrap();
    let line = script.lines().find(|line| line.starts_with("TRAIN_SEED"));
    let (names, values) = line.unwrap().split_once(" = ").unwrap();
    let mut seeds: Vec<u64> = values
        .split(", ")
        .map(|seed| seed.parse().unwrap())
        .collect();
    assert_eq!(names.split(", ").count(), seeds.len(), "{names}");
    seeds.push(SEED);

    let demo = cah_demo::Config::default().seed;
    let help = succeed(cah().args(["demo", "--help"]));
    let (_, help) = help.split_once("--seed").unwrap();
    assert!(help.contains(&format!("[default: {demo}]")), "{help}");
    seeds.push(demo);

    let different: HashSet<_> = seeds.iter().collect();
    assert_eq!(different.len(), seeds.len(), "{seeds:?}");
}
