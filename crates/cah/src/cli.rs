//! The commands and what they are for.

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{
    commands::{demo, run, tracker, wat, worker},
    display,
};

/// Turns Common Crawl into image–text datasets.
///
/// Common Crawl lists the links of its pages in WAT files. A tracker leases halves of them, called
/// shards; workers download the images that a shard links to, keep those whose alternative text
/// CLIP agrees with, and write them as webdataset, parquet and embeddings. `cah run` does the same
/// alone on one machine.
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

    /// What is logged on stderr: off, error, warn, info, debug or trace, and other levels for parts
    /// of the program, as in `warn,cah_fetch=debug`
    #[arg(
        long,
        global = true,
        env = "CAH_LOG",
        hide_env_values = true,
        display_order = 900,
        default_value = "warn",
        value_name = "FILTER",
        value_parser = display::log_filter
    )]
    pub(crate) log: String,

    /// How it is logged: for people, or JSON, a line each, for programs
    #[arg(
        long,
        global = true,
        env = "CAH_LOG_FORMAT",
        hide_env_values = true,
        display_order = 901,
        default_value = "text",
        value_name = "FORMAT"
    )]
    pub(crate) log_format: display::LogFormat,
}

// What each is for stands at its arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::Args),
    Run(run::Args),
    Wat(wat::Args),
    Worker(worker::Args),
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

    #[test]
    fn help_reads_like_one_product() {
        let mut command = Cli::command().term_width(100);
        command.build();
        check_help("cah", &mut command);
    }

    /// Compares what `--help` of a command and of those below it says with what was read and found
    /// good.
    fn check_help(name: &str, command: &mut clap::Command) {
        insta::assert_snapshot!(name, command.render_long_help());
        let below = command.get_subcommands_mut();
        for command in below.filter(|command| command.get_name() != "help") {
            check_help(&format!("{name}-{}", command.get_name()), command);
        }
    }
}
