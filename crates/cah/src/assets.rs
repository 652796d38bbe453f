//! What comes with the program: a toy model, and the language model.

use std::path::Path;

use anyhow::{Context, Result};
use cah_clip::{HubOptions, Model, ModelFiles, ModelSource};
use cah_wat::LanguageDetector;

/// The name of the model that is part of the program.
pub(crate) const TINY_CLIP: &str = "tiny-clip";

macro_rules! tiny_clip {
    ($($file:literal),* $(,)?) => {
        [$(($file, include_bytes!(concat!("../../../models/tiny-clip/", $file)).as_slice())),*]
    };
}

/// Loads the model that a person named. Takes a while for a large one, so it runs on a thread
/// of its own.
pub(crate) async fn model(name: &str) -> Result<Model> {
    let files = match name.parse()? {
        ModelSource::Folder(folder) if is_built_in(&folder) => tiny_clip()?,
        source => ModelFiles::open(&source, HubOptions::from_env()).await?,
    };
    let loading = tokio::task::spawn_blocking(move || Model::load(files));
    Ok(loading.await.context("the model's loader panicked")??)
}

/// A folder of that name goes before the built-in model.
fn is_built_in(folder: &Path) -> bool {
    folder.as_os_str() == TINY_CLIP && !folder.exists()
}

fn tiny_clip() -> Result<ModelFiles> {
    let files = tiny_clip!(
        "cah.json",
        "config.json",
        "merges.txt",
        "model.safetensors",
        "preprocessor_config.json",
        "vocab.json",
    );
    Ok(ModelFiles::from_memory(TINY_CLIP, files)?)
}

/// fastText's lid.176.ftz; see `assets/README.md` for its authors and licence.
pub(crate) fn language_detector() -> Result<LanguageDetector> {
    let model = include_bytes!("../../../assets/lid.176.ftz");
    Ok(LanguageDetector::from_bytes(model)?)
}
