//! Load for a tracker: workers that lease, tell and complete as fast as they are answered, or
//! that only say that they are alive. `bench/tracker/run` uses it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, StatusCode,
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::sleep};

const USAGE: &str = "usage: tracker_load ADDRESS:PORT[,ADDRESS:PORT] cycles CONNECTIONS SECONDS
       tracker_load ADDRESS:PORT heartbeats WORKERS SECONDS PID";

/// Between two looks at the dashboard while workers are at work.
const LOOK: Duration = Duration::from_millis(100);

/// Files that a process has open beside its connections.
const OTHER_FILES: u64 = 500;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let figures = match arguments[..] {
        [trackers, "cycles", connections, seconds] => {
            let trackers = addresses(trackers)?;
            cycles(&trackers, connections.parse()?, seconds.parse()?).await?
        }
        [tracker, "heartbeats", workers, seconds, pid] => {
            let tracker = addresses(tracker)?[0];
            heartbeats(tracker, workers.parse()?, seconds.parse()?, pid.parse()?).await?
        }
        _ => return Err(USAGE.into()),
    };
    #[expect(clippy::print_stdout, reason = "it is what the command is for")]
    {
        println!("{figures}");
    }
    Ok(())
}

fn addresses(text: &str) -> Result<Vec<SocketAddr>, Failure> {
    Ok(text.split(',').map(str::parse).collect::<Result<_, _>>()?)
}

/// A connection that is kept, as the public clients keep theirs.
struct Connection {
    send: SendRequest<Full<Bytes>>,
}

impl Connection {
    async fn open(tracker: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(tracker).await?;
        stream.set_nodelay(true)?;
        let (send, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { send })
    }

    async fn get(&mut self, path: &str) -> Result<(StatusCode, Bytes), Failure> {
        self.call(Method::GET, path, String::new()).await
    }

    async fn post(&mut self, path: &str, body: &Value) -> Result<(StatusCode, Bytes), Failure> {
        self.call(Method::POST, path, body.to_string()).await
    }

    async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "tracker")
            .header("content-type", "application/json")
            .body(Full::new(body.into()))?;
        self.send.ready().await?;
        let answer = self.send.send_request(request).await?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }

    /// Joins as a hybrid worker and returns its token.
    async fn join(&mut self) -> Result<String, Failure> {
        let (status, body) = self.get("/api/new?nickname=load&type=HYBRID").await?;
        if status != 200 {
            return Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into());
        }
        let joined: Value = serde_json::from_slice(&body)?;
        Ok(joined["token"].as_str().ok_or("no token")?.to_owned())
    }
}

/// Times of calls, in microseconds.
#[derive(Default)]
struct Times(Vec<u32>);

