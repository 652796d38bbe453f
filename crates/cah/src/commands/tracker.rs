//! `cah tracker`: serve it, fill it.

use std::{io::Cursor, net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use cah_tracker::{Config, Tracker, import_wat_paths, store};
use cah_worker::WatSource;
use clap::Subcommand;
use futures::TryStreamExt;
use tokio::net::TcpListener;

use crate::stopping;

/// Serve a tracker, or fill it with jobs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve jobs to workers, and the dashboard to everybody
    Serve(ServeArgs),
    /// Add jobs: two for each WAT file of a list. What is there already is left alone
    Import(ImportArgs),
    /// Open the shards again that failed too often and were parked; the tracker must not run
    Requeue(StoreArgs),
}

#[derive(Debug, clap::Args)]
struct StoreArgs {
    /// Where jobs and workers are kept: sqlite:PATH
    #[arg(long, env = "CAH_STORE", hide_env_values = true, value_name = "STORE")]
    store: String,
}

#[derive(Debug, clap::Args)]
struct ServeArgs {
    /// The address to listen on
    #[arg(
        long,
        env = "CAH_LISTEN",
        hide_env_values = true,
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS:PORT"
    )]
    listen: SocketAddr,

    #[command(flatten)]
    store: StoreArgs,

    /// Seconds after which a silent worker's shard is given to another one
    #[arg(long, default_value_t = 7200, value_name = "SECONDS")]
    idle_timeout: u64,

    /// How often workers may fail at a shard before it is parked for a person to look at
    #[arg(long, default_value_t = 5, value_name = "N")]
    max_failures: u32,

    /// The project's name on the dashboard
    #[arg(long, default_value = "Crawling@Home", value_name = "NAME")]
    project: String,
}

#[derive(Debug, clap::Args)]
struct ImportArgs {
    #[command(flatten)]
    store: StoreArgs,

    /// The list, as Common Crawl publishes it: a path or URL of wat.paths or wat.paths.gz
    #[arg(long, value_name = "FILE_OR_URL")]
    wat_paths: String,

    /// What stands before each line of the list
    #[arg(
        long,
        default_value = "https://data.commoncrawl.org/",
        value_name = "URL"
    )]
    base_url: String,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Serve(args) => serve(args).await,
        Command::Import(args) => import(args).await,
        Command::Requeue(args) => requeue(args).await,
    }
}

async fn serve(args: ServeArgs) -> Result<()> {
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}; is the port taken?", args.listen))?;
    let store = store::open(&args.store.store)?;
    let config = Config {
        project: args.project,
        idle_timeout: Duration::from_secs(args.idle_timeout),
        max_failures: args.max_failures,
        ..Config::default()
    };
    eprintln!(
        "The tracker serves workers and the dashboard at http://{}/ (Ctrl-C stops it)",
        listener.local_addr()?
    );
    Ok(Tracker::serve(listener, store, config, stopping::signal()).await?)
}

async fn import(args: ImportArgs) -> Result<()> {
    let store = store::open(&args.store.store)?;
    let list = read_list(&args.wat_paths).await?;
    let imported = import_wat_paths(&*store, Cursor::new(list), &args.base_url).await;
    store.close().await;
    let imported = imported.with_context(|| format!("cannot import {}", args.wat_paths))?;
    println!(
        "{} WAT files imported as {} jobs; {} were there already",
        imported.wats, imported.jobs, imported.known
    );
    Ok(())
}

async fn requeue(args: StoreArgs) -> Result<()> {
    let store = store::open(&args.store)?;
    let opened = store.requeue().await;
    store.close().await;
    println!("{} parked shards are open again", opened?);
    Ok(())
}

/// A list of WAT files, from a path or a URL; those of whole crawls are a few megabytes.
pub(crate) async fn read_list(location: &str) -> Result<Vec<u8>> {
    let source = WatSource::open(location)
        .await
        .context("cannot read the list of WAT files")?;
    let chunks: Vec<_> = source.read_from(0).try_collect().await?;
    Ok(chunks.concat())
}
