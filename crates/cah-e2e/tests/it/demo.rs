//! `cah demo`: the README's first command.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use cah_protocol::{Outcome, Phase};

use crate::harness::{Process, cah, content, fail, files_below, manifests, succeed, until};

/// The demo with a folder of its own for temporary files.
fn demo(temporary: &Path, out: &Path) -> Command {
    std::fs::create_dir_all(temporary).unwrap();
    let mut command = cah();
    command.arg("demo").arg("--out").arg(out);
    command.env("TMPDIR", temporary);
    command
}

fn assert_empty(folder: &Path) {
    let left: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn the_demo_finds_the_truth() {
    let folder = tempfile::tempdir().unwrap();
    let (out, json) = (folder.path().join("out"), folder.path().join("table.json"));
    let temporary = folder.path().join("temporary");
    let printed = succeed(demo(&temporary, &out).arg("--json").arg(&json));
    assert_empty(&temporary);
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
    assert!(printed.contains("left out of precision and recall"));
    assert!(table["other_languages"]["wanted"].as_u64().unwrap() > 0);
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

#[tokio::test]
async fn a_demo_that_ends_early_cleans_up() {
    let folder = tempfile::tempdir().unwrap();
    let (out, temporary) = (folder.path().join("out"), folder.path().join("temporary"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = fail(demo(&temporary, &out).args(["--listen", &address]));
    assert!(error.contains("is the port taken"), "{error}");
    assert_empty(&temporary);

    let mut process = Process::start(demo(&temporary, &out).stderr(Stdio::null()));
    until("the first files", async || {
        (!files_below(&out).is_empty()).then_some(())
    })
    .await;
    process.signal("INT");
    assert!(!process.wait().success());
    assert_empty(&temporary);
}
