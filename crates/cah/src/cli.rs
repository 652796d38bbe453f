//! The commands and what they are for.

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::commands::{demo, run, tracker, wat, worker};

/// Turns Common Crawl into image–text datasets.
///
/// A tracker leases shards of Common Crawl; workers download the images that a shard links to,
/// keep those whose alternative text CLIP agrees with, and write them as webdataset, parquet and
/// embeddings. `cah run` does the same alone on one machine.
#[derive(Debug, Parser)]
#[command(
    name = "cah",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
#[command(
    after_help = "Start here: `cah demo` shows everything at work in about a minute, without \
the Internet. `cah help COMMAND` tells more about a command."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// What is logged on stderr, as `level` or `target=level,…`
    #[arg(
        long,
        global = true,
        env = "CAH_LOG",
        default_value = "warn",
        value_name = "FILTER"
    )]
    pub(crate) log: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole system on a small web of its own, and check the result against the truth
    Demo(demo::Args),
    /// Turn WAT files into a dataset on this machine, without a tracker
    Run(run::Args),
    /// Write the image links of WAT files to a parquet file, and stop there
    Wat(wat::Args),
    /// Work on shards that a tracker leases
    Worker(worker::Args),
    /// Serve a tracker, or fill it with jobs
    Tracker(tracker::Args),
}

impl Command {
    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Command::Demo(args) => demo::run(args).await,
            Command::Run(args) => run::run(args).await,
            Command::Wat(args) => wat::run(args).await,
            Command::Worker(args) => worker::run(args).await,
            Command::Tracker(args) => tracker::run(args).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn flags_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }
}
