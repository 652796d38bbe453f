//! Captions into token ids, as `open_clip` does it.

mod clean;
mod vocabulary;

use regex::Regex;
use tokenizers::{
    Model as _,
    models::bpe::{BPE, Vocab},
};

use crate::error::ClipError;

pub use clean::clean_caption;
pub(crate) use vocabulary::TokenizerFiles;
use vocabulary::Vocabulary;

/// Contractions, runs of letters, single digits, runs of anything else: CLIP's own pattern.
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+";

/// How many words the merges are remembered of.
const REMEMBERED_WORDS: usize = 20_000;

/// No more of a caption than this many bytes is read. Those of the web are far shorter, and what is hostile must not
/// cost more than 77 tokens are worth.
const MAX_CAPTION_BYTES: usize = 16 << 10;

/// A caption as a CLIP model takes it. The last token is the one whose state becomes the embedding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens(Vec<u32>);

impl Tokens {
    /// The ids, the first of which begins and the last of which ends the text.
    pub fn ids(&self) -> &[u32] {
        &self.0
    }

    /// Keeps the tokens up to the one at `pooled`: in a causal model no later one has a say.
    pub(crate) fn pooled_at(mut self, pooled: usize) -> Self {
        self.0.truncate(pooled + 1);
        self
    }
}

/// CLIP's byte-level byte-pair encoding over the vocabulary of a model's folder.
pub struct Tokenizer {
    bpe: BPE,
    words: Regex,
    /// The character that stands for each byte in the vocabulary.
    alphabet: [char; 256],
    start: u32,
    end: u32,
    highest: u32,
    context_length: usize,
}

impl Tokenizer {
    /// Reads the vocabulary; texts are cut to `context_length` tokens.
    pub(crate) fn load(
        files: &TokenizerFiles<'_>,
        context_length: usize,
    ) -> Result<Self, ClipError> {
        let file = files.name();
        let vocabulary = Vocabulary::read(files)?;
        let (start, end) = vocabulary.markers(file)?;
        let alphabet = vocabulary::byte_alphabet();
        vocabulary.check_alphabet(&alphabet, file)?;
        let highest = vocabulary.ids.values().copied().max().unwrap_or_default();
        let ids: Vocab = vocabulary.ids.into_iter().collect();
        let bpe = BPE::builder()
            .vocab_and_merges(ids, vocabulary.merges)
            .end_of_word_suffix(vocabulary::END_OF_WORD.into())
            .cache_capacity(REMEMBERED_WORDS)
            .build()
            .map_err(|error| ClipError::bad_file(file, error))?;
        Ok(Self {
            bpe,
            words: Regex::new(WORDS).expect("the pattern is constant and tested"),
            alphabet,
            start,
            end,
            highest,
            context_length,
        })
    }

    /// The id that begins every text.
    pub fn start_of_text(&self) -> u32 {
        self.start
    }

    /// The id that ends every text.
    pub fn end_of_text(&self) -> u32 {
        self.end
    }

    /// The highest id that a token can have.
    pub(crate) fn highest_id(&self) -> u32 {
        self.highest
    }

    /// Cleans a caption and encodes it: start, at most `context_length - 2` tokens, end.
    ///
    /// Text that spells a marker, such as `<|endoftext|>`, is encoded as the characters that it is made of:
    /// no caption can end itself.
    pub fn encode(&self, caption: &str) -> Tokens {
        let text = clean_caption(shortened(caption));
        let mut ids = vec![self.start];
        let room = self.context_length - 1;
        for word in self.words.find_iter(&text) {
            if ids.len() >= room {
                break;
            }
            self.encode_word(word.as_str(), &mut ids);
        }
        ids.truncate(room);
        ids.push(self.end);
        Tokens(ids)
    }

    fn encode_word(&self, word: &str, ids: &mut Vec<u32>) {
        let spelled: String = word.bytes().map(|byte| self.spelling(byte)).collect();
        let tokens = self
            .bpe
            .tokenize(&spelled)
            .expect("every byte has its token, as was checked when the vocabulary was read");
        ids.extend(tokens.iter().map(|token| token.id));
    }

    fn spelling(&self, byte: u8) -> char {
        self.alphabet[usize::from(byte)]
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("start", &self.start)
            .field("end", &self.end)
            .field("context_length", &self.context_length)
            .finish_non_exhaustive()
    }
}

fn shortened(caption: &str) -> &str {
    let mut end = caption.len().min(MAX_CAPTION_BYTES);
    while !caption.is_char_boundary(end) {
        end -= 1;
    }
    &caption[..end]
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, fs, path::Path};

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Case {
        caption: String,
        ids: Vec<u32>,
    }

    fn golden(file: &str) -> Vec<u8> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/vocabulary");
        fs::read(folder.join(file)).unwrap()
    }

    /// The vocabulary that follows from the merges: bytes, bytes that end a word, what the merges make, the markers.
    fn vocabulary_of(merges: &str) -> HashMap<String, usize> {
        let mut bytes = vocabulary::byte_alphabet();
        bytes.sort_unstable();
        let end = vocabulary::END_OF_WORD;
        let inner = bytes.iter().map(char::to_string);
        let last = bytes.iter().map(|byte| format!("{byte}{end}"));
        let merged = merges.lines().skip(1).map(|line| line.replace(' ', ""));
        let markers = ["<|startoftext|>", "<|endoftext|>"].map(str::to_owned);
        let tokens = inner.chain(last).chain(merged).chain(markers);
        tokens.enumerate().map(|(id, token)| (token, id)).collect()
    }

    #[test]
    fn captions_are_encoded_as_by_open_clip() {
        let merges = golden("merges.txt");
        let vocab = vocabulary_of(std::str::from_utf8(&merges).unwrap());
        let files = TokenizerFiles::Pair {
            vocab: &serde_json::to_vec(&vocab).unwrap(),
            merges: &merges,
        };
        let tokenizer = Tokenizer::load(&files, 77).unwrap();
        let markers = (tokenizer.start_of_text(), tokenizer.end_of_text());
        assert_eq!(markers, (49_406, 49_407));
        let cases: Vec<Case> = serde_json::from_slice(&golden("tokens.json")).unwrap();
        assert!(cases.len() >= 300);
        let wrong: Vec<_> = cases
            .iter()
            .map(|case| (case, tokenizer.encode(&case.caption)))
            .filter(|(case, tokens)| tokens.ids() != case.ids)
            .map(|(case, tokens)| {
                format!("{:?}: {:?}, not {:?}", case.caption, tokens.ids(), case.ids)
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
