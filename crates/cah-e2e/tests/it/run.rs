//! `cah run`: resumable, and the same dataset whatever happens on the way.

use crate::harness::{Process, content, fail, manifests, run, succeed, until, wats, web};

#[tokio::test(flavor = "multi_thread")]
async fn threads_and_order_of_arrival_change_nothing() {
    let web = web(40).await;
    let folder = tempfile::tempdir().unwrap();
    let (narrow, wide) = (folder.path().join("narrow"), folder.path().join("wide"));
    let wats = wats(&web);
    succeed(&mut run(
        &web,
        &wats,
        &narrow,
        &["--threads=1", "--in-flight=16"],
    ));
    succeed(&mut run(
        &web,
        &wats,
        &wide,
        &["--threads=4", "--in-flight=64"],
    ));
    let (narrow, wide) = (manifests(&narrow).await, manifests(&wide).await);
    assert_eq!(narrow.len(), 4);
    assert_eq!(content(&narrow), content(&wide));
    for (narrow, wide) in narrow.values().zip(wide.values()) {
        assert_eq!(narrow.outcomes, wide.outcomes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_continues() {
    let web = web(60).await;
    let folder = tempfile::tempdir().unwrap();
    let (killed, whole) = (folder.path().join("killed"), folder.path().join("whole"));
    let wats = wats(&web);
    let mut first = Process::start(&mut run(&web, &wats, &killed, &[]));
    let one = killed.join("stats/000000001.json");
    until("the first manifest", || async {
        one.exists().then_some(())
    })
    .await;
    first.kill();
    assert!(!killed.join("stats/000000004.json").exists());
    let written = std::fs::metadata(&one).unwrap().modified().unwrap();

    let done = manifests(&killed).await;
    let json = folder.path().join("table.json");
    let printed = succeed(run(&web, &wats, &killed, &[]).arg("--json").arg(&json));
    assert!(printed.contains("  there already"), "{printed}");
    let table: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let pairs: u64 = done.values().map(|manifest| manifest.pairs).sum();
    let there = serde_json::json!({"shards": done.len(), "pairs": pairs});
    assert_eq!(table["there_already"], there);
    assert_eq!(
        std::fs::metadata(&one).unwrap().modified().unwrap(),
        written,
        "a shard that was complete is not done again"
    );
    succeed(&mut run(&web, &wats, &whole, &[]));
    let (killed, whole) = (manifests(&killed).await, manifests(&whole).await);
    assert_eq!(killed.len(), 4);
    assert_eq!(content(&killed), content(&whole));
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_urls_and_plain_files_are_the_same() {
    let web = web(10).await;
    let folder = tempfile::tempdir().unwrap();
    let url = wats(&web).remove(0);
    let gz = reqwest::get(&url).await.unwrap().bytes().await.unwrap();
    let (packed, plain) = (folder.path().join("a.wat.gz"), folder.path().join("a.wat"));
    std::fs::write(&packed, &gz).unwrap();
    let inflate = std::process::Command::new("gzip")
        .args(["-dc"])
        .arg(&packed)
        .output()
        .unwrap();
    std::fs::write(&plain, inflate.stdout).unwrap();

    let mut pairs = Vec::new();
    for (index, wat) in [
        url,
        packed.display().to_string(),
        plain.display().to_string(),
    ]
    .iter()
    .enumerate()
    {
        let out = folder.path().join(index.to_string());
        succeed(&mut run(&web, std::slice::from_ref(wat), &out, &[]));
        let manifests = manifests(&out).await;
        pairs.push(
            manifests
                .values()
                .map(|manifest| manifest.pairs)
                .sum::<u64>(),
        );
    }
    assert!(pairs[0] > 0);
    assert_eq!(pairs, [pairs[0]; 3]);

    // A folder that holds a dataset of another WAT file is left alone.
    let out = folder.path().join("0");
    let other = packed.display().to_string();
    let error = fail(&mut run(&web, &[other], &out, &[]));
    assert!(
        error.contains("000000001") || error.contains("shard 1"),
        "{error}"
    );
}
