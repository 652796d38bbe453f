//! The safety tag with a real model.

use cah_clip::{ClipError, SafetyList, SafetyTag, SafetyTagger};

use crate::golden;

fn list(categories: &[(&str, &str)]) -> SafetyList {
    let categories: Vec<_> = categories
        .iter()
        .map(|(prompt, class)| serde_json::json!({"prompt": prompt, "class": class}))
        .collect();
    serde_json::from_value(serde_json::json!({ "categories": categories })).unwrap()
}

#[test]
fn the_nearest_prompts_of_the_list_decide() {
    let model = golden::model("gelu");
    let list = list(&[
        ("a garden by the sea", "neutral"),
        ("an old red car", "neutral"),
        ("naked", "unsafe"),
        ("nude", "unsafe"),
    ]);
    let tagger = SafetyTagger::new(&model, &list).unwrap();
    // A prompt is nearest to itself, so at least one of the two nearest is of its class.
    let rows = model
        .embed_texts(&["a garden by the sea", "naked"])
        .unwrap();
    assert_ne!(tagger.tag(rows.row(0)), SafetyTag::Nsfw);
    assert_ne!(tagger.tag(rows.row(1)), SafetyTag::Unlikely);
}

#[test]
fn the_default_list_can_be_embedded() {
    let model = golden::model("quick-gelu");
    let tagger = SafetyTagger::new(&model, &model.safety_list()).unwrap();
    let row = model.embed_texts(&["x"]).unwrap();
    let again = SafetyTagger::new(&model, &SafetyList::default()).unwrap();
    assert_eq!(tagger.tag(row.row(0)), again.tag(row.row(0)));
}

#[test]
fn an_operators_list_is_read_from_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.json");
    std::fs::write(
        &path,
        serde_json::to_string(&list(&[("a", "neutral"), ("b", "unsafe")])).unwrap(),
    )
    .unwrap();
    assert_eq!(SafetyList::from_path(&path).unwrap().categories.len(), 2);

    std::fs::write(
        &path,
        r#"{"categories": [{"prompt": "a", "class": "fine"}]}"#,
    )
    .unwrap();
    let error = SafetyList::from_path(&path).unwrap_err();
    assert!(error.to_string().contains("list.json"), "{error}");
    assert!(matches!(
        SafetyList::from_path("no/list"),
        Err(ClipError::Read { .. })
    ));

    let one = list(&[("a", "neutral")]);
    let error = SafetyTagger::new(&golden::model("gelu"), &one).unwrap_err();
    assert!(error.to_string().contains("two"), "{error}");
}
