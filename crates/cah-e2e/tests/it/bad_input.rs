//! What is wrong is named in one line that says how to mend it; nothing is left half-written.

use std::path::{Path, PathBuf};

use crate::harness::{cah, fail, sqlite};

struct Case {
    arguments: Vec<String>,
    says: &'static [&'static str],
}

fn case<const N: usize, const M: usize>(
    arguments: [&str; N],
    says: &'static [&'static str; M],
) -> Case {
    Case {
        arguments: arguments.map(String::from).into(),
        says,
    }
}

fn check(cases: impl IntoIterator<Item = Case>) {
    for Case { arguments, says } in cases {
        let error = fail(cah().args(&arguments));
        // Shards that were finished before are no part of the message.
        let is_progress = |line: &&str| line.is_empty() || line.starts_with("shard ");
        let lines: Vec<_> = error.lines().filter(|line| !is_progress(line)).collect();
        assert_eq!(lines.len(), 1, "{arguments:?} prints\n{error}");
        assert!(lines[0].starts_with("error: "), "{error}");
        for part in says {
            assert!(
                error.contains(part),
                "{arguments:?} does not say `{part}`:\n{error}"
            );
        }
    }
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => files.extend(files_below(&entry.path())),
            false => files.push(entry.path()),
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn wat_files_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let web = crate::harness::web(10).await;
    let gz = reqwest::get(&crate::harness::wats(&web)[0])
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let truncated = write(here, "truncated.wat.gz", &gz[..gz.len() - 100]);
    let page = write(here, "page.wat.gz", b"<html>not found</html>");
    let empty = write(here, "empty.wat.gz", b"");
    let missing = here.join("missing.wat.gz").display().to_string();
    let gone = format!("{}nothing/here.wat.gz", web.base_url());
    let out = here.join("out");
    let o = out.to_str().unwrap();
    let run = |wat: &str| ["run", wat, "--out", o, "--model", "tiny-clip"].map(String::from);
    let of = |wat: &str, says: &'static [&'static str]| Case {
        arguments: run(wat).into(),
        says,
    };
    check([
        of(&missing, &["missing.wat.gz", "no WAT file"]),
        of(&gone, &["here.wat.gz", "no WAT file"]),
        of(&page, &["page.wat.gz", "HTML"]),
        of(&empty, &["empty.wat.gz", "empty"]),
        of(here.to_str().unwrap(), &["not a file"]),
        of("gopher://host/x.wat.gz", &["gopher", "http"]),
        // The last one: its first half is whole, and stays.
        of(&truncated, &["truncated.wat.gz", "download it again"]),
    ]);
    let written = files_below(&out);
    let manifests = written
        .iter()
        .filter(|path| path.parent().unwrap().ends_with("stats"));
    // The first half of a truncated file may be whole; nothing else may look complete.
    assert!(manifests.count() <= 1, "{written:?}");

    let table = here.join("candidates.parquet");
    let t = table.to_str().unwrap();
    for wat in [&missing, &page, &empty, &truncated] {
        fail(cah().args(["wat", wat, "-o", t]));
        assert!(!table.exists(), "{wat} left a table behind");
    }
}

#[test]
fn models_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let out = here.join("out");
    let o = out.to_str().unwrap();
    let wat = write(here, "a.wat", b"WARC/1.0\r\n");
    let missing = here.join("no-model").display().to_string();
    let empty = here.join("empty-model");
    std::fs::create_dir(&empty).unwrap();
    let weightless = here.join("weightless");
    std::fs::create_dir(&weightless).unwrap();
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny-clip");
    for file in [
        "config.json",
        "vocab.json",
        "merges.txt",
        "preprocessor_config.json",
    ] {
        std::fs::copy(tiny.join(file), weightless.join(file)).unwrap();
    }
    let run = |model: &str, says: &'static [&'static str]| Case {
        arguments: ["run", &wat, "--out", o, "--model", model]
            .map(String::from)
            .into(),
        says,
    };
    check([
        run(&missing, &["no-model"]),
        run(empty.to_str().unwrap(), &["config.json"]),
        run(weightless.to_str().unwrap(), &["model.safetensors"]),
        run("hf:", &["hf:"]),
    ]);
}

