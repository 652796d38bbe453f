//! `cah tracker` as an operator uses it: on a store, and through a tracker that serves one.

use std::{path::Path, process::Command};

use serde_json::{Value, json};

use crate::harness::{Process, Served, cah, fail, finish, sqlite, succeed};

const TOKEN: &str = "an admin token must not have blanks";

/// Where the commands of a test go.
#[derive(Clone)]
struct Place(Vec<String>);

impl Place {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = cah();
        command.arg("tracker").args(arguments).args(&self.0);
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        succeed(&mut self.command(arguments))
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let said = fail(&mut self.command(arguments));
        assert_eq!(said.lines().count(), 1, "one clear line: {said}");
        said
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.run(&["status", "--json"])).unwrap()
    }
}

/// Every command, one after the other; the store is new.
fn operate(place: &Place, folder: &Path) {
    let path = |name: &str| folder.join(name).display().to_string();
    let told = place.run(&["init", "--stages", "fetch,sort"]);
    assert_eq!(told, "The project has the stages fetch, sort\n");
    assert!(
        place
            .refused(&["init", "--stages", "a,,b"])
            .contains("no name for a stage")
    );

    std::fs::write(path("jobs.json"), r#"["one", {"two": 2}]"#).unwrap();
    let told = place.run(&["import", "--json", &path("jobs.json")]);
    assert_eq!(told, "2 jobs imported; 0 were there already\n");
    let told = place.run(&["import", "--brace", "shard-{0..2}", "--priority=-1"]);
    assert_eq!(told, "3 jobs imported; 0 were there already\n");
    let told = place.run(&["import", "--brace", "shard-2"]);
    assert_eq!(told, "0 jobs imported; 1 was there already\n");
    std::fs::write(path("wrong.json"), "[\"one\",\n 7]").unwrap();
    let said = place.refused(&["import", "--json", &path("wrong.json")]);
    assert!(
        said.contains("job 2 of the list is no text") && said.contains("line 2"),
        "{said}"
    );
    std::fs::write(path("wat.paths"), "crawl-data/a.warc.wat.gz\n").unwrap();
    let said = place.refused(&["import", "--wat-paths", &path("wat.paths")]);
    assert!(said.contains("no shards of WAT files"), "{said}");

    let status = place.status();
    assert_eq!(
        (&status["kind"], &status["jobs"]),
        (&json!("data"), &json!(5))
    );
    assert!(place.run(&["status"]).contains("fetch open"));

    assert_eq!(place.run(&["ban-job", "2"]), "Job 2 is banned\n");
    assert_eq!(place.status()["banned"], 1);
    assert_eq!(place.run(&["reset-job", "2"]), "Job 2 is open\n");
    assert_eq!(place.status()["banned"], 0);
    assert!(
        place
            .refused(&["reset-job", "77"])
            .to_lowercase()
            .contains("there is no job 77")
    );
    assert_eq!(place.run(&["requeue"]), "0 parked jobs are open again\n");
    let said = place.refused(&["requeue", "1"]).to_lowercase();
    assert!(said.contains("job 1 is not parked: it is open"), "{said}");
    assert_eq!(place.run(&["status", "--parked"]), "No job is parked\n");
    assert_eq!(place.run(&["status", "--parked", "--json"]), "[]\n");

    assert_eq!(
        place.run(&["banner", "Back at noon"]),
        "The banner is: Back at noon\n"
    );
    assert_eq!(place.run(&["banner"]), "The banner is: Back at noon\n");
    assert_eq!(place.status()["banner"], "Back at noon");
    assert_eq!(place.run(&["banner", "--clear"]), "There is no banner\n");
    assert!(
        place
            .refused(&["banner", "two\nlines"])
            .contains("control character")
    );

    assert_eq!(place.run(&["bans"]), "Nobody is kept out\n");
    let told = place.run(&["ban", "--network", "192.0.2.7/24", "--reason", "spam"]);
    assert_eq!(told, "192.0.2.0/24 is kept out; 0 workers went\n");
    place.run(&["ban", "--nickname", "Eve"]);
    let listed = place.run(&["bans"]);
    assert!(listed.contains("192.0.2.0/24") && listed.contains("spam") && listed.contains("eve"));
    assert!(
        place
            .refused(&["ban", "--network", "here"])
            .contains("no network")
    );
    assert!(
        place
            .refused(&["ban", "--worker", "no-one-1"])
            .contains("no-one-1")
    );
    let told = place.run(&["unban", "--nickname", "EVE"]);
    assert_eq!(told, "EVE may take part again\n");
    place.refused(&["unban", "--nickname", "eve"]);
    place.run(&["unban", "--network", "192.0.2.0/24"]);
    assert_eq!(place.run(&["bans", "--json"]), "[]\n");

    let boards: Value = serde_json::from_str(&place.run(&["contributors", "--json"])).unwrap();
    assert_eq!(boards[1], json!({"stage": "sort", "contributors": []}));

    let lines = place.run(&["export", "--after", "1", "--limit", "2"]);
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(lines.lines().count(), 2);
    assert_eq!(first["data"], r#"<!json!>{"two":2}"#);
    place.run(&["export", "--out", &path("jobs.ndjson")]);
    let exported = std::fs::read_to_string(path("jobs.ndjson")).unwrap();
    assert_eq!(exported.lines().count(), 5);

    let told = place.run(&["backup", &path("kept.gz")]);
    assert_eq!(
        told,
        format!("The project is kept in {}\n", path("kept.gz"))
    );
    // A pipe gets the backup and nothing else.
    let mut piped = place.command(&["backup", "/dev/stdout"]);
    let piped = finish(&mut piped).stdout;
    assert_eq!(piped[..2], [0x1f, 0x8b]);
    std::fs::write(path("piped.gz"), piped).unwrap();
    place.run(&["restore", &path("piped.gz"), "--replace"]);
    place.run(&["ban-job", "1"]);
    let said = place.refused(&["restore", &path("kept.gz")]);
    assert!(said.contains("has 5 jobs already"), "{said}");
    let told = place.run(&["restore", &path("kept.gz"), "--replace"]);
    assert_eq!(told, "The project has 5 jobs again\n");
    assert_eq!(place.status()["banned"], 0);
    std::fs::write(
        path("cut.gz"),
        &std::fs::read(path("kept.gz")).unwrap()[..100],
    )
    .unwrap();
    let said = place.refused(&["restore", &path("cut.gz"), "--replace"]);
    assert!(
        said.contains("cannot restore") && !said.contains("panicked"),
        "{said}"
    );
    assert_eq!(place.status()["jobs"], 5);
    let said = place.refused(&["backup", &path("no/such/folder/kept.gz")]);
    assert!(said.contains("cannot write into"), "{said}");
}

/// A slip in an address makes no project, and what is refused leaves nothing behind.
#[test]
fn what_is_not_there_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let names = || std::fs::read_dir(folder.path()).unwrap().count();
    let place = Place(vec![
        "--store".into(),
        format!("sqlite:{}", path("slip.db")),
    ]);
    for command in [
        &["status"][..],
        &["contributors"],
        &["requeue"],
        &["reset-job", "1"],
        &["ban-job", "1"],
        &["banner", "x"],
        &["export"],
        &["backup", &path("kept.gz")],
    ] {
        let said = place.refused(command);
        assert!(
            said.contains("there is no store") && said.contains("init"),
            "{said}"
        );
        assert_eq!(names(), 0, "{command:?}");
    }
    std::fs::write(path("wat.paths"), "a.wat.gz\nb.txt\n").unwrap();
    let said = place.refused(&["import", "--wat-paths", &path("wat.paths")]);
    assert!(said.contains("line 2 of the list"), "{said}");
    place.refused(&["import", "--brace", "{a,b}", "--stages", "CPU,,"]);
    let said = place.refused(&["restore", &path("wat.paths")]);
    assert!(said.contains("cannot restore"), "{said}");
    for wrong in [
        ["--max-failures", "0"],
        ["--flag-reports", "0"],
        ["--idle-timeout", "0"],
        ["--max-workers", "0"],
        ["--public-url", "ftp://example.org/"],
        ["--upload-address", "TPU=x"],
        ["--admin-token-file", "/no/such/file"],
    ] {
        let mut serve = place.command(&["serve", "--listen", "127.0.0.1:0"]);
        let said = fail(serve.args(wrong));
        assert!(!said.contains("The tracker serves"), "{said}");
    }
    // Where a wrong value came from: a flag, a variable, a line of a file.
    let serve = || place.command(&["serve", "--listen", "127.0.0.1:0"]);
    let range = "it must be a whole number from 1 to 4294967295";
    let said = fail(serve().arg("--max-failures=0"));
    assert!(
        said.contains("--max-failures") && said.contains(range),
        "{said}"
    );
    let said = fail(serve().env("CAH_MAX_FAILURES", "0"));
    assert!(
        said.contains("for 'CAH_MAX_FAILURES'") && said.contains(range),
        "{said}"
    );
    std::fs::write(path("wat.paths"), "\nmax-failures = 0\n").unwrap();
    let said = fail(serve().args(["--config", &path("wat.paths")]));
    assert!(
        said.contains("wat.paths: line 2, max-failures: ") && said.contains(range),
        "{said}"
    );
    std::fs::write(path("wat.paths"), "8D+YmEEwO5f/j1MvbcXPWg==").unwrap();
    let said = fail(serve().args(["--join-key-file", &path("wat.paths")]));
    assert!(
        said.contains("the join key in") && said.contains("it has '+'"),
        "{said}"
    );
    assert_eq!(names(), 1);
}

/// What is half written when it is stopped is removed.
#[cfg(unix)]
#[test]
fn a_backup_that_is_stopped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place(vec!["--store".into(), sqlite(&folder.path().join("t.db"))]);
    place.run(&["import", "--brace", "{1..150000}", "--stages", "only"]);
    let out = folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let names = || std::fs::read_dir(&out).unwrap().count();
    let file = out.join("kept.gz").display().to_string();
    let mut backup = Process::start(&mut place.command(&["backup", &file]));
    while names() == 0 {
        assert!(backup.is_running(), "it ended before it began to write");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    backup.signal("INT");
    assert!(!backup.wait().success());
    assert_eq!(names(), 0);
}

/// Whoever reads only the first lines is no reason for an error.
#[test]
fn a_reader_may_go_away() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place(vec!["--store".into(), sqlite(&folder.path().join("t.db"))]);
    place.run(&["import", "--brace", "{1..3000}", "--stages", "only"]);
    for command in ["status", "export"] {
        let mut shell = Command::new("bash");
        let cah = cah();
        shell.args(["-c", "set -o pipefail; \"$@\" | head -c 1", "bash"]);
        shell.arg(cah.get_program()).args(["tracker", command]);
        succeed(shell.args(&place.0));
    }
}

