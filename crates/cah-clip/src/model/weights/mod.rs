//! The weights of a model, in whichever files they come.

mod pickle;
mod safetensors;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use candle_core::Tensor;
use serde::Deserialize;

use self::safetensors::SafetensorsFile;
use super::{digest::Digest, hub};
use crate::error::ClipError;

/// All weights in one file, the usual case.
pub(super) const WHOLE: &str = "model.safetensors";
/// Which of several files a tensor is in.
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// All weights as PyTorch saves them: all that openai/clip-vit-base-patch32 has.
pub(super) const PYTORCH: &str = "pytorch_model.bin";

/// Where the weights lie.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Weights {
    /// A file in the format of safetensors, or the shards of one model in order.
    Files(Vec<PathBuf>),
    /// The bytes of such a file.
    Memory(Cow<'static, [u8]>),
    /// A file of PyTorch's.
    PyTorch(PathBuf),
}

impl Weights {
    /// The weights in a folder; the formats in the order in which `transformers` takes them.
    pub(super) fn in_folder(folder: &Path) -> Result<Option<Self>, ClipError> {
        let existing = |file: &str| Some(folder.join(file)).filter(|path| path.is_file());
        if let Some(path) = existing(WHOLE) {
            return Ok(Some(Self::Files(vec![path])));
        }
        if let Some(path) = existing(INDEX) {
            let index = fs::read(&path).map_err(|source| ClipError::Read { path, source })?;
            let shards = shards(&index)?.into_iter().map(|shard| {
                existing(&shard).ok_or_else(|| ClipError::MissingFile {
                    model: folder.display().to_string(),
                    file: shard,
                    mend: "model.safetensors.index.json names it; download it, too",
                })
            });
            return Ok(Some(Self::Files(shards.collect::<Result<_, _>>()?)));
        }
        Ok(existing(PYTORCH).map(Self::PyTorch))
    }

    /// The file that messages name.
    pub(crate) fn file(&self) -> &'static str {
        match self {
            Self::Files(paths) if paths.len() > 1 => INDEX,
            Self::Files(_) | Self::Memory(_) => WHOLE,
            Self::PyTorch(_) => PYTORCH,
        }
    }

    /// Hands every tensor as f32 to `each` and returns the SHA-256 in hex of the file, or of all shards one after the
    /// other. No more than one tensor is held twice.
    pub(crate) fn read(&self, mut each: impl FnMut(&str, Tensor)) -> Result<String, ClipError> {
        let mut digest = Digest::default();
        match self {
            Self::Files(paths) => {
                for path in paths {
                    SafetensorsFile::open(path, &mut digest)?.read(&mut each)?;
                }
            }
            Self::Memory(bytes) => SafetensorsFile::new(bytes, &mut digest).read(&mut each)?,
            Self::PyTorch(path) => return pickle::read(path, each),
        }
        Ok(digest.hex())
    }
}

/// The files that an index names.
pub(super) fn shards(index: &[u8]) -> Result<BTreeSet<String>, ClipError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index =
        serde_json::from_slice(index).map_err(|error| ClipError::bad_file(INDEX, error))?;
    let shards: BTreeSet<_> = index.weight_map.into_values().collect();
    match shards.iter().find(|shard| !hub::is_name(shard)) {
        None => Ok(shards),
        Some(shard) => {
            let reason = format!("{shard:?} is no name of a file beside it");
            Err(ClipError::bad_file(INDEX, reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_named_once_and_lie_beside_their_index() {
        let index = br#"{"metadata": {}, "weight_map": {"a": "2.safetensors", "b": "1.safetensors",
            "c": "2.safetensors"}}"#;
        let found: Vec<_> = shards(index).unwrap().into_iter().collect();
        assert_eq!(found, ["1.safetensors", "2.safetensors"]);
        for index in [
            r#"{"weight_map": {"a": "../other/model.safetensors"}}"#,
            r#"{"weight_map": {"a": "/etc/passwd"}}"#,
            "{}",
        ] {
            let error = shards(index.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(INDEX), "{error}");
        }
    }
}
