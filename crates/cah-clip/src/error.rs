//! What can go wrong with a model.

use std::path::{Path, PathBuf};

/// Why a model can't be found, loaded or run. Each names the file and what mends it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClipError {
    /// The folder is not there.
    #[error(
        "no model folder at {}: give a folder with config.json and model.safetensors, or hf:org/name",
        path.display()
    )]
    NoFolder {
        /// The folder as it was given.
        path: PathBuf,
    },

    /// The text is neither a folder nor a repository of the hub.
    #[error("{0:?} names no model: give a folder, or hf:org/name, or hf:org/name@revision")]
    BadSource(String),

    /// A file of the model is not there.
    #[error("{model} has no {file}: {mend}")]
    MissingFile {
        /// The model's name.
        model: String,
        /// The file's name within the model.
        file: String,
        /// What to do.
        mend: &'static str,
    },

    /// A file of the model can't be read.
    #[error("can't read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// A JSON file of the model says something that can't be used.
    #[error("{file}: {reason}; correct the file, or download it again")]
    BadFile {
        /// The file.
        file: String,
        /// What is wrong and what would be right.
        reason: String,
    },

    /// `config.json` is of another kind of model.
    #[error(
        "{file} is of a {found:?} model, not \"clip\": give a CLIP model such as hf:laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
    )]
    NotClip {
        /// The file.
        file: String,
        /// The `model_type` that stands there.
        found: String,
    },

    /// A file of weights is cut off, of no known format, or holds what is no number.
    #[error("{file} is damaged ({reason}): download it again")]
    BadWeights {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },

    /// The weights lack a tensor that the configuration asks for.
    #[error(
        "{file} has no tensor {tensor}: it is not the weights of the config.json beside it; download both from one place"
    )]
    MissingTensor {
        /// The file.
        file: String,
        /// The tensor's name.
        tensor: String,
    },

    /// A tensor has another shape than the configuration asks for.
    #[error(
        "{file} has {tensor} of shape {found:?} where the config.json beside it asks for {expected:?}: they are of \
         different models; download both from one place"
    )]
    WrongShape {
        /// The file.
        file: String,
        /// The tensor's name.
        tensor: String,
        /// The shape that stands in the weights.
        found: Vec<usize>,
        /// The shape by the configuration.
        expected: Vec<usize>,
    },

    /// An embedding is NaN or infinite, though the weights are not.
    #[error(
        "the model {model} gives no numbers (NaN): its weights are of another model than its config.json, or damaged; \
         download it again"
    )]
    NoNumbers {
        /// The model's name.
        model: String,
    },

    /// The hub has no such repository, revision or file, or does not show it.
    #[error("{url} answers {status}: check the name, and set HF_TOKEN if the model is gated")]
    HubRefused {
        /// The address that was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },

    /// A download did not come through.
    #[error("can't download {url}: {reason}; try again, or set HF_ENDPOINT to a mirror")]
    Download {
        /// The address that was asked for.
        url: String,
        /// What went wrong.
        reason: String,
    },

    /// The model is not in the cache, and downloads are forbidden.
    #[error(
        "{model} is not complete in {} and HF_HUB_OFFLINE is set: unset it, or give a local folder",
        cache.display()
    )]
    Offline {
        /// The repository.
        model: String,
        /// The folder of the cache.
        cache: PathBuf,
    },

    /// The cache can't be written.
    #[error(
        "can't write {}: {source}; free some space, set HF_HOME to a folder that can be written, or set HF_HUB_OFFLINE=1 \
         to take the cache as it is",
        path.display()
    )]
    CacheWrite {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// The engine refused a batch. A model that loaded gives this only for input of another model.
    #[error("the CLIP engine failed: {0}")]
    Engine(String),
}

impl ClipError {
    pub(crate) fn bad_file(file: impl Into<String>, reason: impl ToString) -> Self {
        Self::BadFile {
            file: file.into(),
            reason: reason.to_string(),
        }
    }

    pub(crate) fn bad_weights(file: impl Into<String>, reason: impl ToString) -> Self {
        Self::BadWeights {
            file: file.into(),
            reason: reason.to_string(),
        }
    }

    /// The error with the place where the model's files lie: what reads a file knows its name only.
    pub(crate) fn within(mut self, place: &str) -> Self {
        if let Self::BadFile { file, .. }
        | Self::NotClip { file, .. }
        | Self::BadWeights { file, .. }
        | Self::MissingTensor { file, .. }
        | Self::WrongShape { file, .. } = &mut self
        {
            *file = Path::new(place).join(&file).display().to_string();
        }
        self
    }
}

impl From<candle_core::Error> for ClipError {
    fn from(error: candle_core::Error) -> Self {
        Self::Engine(error.to_string())
    }
}