#[test]
fn commands_work_on_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(&folder.path().join("tracker.db"));
    operate(&Place(vec!["--store".into(), store]), folder.path());
}

/// A file with an admin token, and a tracker that has it.
async fn served(folder: &Path) -> (Served, Place) {
    let file = folder.join("token").display().to_string();
    std::fs::write(&file, format!("{}\n", TOKEN.replace(' ', "-"))).unwrap();
    let store = sqlite(&folder.join("served.db"));
    let flags = ["--admin-token-file".to_owned(), file.clone()];
    let served = Served::start(&store, &flags).await;
    let place = ["--tracker", &served.url(), "--admin-token-file", &file];
    let place = Place(place.map(str::to_owned).into());
    (served, place)
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_work_through_a_tracker() {
    let folder = tempfile::tempdir().unwrap();
    let (mut served, place) = served(folder.path()).await;
    operate(&place, folder.path());
    assert!(served.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_served_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (_served, place) = served(folder.path()).await;
    let store = sqlite(&folder.path().join("served.db"));
    let said = Place(vec!["--store".into(), store]).refused(&["status"]);
    assert!(said.contains("another process has it open"), "{said}");

    let (url, file) = (place.0[1].as_str(), folder.path().join("wrong"));
    std::fs::write(&file, "another-admin-token").unwrap();
    let wrong = [
        "--tracker",
        url,
        "--admin-token-file",
        file.to_str().unwrap(),
    ];
    let said = Place(wrong.map(str::to_owned).into()).refused(&["status"]);
    assert!(
        said.contains("the tracker refused: This call needs the admin token"),
        "{said}"
    );
    let none = Place(vec!["--tracker".into(), url.into()]).refused(&["status"]);
    assert!(none.contains("CAH_ADMIN_TOKEN"), "{none}");
}

#[test]
fn tokens_that_protect_nothing_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(&folder.path().join("tracker.db"));
    let mut serve = cah();
    serve.args([
        "tracker",
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--store",
        &store,
    ]);
    let said = fail(serve.env("CAH_ADMIN_TOKEN", "admin"));
    assert!(said.contains("16 printable characters or more"), "{said}");
}

/// A backup of one store is restored into any other, and a project of data needs its stages.
#[test]
fn a_new_project_of_data_names_its_stages() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place(vec!["--store".into(), sqlite(&folder.path().join("t.db"))]);
    let said = place.refused(&["import", "--brace", "{a,b}"]);
    assert!(said.contains("--stages NAME,NAME"), "{said}");
    place.run(&["import", "--brace", "{a,b}", "--stages", "only"]);
    let said = place.refused(&["import", "--brace", "{c,d}", "--stages", "other"]);
    assert!(said.contains("its stages are only"), "{said}");
    let said = place.refused(&["import", "--brace", "{c", "--stages", "only"]);
    assert!(said.contains("not closed"), "{said}");
    assert_eq!(place.status()["jobs"], 2);
}
