//! `cah wat`: the table of links.

use std::{path::Path, process::Stdio};

use cah_demo::ServedWeb;

use crate::harness::{Row, cah, rows, succeed, wats, web};

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

fn links(web: &ServedWeb, document_type: &str, table: &Path) -> Vec<Row> {
    let mut command = cah();
    command.arg("wat").args(wats(web)).arg("-o").arg(table);
    succeed(command.args(["--document-type", document_type]));
    rows(table)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_link_has_its_table() {
    let (web, folder) = (web(20).await, tempfile::tempdir().unwrap());
    let table = folder.path().join("links.parquet");
    for (kind, ending, text) in [
        ("audio", ".mp3", "Listen to the tour"),
        ("video", ".mp4", "Watch the making of"),
        ("text", ".pdf", "The catalogue"),
    ] {
        let links = links(&web, kind, &table);
        // One page of ten has such a link.
        assert_eq!(links.len(), 2, "{kind}");
        for link in links {
            assert!(link.text("url").starts_with("http://") && link.text("url").ends_with(ending));
            assert_eq!((link.text("alt"), link.text("text")), (text, text));
        }
    }
    let has_text = |link: &&Row| !link.text("alt").is_empty();
    let images = links(&web, "image", &table);
    assert_eq!(images.iter().filter(has_text).count(), images.len());
    let all = links(&web, "image_only", &table);
    // Each WAT file has three images without a text, two with one that is too short, and one with
    // one that is too long.
    assert_eq!(all.len(), images.len() + 2 * (3 + 2 + 1));
    assert_eq!(all.len() - all.iter().filter(has_text).count(), 2 * 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_to_read_what_is_printed() {
    let (web, folder) = (web(10).await, tempfile::tempdir().unwrap());
    let table = folder.path().join("links.parquet");
    let mut command = cah();
    command.arg("wat").args(wats(&web)).arg("-o").arg(&table);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{errors}");
    assert!(errors.is_empty() && table.exists(), "{errors}");

    // A full disk under it is something else.
    let full = std::fs::File::create("/dev/full").unwrap();
    let output = command.stdout(full).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        errors.starts_with("error: cannot write to the standard output"),
        "{errors}"
    );
}
