//! `cah tracker serve`.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use cah_protocol::WorkerType;
use cah_tracker::{
    AdminToken, Config, Tracker,
    store::{self, Order},
};
use clap::ValueEnum;
use reqwest::Url;
use tokio::net::TcpListener;

use super::place::admin_token;
use crate::{display::note, stopping};

/// The longest time between two looks for workers that fell silent.
const LONGEST_REAPER_INTERVAL: Duration = Duration::from_secs(30);

/// Serve jobs to workers, and the dashboard to everybody
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The address to listen on
    #[arg(
        long,
        env = "CAH_LISTEN",
        hide_env_values = true,
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS:PORT"
    )]
    listen: SocketAddr,

    /// Where jobs and workers are kept: sqlite:PATH, or postgres://USER:PASSWORD@HOST/DATABASE,
    /// which several trackers may serve at once
    #[arg(long, env = "CAH_STORE", hide_env_values = true, value_name = "STORE")]
    store: String,

    /// Seconds after which a silent worker's job is given to another one
    #[arg(long, default_value_t = 7200, value_name = "SECONDS")]
    idle_timeout: u64,

    /// How often a job may fail before it is parked for a person to look at
    #[arg(long, default_value_t = 5, value_name = "N")]
    max_failures: u32,

    /// How many DistCompute workers must flag a job's input before it goes back a stage
    #[arg(long, default_value_t = 5, value_name = "N")]
    flag_reports: u32,

    /// Which of the open jobs is given out next
    #[arg(long, default_value = "oldest", value_name = "ORDER")]
    claim_order: ClaimOrder,

    /// The most workers at the same time
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    max_workers: u32,

    /// Where workers of a type (HYBRID, CPU or GPU) bring their results: any text, which they are
    /// told; one of several is drawn. Without one it is this tracker's own staging
    #[arg(long, value_name = "TYPE=ADDRESS", value_parser = upload_address)]
    upload_address: Vec<(WorkerType, String)>,

    /// The address under which workers reach this tracker, where a proxy changes it
    #[arg(long, value_name = "URL")]
    public_url: Option<Url>,

    /// Do not serve clients that take whole WAT files, which hand in results without a lease
    #[arg(long)]
    no_whole_wats: bool,

    /// The project's name on the dashboard
    #[arg(long, default_value = "Crawling@Home", value_name = "NAME")]
    project: String,

    /// The file with the token that admin calls need; without it CAH_ADMIN_TOKEN may have it, and
    /// without either there are no admin calls
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,

    /// Answer the admin calls of the public tracker too, which carry the admin token as `password`
    #[arg(long)]
    password_calls: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ClaimOrder {
    Oldest,
    Random,
}

impl From<ClaimOrder> for Order {
    fn from(order: ClaimOrder) -> Self {
        match order {
            ClaimOrder::Oldest => Order::Oldest,
            ClaimOrder::Random => Order::Random,
        }
    }
}

fn upload_address(text: &str) -> Result<(WorkerType, String), String> {
    let (name, address) = text
        .split_once('=')
        .ok_or("write it like CPU=https://staging.example.org/")?;
    let worker_type = [WorkerType::Hybrid, WorkerType::Cpu, WorkerType::Gpu]
        .into_iter()
        .find(|known| known.as_str().eq_ignore_ascii_case(name.trim()))
        .ok_or_else(|| format!("`{name}` is no type; the types are HYBRID, CPU and GPU"))?;
    match address.trim() {
        "" => Err("the address is missing".into()),
        address => Ok((worker_type, address.to_owned())),
    }
}

pub(super) async fn run(args: Args) -> Result<()> {
    // Each worker keeps a connection. What the system does not allow shows when there are too many.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let (listen, address) = (args.listen, args.store.clone());
    let config = config(args)?;
    // Before there is a store that nobody serves.
    config.check()?;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}; is the port taken?"))?;
    let store = store::open(&address).await?;
    let address = listener.local_addr()?;
    let served = async {
        note(&format!(
            "The tracker serves workers and the dashboard at http://{address}/ (Ctrl-C stops it)"
        ));
        stopping::signal().await;
    };
    Ok(Tracker::serve(listener, store, config, served).await?)
}

fn config(args: Args) -> Result<Config> {
    let admin_token = match admin_token(args.admin_token_file)? {
        Some(token) => Some(AdminToken::new(&token)?),
        None => None,
    };
    let idle_timeout = Duration::from_secs(args.idle_timeout);
    let mut upload_addresses: BTreeMap<WorkerType, Vec<String>> = BTreeMap::new();
    for (worker_type, address) in args.upload_address {
        upload_addresses
            .entry(worker_type)
            .or_default()
            .push(address);
    }
    Ok(Config {
        project: args.project,
        idle_timeout,
        // Who is silent for so long is found out soon after.
        reaper_interval: (idle_timeout / 4).clamp(Duration::from_secs(1), LONGEST_REAPER_INTERVAL),
        max_failures: args.max_failures,
        flag_reports: args.flag_reports,
        claim_order: args.claim_order.into(),
        admin_token,
        password_calls: args.password_calls,
        max_workers: args.max_workers,
        whole_wats: !args.no_whole_wats,
        upload_addresses,
        public_url: args.public_url,
        ..Config::default()
    })
}
