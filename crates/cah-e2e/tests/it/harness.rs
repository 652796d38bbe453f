//! What the tests share: the binary, processes that end with the test, a mini web, a dataset.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use cah_dataset::{Manifest, Store};
use cah_demo::{Config, MiniWeb, ServedWeb};
use cah_protocol::OutcomeCounts;
use futures::TryStreamExt;
use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::Field,
};

/// Longer than anything here takes on a busy machine; a wait that ends with it is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// The binary that cargo built beside these tests.
pub(crate) fn cah() -> Command {
    let tests = std::env::current_exe().unwrap();
    let binary = tests.parent().unwrap().parent().unwrap().join("cah");
    assert!(
        binary.exists(),
        "{} is not built; run `cargo build --bin cah`, or all tests with ./test",
        binary.display()
    );
    let mut command = Command::new(binary);
    command.env_remove("RUST_BACKTRACE").env("CAH_LOG", "warn");
    command
}

/// Runs a command to its end.
pub(crate) fn finish(command: &mut Command) -> Output {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.wait_with_output().unwrap()
}

/// Runs a command that has to succeed; returns what it printed.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = finish(command);
    assert!(
        output.status.success(),
        "{command:?} failed\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that has to fail; returns what it printed on stderr.
pub(crate) fn fail(command: &mut Command) -> String {
    let output = finish(command);
    assert!(!output.status.success(), "{command:?} succeeded");
    String::from_utf8(output.stderr).unwrap()
}

/// A process that is killed when the test is over.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null());
        Self(child.spawn().unwrap())
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Sends a signal such as `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the process does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `ready` gives something.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ready: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = ready().await {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: waited in vain");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A small web; `pages` decides how long its shards take.
pub(crate) async fn web(pages: usize) -> ServedWeb {
    let config = Config {
        pages,
        ..Config::default()
    };
    MiniWeb::build(config).unwrap().serve().await.unwrap()
}

/// The flags that let a pipeline reach the mini web, with the toy model; `more` go before them.
fn flags(web: &ServedWeb, more: &[&str]) -> Vec<String> {
    let fixed = [
        "--model=tiny-clip",
        "--allow-private-addresses",
        "--host-delay=0",
        "--per-host=64",
        "--timeout=5",
    ];
    let hosts = web.hosts().into_iter();
    let hosts = hosts.map(|(name, address)| format!("--host={name}={address}"));
    let flags = fixed.map(String::from).into_iter().chain(hosts);
    let more = more.iter().map(|flag| (*flag).to_owned());
    let name = |flag: &str| flag.split('=').next().map(String::from);
    let given: BTreeSet<_> = more.clone().map(|flag| name(&flag)).collect();
    let flags = flags.filter(|flag| !given.contains(&name(flag)));
    flags.chain(more).collect()
}

/// The absolute URLs of the web's WAT files.
pub(crate) fn wats(web: &ServedWeb) -> Vec<String> {
    let base = web.base_url();
    let paths = web.wat_paths().iter();
    paths.map(|path| format!("{base}{path}")).collect()
}

/// `cah tracker serve` on a store, in a process of its own.
pub(crate) struct Served {
    process: Process,
    address: SocketAddr,
    store: String,
    flags: Vec<String>,
}

impl Served {
    pub(crate) async fn start(store: &str, flags: &[String]) -> Self {
        Self::launch(store, flags, Process::start).await
    }

    /// Imports the shards of a web and serves them.
    pub(crate) async fn web(folder: &Path, web: &ServedWeb, idle_timeout: u64) -> Self {
        let idle_timeout = format!("--idle-timeout={idle_timeout}");
        Self::web_with(folder, web, "", vec![idle_timeout]).await
    }

    /// The same with a list of WAT files that come before the web's, and flags of `serve`.
    pub(crate) async fn web_with(
        folder: &Path,
        web: &ServedWeb,
        first: &str,
        flags: Vec<String>,
    ) -> Self {
        let database = folder.join("tracker.db");
        if !first.is_empty() {
            let list = folder.join("first.paths");
            std::fs::write(&list, first).unwrap();
            import(&database, web, list.to_str().unwrap());
        }
        import(&database, web, &web.wat_paths_url());
        Self::start(&sqlite(&database), &flags).await
    }

    /// Serves a store by the command that `by` makes of the usual one.
    pub(crate) async fn start_by(store: &str, by: impl FnOnce(&Command) -> Command) -> Self {
        Self::launch(store, &[], |serve| Process::start(&mut by(serve))).await
    }

    async fn launch(
        store: &str,
        flags: &[String],
        start: impl FnOnce(&mut Command) -> Process,
    ) -> Self {
        let address = free_address();
        let served = Self {
            process: start(&mut serve(store, address, flags)),
            address,
            store: store.to_owned(),
            flags: flags.to_vec(),
        };
        served.answers().await;
        served
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after a kill.
    pub(crate) async fn restart(&mut self) {
        self.process = Process::start(&mut serve(&self.store, self.address, &self.flags));
        self.answers().await;
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.process.signal("TERM");
        self.process.wait()
    }

    /// The dashboard's numbers.
    pub(crate) async fn data(&self) -> serde_json::Value {
        get(&format!("{}/data", self.url()))
            .await
            .expect("the tracker answers")
    }

    /// Jobs that are open.
    pub(crate) async fn open_jobs(&self) -> u64 {
        let url = format!("{}/api/jobCount?type=HYBRID", self.url());
        get(&url).await.unwrap().as_u64().unwrap()
    }

    async fn answers(&self) {
        let url = format!("{}/data", self.url());
        until("the tracker's first answer", || async { get(&url).await }).await;
    }
}

fn free_address() -> SocketAddr {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    free.local_addr().unwrap()
}

fn serve(store: &str, address: SocketAddr, flags: &[String]) -> Command {
    let mut command = cah();
    command
        .args(["tracker", "serve", "--store", store])
        .args(["--listen", &address.to_string()])
        .args(flags)
        .stderr(Stdio::null());
    command
}

fn import(database: &Path, web: &ServedWeb, list: &str) {
    succeed(
        cah()
            .args(["tracker", "import", "--store", &sqlite(database)])
            .args(["--wat-paths", list])
            .args(["--base-url", &web.base_url()]),
    );
}

pub(crate) fn sqlite(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

async fn get(url: &str) -> Option<serde_json::Value> {
    reqwest::get(url).await.ok()?.json().await.ok()
}

/// A hybrid worker in a process of its own.
pub(crate) fn worker(tracker: &str, web: &ServedWeb, out: &Path, more: &[&str]) -> Command {
    let mut command = worker_of("hybrid", tracker, web, more);
    command.arg("--out").arg(out);
    command
}

/// A CPU worker, which keeps its state in a folder.
pub(crate) fn cpu_worker(tracker: &str, web: &ServedWeb, state: &Path, more: &[&str]) -> Command {
    let mut command = worker_of("cpu", tracker, web, more);
    command.arg("--state").arg(state);
    command
}

/// A GPU worker.
pub(crate) fn gpu_worker(tracker: &str, web: &ServedWeb, out: &Path, more: &[&str]) -> Command {
    let mut command = worker_of("gpu", tracker, web, more);
    command.arg("--out").arg(out);
    command
}

fn worker_of(worker_type: &str, tracker: &str, web: &ServedWeb, more: &[&str]) -> Command {
    let mut command = cah();
    command
        .args(["worker", "--type", worker_type])
        .args(["--tracker", tracker, "--nickname", "e2e"])
        .args(flags(web, more));
    command
}

/// `cah run` over WAT files of the web.
pub(crate) fn run(web: &ServedWeb, wats: &[String], out: &Path, more: &[&str]) -> Command {
    let mut command = cah();
    command.arg("run").args(wats).arg("--out").arg(out);
    command.args(flags(web, more));
    command
}

/// The manifests of a dataset by shard; each is checked: outcomes add up to candidates, files are
/// there and as long as it says.
pub(crate) async fn manifests(out: &Path) -> BTreeMap<u64, Manifest> {
    let store = Store::open(out.to_str().unwrap()).await.unwrap();
    let manifests: Vec<Manifest> = store.manifests().try_collect().await.unwrap();
    for manifest in &manifests {
        assert_eq!(manifest.outcomes.candidates(), manifest.candidates);
        for (name, entry) in &manifest.files {
            let length = std::fs::metadata(out.join(name)).unwrap().len();
            assert_eq!(length, entry.size, "{name}");
        }
    }
    manifests.into_iter().map(|m| (m.number, m)).collect()
}

/// What identifies the content of a dataset: the digest of each file but the manifests.
pub(crate) fn content(manifests: &BTreeMap<u64, Manifest>) -> BTreeMap<String, String> {
    let files = manifests.values().flat_map(|manifest| &manifest.files);
    files
        .map(|(name, entry)| (name.clone(), entry.sha256.clone()))
        .collect()
}

/// How the candidates of a dataset ended.
pub(crate) fn outcomes(manifests: &BTreeMap<u64, Manifest>) -> OutcomeCounts {
    let mut sum = OutcomeCounts::default();
    manifests.values().for_each(|m| sum += &m.outcomes);
    sum
}

/// A row of a table, by column.
pub(crate) struct Row(BTreeMap<String, Field>);

impl Row {
    /// A text; empty where there is none.
    pub(crate) fn text(&self, column: &str) -> &str {
        match &self.0[column] {
            Field::Str(text) => text,
            Field::Null => "",
            other => panic!("{column} is no text but {other}"),
        }
    }

    pub(crate) fn number(&self, column: &str) -> i32 {
        match self.0[column] {
            Field::Int(number) => number,
            ref other => panic!("{column} is no number but {other}"),
        }
    }
}

/// The rows of a parquet file.
pub(crate) fn rows(table: &Path) -> Vec<Row> {
    let reader = SerializedFileReader::new(File::open(table).unwrap()).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    rows.map(|row| Row(row.unwrap().into_columns().into_iter().collect()))
        .collect()
}

/// The rows of all tables of a dataset.
pub(crate) fn pairs(out: &Path) -> Vec<Row> {
    files_below(&out.join("metadata"))
        .iter()
        .flat_map(|table| rows(table))
        .collect()
}

/// Every file in a folder and its folders, in order; none where there is no such folder.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => files.extend(files_below(&entry.path())),
            false => files.push(entry.path()),
        }
    }
    files.sort();
    files
}
