//! How safe an image is, as LAION-400M tagged it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    engine::{Embeddings, cosine},
    error::ClipError,
    model::Model,
};

/// The list that is taken where neither the model nor the operator has another.
const DEFAULT_LIST: &str = include_str!("../assets/safety.json");

/// The value of the column NSFW.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SafetyTag {
    /// Neither of the two nearest categories is unsafe.
    Unlikely,
    /// One of the two is.
    Unsure,
    /// Both are.
    Nsfw,
}

impl SafetyTag {
    /// As it stands in the dataset: `UNLIKELY`, `UNSURE`, `NSFW`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unlikely => "UNLIKELY",
            Self::Unsure => "UNSURE",
            Self::Nsfw => "NSFW",
        }
    }
}

impl std::fmt::Display for SafetyTag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a category says of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SafetyClass {
    /// Nothing against it.
    Neutral,
    /// It should not be shown to everybody.
    Unsafe,
}

/// One kind of image, in the words that CLIP compares it with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// What such images show.
    pub prompt: String,
    /// What follows from it.
    pub class: SafetyClass,
}

/// The categories among which the two nearest decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SafetyList {
    /// At least two.
    pub categories: Vec<Category>,
}

impl Default for SafetyList {
    /// `assets/safety.json`.
    fn default() -> Self {
        serde_json::from_str(DEFAULT_LIST).expect("the file is part of the program and tested")
    }
}

impl SafetyList {
    /// Reads a list of the operator's own.
    ///
    /// # Errors
    /// [`ClipError::Read`], [`ClipError::BadFile`].
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self, ClipError> {
        let path = path.as_ref();
        let json = std::fs::read(path).map_err(|source| ClipError::Read {
            path: path.to_owned(),
            source,
        })?;
        serde_json::from_slice(&json)
            .map_err(|error| ClipError::bad_file(path.display().to_string(), error))
    }
}

/// Tags images by their embeddings.
#[derive(Clone, Debug)]
pub struct SafetyTagger {
    prompts: Embeddings,
    classes: Vec<SafetyClass>,
}

impl SafetyTagger {
    /// Embeds the prompts of a list.
    ///
    /// # Errors
    /// [`ClipError::BadFile`] for a list of fewer than two categories, [`ClipError::Engine`].
    pub fn new(model: &Model, list: &SafetyList) -> Result<Self, ClipError> {
        if list.categories.len() < 2 {
            let reason = "fewer than two categories, and the two nearest decide";
            return Err(ClipError::bad_file("the safety list", reason));
        }
        let prompts: Vec<_> = list.categories.iter().map(|c| c.prompt.as_str()).collect();
        Ok(Self {
            prompts: model.embed_texts(&prompts)?,
            classes: list.categories.iter().map(|c| c.class).collect(),
        })
    }

    /// Tags an image by its embedding, a row of the same model. Of equally near categories the first counts.
    pub fn tag(&self, embedding: &[f32]) -> SafetyTag {
        let mut nearest: Vec<_> = self
            .prompts
            .rows()
            .map(|prompt| cosine(prompt, embedding))
            .zip(&self.classes)
            .collect();
        nearest.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let top = nearest.iter().take(2);
        match top
            .filter(|(_, class)| **class == SafetyClass::Unsafe)
            .count()
        {
            0 => SafetyTag::Unlikely,
            1 => SafetyTag::Unsure,
            _ => SafetyTag::Nsfw,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prompts along the axes: neutral, neutral, unsafe, unsafe.
    fn tagger() -> SafetyTagger {
        use SafetyClass::{Neutral, Unsafe};
        let mut axes = vec![0.0; 16];
        for axis in 0..4 {
            axes[axis * 5] = 1.0;
        }
        SafetyTagger {
            prompts: Embeddings::new(4, axes),
            classes: vec![Neutral, Neutral, Unsafe, Unsafe],
        }
    }

    #[test]
    fn the_two_nearest_categories_decide() {
        let tagger = tagger();
        assert_eq!(tagger.tag(&[0.9, 0.8, 0.1, 0.1]), SafetyTag::Unlikely);
        assert_eq!(tagger.tag(&[0.9, 0.1, 0.8, 0.1]), SafetyTag::Unsure);
        assert_eq!(tagger.tag(&[0.1, 0.1, 0.8, 0.9]), SafetyTag::Nsfw);
    }

    #[test]
    fn the_default_list_has_both_classes() {
        let list = SafetyList::default();
        let of = |class| list.categories.iter().filter(|c| c.class == class).count();
        assert!(of(SafetyClass::Neutral) >= 2 && of(SafetyClass::Unsafe) >= 2);
    }

    #[test]
    fn tags_are_written_as_the_dataset_has_them() {
        for tag in [SafetyTag::Unlikely, SafetyTag::Unsure, SafetyTag::Nsfw] {
            assert_eq!(serde_json::to_value(tag).unwrap(), tag.as_str());
        }
    }
}
