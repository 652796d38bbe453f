//! The commands and what they are for.

use std::ffi::OsStr;

use anyhow::Result;
use clap::{
    CommandFactory, Parser, Subcommand,
    error::{ContextKind, ContextValue},
};

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

impl Cli {
    /// Reads the command line; what is wrong with it ends the program.
    pub(crate) fn read() -> Self {
        let flags: Vec<_> = std::env::args_os().collect();
        Self::try_parse_from(&flags).unwrap_or_else(|error| source_named(error, &flags).exit())
    }
}

/// Names the variable that a wrong value came from in place of the flag, which nobody gave.
fn source_named(mut error: clap::Error, flags: &[impl AsRef<OsStr>]) -> clap::Error {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let Some(name) = argument.strip_prefix("--") else {
        return error;
    };
    let name = name.split([' ', '=', '[']).next().unwrap_or_default();
    let given = flags.iter().any(|flag| {
        let flag = flag.as_ref().to_string_lossy();
        let flag = flag.strip_prefix("--").unwrap_or_default();
        flag.split('=').next() == Some(name)
    });
    if !given && let Some(variable) = variable(&Cli::command(), name) {
        error.insert(ContextKind::InvalidArg, ContextValue::String(variable));
    }
    error
}

/// The variable of a flag, where it is set.
fn variable(command: &clap::Command, flag: &str) -> Option<String> {
    let mut arguments = command.get_arguments();
    let variable = arguments
        .find(|argument| argument.get_long() == Some(flag))
        .and_then(clap::Arg::get_env)
        .filter(|name| std::env::var_os(name).is_some());
    let below = || {
        let mut below = command.get_subcommands();
        below.find_map(|command| self::variable(command, flag))
    };
    variable
        .map(|name| name.to_string_lossy().into_owned())
        .or_else(below)
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
