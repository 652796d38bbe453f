//! A CLIP model with all that belongs to it.

mod config;
mod digest;
mod files;
mod hub;
mod weights;

use serde::Deserialize;

use crate::{
    engine::{CandleEngine, Embeddings, Engine},
    error::ClipError,
    image::RgbImage,
    preprocess::{Pixels, Preprocessor},
    safety::SafetyList,
    tokenize::{Tokenizer, Tokens},
};

pub use config::{Activation, ClipConfig, TowerConfig};
pub use files::{ModelFiles, ModelSource};
pub use hub::{Hub, HubOptions, HubRepo};
pub use weights::Weights;

/// The least similarity of a pair where the model does not say another: LAION-400M's.
pub const DEFAULT_SIMILARITY_THRESHOLD: f32 = 0.3;

/// A CLIP model: an engine over its weights, its preprocessing and its tokeniser.
pub struct Model {
    name: String,
    digest: String,
    engine: Box<dyn Engine>,
    preprocessor: Preprocessor,
    tokenizer: Tokenizer,
    pooled_token: Option<u32>,
    settings: Settings,
}

/// `cah.json`: what this project knows of a model beyond what its makers wrote.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    similarity_threshold: Option<f32>,
    safety: Option<SafetyList>,
}

impl Model {
    /// Loads a model on the embedded engine.
    ///
    /// # Errors
    /// One clear [`ClipError`] for each way in which files can be absent, broken or of different models.
    pub fn load(files: ModelFiles) -> Result<Self, ClipError> {
        Self::assemble(&files).map_err(|error| error.within(files.place()))
    }

    fn assemble(files: &ModelFiles) -> Result<Self, ClipError> {
        let config = ClipConfig::parse(files.config())?;
        let preprocessor = preprocessor(files, &config)?;
        let tokenizer = tokenizer(files, &config)?;
        let settings = match files.small(files::CAH) {
            Some(json) => serde_json::from_slice(json)
                .map_err(|error| ClipError::bad_file(files::CAH, error))?,
            None => Settings::default(),
        };
        let (engine, digest) = CandleEngine::load(&config, files.weights())?;
        Ok(Self {
            name: files.name().to_owned(),
            digest,
            engine: Box::new(engine),
            preprocessor,
            tokenizer,
            pooled_token: config.pooled_token,
            settings,
        })
    }

    /// The folder's or the repository's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of the file of the weights, or of all its shards one after the other, in hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Numbers in an embedding.
    pub fn dimension(&self) -> usize {
        self.engine.dimension()
    }

    /// The least similarity of a pair: from `cah.json`, else [`DEFAULT_SIMILARITY_THRESHOLD`].
    pub fn similarity_threshold(&self) -> f32 {
        self.settings
            .similarity_threshold
            .unwrap_or(DEFAULT_SIMILARITY_THRESHOLD)
    }

    /// The categories for the safety tag: from `cah.json`, else [`SafetyList::default`].
    pub fn safety_list(&self) -> SafetyList {
        self.settings.safety.clone().unwrap_or_default()
    }

    /// The model's own preprocessing.
    pub fn preprocessor(&self) -> &Preprocessor {
        &self.preprocessor
    }

    /// The model's own tokeniser.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Makes of an image what the model sees.
    pub fn preprocess(&self, image: &RgbImage) -> Pixels {
        self.preprocessor.pixels(image)
    }

    /// Embeds images that [`Model::preprocess`] made: a row of unit length each, in order.
    ///
    /// # Errors
    /// [`ClipError::Engine`] for pixels of another size, [`ClipError::NoNumbers`].
    pub fn embed_images(&self, batch: &[Pixels]) -> Result<Embeddings, ClipError> {
        self.finished(self.engine.embed_images(batch)?)
    }

    /// Cleans, encodes and embeds captions: a row of unit length each, in order.
    ///
    /// # Errors
    /// [`ClipError::Engine`] and [`ClipError::NoNumbers`]; not for any text.
    pub fn embed_texts<T: AsRef<str>>(&self, captions: &[T]) -> Result<Embeddings, ClipError> {
        let batch: Vec<_> = captions
            .iter()
            .map(|caption| self.tokens(caption.as_ref()))
            .collect();
        self.finished(self.engine.embed_texts(&batch)?)
    }

