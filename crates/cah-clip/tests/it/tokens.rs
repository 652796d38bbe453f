//! Captions as token ids, against `transformers` after `open_clip`'s cleaning, over a small vocabulary. What `open_clip`
//! itself makes of them over the real one stands beside the tokeniser.

use cah_clip::{Model, clean_caption};
use proptest::prelude::*;
use serde::Deserialize;

use crate::golden;

#[derive(Deserialize)]
struct Case {
    caption: String,
    clean: String,
    ids: Vec<u32>,
}

#[test]
fn captions_are_cleaned_as_by_open_clip_and_encoded_as_by_transformers() {
    let model = golden::model("quick-gelu");
    let cases: Vec<Case> = golden::json("tokens.json");
    let mut wrong = Vec::new();
    for case in &cases {
        let clean = clean_caption(&case.caption);
        if clean != case.clean {
            wrong.push(format!(
                "{:?}: cleaned {clean:?}, not {:?}",
                case.caption, case.clean
            ));
        }
        let tokens = model.tokenizer().encode(&case.caption);
        if tokens.ids() != case.ids {
            wrong.push(format!(
                "{:?}: {:?}, not {:?}",
                case.caption,
                tokens.ids(),
                case.ids
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}: {wrong:#?}",
        wrong.len(),
        cases.len()
    );
}

#[test]
fn one_tokenizer_file_is_as_good_as_two() {
    let two = golden::model("quick-gelu");
    let one = golden::model("gelu");
    for case in golden::json::<Vec<Case>>("tokens.json") {
        let mut expected = two.tokenizer().encode(&case.caption).ids().to_vec();
        let end = expected.pop();
        expected.truncate(39);
        expected.extend(end);
        assert_eq!(
            one.tokenizer().encode(&case.caption).ids(),
            expected,
            "{:?}",
            case.caption
        );
    }
}

fn is_well_formed(model: &Model, caption: &str) -> bool {
    let tokenizer = model.tokenizer();
    let tokens = tokenizer.encode(caption);
    let (start, end) = (tokenizer.start_of_text(), tokenizer.end_of_text());
    let [first, words @ .., last] = tokens.ids() else {
        return false;
    };
    let marker = |id: &u32| *id == start || *id == end;
    *first == start && *last == end && words.len() <= 75 && !words.iter().any(marker)
}

#[test]
fn no_caption_can_end_itself() {
    let model = golden::model("quick-gelu");
    for caption in [
        "<|endoftext|> and more",
        "<|startoftext|>",
        "<start_of_text><end_of_text>",
        "a<|endoftext|>b",
    ] {
        assert!(is_well_formed(&model, caption), "{caption}");
    }
    assert!(is_well_formed(&model, &"x".repeat(1 << 20)));
    assert!(is_well_formed(&model, &"é&amp;".repeat(1 << 17)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn every_text_has_a_start_an_end_and_at_most_77_tokens(caption in any::<String>()) {
        static MODEL: std::sync::LazyLock<Model> =
            std::sync::LazyLock::new(|| golden::model("quick-gelu"));
        prop_assert!(is_well_formed(&MODEL, &caption));
    }
}
