//! The files in which weights come.

use std::{fs, path::Path};

use cah_clip::{ClipError, Model, ModelFiles};
use safetensors::SafeTensors;

use crate::{golden, scene::scene, wrong_models::copy_of};

/// The weights of a golden model in two files, and the index of these.
pub(crate) fn sharded(name: &str) -> Vec<(&'static str, Vec<u8>)> {
    const FIRST: &str = "model-00001-of-00002.safetensors";
    const SECOND: &str = "model-00002-of-00002.safetensors";
    let bytes = golden::bytes(&format!("{name}/model.safetensors"));
    let all = SafeTensors::deserialize(&bytes).unwrap().tensors();
    let (first, second) = all.split_at(all.len() / 2);
    let shard = |part: &[(String, _)]| safetensors::serialize(part.to_vec(), None).unwrap();
    let place = |file: &'static str| move |(name, _): &(String, _)| (name.clone(), file.into());
    let map: serde_json::Map<_, serde_json::Value> = first
        .iter()
        .map(place(FIRST))
        .chain(second.iter().map(place(SECOND)))
        .collect();
    let index = serde_json::json!({"metadata": {"total_size": bytes.len()}, "weight_map": map});
    vec![
        (
            "model.safetensors.index.json",
            index.to_string().into_bytes(),
        ),
        (FIRST, shard(first)),
        (SECOND, shard(second)),
    ]
}

fn load(folder: &Path) -> Result<Model, ClipError> {
    ModelFiles::from_folder(folder).and_then(Model::load)
}

pub(crate) fn assert_same(model: &Model, name: &str) {
    let whole = golden::model(name);
    let captions = ["a cat", "the old house and the sea"];
    let image = [whole.preprocess(&scene(60, 50, 1))];
    assert_eq!(
        model.embed_texts(&captions).unwrap(),
        whole.embed_texts(&captions).unwrap()
    );
    assert_eq!(
        model.embed_images(&image).unwrap(),
        whole.embed_images(&image).unwrap()
    );
}

#[test]
fn shards_are_the_whole() {
    let folder = copy_of("gelu");
    fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    for (file, bytes) in sharded("gelu") {
        fs::write(folder.path().join(file), bytes).unwrap();
    }
    let model = load(folder.path()).unwrap();
    assert_same(&model, "gelu");
    assert_eq!(model.digest().len(), 64);

    let shard = "model-00002-of-00002.safetensors";
    fs::remove_file(folder.path().join(shard)).unwrap();
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains(shard) && error.contains("download it"),
        "{error}"
    );
}

/// A folder whose weights are those that `torch.save` wrote.
fn pytorch_folder() -> tempfile::TempDir {
    let folder = copy_of("gelu");
    fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let file = golden::path("pytorch_model.bin");
    fs::copy(file, folder.path().join("pytorch_model.bin")).unwrap();
    folder
}

#[test]
fn a_file_of_pytorch_is_the_same_model() {
    let folder = pytorch_folder();
    assert_same(&load(folder.path()).unwrap(), "gelu");
}

#[test]
fn a_broken_file_of_pytorch_is_damaged() {
    let folder = pytorch_folder();
    let path = folder.path().join("pytorch_model.bin");
    let whole = fs::read(&path).unwrap();
    let mut overwritten = whole.clone();
    // The pickle begins in the first kilobyte.
    overwritten[200..900].fill(b'0');
    for bytes in [
        &b""[..],
        b"\x80\x02",
        &whole[..whole.len() / 2],
        &overwritten,
    ] {
        fs::write(&path, bytes).unwrap();
        let error = load(folder.path()).unwrap_err();
        assert!(matches!(error, ClipError::BadWeights { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(&path.display().to_string()), "{text}");
        assert!(text.contains("download it again"), "{text}");
    }
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    let folder = copy_of("gelu");
    let path = folder.path().join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 2;
    // A bf16 that is NaN.
    bytes[last..].copy_from_slice(&[0xc0, 0x7f]);
    fs::write(&path, bytes).unwrap();
    let error = load(folder.path()).unwrap_err();
    assert!(matches!(error, ClipError::BadWeights { .. }), "{error}");
    assert!(error.to_string().contains("NaN"), "{error}");
}
