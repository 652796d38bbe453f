//! `cah demo`: the README's first command.

use std::path::Path;

use cah_protocol::{Outcome, Phase};

use crate::harness::{cah, content, fail, manifests, succeed};

#[tokio::test]
async fn the_demo_finds_the_truth() {
    let folder = tempfile::tempdir().unwrap();
    let (out, json) = (folder.path().join("out"), folder.path().join("table.json"));
    let printed =
        succeed(
            cah()
                .arg("demo")
                .args([Path::new("--out"), &out, Path::new("--json"), &json]),
        );
    let table: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();

    // The table is for people and for scripts, and the same in both.
    let candidates = table["candidates"].as_u64().unwrap();
    let outcomes = table["outcomes"].as_object().unwrap();
    let sum: u64 = outcomes.values().map(|count| count.as_u64().unwrap()).sum();
    assert!(candidates > 500);
    assert_eq!(sum, candidates);
    assert_eq!(outcomes["kept"], table["pairs"]);
    assert!(table["seconds"].as_f64().unwrap() > 0.0);
    for name in outcomes.keys() {
        assert!(
            printed.contains(name.as_str()),
            "{name} is not in\n{printed}"
        );
    }
    assert!(printed.contains("precision") && printed.contains("recall"));
    assert!(printed.contains(out.to_str().unwrap()));

    // Where the model has no say, every candidate ends as it should.
    for outcome in Outcome::ALL {
        let by_model = matches!(outcome.phase(), Phase::Match | Phase::Kept);
        let expected = &table["expected"][outcome.name()];
        if !by_model && !expected.is_null() {
            assert_eq!(
                outcomes.get(outcome.name()),
                Some(expected),
                "{outcome}\n{printed}"
            );
        }
    }
    assert!(table["precision"].as_f64().unwrap() >= 0.9, "{printed}");
    assert!(table["recall"].as_f64().unwrap() >= 0.9, "{printed}");

    let manifests = manifests(&out).await;
    assert_eq!(manifests.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(content(&manifests).len(), 4 * manifests.len());
    let sum: u64 = manifests.values().map(|manifest| manifest.candidates).sum();
    assert_eq!(sum, candidates);

    // A dataset that is there is not written over.
    let error = fail(cah().arg("demo").arg("--out").arg(&out));
    assert!(error.contains("holds a dataset already"), "{error}");
}
