//! A PostgreSQL server of this test program's own, thrown away at its end.

use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, TcpListener},
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use tokio_postgres::{Client, NoTls};

/// How long the server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const PASSWORD: &str = "p@ss/word";
pub(crate) const PASSWORD_IN_URL: &str = "p%40ss%2Fword";

/// A server, and what keeps it running.
pub(crate) struct Server {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    databases: AtomicUsize,
    // The server stops when this end of the pipe to it closes: when this program ends, however it
    // does.
    keeper: Mutex<Child>,
}

/// Starts the server, and does as it is told on its input: a line has a limit for the length of
/// files, in blocks of 512 bytes, with which the server is started anew after a crash. At the end
/// of its input it stops the server and cleans up.
const KEEPER: &str = r#"
    trap '' XFSZ
    serve() {
        (ulimit -f "$limit"
         exec "$programs/postgres" -D "$folder/data" -p "$port" -k "$folder" \
            -c listen_addresses=127.0.0.1 -c max_connections=300 -c shared_buffers=64MB \
            -c "$setting" >>"$folder/log" 2>&1) &
    }
    programs=$1 folder=$2 port=$3 setting=$4 limit=unlimited
    serve
    while read -r limit; do
        kill -QUIT $!
        wait $!
        serve
    done
    kill -QUIT $!
    wait $!
    rm -rf "$folder"
"#;

fn shared() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start)
}

impl Server {
    /// Starts a server that belongs to one test.
    pub(crate) fn start() -> Self {
        Self::with("fsync=on")
    }

    fn with(setting: &str) -> Self {
        let programs = programs();
        let folder = tempfile::Builder::new()
            .prefix("cah-postgres-")
            .tempdir()
            .unwrap()
            .keep();
        let owner = owner();
        if let Some((user, group)) = owner {
            chown(&folder, Some(user), Some(group)).unwrap();
        }
        make(&programs, &folder, owner);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let keeper = command(Path::new("/bin/sh"), owner, &folder)
            .args(["-c", KEEPER, "keeper"])
            .args([&programs, &folder])
            .args([&port.to_string(), setting])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            programs,
            folder,
            port,
            databases: AtomicUsize::new(0),
            keeper: Mutex::new(keeper),
        };
        server.wait_for("");
        server
    }

    /// Where a store finds it.
    pub(crate) fn address(&self) -> String {
        address(self.port, "postgres")
    }

    /// The port that it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Ends the server as a crash does, and starts it again; no file may grow beyond so many
    /// kilobytes then, which it meets as it meets a full disk.
    pub(crate) fn crash_and_restart(&self, longest_file: Option<u64>) {
        let before = self.process();
        let limit =
            longest_file.map_or("unlimited".into(), |kilobytes| (2 * kilobytes).to_string());
        let mut keeper = self.keeper.lock().unwrap();
        writeln!(keeper.stdin.as_mut().unwrap(), "{limit}").unwrap();
        self.wait_for(&before);
    }

    /// The number of its process; empty where there is none.
    fn process(&self) -> String {
        let file = fs::read_to_string(self.folder.join("data/postmaster.pid"));
        let file = file.unwrap_or_default();
        file.lines().next().unwrap_or_default().to_owned()
    }

    /// Waits until another process than `before` takes connections.
    fn wait_for(&self, before: &str) {
        let started = Instant::now();
        while self.process() == before || !is_ready(&self.programs, self.port) {
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(started.elapsed() < PATIENCE, "{}", log());
            sleep(Duration::from_millis(50));
        }
    }
}

/// A server that does not write to its disk what it acknowledges, for as long as the guard lives.
pub(crate) fn careless() -> (String, impl Sized) {
    let server = Server::with("fsync=off");
    (server.address(), server)
}

