//! `cah demo`: the whole system on one machine, on a web whose truth is known.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use cah_dataset::Store;
use cah_demo::{MiniWeb, ServedWeb};
use cah_tracker::{RunningTracker, Tracker, operation, store};
use cah_wat::LanguageDetector;
use cah_worker::{HybridWork, Pipeline, PipelineConfig, State, Stop, Terms, volunteer};
use crawlingathome::ClientConfig;
use futures::TryStreamExt;

use super::tracker::fetch_list;
use crate::{
    assets,
    display::{Display, note, print},
    report::{JsonFile, Report, Table},
    stopping::{self, or_interrupted},
};

/// The deadline of a request: generous for a busy machine, short enough to give up on the web's
/// endless answers.
const DEADLINE: Duration = Duration::from_secs(5);

/// What a demo that is interrupted leaves.
const HINT: &str = "the demo leaves an incomplete dataset";

/// Run the whole system on a small web of its own, and check the result against the truth.
///
/// Starts a web of a few hundred pages on loopback whose images and captions are known to match
/// or not, a tracker with that web's WAT files as jobs, and a hybrid worker that works them
/// through; then compares what the worker kept with what it should have kept.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The dataset's folder, or s3://bucket/prefix; it must not hold a dataset yet
    /// [default: demo-dataset, numbered if that is there]
    #[arg(long, value_name = "DIR_OR_URL")]
    out: Option<String>,

    /// Keep tracker and dashboard up afterwards, until Ctrl-C
    #[arg(long)]
    serve: bool,

    /// The address of tracker and dashboard; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,

    /// Write the table to this file as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Another seed makes another web
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let json = JsonFile::check(args.json.as_deref())?;
    let out = match &args.out {
        Some(out) => out.clone(),
        None => free_folder()?,
    };
    let dataset = empty_store(&out).await?;
    // Last to go: the tracker may be at work in it until it has stopped.
    let folder = tempfile::Builder::new().prefix("cah-demo-").tempdir()?;
    let stage = or_interrupted(HINT, Stage::set(&args, folder.path())).await?;
    let played = or_interrupted(HINT, play(&stage, &dataset)).await;
    dataset.settle().await;
    let shown = match played.and_then(|table| table.deliver(json, &out)) {
        Ok(()) if args.serve => stay(&stage.tracker).await,
        shown => shown,
    };
    let cleared = stage.clear().await;
    shown.and(cleared)
}

/// What the demo plays on.
struct Stage {
    web: ServedWeb,
    tracker: RunningTracker,
    /// For what lasts no longer than the demo.
    folder: PathBuf,
}

impl Stage {
    /// Starts the mini web, and a tracker whose database lies in `folder`.
    async fn set(args: &Args, folder: &Path) -> Result<Self> {
        note("Drawing the images of the mini web …");
        let config = cah_demo::Config {
            seed: args.seed,
            ..cah_demo::Config::default()
        };
        let web = MiniWeb::build(config)?.serve().await?;
        let tracker = tracker(args.listen, &web, folder).await?;
        note(&format!("Tracker and dashboard: {}", tracker.url()));
        Ok(Self {
            web,
            tracker,
            folder: folder.to_owned(),
        })
    }

    async fn clear(self) -> Result<()> {
        self.web.stop().await;
        Ok(self.tracker.stop().await?)
    }
}

/// Lets a worker work all shards through, and compares what it kept with the truth.
async fn play(stage: &Stage, dataset: &Store) -> Result<Table> {
    let Stage { web, tracker, .. } = stage;
    let display = Display::new(Some(2 * web.wat_paths().len() as u64));
    let report = Report::new(display.clone());
    let pipeline = pipeline(web).await?;
    let url = tracker.url();
    let terms = Terms {
        tracker: ClientConfig::new(&url, "demo"),
        state: State::open(&stage.folder.join("worker"))?,
        at_once: 1,
        wait: None,
        stop: Stop::default(),
    };
    let hybrid = HybridWork {
        pipeline: &pipeline,
        store: dataset,
    };
    let worked = volunteer(&hybrid, terms, &report).await;
    display.clear();
    worked?;
    judge(&report, web, dataset).await
}

/// Keeps the dashboard up until Ctrl-C.
async fn stay(tracker: &RunningTracker) -> Result<()> {
    let url = tracker.url();
    print(&format!("\nThe dashboard stays at {url} until Ctrl-C.\n"))?;
    stopping::signal().await;
    Ok(())
}

/// A tracker on its embedded database, with the web's shards as jobs.
async fn tracker(listen: SocketAddr, web: &ServedWeb, folder: &Path) -> Result<RunningTracker> {
    let database = folder.join("tracker.db");
    let store = store::open(&format!("sqlite:{}", database.display())).await?;
    let list = fetch_list(&web.wat_paths_url()).await?;
    let base_url = web.base_url();
    let format = operation::Format::WatPaths { base_url };
    let list = operation::CheckedList::read(list, format).await?;
    operation::import(&*store, list, None, 0).await?;
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}; is the port taken?"))?;
    let config = cah_tracker::Config {
        project: "Crawling@Home demo".into(),
        ..cah_tracker::Config::default()
    };
    Ok(Tracker::new(store, config)?.start(listener).await?)
}

/// A pipeline with the toy model that may reach the mini web, and that alone.
async fn pipeline(web: &ServedWeb) -> Result<Pipeline> {
    let hosts = web.hosts().into_iter();
    let port_of_the_url = 0;
    let mut config = PipelineConfig {
        fetch: cah_fetch::Config {
            deadline: DEADLINE,
            // One machine plays all the hosts, and it is ours: no need to go easy on it.
            per_host: 64,
            host_delay: Duration::ZERO,
            allow_private_addresses: true,
            hosts: hosts
                .map(|(name, address)| (name, vec![(address, port_of_the_url).into()]))
                .collect(),
            name_servers: cah_fetch::NameServers::None,
            ..cah_fetch::Config::default()
        },
        ..PipelineConfig::default()
    };
    let detector = LanguageDetector::from_bytes(assets::LANGUAGE_MODEL)?;
    config.rules.detector = Some(detector.into());
    Ok(Pipeline::new(
        config,
        assets::model(assets::TINY_CLIP).await?,
    )?)
}

/// Compares what lies in the dataset with the truth.
async fn judge(report: &Report, web: &ServedWeb, dataset: &Store) -> Result<Table> {
    let mut kept = Vec::new();
    for shard in report.shards() {
        kept.extend(dataset.captions(shard).await?);
    }
    let truth = web.truth();
    let score = truth.score(kept.iter().map(|pair| (&pair.url, &pair.text)));
    Ok(report.table().judged(&score, truth.expected_counts()))
}

async fn empty_store(out: &str) -> Result<Store> {
    let store = Store::open(out).await?;
    if store.manifests().try_next().await?.is_some() {
        bail!("{out} holds a dataset already; name an empty folder with --out");
    }
    Ok(store)
}

/// The first of demo-dataset, demo-dataset-2, … that is not there.
fn free_folder() -> Result<String> {
    let names = std::iter::once("demo-dataset".to_owned())
        .chain((2..).map(|number| format!("demo-dataset-{number}")));
    for name in names {
        match std::fs::exists(&name) {
            Ok(true) => {}
            Ok(false) => return Ok(name),
            Err(error) => return Err(error).context("cannot look for a free folder"),
        }
    }
    unreachable!("there is always a next number")
}