#[test]
fn places_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let file = write(here, "a-file", b"x");
    let inside = format!("{file}/out");
    check([
        case(
            ["run", "a.wat", "--out", &inside, "--model", "tiny-clip"],
            &["a-file"],
        ),
        case(
            [
                "run",
                "a.wat",
                "--out",
                "gs://bucket/x",
                "--model",
                "tiny-clip",
            ],
            &["gs://bucket/x", "s3://"],
        ),
        case(["wat", "a.wat", "-o", &inside], &["a-file"]),
        case(["demo", "--out", &inside], &["a-file"]),
    ]);
}

#[test]
fn trackers_and_lists_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let store = sqlite(&here.join("t.db"));
    let list = write(
        here,
        "wat.paths",
        b"crawl-data/a.warc.wat.gz\nnot a path\0\n",
    );
    let nothing = here.join("no.paths").display().to_string();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let out = here.join("out").display().to_string();
    check([
        case(
            [
                "tracker",
                "import",
                "--store",
                &store,
                "--wat-paths",
                &nothing,
            ],
            &["no.paths"],
        ),
        case(
            ["tracker", "import", "--store", &store, "--wat-paths", &list],
            &["line 2"],
        ),
        case(
            [
                "tracker",
                "serve",
                "--store",
                "mysql://x",
                "--listen",
                "127.0.0.1:0",
            ],
            &["mysql", "sqlite:"],
        ),
        case(
            ["tracker", "serve", "--store", &store, "--listen", &address],
            &["taken"],
        ),
        case(
            [
                "worker",
                "--tracker",
                "nowhere",
                "--out",
                &out,
                "--model",
                "tiny-clip",
            ],
            &["nowhere", "http://"],
        ),
        case(
            [
                "worker",
                "--tracker",
                "http://127.0.0.1:1",
                "--type",
                "gpu",
                "--out",
                &out,
                "--model",
                "tiny-clip",
            ],
            &["hybrid"],
        ),
    ]);
}

#[test]
fn flags_that_make_no_sense() {
    for (arguments, says) in [
        (vec!["run"], "required"),
        (vec!["frobnicate"], "unrecognized"),
        (
            vec![
                "run", "a.wat", "--out", "o", "--model", "m", "--images", "huge",
            ],
            "huge",
        ),
        (
            vec![
                "run",
                "a.wat",
                "--out",
                "o",
                "--model",
                "m",
                "--similarity-threshold",
                "7",
            ],
            "between -1 and 1",
        ),
        (
            vec![
                "run",
                "a.wat",
                "--out",
                "o",
                "--model",
                "m",
                "--batch-size",
                "0",
            ],
            "at least 1",
        ),
        (
            vec![
                "run",
                "a.wat",
                "--out",
                "o",
                "--model",
                "m",
                "--no-rule",
                "kindness",
            ],
            "kindness",
        ),
        (
            vec![
                "run",
                "a.wat",
                "--out",
                "o",
                "--model",
                "m",
                "--host",
                "images.test",
            ],
            "name and its address",
        ),
        (
            vec![
                "wat",
                "a.wat",
                "-o",
                "x.parquet",
                "--document-type",
                "smell",
            ],
            "smell",
        ),
        (
            vec![
                "worker",
                "--tracker",
                "http://h",
                "--out",
                "o",
                "--model",
                "m",
                "--type",
                "tpu",
            ],
            "HYBRID",
        ),
        (
            vec![
                "tracker",
                "serve",
                "--store",
                "sqlite:x",
                "--listen",
                "somewhere",
            ],
            "somewhere",
        ),
    ] {
        let error = fail(cah().args(&arguments));
        assert!(error.starts_with("error: "), "{arguments:?}\n{error}");
        assert!(
            error.contains(says),
            "{arguments:?} does not say `{says}`:\n{error}"
        );
    }
}
