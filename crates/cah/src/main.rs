//! The command `cah`: flags become settings, settings go into a call. The work is done in the
//! libraries of this workspace.

// The command is the one place that talks to a terminal; the libraries log.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod assets;
mod cli;
mod commands;
mod display;
mod report;
mod settings;
mod stopping;

use std::process::ExitCode;

/// Calls and pages are many small pieces of memory, which the system's allocator is slow with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::read();
    display::init_logs(&cli.log, cli.log_format);
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            display::error(&error);
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(cli: cli::Cli) -> anyhow::Result<()> {
    cli.command.run().await
}