/// The folder of PostgreSQL's programs. Debian keeps them off the search path.
fn programs() -> PathBuf {
    let named = std::env::var_os("CAH_POSTGRES_BIN").map(PathBuf::from);
    let told = Command::new("pg_config").arg("--bindir").output().ok();
    let told = told.map(|out| PathBuf::from(String::from_utf8_lossy(&out.stdout).trim()));
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut kept: Vec<PathBuf> = versions
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .collect();
    kept.sort();
    named
        .into_iter()
        .chain(told)
        .chain(kept.into_iter().rev())
        .find(|folder| folder.join("initdb").exists())
        .expect(
            "these tests need PostgreSQL 14 or newer: install the package postgresql, or name the \
             folder of its programs in CAH_POSTGRES_BIN",
        )
}

/// The user to run as, where this one is root: PostgreSQL refuses to.
fn owner() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    let is_root = fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0);
    is_root.then(|| {
        let users = fs::read_to_string("/etc/passwd").unwrap();
        let user = users.lines().find(|line| line.starts_with("postgres:"));
        let user = user.expect("the package postgresql makes a user postgres");
        let fields: Vec<&str> = user.split(':').collect();
        (fields[2].parse().unwrap(), fields[3].parse().unwrap())
    })
}

fn command(program: &Path, owner: Option<(u32, u32)>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
    // Not stopped by what stops this program from a terminal.
    command.current_dir(folder).process_group(0);
    command
}

fn make(programs: &Path, folder: &Path, owner: Option<(u32, u32)>) {
    let password = folder.join("password");
    let mut file = fs::File::create(&password).unwrap();
    writeln!(file, "{PASSWORD}").unwrap();
    if let Some((user, group)) = owner {
        chown(&password, Some(user), Some(group)).unwrap();
    }
    // What makes the files need not wait for the disk; the server does.
    let made = command(&programs.join("initdb"), owner, folder)
        .args(["--username=tracker", "--auth=scram-sha-256", "--no-sync"])
        .args(["--encoding=UTF8", "--locale=C", "--pwfile"])
        .arg(&password)
        .arg("-D")
        .arg(folder.join("data"))
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}

fn is_ready(programs: &Path, port: u16) -> bool {
    Command::new(programs.join("pg_isready"))
        .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])
        .status()
        .unwrap()
        .success()
}

/// The port that the server listens on.
pub(crate) fn port() -> u16 {
    shared().port
}

/// A database of a test's own.
pub(crate) struct Database {
    /// Where a store finds it.
    pub(crate) address: String,
    pub(crate) name: String,
}

impl Database {
    pub(crate) async fn new() -> Self {
        let number = shared().databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        let admin = connect(&address_of("postgres")).await;
        let create = format!("CREATE DATABASE {name}");
        admin.batch_execute(&create).await.unwrap();
        Self {
            address: address_of(&name),
            name,
        }
    }

    /// The same database, with tables in a schema of their own.
    pub(crate) async fn schema(&self, name: &str) -> String {
        let create = format!("CREATE SCHEMA {name}");
        self.client().await.batch_execute(&create).await.unwrap();
        format!("{}?options=-c%20search_path%3D{name}", self.address)
    }

    /// Ends all sessions, as a server does that is started anew.
    pub(crate) async fn end_sessions(&self) {
        let end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        self.client().await.batch_execute(end).await.unwrap();
    }

    /// How many sessions wait for what others hold.
    pub(crate) async fn waiting(&self) -> i64 {
        let waiting = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let client = self.client().await;
        client.query_one(waiting, &[]).await.unwrap().get(0)
    }

    /// How often the server found transactions in it that waited for each other. All sessions are
    /// ended for that: each tells what it saw at its end.
    pub(crate) async fn deadlocks(&self) -> i64 {
        self.end_sessions().await;
        let client = self.client().await;
        let seen = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        client.query_one(seen, &[]).await.unwrap().get(0)
    }

    /// Someone else's connection to it.
    pub(crate) async fn client(&self) -> Client {
        connect(&self.address).await
    }
}

fn address_of(database: &str) -> String {
    address(port(), database)
}

fn address(port: u16, database: &str) -> String {
    format!("postgres://tracker:{PASSWORD_IN_URL}@127.0.0.1:{port}/{database}")
}

pub(crate) async fn connect(address: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(address, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
