//! `cah worker`: shards from a tracker, pairs into a dataset, or images to GPU workers.

use std::{
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use cah_clip::Model;
use cah_dataset::Store;
use cah_protocol::WorkerType;
use cah_worker::{
    CpuPipeline, CpuWork, GpuPipeline, GpuWork, HybridWork, Pipeline, State, Stop, Terms, Work,
    volunteer,
};
use crawlingathome::{ClientConfig, DownloadOptions, UploadOptions};

use crate::{
    assets,
    display::Display,
    report::Report,
    settings::{MODEL_HELP, StepArgs, count},
    stopping,
};

/// Where workers keep their state in the folder of a dataset.
const STATE_IN_DATASET: &str = ".cah-worker";

/// Work on shards that a tracker leases.
///
/// The worker asks for one shard after the other until none is open. Ctrl-C lets it finish the
/// shards under way; a second Ctrl-C gives them back and stops at once. A tracker that is away is
/// waited for.
///
/// A hybrid worker takes a shard the whole way from WAT to pairs. Two other types share that way: a
/// cpu worker needs no model and no --out, downloads the images and brings them to where the tracker
/// says, and a gpu worker makes pairs of them. The pairs are the same.
///
/// A worker that is killed, or whose machine goes down, goes on with its shard when the same command
/// is given again: see --state.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The tracker's address, such as http://127.0.0.1:8080
    #[arg(long, env = "CAH_TRACKER", hide_env_values = true, value_name = "URL")]
    tracker: String,

    /// What the worker does with a shard: hybrid, the whole way from WAT to pairs; cpu, from WAT to
    /// images, which it hands over; gpu, from such images to pairs
    #[arg(long = "type", default_value = "hybrid", value_name = "TYPE", value_parser = worker_type)]
    worker_type: WorkerType,

    /// Your name on the leaderboard
    #[arg(
        long,
        env = "CAH_NICKNAME",
        hide_env_values = true,
        default_value = "anonymous",
        value_name = "NAME"
    )]
    nickname: String,

    /// The dataset's folder, or s3://bucket/prefix; cpu workers write none
    #[arg(long, value_name = "DIR_OR_URL", alias = "output-folder")]
    out: Option<String>,

    /// When no shard is open, ask again after this many seconds instead of leaving
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    wait: Option<u64>,

    /// Shards that a gpu worker has at once: their images fill the same batches, and while one shard
    /// is downloaded another one is embedded
    #[arg(
        long,
        default_value_t = 2,
        value_name = "N",
        value_parser = count(1..=Terms::MOST_AT_ONCE as u64)
    )]
    shards_at_once: usize,

    /// The folder for what a worker that is killed goes on from: who it is and which shard it has, a
    /// cpu worker's images until they are handed over, and those that a gpu worker has downloaded.
    /// It is for this worker alone, and empty when the worker leaves
    /// [default: .cah-worker in --out where that is a folder, else cah in the user's cache folder]
    #[arg(long, env = "CAH_STATE", hide_env_values = true, value_name = "DIR")]
    state: Option<PathBuf>,

    /// Seconds to wait for a tracker that does not answer when the worker starts; one that goes
    /// away later is waited for, two hours at most
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    connect_timeout: u64,

    #[arg(long, env = "CAH_MODEL", hide_env_values = true, value_name = "MODEL", help = MODEL_HELP)]
    model: Option<String>,

    #[command(flatten)]
    steps: StepArgs,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    match args.worker_type {
        WorkerType::Hybrid => {
            let store = args.store().await?;
            let pipeline = Pipeline::new(args.steps.config()?, args.model().await?)?;
            let (pipeline, store) = (&pipeline, &store);
            work(&args, &HybridWork { pipeline, store }, Some(store)).await
        }
        WorkerType::Cpu => {
            let pipeline = &CpuPipeline::new(&args.steps.config()?)?;
            let mut upload = UploadOptions::default();
            upload.allow_private_addresses = args.steps.fetch.may_be_private();
            let upload = &upload;
            work(&args, &CpuWork { pipeline, upload }, None).await
        }
        WorkerType::Gpu => {
            let store = &args.store().await?;
            let config = args.steps.config()?;
            let pipeline = &GpuPipeline::new(&config, args.model().await?)?;
            let mut download = DownloadOptions::default();
            download.allow_private_addresses = args.steps.fetch.may_be_private();
            let gpu = GpuWork {
                pipeline,
                store,
                download: &download,
            };
            work(&args, &gpu, Some(store)).await
        }
    }
}

async fn work(args: &Args, work: &impl Work, store: Option<&Store>) -> Result<()> {
    let mut tracker = ClientConfig::new(&args.tracker, &args.nickname);
    tracker.introduction.give_up_after = Some(Duration::from_secs(args.connect_timeout));
    let display = Display::new(None);
    let report = Report::new(display.clone());
    let stop = Stop::default();
    let terms = Terms {
        state: args.state(store, &tracker)?,
        tracker,
        at_once: match args.worker_type {
            WorkerType::Gpu => args.shards_at_once,
            WorkerType::Hybrid | WorkerType::Cpu => 1,
        },
        wait: args.wait.map(Duration::from_secs),
        stop: stop.clone(),
    };
    stopping::on_signals(stop, display.clone());
    let worked = volunteer(work, terms, &report).await;
    if let Some(store) = store {
        store.settle().await;
    }
    display.clear();
    let failed = worked?;
    report.table().print(args.out.as_deref())?;
    if failed > 0 {
        bail!(
            "shards could not be done, and went back to the tracker {failed} times; its dashboard \
             tells which and why"
        );
    }
    Ok(())
}

impl Args {
    async fn store(&self) -> Result<Store> {
        let worker_type = self.worker_type;
        let out = self.out.as_deref().with_context(|| {
            format!("a {worker_type} worker writes a dataset; give its place with --out")
        })?;
        Ok(Store::open(out).await?)
    }

    async fn model(&self) -> Result<Model> {
        let worker_type = self.worker_type;
        let model = self.model.as_deref().with_context(|| {
            format!("a {worker_type} worker needs a CLIP model; give one with --model")
        })?;
        assets::model(model).await
    }

    /// The folder that was given, else one of its own for each worker that is started like this.
    fn state(&self, store: Option<&Store>, tracker: &ClientConfig) -> Result<State> {
        if let Some(folder) = &self.state {
            return Ok(State::open(folder)?);
        }
        let place = match store.and_then(Store::folder) {
            Some(dataset) => dataset.join(STATE_IN_DATASET),
            None => cache()
                .context("the worker has no place for its state; give one with --state")?
                .join("cah"),
        };
        Ok(State::first_free(&place, self.worker_type, tracker)?)
    }
}

/// The user's folder for what programs may lose.
fn cache() -> Option<PathBuf> {
    let folder = |name| env::var_os(name).filter(|folder| Path::new(folder).is_absolute());
    let cache = folder("XDG_CACHE_HOME").map(PathBuf::from);
    cache.or_else(|| Some(Path::new(&folder("HOME")?).join(".cache")))
}

/// The three types by name. The protocol reads the first letter alone, but a typing mistake on a
/// command line should not pass for another type.
fn worker_type(text: &str) -> Result<WorkerType, String> {
    [WorkerType::Hybrid, WorkerType::Cpu, WorkerType::Gpu]
        .into_iter()
        .find(|known| known.as_str().eq_ignore_ascii_case(text))
        .ok_or_else(|| "the types are hybrid, cpu and gpu".into())
}