    /// The rows at unit length. NaN is below no threshold, so it must not get any further.
    fn finished(&self, rows: Embeddings) -> Result<Embeddings, ClipError> {
        let rows = rows.normalised();
        match rows.are_numbers() {
            true => Ok(rows),
            false => Err(ClipError::NoNumbers {
                model: self.name.clone(),
            }),
        }
    }

    /// Encodes a caption up to the token that the model pools.
    fn tokens(&self, caption: &str) -> Tokens {
        let tokens = self.tokenizer.encode(caption);
        let pooled = match self.pooled_token {
            Some(id) => tokens.ids().iter().position(|token| *token == id),
            None => first_highest(tokens.ids()),
        };
        // `load` saw to it that the end of text is the pooled token where there is one.
        let last = tokens.ids().len() - 1;
        tokens.pooled_at(pooled.unwrap_or(last))
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("name", &self.name)
            .field("digest", &self.digest)
            .field("dimension", &self.dimension())
            .finish_non_exhaustive()
    }
}

/// The position of the highest id, the first of equal ones.
fn first_highest(ids: &[u32]) -> Option<usize> {
    let highest = ids.iter().max()?;
    ids.iter().position(|id| id == highest)
}

fn preprocessor(files: &ModelFiles, config: &ClipConfig) -> Result<Preprocessor, ClipError> {
    // ClipConfig holds sizes below 4,097.
    let side = config.image_size as u32;
    let Some((file, fields)) = files.image_processor()? else {
        tracing::warn!(
            "{} has no preprocessor_config.json; taking the mean and deviation of OpenAI's models",
            files.place()
        );
        return Ok(Preprocessor::clip(side));
    };
    let preprocessor = Preprocessor::from_fields(file, fields)?;
    match preprocessor.output_size() {
        Some(size) if size == (side, side) => Ok(preprocessor),
        Some((width, height)) => Err(ClipError::bad_file(
            file,
            format!("it makes {width}x{height} pixels where config.json asks for {side}x{side}"),
        )),
        None => Err(ClipError::bad_file(
            file,
            "neither crop nor size is fixed: set do_center_crop and crop_size",
        )),
    }
}

fn tokenizer(files: &ModelFiles, config: &ClipConfig) -> Result<Tokenizer, ClipError> {
    let tokenizer_files = files
        .tokenizer_files()
        .expect("no ModelFiles is made without them");
    let tokenizer = Tokenizer::load(&tokenizer_files, config.context_length)?;
    let end = tokenizer.end_of_text();
    if let Some(id) = config.pooled_token.filter(|id| *id != end) {
        let reason = format!("eos_token_id is {id} where the vocabulary's end of text is {end}");
        return Err(ClipError::bad_file(files::CONFIG, reason));
    }
    let most = tokenizer.highest_id() as usize;
    if most >= config.vocab_size {
        let reason = format!(
            "vocab_size is {} where the vocabulary goes up to {most}",
            config.vocab_size
        );
        return Err(ClipError::bad_file(files::CONFIG, reason));
    }
    Ok(tokenizer)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An engine that has lost its numbers.
    struct Lost(f32);

    impl Engine for Lost {
        fn dimension(&self) -> usize {
            2
        }

        fn embed_images(&self, _: &[Pixels]) -> Result<Embeddings, ClipError> {
            Ok(Embeddings::new(2, vec![1.0, self.0]))
        }

        fn embed_texts(&self, _: &[Tokens]) -> Result<Embeddings, ClipError> {
            Ok(Embeddings::new(2, vec![1.0, 0.0, self.0, 1.0]))
        }
    }

    #[test]
    fn embeddings_that_are_no_numbers_are_an_error() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/gelu");
        let mut model = Model::load(ModelFiles::from_folder(folder).unwrap()).unwrap();
        for value in [f32::NAN, f32::INFINITY] {
            model.engine = Box::new(Lost(value));
            for result in [model.embed_images(&[]), model.embed_texts(&["a", "b"])] {
                let error = result.unwrap_err();
                assert!(matches!(error, ClipError::NoNumbers { .. }), "{error}");
                let text = error.to_string();
                assert!(
                    text.contains("the model gelu gives no numbers (NaN)"),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn the_first_of_equal_highest_ids_is_pooled() {
        assert_eq!(first_highest(&[7, 9, 1, 9]), Some(1));
        assert_eq!(first_highest(&[]), None);
    }
}
