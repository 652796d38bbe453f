//! Embeddings, against transformers.

use std::path::PathBuf;

use cah_clip::{
    DEFAULT_SIMILARITY_THRESHOLD, Embeddings, Model, ModelFiles, ModelSource, Pixels, cosine,
    decode,
};

use crate::{golden, scene::scene};

/// As `tests/golden/models.py` has them.
const SCENES: [(u32, u32, u32); 6] = [
    (90, 60, 1),
    (60, 90, 2),
    (48, 48, 3),
    (200, 31, 4),
    (17, 20, 5),
    (640, 480, 6),
];

fn captions() -> Vec<String> {
    [
        "a photo of a cat",
        "A red car, in front of the old house!",
        "",
        "das ist ein schönes Bild von der Stadt am Abend",
        "東京の夜景と富士山の写真",
        &"word ".repeat(100),
        "x",
        "the quick brown fox jumps over the lazy dog while others are watching",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn pixels(model: &Model) -> Vec<Pixels> {
    let image = |(width, height, seed)| model.preprocess(&scene(width, height, seed));
    SCENES.into_iter().map(image).collect()
}

fn assert_close(rows: &Embeddings, file: &str) {
    let truth: Vec<f32> = golden::npy(file);
    let truth = Embeddings::new(rows.dimension(), truth);
    assert_eq!(rows.len(), truth.len(), "{file}");
    for (index, (row, truth)) in rows.rows().zip(truth.rows()).enumerate() {
        let similarity = cosine(row, truth);
        assert!(similarity >= 0.99999, "{file}, row {index}: {similarity}");
        assert!((cosine(row, row) - 1.0).abs() < 1e-6);
    }
}

#[test]
fn embeddings_are_those_of_transformers() {
    for name in ["quick-gelu", "gelu"] {
        let model = golden::model(name);
        assert_eq!(model.name(), name);
        assert_close(
            &model.embed_images(&pixels(&model)).unwrap(),
            &format!("{name}/golden.images.npy"),
        );
        assert_close(
            &model.embed_texts(&captions()).unwrap(),
            &format!("{name}/golden.texts.npy"),
        );
    }
}

#[derive(serde::Deserialize)]
struct TinyGolden {
    images: Vec<String>,
    captions: Vec<String>,
    token_ids: Vec<Vec<u32>>,
    /// What Pillow and `transformers` make of each image before it is normalised, as PNG.
    seen: Vec<String>,
    image_embeds: Vec<Vec<f32>>,
    text_embeds: Vec<Vec<f32>>,
}

/// The model that is trained, and what `models/tiny-clip/golden.py` wrote about it.
struct TinyClip {
    folder: PathBuf,
    model: Model,
    truth: TinyGolden,
}

impl TinyClip {
    fn load() -> Self {
        let folder = golden::path("../../../../models/tiny-clip");
        let model = Model::load(ModelFiles::from_folder(&folder).unwrap()).unwrap();
        let truth = std::fs::read(folder.join("golden/golden.json")).unwrap();
        let truth: TinyGolden = serde_json::from_slice(&truth).unwrap();
        assert_eq!(truth.images.len(), truth.seen.len());
        assert_eq!(truth.images.len(), truth.image_embeds.len());
        assert_eq!(truth.captions.len(), truth.text_embeds.len());
        Self {
            folder,
            model,
            truth,
        }
    }

    /// Embeds files of `golden/`, and compares each with the embedding that `transformers` has.
    fn assert_close(&self, files: &[String], least: impl Fn(&str) -> f32) {
        let pixels: Vec<_> = files
            .iter()
            .map(|file| std::fs::read(self.folder.join("golden").join(file)).unwrap())
            .map(|bytes| decode(&bytes, &crate::decode::any_size()).unwrap())
            .map(|decoded| self.model.preprocess(&decoded.image))
            .collect();
        let images = self.model.embed_images(&pixels).unwrap();
        assert_eq!(images.len(), files.len());
        let images = images.rows().zip(&self.truth.image_embeds);
        for (file, (row, truth)) in files.iter().zip(images) {
            let similarity = cosine(row, truth);
            assert!(similarity >= least(file), "{file}: {similarity}");
        }
    }
}

/// The towers alone: the pixels are Pillow's, whatever the format of the file.
#[test]
fn tiny_clip_embeds_pillows_pixels_as_transformers() {
    let tiny = TinyClip::load();
    tiny.assert_close(&tiny.truth.seen, |_| 0.99999);
}

/// Every step from the bytes of a file.
#[test]
fn tiny_clip_sees_and_reads_as_with_transformers() {
    let tiny = TinyClip::load();
    assert_eq!(tiny.model.name(), "tiny-clip");
    tiny.assert_close(&tiny.truth.images, |file| {
        // zune-jpeg's pixels differ from those of Pillow's libjpeg by up to 4 levels.
        match file.ends_with(".jpg") {
            true => 0.9999,
            false => 0.99999,
        }
    });
    let TinyClip { model, truth, .. } = &tiny;
    for (caption, ids) in truth.captions.iter().zip(&truth.token_ids) {
        assert_eq!(model.tokenizer().encode(caption).ids(), ids, "{caption:?}");
    }
    let texts = model.embed_texts(&truth.captions).unwrap();
    let texts = texts.rows().zip(&truth.text_embeds);
    for (caption, (row, truth)) in truth.captions.iter().zip(texts) {
        let similarity = cosine(row, truth);
        assert!(similarity >= 0.99999, "{caption:?}: {similarity}");
    }
}

#[test]
fn an_embedding_has_the_same_bits_in_any_company() {
    for name in ["quick-gelu", "gelu"] {
        let model = golden::model(name);
        let images: Vec<_> = (0..70)
            .map(|seed| model.preprocess(&scene(40, 40, seed)))
            .collect();
        let texts: Vec<_> = (0..70)
            .map(|n| "the old house and the sea ".repeat(n % 9) + &n.to_string())
            .collect();
        let alone_images: Vec<_> = images
            .iter()
            .flat_map(|image| {
                model
                    .embed_images(std::slice::from_ref(image))
                    .unwrap()
                    .into_values()
            })
            .collect();
        let alone_texts: Vec<_> = texts
            .iter()
            .flat_map(|text| model.embed_texts(&[text]).unwrap().into_values())
            .collect();
        for size in [2, 3, 7, 16, 33, 70] {
            let together: Vec<_> = images
                .chunks(size)
                .flat_map(|batch| model.embed_images(batch).unwrap().into_values())
                .collect();
            assert!(
                together == alone_images,
                "{name}: images in batches of {size}"
            );
            let together: Vec<_> = texts
                .chunks(size)
                .flat_map(|batch| model.embed_texts(batch).unwrap().into_values())
                .collect();
            assert!(
                together == alone_texts,
                "{name}: texts in batches of {size}"
            );
        }
    }
}

#[test]
fn an_embedding_has_the_same_bits_on_any_number_of_threads() {
    let model = golden::model("gelu");
    let images = pixels(&model);
    let expected = model.embed_images(&images).unwrap();
    std::thread::scope(|scope| {
        let run = || scope.spawn(|| model.embed_images(&images).unwrap());
        for thread in [run(), run(), run(), run()] {
            assert_eq!(thread.join().unwrap(), expected);
        }
    });
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let rows = pool.install(|| model.embed_images(&images).unwrap());
        assert_eq!(rows, expected, "{threads} threads");
    }
}

#[test]
fn no_images_and_no_texts_are_no_rows() {
    let model = golden::model("gelu");
    assert!(model.embed_images(&[]).unwrap().is_empty());
    assert!(model.embed_texts::<&str>(&[]).unwrap().is_empty());
    assert_eq!(model.dimension(), 24);
}

#[test]
fn pixels_of_another_model_are_refused() {
    let small = golden::model("quick-gelu");
    let large = golden::model("gelu");
    let pixels = small.preprocess(&scene(50, 50, 1));
    let error = large.embed_images(&[pixels]).unwrap_err().to_string();
    assert!(error.contains("32x32"), "{error}");
}

#[test]
fn a_model_from_memory_is_the_one_from_the_folder() {
    let files = [
        "config.json",
        "preprocessor_config.json",
        "vocab.json",
        "merges.txt",
        "model.safetensors",
    ]
    .map(|file| {
        let bytes: &'static [u8] = golden::bytes(&format!("quick-gelu/{file}")).leak();
        (file, bytes)
    });
    let memory = Model::load(ModelFiles::from_memory("in memory", files).unwrap()).unwrap();
    let folder = golden::model("quick-gelu");
    assert_eq!(memory.name(), "in memory");
    assert_eq!(memory.digest(), folder.digest());
    assert_eq!(memory.digest().len(), 64);
    assert_eq!(
        memory.embed_texts(&["a cat"]).unwrap(),
        folder.embed_texts(&["a cat"]).unwrap()
    );
}

#[test]
fn the_threshold_is_the_models_own_where_it_has_one() {
    let plain = golden::model("gelu");
    assert_eq!(plain.similarity_threshold(), DEFAULT_SIMILARITY_THRESHOLD);
    assert_eq!(DEFAULT_SIMILARITY_THRESHOLD, 0.3);
    let folder = crate::wrong_models::copy_of("gelu");
    let settings = r#"{"similarity_threshold": 0.46, "safety": {"categories": [
        {"prompt": "a", "class": "neutral"}, {"prompt": "b", "class": "unsafe"}]}}"#;
    std::fs::write(folder.path().join("cah.json"), settings).unwrap();
    let model = Model::load(ModelFiles::from_folder(folder.path()).unwrap()).unwrap();
    assert_eq!(model.similarity_threshold(), 0.46);
    assert_eq!(model.safety_list().categories.len(), 2);
    assert!(plain.safety_list().categories.len() > 10);
}

#[test]
fn a_source_is_a_folder_or_a_repository() {
    let parse = |text: &str| text.parse::<ModelSource>();
    assert!(matches!(
        parse("models/tiny-clip"),
        Ok(ModelSource::Folder(_))
    ));
    assert!(matches!(parse("hf:org/name"), Ok(ModelSource::Hub(_))));
    assert_eq!(
        parse("hf:org/name@v1").unwrap().to_string(),
        "hf:org/name@v1"
    );
    for text in ["hf:name", "hf:../../etc", ""] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains("hf:org/name"), "{error}");
    }
}
