//! The vocabulary of a model's folder.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::ClipError;

/// What is written behind the last piece of a word.
pub(super) const END_OF_WORD: &str = "</w>";

/// The markers in the spellings of Hugging Face and of OpenAI.
const STARTS: [&str; 2] = ["<|startoftext|>", "<start_of_text>"];
const ENDS: [&str; 2] = ["<|endoftext|>", "<end_of_text>"];

/// The files in which a tokeniser comes.
pub(crate) enum TokenizerFiles<'a> {
    /// `vocab.json` and `merges.txt`.
    Pair {
        /// Token to id.
        vocab: &'a [u8],
        /// One merge a line, best first.
        merges: &'a [u8],
    },
    /// `tokenizer.json` alone.
    Json(&'a [u8]),
}

impl TokenizerFiles<'_> {
    /// The file that messages name.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Pair { .. } => "vocab.json",
            Self::Json(_) => "tokenizer.json",
        }
    }
}

/// Tokens with their ids, and the merges in order.
pub(super) struct Vocabulary {
    pub(super) ids: HashMap<String, u32>,
    pub(super) merges: Vec<(String, String)>,
}

impl Vocabulary {
    pub(super) fn read(files: &TokenizerFiles<'_>) -> Result<Self, ClipError> {
        match files {
            TokenizerFiles::Pair { vocab, merges } => Ok(Self {
                ids: parse("vocab.json", vocab)?,
                merges: read_merges(merges)?,
            }),
            TokenizerFiles::Json(bytes) => Self::read_json(bytes),
        }
    }

    fn read_json(bytes: &[u8]) -> Result<Self, ClipError> {
        let file: TokenizerJson = parse("tokenizer.json", bytes)?;
        let merges = file
            .model
            .merges
            .into_iter()
            .map(|merge| match merge {
                MergeJson::Pair(left, right) => Ok((left, right)),
                MergeJson::Line(line) => split_merge(&line, "tokenizer.json"),
            })
            .collect::<Result<_, _>>()?;
        let added = file.added_tokens.into_iter();
        let mut ids = file.model.vocab;
        ids.extend(added.map(|token| (token.content, token.id)));
        Ok(Self { ids, merges })
    }

    /// The ids of the tokens that begin and end a text.
    pub(super) fn markers(&self, file: &str) -> Result<(u32, u32), ClipError> {
        let find = |spellings: [&str; 2]| {
            spellings
                .iter()
                .find_map(|spelling| self.ids.get(*spelling).copied())
                .ok_or_else(|| {
                    let reason = format!("no {} in it: it is not a CLIP vocabulary", spellings[0]);
                    ClipError::bad_file(file, reason)
                })
        };
        Ok((find(STARTS)?, find(ENDS)?))
    }

    /// Every byte must have a token within and at the end of a word, else some captions could not be
    /// encoded.
    pub(super) fn check_alphabet(
        &self,
        alphabet: &[char; 256],
        file: &str,
    ) -> Result<(), ClipError> {
        let missing = alphabet
            .iter()
            .flat_map(|char| [char.to_string(), format!("{char}{END_OF_WORD}")])
            .find(|token| !self.ids.contains_key(token));
        match missing {
            None => Ok(()),
            Some(token) => {
                let reason = format!("no token {token:?} in it: it is not a CLIP vocabulary");
                Err(ClipError::bad_file(file, reason))
            }
        }
    }
}

/// The parts of `tokenizer.json` that matter.
#[derive(Deserialize)]
struct TokenizerJson {
    model: ModelJson,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
}

#[derive(Deserialize)]
struct ModelJson {
    vocab: HashMap<String, u32>,
    merges: Vec<MergeJson>,
}

/// A merge in the new spelling or the old.
#[derive(Deserialize)]
#[serde(untagged)]
enum MergeJson {
    Pair(String, String),
    Line(String),
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
}

fn parse<T: DeserializeOwned>(file: &str, bytes: &[u8]) -> Result<T, ClipError> {
    serde_json::from_slice(bytes).map_err(|error| ClipError::bad_file(file, error))
}

fn read_merges(bytes: &[u8]) -> Result<Vec<(String, String)>, ClipError> {
    const FILE: &str = "merges.txt";
    std::str::from_utf8(bytes)
        .map_err(|error| ClipError::bad_file(FILE, error))?
        .lines()
        .filter(|line| !line.starts_with("#version") && !line.trim().is_empty())
        .map(|line| split_merge(line, FILE))
        .collect()
}

fn split_merge(line: &str, file: &str) -> Result<(String, String), ClipError> {
    line.split_once(' ')
        .map(|(left, right)| (left.to_owned(), right.trim_end().to_owned()))
        .ok_or_else(|| ClipError::bad_file(file, format!("{line:?} is not two tokens")))
}

/// The character that stands for each byte (GPT-2's table): printable Latin-1 for itself, the rest from
/// U+0100 on in order.
pub(super) fn byte_alphabet() -> [char; 256] {
    let mut next = 0x100;
    std::array::from_fn(|byte| {
        let byte = byte as u8;
        match byte {
            b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
            _ => {
                next += 1;
                char::from_u32(next - 1).expect("below U+0200 every number is a character")
            }
        }
    })
}
