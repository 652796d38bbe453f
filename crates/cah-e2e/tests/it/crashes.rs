//! The tracker killed at random moments under load: what it acknowledged stands, nothing closes
//! twice, and its sums are right.
//!
//! `CAH_KILLS=200` kills it that often; the default is what an everyday run has time for.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    cluster::{Database, Server},
    harness::{Served, cah, sqlite, succeed, until},
};

/// Workers that load the tracker.
const WORKERS: usize = 16;

/// WAT files; more shards than all of them can do.
const WATS: usize = 50_000;

/// The longest time between a start and a kill.
const LONGEST_LIFE: Duration = Duration::from_millis(150);

fn kills() -> usize {
    match std::env::var("CAH_KILLS") {
        Ok(text) => text.parse().expect("CAH_KILLS is a number"),
        Err(_) => 10,
    }
}

/// What one worker was told by the tracker.
#[derive(Default)]
struct Told {
    /// The jobs whose completion was acknowledged, with the pairs.
    done: BTreeMap<u64, u64>,
    /// A job that it asked to complete without hearing the answer before the end.
    unsure: Option<u64>,
}

/// A worker that goes on through every outage, as the clients do.
struct Worker {
    client: Client,
    url: String,
    nickname: String,
    stop: Arc<AtomicBool>,
    told: Told,
}

