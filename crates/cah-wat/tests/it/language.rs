//! The language of captions.

use std::sync::{Arc, OnceLock};

use cah_wat::{Error, LanguageDetector};
use rstest::rstest;

const MODEL: &[u8] = include_bytes!("../../../../assets/lid.176.ftz");

pub(crate) fn detector() -> Arc<LanguageDetector> {
    static DETECTOR: OnceLock<Arc<LanguageDetector>> = OnceLock::new();
    Arc::clone(DETECTOR.get_or_init(|| Arc::new(LanguageDetector::from_bytes(MODEL).unwrap())))
}

/// Captions of many languages; `-` has none.
const CAPTIONS: &str = include_str!("../data/captions.tsv");

fn captions() -> impl Iterator<Item = (&'static str, &'static str)> {
    CAPTIONS.lines().map(|line| line.split_once('\t').unwrap())
}

#[test]
fn captions_get_their_language_or_none() {
    let (mut right, mut wrong, mut all) = (0, Vec::new(), 0);
    for (language, caption) in captions().filter(|(language, _)| *language != "-") {
        all += 1;
        match detector().detect(caption) {
            "" => {}
            found if found == language => right += 1,
            found => wrong.push((caption, found)),
        }
    }
    assert!(all > 120);
    assert!(right * 100 >= all * 90, "{right} right of {all}");
    assert!(wrong.len() * 100 <= all * 3, "{wrong:?}");
}

#[test]
fn what_is_no_sentence_has_no_language() {
    for (_, caption) in captions().filter(|(language, _)| *language == "-") {
        assert_eq!(detector().detect(caption), "", "{caption}");
    }
}

#[rstest]
#[case("")]
#[case("   ")]
#[case("\n\u{0}")]
#[case("__label__en __label__de")]
#[case("</s>")]
fn odd_text_is_no_danger(#[case] text: &str) {
    detector().detect(text);
    detector().detect(&text.repeat(10_000));
}

#[test]
fn threads_share_a_detector() {
    let detector = detector();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (_, caption) in captions() {
                    assert_eq!(detector.detect(caption), detector.detect(caption));
                }
            });
        }
    });
}

#[test]
fn other_files_are_no_model() {
    for bytes in [&b""[..], b"no model", &MODEL[..1000], &MODEL[..500_000]] {
        let error = LanguageDetector::from_bytes(bytes).unwrap_err();
        assert!(matches!(error, Error::LanguageModel(_)));
        assert!(error.to_string().contains("lid.176.ftz"), "{error}");
    }
}
