//! `cah wat`: the table of links.

use crate::harness::{cah, succeed, wats, web};

#[tokio::test(flavor = "multi_thread")]
async fn links_become_a_table() {
    let web = web(20).await;
    let folder = tempfile::tempdir().unwrap();
    let (raw, judged) = (
        folder.path().join("raw.parquet"),
        folder.path().join("judged.parquet"),
    );
    let raw_lines = succeed(
        cah()
            .arg("wat")
            .args(wats(&web))
            .arg("--raw")
            .arg("-o")
            .arg(&raw),
    );
    let lines = succeed(cah().arg("wat").args(wats(&web)).arg("-o").arg(&judged));
    assert!(raw.exists() && judged.exists());
    let candidates = web.truth().candidates().len();
    assert!(lines.contains("left out: text_too_short"), "{lines}");
    let rows = |lines: &str| -> usize { lines.split_whitespace().next().unwrap().parse().unwrap() };
    let left_out: usize = lines
        .lines()
        .skip(1)
        .map(|line| {
            line.split_whitespace()
                .next()
                .unwrap()
                .parse::<usize>()
                .unwrap()
        })
        .sum();
    assert_eq!(rows(&lines) + left_out, candidates, "{lines}");
    // cc2dataset takes no address that is not http, so its rows are fewer than the links.
    assert!(rows(&raw_lines) <= candidates && rows(&raw_lines) > rows(&lines));
}
