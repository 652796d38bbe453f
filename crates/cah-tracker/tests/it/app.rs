//! A tracker of its own for each test.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::Arc,
};

use cah_tracker::{
    Config, ManualClock, RunningTracker, Tracker,
    store::{self, Store},
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{postgres::cluster::Database, recount};

/// 1 January 2026, 00:00 UTC.
pub(crate) const START: i64 = 1_767_225_600;

/// The address of this machine.
pub(crate) const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The default idle timeout, in seconds.
pub(crate) const IDLE: i64 = 7_200;

pub(crate) struct TestApp {
    pub(crate) tracker: RunningTracker,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ManualClock>,
    client: reqwest::Client,
    // Last: the folder goes when everything in it is closed.
    place: Place,
}

/// Where a tracker keeps things.
enum Place {
    File(TempDir),
    Database(Database),
}

/// The kinds of stores.
#[derive(Clone, Copy)]
pub(crate) enum On {
    Sqlite,
    Postgres,
}

impl On {
    /// A tracker with the jobs of so many WAT files.
    pub(crate) async fn start(self, wats: usize) -> TestApp {
        let place = match self {
            Self::Sqlite => Place::File(tempfile::tempdir().unwrap()),
            Self::Postgres => Place::Database(Database::new().await),
        };
        let app = TestApp::serve(place, Arc::new(ManualClock::new(START)), test_config()).await;
        app.add_wats(0..wats).await;
        app
    }
}

/// Makes two tests of each case, which is told the kind of store that it runs on.
macro_rules! on_every_store {
    ($($case:ident),* $(,)?) => {
        on_every_store!(@ sqlite Sqlite $($case)*);
        on_every_store!(@ postgres Postgres $($case)*);
    };
    (@ $store:ident $on:ident $($case:ident)*) => {
        mod $store {
            $(
                #[tokio::test]
                async fn $case() {
                    super::$case($crate::app::On::$on).await;
                }
            )*
        }
    };
}
pub(crate) use on_every_store;

/// Status and text of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn is(&self, status: u16, text: &str) -> bool {
        self.status == status && self.text == text
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        serde_json::from_str(&self.text).unwrap()
    }
}

/// A worker as the public client sees itself.
#[derive(Clone, Debug)]
pub(crate) struct TestWorker {
    pub(crate) token: String,
    pub(crate) display_name: String,
    pub(crate) kind: &'static str,
}

impl TestApp {
    /// A tracker with the jobs of so many WAT files.
    pub(crate) async fn start(wats: usize) -> Self {
        On::Sqlite.start(wats).await
    }

    pub(crate) async fn open(dir: TempDir, clock: Arc<ManualClock>, config: Config) -> Self {
        Self::serve(Place::File(dir), clock, config).await
    }

    async fn serve(place: Place, clock: Arc<ManualClock>, config: Config) -> Self {
        let address = match &place {
            Place::File(dir) => format!("sqlite:{}", file(dir.path()).display()),
            Place::Database(database) => database.address.clone(),
        };
        let store = store::open(&address).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tracker = Tracker::new(Arc::clone(&store), config)
            .unwrap()
            .with_clock(clock.clone())
            .start(listener)
            .await
            .unwrap();
        Self {
            tracker,
            store,
            clock,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            place,
        }
    }

    /// Ends everything without a word, as a crash of the program would, and starts anew on what
    /// is on the disk.
    pub(crate) async fn crash_and_restart(self) -> Self {
        let Self {
            tracker,
            store,
            clock,
            client,
            place,
        } = self;
        drop(client);
        let service = Arc::downgrade(tracker.service());
        drop(tracker);
        // Connections that still wait for a next call hold the service for a moment.
        while service.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
        drop(store);
        Self::serve(place, clock, test_config()).await
    }

    pub(crate) async fn add_wats(&self, wats: std::ops::Range<usize>) {
        let url = |i| format!("https://data.example.org/{i:05}.warc.wat.gz");
        self.store
            .add_chunks(wats.map(url).collect(), 0)
            .await
            .unwrap();
    }

    pub(crate) fn db(&self) -> PathBuf {
        match &self.place {
            Place::File(dir) => file(dir.path()),
            Place::Database(_) => panic!("this store is no file"),
        }
    }

    /// Fails where a counter differs from the rows.
    pub(crate) async fn recount(&self) {
        match &self.place {
            Place::File(_) => recount::check(&self.db()),
            Place::Database(database) => recount::check_postgres(&database.address).await,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.tracker.addr())
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.client.get(self.url(path))).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        answer(self.client.post(self.url(path)).json(&body)).await
    }

    pub(crate) async fn post_bytes(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        answer(self.client.post(self.url(path)).body(body)).await
    }

    pub(crate) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    pub(crate) async fn join(&self, nickname: &str, kind: &'static str) -> TestWorker {
        let request = self
            .client
            .get(self.url("/api/new"))
            .query(&[("nickname", nickname), ("type", kind)]);
        let joined = answer(request).await.json();
        TestWorker {
            token: joined["token"].as_str().unwrap().into(),
            display_name: joined["display_name"].as_str().unwrap().into(),
            kind,
        }
    }

    pub(crate) async fn new_job(&self, worker: &TestWorker) -> Answer {
        self.post("/api/newJob", worker.body(json!({}))).await
    }

    pub(crate) async fn done(&self, worker: &TestWorker, count: u64) -> Answer {
        let body = worker.body(json!({ "count": count }));
        self.post("/api/markAsDone", body).await
    }

    pub(crate) async fn progress(&self, worker: &TestWorker, progress: &str) -> Answer {
        let body = worker.body(json!({ "progress": progress }));
        self.post("/api/updateProgress", body).await
    }

    pub(crate) async fn open_jobs(&self, kind: &str) -> u64 {
        let answer = self.get(&format!("/api/jobCount?type={kind}")).await;
        answer.text.parse().unwrap()
    }
}

impl TestWorker {
    /// The fields of a call together with those that every call has.
    pub(crate) fn body(&self, mut fields: Value) -> Value {
        fields["token"] = json!(self.token);
        fields["type"] = json!(self.kind);
        fields
    }
}

/// The defaults, but nobody is reaped unless the test does it.
pub(crate) fn test_config() -> Config {
    Config {
        reaper_interval: std::time::Duration::from_secs(86_400),
        ..Config::default()
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    Answer {
        status: response.status(),
        text: response.text().await.unwrap(),
    }
}

fn file(dir: &Path) -> PathBuf {
    dir.join("tracker.db")
}
