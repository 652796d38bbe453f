//! What is wrong is named in one line that says how to mend it; nothing is left half-written.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::harness::{cah, fail, files_below, manifests, run, sqlite, succeed, wats, web};

/// Whatever is wrong in a command, it is not this.
const RUN: &str = "run a.wat --out o --model m";

/// Runs `cah` with arguments as they are typed; it has to fail with one line that says all this.
fn refused(arguments: &str, says: &[&str]) {
    says_in_one_line(cah().args(arguments.split_whitespace()), says);
}

fn says_in_one_line(command: &mut Command, says: &[&str]) {
    let error = fail(command);
    // Shards that were finished before are no part of the message.
    let is_progress = |line: &&str| line.is_empty() || line.starts_with("shard ");
    let lines: Vec<_> = error.lines().filter(|line| !is_progress(line)).collect();
    assert_eq!(lines.len(), 1, "{command:?} prints\n{error}");
    assert!(lines[0].starts_with("error: "), "{error}");
    for part in says {
        assert!(
            lines[0].contains(part),
            "{command:?} does not say `{part}`:\n{error}"
        );
    }
}

/// As [`refused`] for arguments that the command's parser refuses, which also says where help is.
fn misused(arguments: &str, says: &str) {
    let error = fail(cah().args(arguments.split_whitespace()));
    assert!(error.starts_with("error: "), "{arguments}\n{error}");
    assert!(
        error.contains(says),
        "{arguments} does not say `{says}`:\n{error}"
    );
}