impl Worker {
    /// Repeats a call until it is answered, or the test ends.
    async fn call(&self, path: &str, body: &Value) -> Option<(StatusCode, String)> {
        loop {
            let request = self.client.post(format!("{}{path}", self.url)).json(body);
            if let Some(answer) = answered(request).await {
                return Some(answer);
            }
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn join(&self) -> Option<String> {
        let url = format!("{}/api/new?nickname={}", self.url, self.nickname);
        while !self.stop.load(Ordering::Relaxed) {
            if let Some((StatusCode::OK, text)) = answered(self.client.get(&url)).await {
                let joined: Value = serde_json::from_str(&text).unwrap();
                return Some(joined["token"].as_str().unwrap().to_owned());
            }
            sleep(Duration::from_millis(5)).await;
        }
        None
    }

    async fn work(mut self) -> Told {
        let Some(token) = self.join().await else {
            return self.told;
        };
        while !self.stop.load(Ordering::Relaxed) {
            if self.one_job(&token).await.is_none() {
                break;
            }
        }
        self.told
    }

    /// `None` where the test ended meanwhile.
    async fn one_job(&mut self, token: &str) -> Option<()> {
        let (status, text) = self.call("/api/newJob", &json!({"token": token})).await?;
        // A worker that was acknowledged is known for ever.
        assert_eq!(status, 200, "newJob: {text}");
        let job: Value = serde_json::from_str(&text).unwrap();
        let number = job["number"].as_u64().unwrap();
        let pairs = number % 1_000;
        let done = json!({"token": token, "count": pairs, "number": number});
        self.told.unsure = Some(number);
        let (status, text) = self.call("/api/markAsDone", &done).await?;
        assert_eq!(status, 200, "markAsDone: {text}");
        self.told.unsure = None;
        let again = self.told.done.insert(number, pairs);
        assert_eq!(
            again, None,
            "job {number} was given out after it was closed"
        );
        Some(())
    }
}

/// An answer, unless the tracker is away or says that its store is.
async fn answered(request: reqwest::RequestBuilder) -> Option<(StatusCode, String)> {
    let answer = request.send().await.ok()?;
    let status = answer.status();
    let text = answer.text().await.ok()?;
    (status != StatusCode::SERVICE_UNAVAILABLE).then_some((status, text))
}

/// A number below `limit` that is another one each time, the same in each run.
fn draw(state: &mut u64, limit: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % limit
}

fn import(store: &str, folder: &Path) {
    let line = |i| format!("crawl-data/segments/{i:06}.warc.wat.gz\n");
    let list = folder.join("wat.paths");
    std::fs::write(&list, (0..WATS).map(line).collect::<String>()).unwrap();
    let mut command = cah();
    command.args(["tracker", "import", "--store", store]);
    succeed(command.arg("--wat-paths").arg(&list));
}

/// Workers that load a tracker.
struct Load {
    stop: Arc<AtomicBool>,
    workers: JoinSet<Told>,
}

impl Load {
    fn start(url: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut workers = JoinSet::new();
        for i in 0..WORKERS {
            let timeout = Duration::from_secs(20);
            let client = Client::builder().no_proxy().timeout(timeout).build();
            workers.spawn(
                Worker {
                    client: client.unwrap(),
                    url: url.to_owned(),
                    nickname: format!("nick-{}", i % 3),
                    stop: Arc::clone(&stop),
                    told: Told::default(),
                }
                .work(),
            );
        }
        Self { stop, workers }
    }

    async fn stop(self) -> Vec<Told> {
        self.stop.store(true, Ordering::Relaxed);
        self.workers.join_all().await
    }
}

/// Serves the store, kills the tracker again and again while workers load it, and returns what
/// these were told.
async fn outlive(store: &str, kills: usize) -> Vec<Told> {
    let mut served = Served::start(store, &[]).await;
    let load = Load::start(&served.url());
    let mut random = 7;
    for _ in 0..kills {
        let life = draw(&mut random, LONGEST_LIFE.as_micros() as u64);
        sleep(Duration::from_micros(life)).await;
        served.kill();
        served.restart().await;
    }
    sleep(LONGEST_LIFE).await;
    let told = load.stop().await;
    assert!(told.iter().map(|worker| worker.done.len()).sum::<usize>() > WORKERS);
    assert!(served.stop().success());
    told
}

fn cah_json(arguments: &[&str], store: &str) -> String {
    succeed(
        cah()
            .arg("tracker")
            .args(arguments)
            .args(["--store", store]),
    )
}

fn check(store: &str, told: &[Told]) {
    let mut acknowledged = BTreeMap::new();
    for worker in told {
        for (number, pairs) in &worker.done {
            let twice = acknowledged.insert(*number, *pairs);
            assert_eq!(twice, None, "job {number} was acknowledged to two workers");
        }
    }
    let unsure: Vec<u64> = told.iter().filter_map(|worker| worker.unsure).collect();

    let (mut closed, mut pairs) = (0, 0);
    for line in cah_json(&["export"], store).lines() {
        let job: Value = serde_json::from_str(line).unwrap();
        let number = job["number"].as_u64().unwrap();
        let completions = job["completions"].as_array().unwrap();
        let is_closed = job["state"] == "closed";
        assert_eq!(completions.len(), usize::from(is_closed), "{job}");
        match acknowledged.remove(&number) {
            Some(told) => assert_eq!(completions[0]["pairs"], told, "{job}"),
            // Its answer may have been lost, but not without a question.
            None => assert!(!is_closed || unsure.contains(&number), "{job}"),
        }
        if is_closed {
            closed += 1;
            pairs += completions[0]["pairs"].as_u64().unwrap();
        }
    }
    assert_eq!(
        acknowledged,
        BTreeMap::new(),
        "what was acknowledged is lost"
    );

    let status: Value = serde_json::from_str(&cah_json(&["status", "--json"], store)).unwrap();
    assert_eq!(
        (&status["closed"], &status["pairs"]),
        (&json!(closed), &json!(pairs))
    );
    let boards = cah_json(&["contributors", "--json"], store);
    let boards: Value = serde_json::from_str(&boards).unwrap();
    let contributors = boards[1]["contributors"].as_array().unwrap();
    let sum = |what: &str| -> u64 { contributors.iter().map(|c| c[what].as_u64().unwrap()).sum() };
    assert_eq!((sum("jobs"), sum("pairs")), (closed, pairs));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_that_is_killed_again_and_again_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(&folder.path().join("tracker.db"));
    import(&store, folder.path());
    let told = outlive(&store, kills()).await;
    check(&store, &told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_over_postgres_that_is_killed_again_and_again_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Database::new().await.address;
    import(&store, folder.path());
    let told = outlive(&store, kills()).await;
    check(&store, &told);
}

/// The server ends as in a crash, again and again: what it acknowledged was on its disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_crashes_again_and_again_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start();
    let store = server.address();
    import(&store, folder.path());
    let mut served = Served::start(&store, &[]).await;
    let load = Load::start(&served.url());
    for _ in 0..3 {
        sleep(Duration::from_millis(700)).await;
        server.crash_and_restart(None);
    }
    sleep(Duration::from_secs(2)).await;
    let told = load.stop().await;
    assert!(served.stop().success());
    check(&store, &told);
}

/// Two trackers over one database; the one that looks for silent workers is killed at it.
#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_that_is_killed_while_it_reaps_leaves_the_rest_to_another() {
    let folder = tempfile::tempdir().unwrap();
    let store = Database::new().await.address;
    import(&store, folder.path());
    let flags = ["--idle-timeout=2".to_owned()];
    let mut trackers = [
        Served::start(&store, &flags).await,
        Served::start(&store, &flags).await,
    ];
    let client = Client::builder().no_proxy().build().unwrap();
    for i in 0..200 {
        let url = trackers[i % 2].url();
        let joined = answered(client.get(format!("{url}/api/new?nickname=ada")));
        let joined: Value = serde_json::from_str(&joined.await.unwrap().1).unwrap();
        let claim = client.post(format!("{url}/api/newJob"));
        let claimed = answered(claim.json(&json!({"token": joined["token"]})));
        assert_eq!(claimed.await.unwrap().0, 200);
    }
    // The first one to ask is the reaper; with another one beside it, it waits for what that one
    // may have heard.
    until("the first is reaped", || async {
        (trackers[1].data().await["total_connected_workers"]
            .as_u64()
            .unwrap()
            < 200)
            .then_some(())
    })
    .await;
    trackers[0].kill();
    until("all are reaped", || async {
        (trackers[1].data().await["total_connected_workers"] == 0).then_some(())
    })
    .await;
    assert!(trackers[1].stop().success());
    check(&store, &[]);
}

/// The disk is full: calls are refused, pages still answer, and all goes on once there is room.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("tracker.db");
    let store = sqlite(&database);
    import(&store, folder.path());
    // No file may grow beyond this, which the system tells as a disk without room would.
    let kilobytes = std::fs::metadata(&database).unwrap().len() / 1_024 + 512;
    let mut served = Served::start_by(&store, |serve| {
        let mut shell = Command::new("sh");
        let limited = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", kilobytes * 2);
        shell.args(["-c", &limited, "sh"]);
        shell.arg(serve.get_program()).args(serve.get_args());
        shell.stderr(Stdio::null());
        shell
    })
    .await;
    let filled = Filled::by(&served.url()).await;
    served.kill();
    served.restart().await;
    filled.goes_on(&served.url()).await;
    assert!(served.stop().success());
    filled.check(&store);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_on_a_full_disk_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start();
    let store = server.address();
    import(&store, folder.path());
    // The write-ahead log has files of 16 MB, which are there; tables cannot grow beyond this.
    server.crash_and_restart(Some(24 << 10));
    let mut served = Served::start(&store, &[]).await;
    let filled = Filled::by(&served.url()).await;
    server.crash_and_restart(None);
    filled.goes_on(&served.url()).await;
    assert!(served.stop().success());
    filled.check(&store);
}