impl Times {
    fn add(&mut self, since: Instant) {
        self.0
            .push(u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX));
    }

    fn figures(mut self) -> Value {
        self.0.sort_unstable();
        let at = |share: f64| {
            let place = ((self.0.len() as f64 - 1.0) * share).max(0.0) as usize;
            self.0.get(place).map(|micros| f64::from(*micros) / 1e3)
        };
        json!({"calls": self.0.len(), "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1.0)})
    }
}

/// The calls of one worker's cycles.
#[derive(Default)]
struct Worker {
    cycles: u64,
    new_job: Times,
    progress: Times,
    done: Times,
}

async fn cycles(
    trackers: &[SocketAddr],
    connections: usize,
    seconds: f64,
) -> Result<Value, Failure> {
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let started = Instant::now();
    let workers: Vec<_> = (0..connections)
        .map(|i| tokio::spawn(work(trackers[i % trackers.len()], until)))
        .collect();
    let pages = tokio::spawn(look(trackers[0], until));
    let (mut cycles, mut calls) = (0, [Times::default(), Times::default(), Times::default()]);
    for worker in workers {
        let worker = worker.await??;
        cycles += worker.cycles;
        calls[0].0.extend(worker.new_job.0);
        calls[1].0.extend(worker.progress.0);
        calls[2].0.extend(worker.done.0);
    }
    let elapsed = started.elapsed().as_secs_f64();
    let [new_job, progress, done] = calls;
    let looked = pages.await??;
    let all = looked.iter().flat_map(|(_, times)| times.0.iter().copied());
    let dashboard = Times(all.collect());
    let of_page = |(page, times): (&str, Times)| (page.to_owned(), times.figures());
    let pages: serde_json::Map<_, _> = looked.into_iter().map(of_page).collect();
    Ok(json!({
        "connections": connections,
        "seconds": elapsed,
        "cycles": cycles,
        "cycles_per_second": cycles as f64 / elapsed,
        "newJob": new_job.figures(),
        "updateProgress": progress.figures(),
        "markAsDone": done.figures(),
        "dashboard": dashboard.figures(),
        "pages": pages,
    }))
}

async fn work(tracker: SocketAddr, until: Instant) -> Result<Worker, Failure> {
    let mut connection = Connection::open(tracker).await?;
    let token = connection.join().await?;
    let job = json!({"token": token, "type": "HYBRID"});
    let progress = json!({"token": token, "type": "HYBRID", "progress": "1,234 / 5,678 (21%)"});
    let done = json!({"token": token, "type": "HYBRID", "count": 4_321});
    let mut worker = Worker::default();
    while Instant::now() < until {
        let calls = [
            ("/api/newJob", &job, &mut worker.new_job),
            ("/api/updateProgress", &progress, &mut worker.progress),
            ("/api/markAsDone", &done, &mut worker.done),
        ];
        for (path, body, times) in calls {
            let began = Instant::now();
            let (status, text) = connection.post(path, body).await?;
            times.add(began);
            if status != 200 {
                let text = String::from_utf8_lossy(&text);
                return Err(format!("{path} was answered {status}: {text}").into());
            }
        }
        worker.cycles += 1;
    }
    connection.post("/api/bye", &job).await?;
    Ok(worker)
}

/// Looks at the dashboard now and then.
async fn look(tracker: SocketAddr, until: Instant) -> Result<Vec<(&'static str, Times)>, Failure> {
    let mut connection = Connection::open(tracker).await?;
    let pages = [
        "/",
        "/leaderboard",
        "/data",
        "/workers?sort=jobs&order=desc",
        "/contributor/load",
        "/job/7",
    ];
    let mut looked: Vec<_> = pages.map(|page| (page, Times::default())).into();
    for at in (0..looked.len()).cycle() {
        if Instant::now() >= until {
            break;
        }
        let (page, times) = &mut looked[at];
        let began = Instant::now();
        let (status, _) = connection.get(page).await?;
        times.add(began);
        if status != 200 {
            return Err(format!("{page} was answered {status}").into());
        }
        sleep(LOOK).await;
    }
    Ok(looked)
}

/// So many workers, each heard from once a minute. Each has a connection of its own, as far as the
/// system allows so many; beyond that several share one.
async fn heartbeats(
    tracker: SocketAddr,
    workers: u64,
    seconds: u64,
    pid: u32,
) -> Result<Value, Failure> {
    let pause = Duration::from_secs(60);
    let most = rlimit::getrlimit(rlimit::Resource::NOFILE)?.0 - OTHER_FILES;
    let connections = workers.min(most);
    let begin = Arc::new(tokio::sync::Barrier::new(connections as usize + 1));
    let beats = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..connections {
        // Joining one after the other: this is no test of how many can join at once.
        let mut connection = Connection::open(tracker).await?;
        let mut tokens = Vec::new();
        for _ in (i..workers).step_by(connections as usize) {
            tokens.push(connection.join().await?);
        }
        let (begin, beats) = (Arc::clone(&begin), Arc::clone(&beats));
        tasks.spawn(async move {
            begin.wait().await;
            sleep(pause.mul_f64(i as f64 / connections as f64)).await;
            loop {
                for token in &tokens {
                    let body = json!({"token": token, "type": "HYBRID", "progress": "12 / 34"});
                    let (status, _) = connection.post("/api/updateProgress", &body).await?;
                    if status != 200 {
                        let text = format!("a heartbeat was answered {status}");
                        return Err::<(), Failure>(text.into());
                    }
                    beats.fetch_add(1, Ordering::Relaxed);
                }
                sleep(pause).await;
            }
        });
    }
    begin.wait().await;
    let (before, began) = (processor_seconds(pid)?, Instant::now());
    tokio::select! {
        () = sleep(Duration::from_secs(seconds)) => {}
        Some(failed) = tasks.join_next() => failed??,
    }
    let elapsed = began.elapsed().as_secs_f64();
    let used = processor_seconds(pid)? - before;
    Ok(json!({
        "workers": workers,
        "connections": connections,
        "seconds": elapsed,
        "heartbeats": beats.load(Ordering::Relaxed),
        "share_of_a_core": used / elapsed,
    }))
}

/// What a process has used of the processors, in user and system mode, as Linux tells it.
fn processor_seconds(pid: u32) -> Result<f64, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is a name in parentheses, which may have blanks.
    let fields = stat.rsplit_once(") ").ok_or("no process")?.1;
    let ticks: Vec<f64> = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    // Linux counts in hundredths of a second wherever it runs.
    Ok(ticks.iter().sum::<f64>() / 100.0)
}