/// A folder for what a test needs.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The path as it is typed.
    fn name(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.name(name)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wat_files_that_are_none() {
    let folder = Folder::new();
    let web = web(10).await;
    let gz = reqwest::get(&wats(&web)[0]).await.unwrap();
    let gz = gz.bytes().await.unwrap();
    let truncated = folder.write("truncated.wat.gz", &gz[..gz.len() - 100]);
    let page = folder.write("page.wat.gz", b"<html>not found</html>");
    let empty = folder.write("empty.wat.gz", b"");
    let missing = folder.name("missing.wat.gz");
    let gone = format!("{}nothing/here.wat.gz", web.base_url());
    let out = folder.path("out");
    let run = |wat: &str, says: &[&str]| {
        let out = out.display();
        refused(&format!("run {wat} --out {out} --model tiny-clip"), says);
    };
    run(&missing, &["missing.wat.gz", "no file at"]);
    run(&gone, &["here.wat.gz", "no file at"]);
    run(&page, &["page.wat.gz", "HTML"]);
    run(&empty, &["empty.wat.gz", "empty"]);
    run(&folder.name(""), &["not a file"]);
    run("gopher://host/x.wat.gz", &["gopher", "http"]);
    // The last one: its first half is whole, and stays.
    run(&truncated, &["truncated.wat.gz", "download it again"]);
    let written = files_below(&out.join("stats"));
    assert!(written.len() <= 1, "{written:?}");

    let table = folder.path("candidates.parquet");
    for wat in [&missing, &page, &empty, &truncated] {
        fail(cah().args(["wat", wat, "-o"]).arg(&table));
        assert!(!table.exists(), "{wat} left a table behind");
    }
}

#[test]
fn models_that_are_none() {
    let folder = Folder::new();
    let wat = folder.write("a.wat", b"WARC/1.0\r\n");
    let run = |model: &str, says: &str| {
        let out = folder.name("out");
        refused(&format!("run {wat} --out {out} --model {model}"), &[says]);
    };
    run(&folder.name("no-model"), "no-model");
    std::fs::create_dir(folder.path("empty")).unwrap();
    run(&folder.name("empty"), "config.json");
    let weightless = folder.path("weightless");
    std::fs::create_dir(&weightless).unwrap();
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny-clip");
    for file in "config.json vocab.json merges.txt preprocessor_config.json".split(' ') {
        std::fs::copy(tiny.join(file), weightless.join(file)).unwrap();
    }
    run(&folder.name("weightless"), "model.safetensors");
    run("hf:", "hf:");
}

#[test]
fn places_that_cannot_be_written() {
    let folder = Folder::new();
    let file = folder.write("a-file", b"x");
    let run = |out: &str| format!("run a.wat --out {out} --model tiny-clip");
    refused(&run(&format!("{file}/out")), &["a-file"]);
    refused(&run("gs://bucket/x"), &["gs://bucket/x", "s3://"]);
    refused(&format!("wat a.wat -o {file}/out"), &["a-file"]);
    refused(&format!("demo --out {file}/out"), &["a-file"]);

    // What is there and is no file is not replaced by one.
    let device = folder.path("device");
    std::os::unix::fs::symlink("/dev/null", &device).unwrap();
    let (here, device) = (folder.name(""), device.display());
    refused(&format!("wat a.wat -o {device}"), &["device", "no file"]);
    refused(&format!("wat a.wat -o {here}"), &["no file"]);
}

/// Found at once: at the end of a long run it would be too late.
#[test]
fn tables_that_cannot_be_written() {
    let folder = Folder::new();
    let file = folder.write("a-file", b"x");
    let out = folder.name("out");
    let run = format!("run a.wat --out {out} --model tiny-clip");
    for json in [
        format!("{file}/t.json"),
        folder.name("no/t.json"),
        folder.name(""),
    ] {
        refused(
            &format!("{run} --json {json}"),
            &[json.trim_end_matches('/')],
        );
        refused(&format!("demo --out {out} --json {json}"), &["the table"]);
    }
    // Whatever else goes wrong, what was there stays.
    refused(&format!("{run} --json {file}"), &["a.wat"]);
    assert_eq!(std::fs::read(&file).unwrap(), b"x");
    refused(
        &format!("{run} --json {}", folder.name("t.json")),
        &["a.wat"],
    );
    assert!(!folder.path("t.json").exists());
    assert_eq!(files_below(folder.0.path()), [folder.path("a-file")]);
}

/// The command on a disk that takes files of a kilobyte only: what it writes more fails, as on a
/// full one.
fn on_a_full_disk(command: &Command) -> Command {
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 2; exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args());
    limited
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disks() {
    let folder = Folder::new();
    let web = web(10).await;
    let (wats, out) = (&wats(&web)[..1], folder.path("out"));
    let mut wat = cah();
    wat.arg("wat")
        .args(wats)
        .arg("-o")
        .arg(folder.path("c.parquet"));
    says_in_one_line(&mut on_a_full_disk(&wat), &["c.parquet", "too large"]);
    assert!(files_below(folder.0.path()).is_empty());

    let mut command = run(&web, wats, &out, &["--timeout=2"]);
    says_in_one_line(&mut on_a_full_disk(&command), &["out/", "too large"]);
    assert!(files_below(&out).is_empty(), "{:?}", files_below(&out));
    // Once there is room, nothing of that is in the way.
    succeed(&mut command);
    assert_eq!(manifests(&out).await.len(), 2);
}

#[test]
fn trackers_and_lists_that_are_none() {
    let folder = Folder::new();
    let store = sqlite(&folder.path("t.db"));
    let list = folder.write("wat.paths", b"crawl-data/a.warc.wat.gz\nnot a path\0\n");
    let import = |list: &str| format!("tracker import --store {store} --wat-paths {list}");
    refused(&import(&folder.name("no.paths")), &["no.paths"]);
    refused(&import(&list), &["line 2"]);

    let serve =
        |store: &str, address: &str| format!("tracker serve --store {store} --listen {address}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(&serve("mysql://x", "127.0.0.1:0"), &["mysql", "sqlite:"]);
    refused(&serve(&store, &address), &["taken"]);

    let out = folder.name("out");
    let worker =
        |tracker: &str| format!("worker --tracker {tracker} --out {out} --model tiny-clip");
    refused(&worker("nowhere"), &["nowhere", "http://"]);
    let nobody = worker("http://127.0.0.1:1");
    for worker_type in ["hybrid", "gpu"] {
        let worker = format!("{nobody} --type {worker_type} --connect-timeout 0");
        refused(&worker, &["127.0.0.1:1"]);
    }
}

#[test]
fn flags_that_make_no_sense() {
    misused("run", "required");
    misused("frobnicate", "unrecognized");
    misused("demo --log wran", "`wran` is no level");
    for (flag, says) in [
        ("--images huge", "huge"),
        ("--similarity-threshold 7", "between -1 and 1"),
        ("--batch-size 0", "1..=4096"),
        ("--batch-size 5000", "--batch-size"),
        ("--threads 0", "--threads"),
        ("--in-flight 0", "--in-flight"),
        ("--per-host 0", "--per-host"),
        ("--max-image-bytes 0", "--max-image-bytes"),
        ("--timeout 0", "--timeout"),
        ("--timeout 100000", "--timeout"),
        ("--no-rule kindness", "kindness"),
        ("--host images.test", "name and its address"),
        ("--ignore-opt-out nothing", "tdm-reservation"),
    ] {
        misused(&format!("{RUN} {flag}"), says);
    }
    misused("wat a.wat -o x.parquet --document-type smell", "smell");
    misused(
        "worker --tracker http://h --out o --model m --type tpu",
        "hybrid",
    );
    misused(
        "tracker serve --store sqlite:x --listen somewhere",
        "somewhere",
    );
}

#[test]
fn languages_that_nobody_knows() {
    let wat = "wat a.wat -o x.parquet --languages";
    for languages in ["klingon", "en,xx", "eng", ""] {
        refused(&format!("{wat}={languages}"), &["--languages", "en,de"]);
    }
    refused(&format!("{wat}=en --language-model none"), &["--languages"]);
    // These are known; what is wrong is the file.
    for languages in ["EN", "en,De", "und"] {
        refused(&format!("{wat}={languages}"), &["a.wat", "no file at"]);
    }
}
