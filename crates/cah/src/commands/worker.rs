//! `cah worker`: shards from a tracker, pairs into a dataset.

use std::time::Duration;

use anyhow::{Result, bail};
use cah_dataset::Store;
use cah_protocol::WorkerType;
use cah_worker::{Stop, volunteer};
use crawlingathome::{ClientConfig, HybridClient};

use crate::{display::Display, report::Report, settings::PipelineArgs, stopping};

/// Work on shards that a tracker leases.
///
/// The worker asks for one shard after the other until none is open. Ctrl-C lets it finish the
/// shard under way; a second Ctrl-C gives the shard back and stops at once. A tracker that is
/// away is waited for.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The tracker's address, such as http://127.0.0.1:8080
    #[arg(long, env = "CAH_TRACKER", hide_env_values = true, value_name = "URL")]
    tracker: String,

    /// What the worker does with a shard: hybrid, the whole way from WAT to pairs
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

    /// The dataset's folder, or s3://bucket/prefix
    #[arg(long, value_name = "DIR_OR_URL", alias = "output-folder")]
    out: String,

    /// When no shard is open, ask again after this many seconds instead of leaving
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    wait: Option<u64>,

    /// Seconds to wait for a tracker that does not answer when the worker starts; one that goes
    /// away later is waited for, two hours at most
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    connect_timeout: u64,

    #[command(flatten)]
    pipeline: PipelineArgs,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    if args.worker_type != WorkerType::Hybrid {
        bail!(
            "a {} worker needs a hand-over between two machines, which this version does not \
             have; use --type hybrid",
            args.worker_type
        );
    }
    let store = Store::open(&args.out).await?;
    let pipeline = args.pipeline.pipeline().await?;
    let display = Display::new(None);
    let report = Report::new(display.clone());
    let stop = Stop::default();
    stopping::on_signals(stop.clone(), display.clone());
    let mut client = ClientConfig::new(&args.tracker, &args.nickname);
    client.introduction.give_up_after = Some(Duration::from_secs(args.connect_timeout));
    let connect = || HybridClient::connect(client.clone());
    let wait = args.wait.map(Duration::from_secs);
    let worked = volunteer(connect, &pipeline, &store, wait, &stop, &report).await;
    store.settle().await;
    display.clear();
    let failed = worked?;
    report.table().print(&args.out)?;
    if failed > 0 {
        bail!(
            "shards could not be done, and went back to the tracker {failed} times; its dashboard \
             tells which and why"
        );
    }
    Ok(())
}

/// The three types by name. The protocol reads the first letter alone, but a typing mistake on a
/// command line should not pass for another type.
fn worker_type(text: &str) -> Result<WorkerType, String> {
    [WorkerType::Hybrid, WorkerType::Cpu, WorkerType::Gpu]
        .into_iter()
        .find(|known| known.as_str().eq_ignore_ascii_case(text))
        .ok_or_else(|| "the types are hybrid, cpu and gpu".into())
}
