//! What comes with the program: a toy model, and the language model.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context, Result};
use cah_clip::{HubOptions, Model, ModelFiles, ModelSource};
use fasttext_pure_rs::FastText;

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
pub(crate) const LANGUAGE_MODEL: &[u8] = include_bytes!("../../../assets/lid.176.ftz");

/// The languages that a fastText model tells apart and that have an ISO 639-1 code.
pub(crate) fn languages(model: &[u8]) -> Result<BTreeSet<String>> {
    let model = FastText::load_from_reader(model).context("the language model is none")?;
    // Labels are found in answers only: this asks for more of them than any model has.
    let answers = model.predict("any text", 10_000, 0.0)?;
    let labels = answers.iter().map(|answer| answer.label.as_str());
    let names = labels.filter_map(|label| label.strip_prefix("__label__"));
    Ok(names
        .filter(|name| name.len() == 2)
        .map(String::from)
        .collect())
}
