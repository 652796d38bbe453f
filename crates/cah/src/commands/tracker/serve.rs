//! `cah tracker serve`, and `cah tracker config`, which tells how it would serve.

use std::path::PathBuf;

use anyhow::{Context, Result};
use cah_tracker::{Tracker, store};
use tokio::net::TcpListener;

use super::settings::Settings;
use crate::{
    display::{note, print},
    stopping,
};

/// Serve jobs to workers, and the dashboard to everybody
///
/// Every setting can stand in a file (--config), with the name of its flag. A flag goes before a
/// variable, and a variable before the file; `cah tracker config` tells what holds in the end.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    settings: Settings,

    /// A file with settings, TOML
    #[arg(long, env = "CAH_CONFIG", hide_env_values = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Tell the settings that `serve` would take, as a file that it reads
#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    #[command(flatten)]
    serve: Args,
}

impl Args {
    fn settings(self) -> Result<Settings> {
        let file = match self.config {
            Some(path) => Settings::read(&path)?,
            None => Settings::default(),
        };
        Ok(self.settings.over(file))
    }
}

pub(super) async fn run(args: Args) -> Result<()> {
    // Each worker keeps a connection. What the system does not allow shows when there are too many.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let settings = args.settings()?.effective();
    let store = settings
        .store
        .clone()
        .context("name the store: --store, CAH_STORE, or `store` in the file of settings")?;
    let listen = settings
        .listen
        .context("name the address to listen on with --listen")?;
    // Before there is a store that nobody serves.
    let config = settings.config()?;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}; is the port taken?"))?;
    let address = listener.local_addr()?;
    let scheme = if config.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let store = store::open(&store).await?;
    let served = async {
        note(&format!(
            "The tracker serves workers and the dashboard at {scheme}://{address}/ (Ctrl-C stops \
             it)"
        ));
        stopping::signal().await;
    };
    Ok(Tracker::serve(listener, store, config, served).await?)
}

pub(super) fn config(args: ConfigArgs) -> Result<()> {
    let settings = args.serve.settings()?;
    settings.clone().config()?;
    print(&settings.effective().shown()?)
}
