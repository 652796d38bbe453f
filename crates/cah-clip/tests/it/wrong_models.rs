//! Models that can't be loaded: one clear line each, which names the file and the mend.

use std::{fs, path::Path};

use cah_clip::{ClipError, Model, ModelFiles};
use tempfile::TempDir;

use crate::golden;

/// A folder with the files of a golden model, for breaking.
pub(crate) fn copy_of(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden::path(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

/// What loading says after `breaking` a copy of a golden model.
fn error_after(name: &str, breaking: impl FnOnce(&Path)) -> ClipError {
    let folder = copy_of(name);
    breaking(folder.path());
    let error = ModelFiles::from_folder(folder.path())
        .and_then(Model::load)
        .unwrap_err();
    let text = error.to_string();
    assert_eq!(text.lines().count(), 1, "{text}");
    let place = folder.path().display().to_string();
    assert!(text.contains(&place), "{text} does not say where");
    error
}

/// Replaces a part of a text file.
fn replace(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn a_folder_that_is_not_there() {
    let error = ModelFiles::from_folder("no/such/model").unwrap_err();
    assert!(matches!(error, ClipError::NoFolder { .. }));
    assert!(error.to_string().contains("no/such/model"), "{error}");
}

#[test]
fn missing_files() {
    for (file, word) in [
        ("config.json", "config.json"),
        ("model.safetensors", "safetensors"),
        ("merges.txt", "tokenizer.json"),
    ] {
        let error = error_after("quick-gelu", |folder| {
            fs::remove_file(folder.join(file)).unwrap()
        });
        assert!(matches!(error, ClipError::MissingFile { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn no_preprocessor_config_is_clips_own() {
    let folder = copy_of("gelu");
    fs::remove_file(folder.path().join("preprocessor_config.json")).unwrap();
    let model = Model::load(ModelFiles::from_folder(folder.path()).unwrap()).unwrap();
    assert_eq!(model.preprocessor().output_size(), Some((48, 48)));
}

#[test]
fn a_section_of_the_processors_file_goes_before_a_file_of_its_own() {
    let folder = copy_of("gelu");
    let own = fs::read(folder.path().join("preprocessor_config.json")).unwrap();
    let mut section: serde_json::Value = serde_json::from_slice(&own).unwrap();
    section["image_mean"] = serde_json::json!([0.5, 0.5, 0.5]);
    section["image_std"] = serde_json::json!([0.5, 0.5, 0.5]);
    section["pad_size"] = serde_json::Value::Null;
    let whole = serde_json::json!({"processor_class": "CLIPProcessor", "image_processor": section});
    fs::write(
        folder.path().join("processor_config.json"),
        whole.to_string(),
    )
    .unwrap();
    let load = || Model::load(ModelFiles::from_folder(folder.path()).unwrap()).unwrap();
    let white = cah_clip::RgbImage::new(1, 1, vec![255; 3]);
    assert_eq!(load().preprocess(&white).values()[0], 1.0);
    fs::remove_file(folder.path().join("preprocessor_config.json")).unwrap();
    assert_eq!(load().preprocess(&white).values()[0], 1.0);

    // Files of old name the class only.
    fs::write(
        folder.path().join("processor_config.json"),
        r#"{"processor_class": "CLIPProcessor"}"#,
    )
    .unwrap();
    fs::write(folder.path().join("preprocessor_config.json"), own).unwrap();
    assert!(load().preprocess(&white).values()[0] > 1.5);
}

#[test]
fn configurations_of_other_models() {
    let error = error_after("gelu", |folder| {
        replace(&folder.join("config.json"), "\"clip\"", "\"siglip\"");
    });
    assert!(matches!(error, ClipError::NotClip { .. }), "{error}");
    assert!(error.to_string().contains("siglip"), "{error}");

    let error = error_after("gelu", |folder| {
        replace(
            &folder.join("config.json"),
            "\"projection_dim\": 24",
            "\"projection_dim\": 25",
        );
    });
    assert!(matches!(error, ClipError::WrongShape { .. }), "{error}");
    assert!(
        error.to_string().contains("visual_projection.weight"),
        "{error}"
    );

    let error = error_after("gelu", |folder| {
        replace(
            &folder.join("config.json"),
            "\"num_hidden_layers\": 3",
            "\"num_hidden_layers\": 4",
        );
    });
    assert!(matches!(error, ClipError::MissingTensor { .. }), "{error}");
    assert!(
        error.to_string().contains("text_model.encoder.layers.3"),
        "{error}"
    );

    let error = error_after("gelu", |folder| {
        replace(
            &folder.join("config.json"),
            "\"image_size\": 48",
            "\"image_size\": 64",
        );
    });
    assert!(
        error.to_string().contains("preprocessor_config.json"),
        "{error}"
    );

    let error = error_after("gelu", |folder| {
        replace(
            &folder.join("config.json"),
            "\"vocab_size\": 7",
            "\"vocab_size\": 1",
        );
    });
    assert!(error.to_string().contains("vocab_size"), "{error}");

    let error = error_after("gelu", |folder| {
        replace(
            &folder.join("config.json"),
            "\"eos_token_id\": 7",
            "\"eos_token_id\": 6",
        );
    });
    assert!(error.to_string().contains("eos_token_id"), "{error}");
}

#[test]
fn broken_weights() {
    let error = error_after("gelu", |folder| {
        fs::write(folder.join("model.safetensors"), b"").unwrap()
    });
    assert!(matches!(error, ClipError::BadWeights { .. }), "{error}");

    let error = error_after("gelu", |folder| {
        fs::write(
            folder.join("model.safetensors"),
            b"version https://git-lfs.github.com/spec/v1\n",
        )
        .unwrap();
    });
    assert!(matches!(error, ClipError::BadWeights { .. }), "{error}");

    let whole = golden::bytes("gelu/model.safetensors");
    for cut in [4, 100, whole.len() / 2, whole.len() - 1] {
        let error = error_after("gelu", |folder| {
            fs::write(folder.join("model.safetensors"), &whole[..cut]).unwrap();
        });
        assert!(matches!(error, ClipError::BadWeights { .. }), "{error}");
        assert!(error.to_string().contains("download it again"), "{error}");
    }
}

#[test]
fn broken_tokenizers() {
    for (name, file, content, word) in [
        ("quick-gelu", "vocab.json", "{}", "<|startoftext|>"),
        ("quick-gelu", "vocab.json", "[1]", "vocab.json"),
        (
            "quick-gelu",
            "vocab.json",
            r#"{"<|startoftext|>": 0, "<|endoftext|>": 1}"#,
            "no token",
        ),
        (
            "quick-gelu",
            "merges.txt",
            "#version: 0.2\nqqq zzz\n",
            "vocab.json",
        ),
        ("quick-gelu", "merges.txt", "one\n", "merges.txt"),
        (
            "gelu",
            "tokenizer.json",
            r#"{"model": {}}"#,
            "tokenizer.json",
        ),
        (
            "gelu",
            "preprocessor_config.json",
            "{",
            "preprocessor_config.json",
        ),
        ("gelu", "cah.json", r#"{"threshold": 1}"#, "cah.json"),
    ] {
        let error = error_after(name, |folder| {
            fs::write(folder.join(file), content).unwrap()
        });
        assert!(matches!(error, ClipError::BadFile { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}
