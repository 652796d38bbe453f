//! The golden files.

use std::{fs, path::PathBuf};

use cah_clip::{Model, ModelFiles};
use serde::de::DeserializeOwned;

/// A file or folder of `tests/golden`.
pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

pub(crate) fn bytes(name: &str) -> Vec<u8> {
    let path = path(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn json<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_slice(&bytes(name)).unwrap()
}

pub(crate) fn npy<T: npyz::Deserialize>(name: &str) -> Vec<T> {
    let bytes = bytes(name);
    npyz::NpyFile::new(&bytes[..]).unwrap().into_vec().unwrap()
}

pub(crate) fn model(name: &str) -> Model {
    Model::load(ModelFiles::from_folder(path(name)).unwrap()).unwrap()
}
