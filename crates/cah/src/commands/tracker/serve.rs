//! `cah tracker serve`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use cah_tracker::{
    AdminToken, Config, Tracker,
    store::{self, Order},
};
use clap::ValueEnum;
use tokio::net::TcpListener;

use super::place::{TOKEN_VARIABLE, admin_token};
use crate::stopping;

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

pub(super) async fn run(args: Args) -> Result<()> {
    // Each worker keeps a connection. What the system does not allow shows when there are too many.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let admin_token = match &args.admin_token_file {
        None if std::env::var_os(TOKEN_VARIABLE).is_none() => None,
        file => Some(AdminToken::new(&admin_token(file.clone())?)?),
    };
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}; is the port taken?", args.listen))?;
    let store = store::open(&args.store).await?;
    let idle_timeout = Duration::from_secs(args.idle_timeout);
    let config = Config {
        project: args.project,
        idle_timeout,
        // Who is silent for so long is found out soon after.
        reaper_interval: (idle_timeout / 4).clamp(Duration::from_secs(1), LONGEST_REAPER_INTERVAL),
        max_failures: args.max_failures,
        flag_reports: args.flag_reports,
        claim_order: args.claim_order.into(),
        admin_token,
        password_calls: args.password_calls,
        ..Config::default()
    };
    eprintln!(
        "The tracker serves workers and the dashboard at http://{}/ (Ctrl-C stops it)",
        listener.local_addr()?
    );
    Ok(Tracker::serve(listener, store, config, stopping::signal()).await?)
}