/// A worker that has filled the disk.
struct Filled {
    client: Client,
    token: Value,
    done: Vec<u64>,
}

impl Filled {
    /// Completes jobs with long results until the tracker has no room for another one.
    async fn by(url: &str) -> Self {
        let client = Client::builder().no_proxy().build().unwrap();
        let joined = client.get(format!("{url}/api/new?nickname=ada"));
        let joined: Value = serde_json::from_str(&answered(joined).await.unwrap().1).unwrap();
        let token = joined["token"].clone();
        let post = |path: &str, body: Value| client.post(format!("{url}{path}")).json(&body);
        let mut random = 7;
        let mut done = Vec::new();
        loop {
            let claim = answered(post("/api/newJob", json!({ "token": token })));
            let Some((status, text)) = claim.await else {
                break;
            };
            assert_eq!(status, 200, "{text}");
            let job: Value = serde_json::from_str(&text).unwrap();
            // Nothing that a database can make shorter.
            let word = |_| format!("{:x}", draw(&mut random, 1 << 31));
            let data: String = (0..60_000).map(word).collect();
            let complete = json!({"token": token, "data": data});
            let Some((status, text)) = answered(post("/api/completeJob", complete)).await else {
                break;
            };
            assert_eq!(status, 200, "{text}");
            done.push(job["number"].as_u64().unwrap());
            assert!(done.len() < 1_000, "the disk never filled");
        }
        let page = client.get(format!("{url}/data")).send().await.unwrap();
        assert_eq!(page.status(), 200);
        Self {
            client,
            token,
            done,
        }
    }

    /// With room again, the same worker gets a job.
    async fn goes_on(&self, url: &str) {
        until("a job", || async {
            let claim = self.client.post(format!("{url}/api/newJob"));
            let claim = claim.json(&json!({"token": self.token}));
            let (status, text) = answered(claim).await?;
            assert_eq!(status, 200, "{text}");
            Some(())
        })
        .await;
    }

    /// All that was acknowledged is closed.
    fn check(&self, store: &str) {
        let exported = cah_json(&["export"], store);
        let jobs = exported.lines().map(|line| {
            let job: Value = serde_json::from_str(line).unwrap();
            (job["number"].as_u64().unwrap(), job["state"] == "closed")
        });
        let jobs: BTreeMap<u64, bool> = jobs.collect();
        assert!(self.done.iter().all(|number| jobs[number]));
    }
}
