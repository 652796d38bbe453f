//! `cah tracker`: serve it, fill it, look after it.

mod bans;
mod import;
mod operate;
mod output;
mod place;
mod serve;
mod settings;

use anyhow::Result;
use clap::Subcommand;

pub(crate) use import::fetch_list;

/// Serve a tracker, fill it with jobs, look after it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "All but `serve` and `config` work on a store (--store) while no tracker serves it, or through \
the tracker that does (--tracker), with its admin token from --admin-token-file or CAH_ADMIN_TOKEN."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(operate::InitArgs),
    Import(import::Args),
    Serve(Box<serve::Args>),
    Config(Box<serve::ConfigArgs>),
    Status(operate::StatusArgs),
    Contributors(operate::ContributorsArgs),
    Requeue(operate::RequeueArgs),
    ResetJob(operate::ResetArgs),
    BanJob(operate::BanArgs),
    Banner(operate::BannerArgs),
    Ban(bans::BanArgs),
    Unban(bans::UnbanArgs),
    Bans(bans::BansArgs),
    Export(operate::ExportArgs),
    Backup(operate::BackupArgs),
    Restore(operate::RestoreArgs),
}

pub(crate) async fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Init(args) => operate::init(args).await,
        Command::Import(args) => import::run(args).await,
        Command::Serve(args) => serve::run(*args).await,
        Command::Config(args) => serve::config(*args),
        Command::Status(args) => operate::status(args).await,
        Command::Contributors(args) => operate::contributors(args).await,
        Command::Requeue(args) => operate::requeue(args).await,
        Command::ResetJob(args) => operate::reset(args).await,
        Command::BanJob(args) => operate::ban(args).await,
        Command::Banner(args) => operate::banner(args).await,
        Command::Ban(args) => bans::ban(args).await,
        Command::Unban(args) => bans::unban(args).await,
        Command::Bans(args) => bans::bans(args).await,
        Command::Export(args) => operate::export(args).await,
        Command::Backup(args) => operate::backup(args).await,
        Command::Restore(args) => operate::restore(args).await,
    }
}
