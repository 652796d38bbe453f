//! The language of a caption, by fastText's model of 176 languages.

use std::fmt;

use fasttext_pure_rs::FastText;

use crate::Error;

/// The name under which captions without a reliable language can be asked for (ISO 639-2).
pub const UNDETERMINED: &str = "und";

/// What counts as reliable. The model gives a language to everything, `DSC_0012` included: the
/// best one has to have some probability of its own and to be ahead of the next one, and there
/// have to be letters to judge by. Over the captions in `tests/data/captions.tsv` this keeps
/// 94 % of the right answers and none for file names and codes; 2 % are wrong.
const MIN_PROBABILITY: f32 = 0.3;
const MIN_LEAD: f32 = 2.0;
const MIN_LETTERS: usize = 5;

/// Tells the language of short texts. Cheap to share between threads, microseconds a text.
///
/// The model is `lid.176.ftz` (or the larger `lid.176.bin`) of
/// <https://fasttext.cc/docs/en/language-identification.html>.
pub struct LanguageDetector {
    model: FastText,
}

impl fmt::Debug for LanguageDetector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LanguageDetector").finish_non_exhaustive()
    }
}

impl LanguageDetector {
    /// A detector by the bytes of a model file.
    ///
    /// # Errors
    ///
    /// [`Error::LanguageModel`] if they are no fastText model.
    pub fn from_bytes(model: &[u8]) -> Result<Self, Error> {
        let model = FastText::load_from_reader(model).map_err(Error::LanguageModel)?;
        Ok(LanguageDetector { model })
    }

    /// The ISO 639-1 code of the language of `text`, or an empty one where it is not reliable or
    /// has no such code.
    pub fn detect(&self, text: &str) -> &'static str {
        if text.chars().filter(|c| c.is_alphabetic()).count() < MIN_LETTERS {
            return "";
        }
        // An error means that there is nothing to judge.
        let best_two = self.model.predict(text, 2, 0.0).unwrap_or_default();
        match best_two.as_slice() {
            [best, next] if is_reliable(best.probability, next.probability) => {
                code_of_label(&best.label)
            }
            _ => "",
        }
    }
}

fn is_reliable(best: f32, next: f32) -> bool {
    best >= MIN_PROBABILITY && best >= MIN_LEAD * next
}

fn code_of_label(label: &str) -> &'static str {
    let name = label.strip_prefix("__label__").unwrap_or(label);
    let code = match name {
        // Members of a macrolanguage that has a code (ISO 639-3).
        "arz" => "ar",
        "azb" => "az",
        "ckb" => "ku",
        "pnb" => "pa",
        "wuu" | "yue" => "zh",
        name => name,
    };
    CODES.binary_search(&code).map_or("", |index| CODES[index])
}

/// The model's languages that have a code in ISO 639-1, in order.
const CODES: &[&str] = &[
    "af", "am", "an", "ar", "as", "av", "az", "ba", "be", "bg", "bh", "bn", "bo", "br", "bs", "ca",
    "ce", "co", "cs", "cv", "cy", "da", "de", "dv", "el", "en", "eo", "es", "et", "eu", "fa", "fi",
    "fr", "fy", "ga", "gd", "gl", "gn", "gu", "gv", "he", "hi", "hr", "ht", "hu", "hy", "ia", "id",
    "ie", "io", "is", "it", "ja", "jv", "ka", "kk", "km", "kn", "ko", "ku", "kv", "kw", "ky", "la",
    "lb", "li", "lo", "lt", "lv", "mg", "mk", "ml", "mn", "mr", "ms", "mt", "my", "ne", "nl", "nn",
    "no", "oc", "or", "os", "pa", "pl", "ps", "pt", "qu", "rm", "ro", "ru", "sa", "sc", "sd", "sh",
    "si", "sk", "sl", "so", "sq", "sr", "su", "sv", "sw", "ta", "te", "tg", "th", "tk", "tl", "tr",
    "tt", "ug", "uk", "ur", "uz", "vi", "vo", "wa", "yi", "yo", "zh",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order() {
        assert!(CODES.is_sorted());
        assert_eq!(code_of_label("__label__de"), "de");
        assert_eq!(code_of_label("__label__yue"), "zh");
        assert_eq!(code_of_label("__label__ceb"), "");
    }
}
