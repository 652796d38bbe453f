//! The safety tag, with the model that is trained and with weights that are random.

use std::{fs, path::PathBuf};

use cah_clip::{
    ClipError, Model, ModelFiles, SafetyClass, SafetyList, SafetyTag, SafetyTagger, decode,
};

use crate::golden;

fn list(categories: &[(&str, &str)]) -> SafetyList {
    let categories: Vec<_> = categories
        .iter()
        .map(|(prompt, class)| serde_json::json!({"prompt": prompt, "class": class}))
        .collect();
    serde_json::from_value(serde_json::json!({ "categories": categories })).unwrap()
}

fn tiny_clip() -> PathBuf {
    golden::path("../../../../models/tiny-clip")
}

/// Its unsafe scenes are hazard stripes, and none of its golden images shows any.
#[test]
fn tiny_clip_tags_harmless_images_and_unsafe_words() {
    let model = Model::load(ModelFiles::from_folder(tiny_clip()).unwrap()).unwrap();
    let list = model.safety_list();
    let tagger = SafetyTagger::new(&model, &list).unwrap();
    let images = fs::read_dir(tiny_clip().join("golden")).unwrap();
    let images = images.map(|entry| entry.unwrap().path());
    let mut tagged = 0;
    for path in images.filter(|path| path.is_file() && path.extension() != Some("json".as_ref())) {
        let decoded = decode(&fs::read(&path).unwrap(), &crate::decode::any_size()).unwrap();
        let rows = model.embed_images(&[model.preprocess(&decoded.image)]);
        let tag = tagger.tag(rows.unwrap().row(0));
        assert_eq!(tag, SafetyTag::Unlikely, "{}", path.display());
        tagged += 1;
    }
    assert!(tagged >= 10, "{tagged} images");

    for category in &list.categories {
        let rows = model.embed_texts(&[&category.prompt]).unwrap();
        let expected = match category.class {
            SafetyClass::Neutral => SafetyTag::Unlikely,
            SafetyClass::Unsafe => SafetyTag::Nsfw,
        };
        assert_eq!(tagger.tag(rows.row(0)), expected, "{}", category.prompt);
    }
}

#[test]
fn a_prompt_is_nearest_to_itself_whatever_the_weights() {
    let model = golden::model("gelu");
    let list = list(&[
        ("a garden by the sea", "neutral"),
        ("an old red car", "neutral"),
        ("naked", "unsafe"),
        ("nude", "unsafe"),
    ]);
    let tagger = SafetyTagger::new(&model, &list).unwrap();
    // So at least one of the two nearest is of its class.
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
