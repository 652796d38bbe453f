//! The files of a model, wherever they lie.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde_json::Value;

use super::{
    HubRepo,
    weights::{self, Weights},
};
use crate::{error::ClipError, preprocess::Fields, tokenize::TokenizerFiles};

pub(super) const CONFIG: &str = "config.json";
pub(super) const PREPROCESSOR: &str = "preprocessor_config.json";
pub(super) const PROCESSOR: &str = "processor_config.json";
pub(super) const VOCAB: &str = "vocab.json";
pub(super) const MERGES: &str = "merges.txt";
pub(super) const TOKENIZER: &str = "tokenizer.json";
pub(super) const CAH: &str = "cah.json";

/// The small files, all but [`CONFIG`] in some way optional.
pub(super) const SMALL_FILES: [&str; 7] = [
    CONFIG,
    PREPROCESSOR,
    PROCESSOR,
    VOCAB,
    MERGES,
    TOKENIZER,
    CAH,
];

/// What a user names as a model: a folder, or `hf:org/name` with an optional `@revision`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// A folder in the layout of Hugging Face.
    Folder(PathBuf),
    /// A repository of the hub.
    Hub(HubRepo),
}

impl FromStr for ModelSource {
    type Err = ClipError;

    fn from_str(text: &str) -> Result<Self, ClipError> {
        match text.strip_prefix("hf:") {
            Some(repo) => HubRepo::parse(repo)
                .map(Self::Hub)
                .ok_or_else(|| ClipError::BadSource(text.to_owned())),
            None if text.is_empty() => Err(ClipError::BadSource(text.to_owned())),
            None => Ok(Self::Folder(text.into())),
        }
    }
}

impl std::fmt::Display for ModelSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Hub(repo) => write!(f, "hf:{repo}"),
        }
    }
}

/// The files of one model: the small ones as bytes, the weights where they lie.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    name: String,
    /// Where the files lie, for messages.
    place: String,
    small: BTreeMap<&'static str, Cow<'static, [u8]>>,
    weights: Weights,
}

impl ModelFiles {
    /// Reads a folder with `config.json`; `model.safetensors`, in one or several files, or `pytorch_model.bin`;
    /// `vocab.json` and `merges.txt`, or `tokenizer.json`; and where there are `preprocessor_config.json`,
    /// `processor_config.json` and `cah.json`.
    ///
    /// # Errors
    /// [`ClipError::NoFolder`], [`ClipError::MissingFile`], [`ClipError::Read`], [`ClipError::BadFile`].
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Self, ClipError> {
        let folder = folder.as_ref();
        if !folder.is_dir() {
            let path = folder.to_owned();
            return Err(ClipError::NoFolder { path });
        }
        let mut small = BTreeMap::new();
        for file in SMALL_FILES {
            let path = folder.join(file);
            match fs::read(&path) {
                Ok(bytes) => drop(small.insert(file, Cow::Owned(bytes))),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(ClipError::Read { path, source }),
            }
        }
        let place = folder.display().to_string();
        let weights = Weights::in_folder(folder).map_err(|error| error.within(&place))?;
        Self::assemble(folder_name(folder), place, small, weights)
    }

    /// Takes the files by name from memory, for a model that is part of the program.
    ///
    /// # Errors
    /// [`ClipError::MissingFile`].
    pub fn from_memory(
        name: impl Into<String>,
        files: impl IntoIterator<Item = (&'static str, &'static [u8])>,
    ) -> Result<Self, ClipError> {
        let mut files: BTreeMap<_, _> = files
            .into_iter()
            .map(|(file, bytes)| (file, Cow::Borrowed(bytes)))
            .collect();
        let weights = files.remove(weights::WHOLE).map(Weights::Memory);
        let name = name.into();
        Self::assemble(name.clone(), name, files, weights)
    }

    /// Gives the model another name than its folder's.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The model's name: the folder's, or the repository's.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Where the weights lie.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    fn assemble(
        name: String,
        place: String,
        small: BTreeMap<&'static str, Cow<'static, [u8]>>,
        weights: Option<Weights>,
    ) -> Result<Self, ClipError> {
        let missing = |file: &str, mend| ClipError::MissingFile {
            model: place.clone(),
            file: file.into(),
            mend,
        };
        if !small.contains_key(CONFIG) {
            let mend = "give a folder in the layout of Hugging Face, or hf:org/name";
            return Err(missing(CONFIG, mend));
        }
        let weights = weights.ok_or_else(|| missing(weights::WHOLE, NO_WEIGHTS))?;
        let files = Self {
            name,
            place: place.clone(),
            small,
            weights,
        };
        match files.tokenizer_files() {
            Some(_) => Ok(files),
            None => Err(missing(
                "vocab.json with merges.txt, nor tokenizer.json",
                "copy them from where the weights came from",
            )),
        }
    }

    pub(super) fn small(&self, file: &str) -> Option<&[u8]> {
        self.small.get(file).map(AsRef::as_ref)
    }

    /// `config.json`.
    pub(super) fn config(&self) -> &[u8] {
        self.small(CONFIG)
            .expect("no ModelFiles is made without it")
    }

    /// How images are preprocessed, and the file that says it. As in `transformers`, a section of
    /// `processor_config.json` goes before `preprocessor_config.json`.
    pub(super) fn image_processor(&self) -> Result<Option<(&'static str, Fields)>, ClipError> {
        let read = |file| {
            let Some(json) = self.small(file) else {
                return Ok(None);
            };
            serde_json::from_slice::<Fields>(json)
                .map(Some)
                .map_err(|error| ClipError::bad_file(file, error))
        };
        let section = read(PROCESSOR)?.and_then(|mut whole| whole.remove("image_processor"));
        match section {
            Some(Value::Object(fields)) => Ok(Some((PROCESSOR, fields))),
            _ => Ok(read(PREPROCESSOR)?.map(|fields| (PREPROCESSOR, fields))),
        }
    }

    pub(super) fn tokenizer_files(&self) -> Option<TokenizerFiles<'_>> {
        match (self.small(VOCAB), self.small(MERGES), self.small(TOKENIZER)) {
            (Some(vocab), Some(merges), _) => Some(TokenizerFiles::Pair { vocab, merges }),
            (_, _, Some(json)) => Some(TokenizerFiles::Json(json)),
            _ => None,
        }
    }
}

/// What to do where the weights are not there, or only in another format.
pub(super) const NO_WEIGHTS: &str = "nor pytorch_model.bin; take a model that has one of them, such as \
     hf:laion/CLIP-ViT-B-32-laion2B-s34B-b79K, or a revision that does (hf:org/name@refs/pr/1)";

fn folder_name(folder: &Path) -> String {
    let absolute = folder.canonicalize();
    let path = absolute.as_deref().unwrap_or(folder);
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}
