//! The commands that look after a project.

use std::{
    fs::File,
    io::{self, Seek, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use cah_tracker::{
    operation::{self, Board, ParkedJob, Status},
    store,
};
use indicatif::HumanCount;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    output::Output,
    place::{self, Place, Project, Tracker, open_file},
};
use crate::{
    display::{counted, print},
    stopping::or_interrupted,
};

/// Make a store and name the stages of its project
#[derive(Debug, clap::Args)]
pub(super) struct InitArgs {
    #[command(flatten)]
    place: place::Args,

    /// The stages that each job goes through, in order
    #[arg(
        long,
        default_value = "CPU,GPU",
        value_name = "NAME,NAME",
        value_delimiter = ','
    )]
    stages: Vec<String>,
}

pub(super) async fn init(args: InitArgs) -> Result<()> {
    operation::check_stages(&args.stages)?;
    let names = args.stages.join(", ");
    let project = args.place.open_or_make().await?;
    let done = match &project {
        Project::Store(store) => store.init(args.stages).await.map_err(Into::into),
        Project::Tracker(tracker) => tracker
            .post::<Value>("init", json!({"stages": args.stages}))
            .await
            .map(drop),
    };
    project.close().await;
    done?;
    print(&format!("The project has the stages {names}\n"))
}

/// Tell how a project stands
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    place: place::Args,

    /// List the jobs that failed too often, and why, instead
    #[arg(long)]
    parked: bool,

    /// Write JSON, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) async fn status(args: StatusArgs) -> Result<()> {
    let project = args.place.open().await?;
    let text = match args.parked {
        true => parked_text(&project, args.json).await,
        false => status_text(&project, args.json).await,
    };
    project.close().await;
    print(&text?)
}

async fn status_text(project: &Project, as_json: bool) -> Result<String> {
    let status = project.status().await?;
    match as_json {
        true => json_text(&status),
        false => Ok(status_table(&status)),
    }
}

fn json_text(value: &impl Serialize) -> Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(value)?))
}

async fn parked_text(project: &Project, as_json: bool) -> Result<String> {
    let parked = parked(project).await?;
    if as_json {
        return json_text(&parked);
    }
    if parked.is_empty() {
        return Ok("No job is parked\n".into());
    }
    let mut text = String::new();
    for job in parked {
        let failures = counted(job.failures.into(), "failure");
        text += &format!("{:>12}  {failures}  {}\n", job.number, job.about);
        for message in job.messages {
            text += &format!("{:>12}  {message}\n", "");
        }
    }
    Ok(text)
}

/// All of them, some at a time.
async fn parked(project: &Project) -> Result<Vec<ParkedJob>> {
    const SOME: u32 = 100;
    let mut all: Vec<ParkedJob> = Vec::new();
    loop {
        let after = all.last().map_or(0, |job| job.number);
        let some = match project {
            Project::Store(store) => operation::parked(&**store, after, SOME).await?,
            Project::Tracker(tracker) => tracker.get(&format!("parked?after={after}")).await?,
        };
        if some.is_empty() {
            return Ok(all);
        }
        all.extend(some);
    }
}

fn status_table(status: &Status) -> String {
    let mut lines = Vec::new();
    let mut line = |name: &str, number: u64| {
        lines.push(format!("{name:<20} {:>14}", HumanCount(number).to_string()));
    };
    let total = status.jobs - status.banned;
    line("jobs", total);
    line("closed", status.closed);
    for stage in &status.stages {
        line(&format!("{} open", stage.name), stage.open);
        line(&format!("{} leased", stage.name), stage.leased);
    }
    line("parked", status.parked);
    line("banned", status.banned);
    line("pairs", status.pairs);
    line("workers", status.workers);
    if !status.banner.is_empty() {
        lines.push(format!("{:<20} {}", "banner", status.banner));
    }
    lines.join("\n") + "\n"
}

/// No error where standard output was closed by its reader.
fn enough(written: Result<()>) -> Result<()> {
    match written {
        Err(error) if error.chain().any(is_closed) => Ok(()),
        written => written,
    }
}

fn is_closed(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// List who did how much, stage by stage
#[derive(Debug, clap::Args)]
pub(super) struct ContributorsArgs {
    #[command(flatten)]
    place: place::Args,

    /// The most contributors of a stage
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: u32,

    /// Write JSON, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) async fn contributors(args: ContributorsArgs) -> Result<()> {
    let project = args.place.open().await?;
    let boards = boards(&project, args.limit).await;
    project.close().await;
    let boards = boards?;
    print(&match args.json {
        true => json_text(&boards)?,
        false => boards_table(boards),
    })
}

fn boards_table(boards: Vec<Board>) -> String {
    let mut lines = Vec::new();
    for board in boards {
        lines.push(board.stage);
        lines.extend(board.contributors.into_iter().map(|contributor| {
            format!(
                "{:>6}. {:>12} jobs {:>16} pairs  {}",
                contributor.rank,
                HumanCount(contributor.jobs).to_string(),
                HumanCount(contributor.pairs).to_string(),
                contributor.nickname
            )
        }));
    }
    lines.join("\n") + "\n"
}

async fn boards(project: &Project, limit: u32) -> Result<Vec<Board>> {
    match project {
        Project::Store(store) => Ok(operation::contributors(&**store, limit).await?),
        Project::Tracker(tracker) => tracker.get(&format!("contributors?limit={limit}")).await,
    }
}

/// Open jobs again that failed too often and were parked
#[derive(Debug, clap::Args)]
pub(super) struct RequeueArgs {
    #[command(flatten)]
    place: place::Args,

    /// This job only
    #[arg(value_name = "NUMBER")]
    number: Option<u64>,
}

pub(super) async fn requeue(args: RequeueArgs) -> Result<()> {
    #[derive(Deserialize)]
    struct Answer {
        requeued: u64,
    }
    let project = args.place.open().await?;
    let opened = match &project {
        Project::Store(store) => store.requeue(args.number).await.map_err(Into::into),
        Project::Tracker(tracker) => tracker
            .post("requeue", json!({"number": args.number}))
            .await
            .map(|answer: Answer| answer.requeued),
    };
    project.close().await;
    let opened = opened?;
    let verb = if opened == 1 { "is" } else { "are" };
    print(&format!(
        "{} {verb} open again\n",
        counted(opened, "parked job")
    ))
}

/// Open a job at its first stage, as if nothing had ever been done with it
///
/// Whoever works on it loses it, and what was accepted counts on no leaderboard any more.
#[derive(Debug, clap::Args)]
pub(super) struct ResetArgs {
    #[command(flatten)]
    job: JobArgs,
}

/// Take a job out of the project; `reset-job` brings it back
///
/// Whoever works on it loses it, and what was accepted counts on no leaderboard any more.
#[derive(Debug, clap::Args)]
pub(super) struct BanArgs {
    #[command(flatten)]
    job: JobArgs,
}

#[derive(Debug, clap::Args)]
struct JobArgs {
    #[command(flatten)]
    place: place::Args,

    /// The job's number
    #[arg(value_name = "NUMBER")]
    number: u64,
}

pub(super) async fn reset(ResetArgs { job }: ResetArgs) -> Result<()> {
    let project = job.place.open().await?;
    let done = match &project {
        Project::Store(store) => store.reset(job.number).await.map_err(Into::into),
        Project::Tracker(tracker) => post_number(tracker, "reset-job", job.number).await,
    };
    project.close().await;
    done?;
    print(&format!("Job {} is open\n", job.number))
}

pub(super) async fn ban(BanArgs { job }: BanArgs) -> Result<()> {
    let project = job.place.open().await?;
    let done = match &project {
        Project::Store(store) => store.ban(job.number).await.map_err(Into::into),
        Project::Tracker(tracker) => post_number(tracker, "ban-job", job.number).await,
    };
    project.close().await;
    done?;
    print(&format!("Job {} is banned\n", job.number))
}

/// A call about one job, whose answer says no more than that it was carried out.
async fn post_number(tracker: &Tracker, call: &str, number: u64) -> Result<()> {
    let _: Value = tracker.post(call, json!({ "number": number })).await?;
    Ok(())
}

/// Show, set or take down what the dashboard tells everybody
#[derive(Debug, clap::Args)]
pub(super) struct BannerArgs {
    #[command(flatten)]
    place: place::Args,

    /// The new text
    #[arg(value_name = "TEXT", conflicts_with = "clear")]
    text: Option<String>,

    /// Take it down
    #[arg(long)]
    clear: bool,
}

pub(super) async fn banner(args: BannerArgs) -> Result<()> {
    let text = match args.clear {
        true => Some(String::new()),
        false => args.text.map(|text| text.trim().to_owned()),
    };
    if let Some(text) = &text {
        cah_protocol::check_banner(text)?;
    }
    let project = args.place.open().await?;
    let banner = change_banner(&project, text).await;
    project.close().await;
    print(&match banner?.as_str() {
        "" => "There is no banner\n".into(),
        text => format!("The banner is: {text}\n"),
    })
}

async fn change_banner(project: &Project, text: Option<String>) -> Result<String> {
    match (project, text) {
        (Project::Store(store), Some(text)) => {
            store.set_banner(text.clone()).await?;
            Ok(text)
        }
        (Project::Store(store), None) => Ok(store.banner().await?),
        (Project::Tracker(tracker), Some(text)) => {
            let _: Value = tracker.post("banner", json!({ "text": text })).await?;
            Ok(text)
        }
        (Project::Tracker(_), None) => Ok(project.status().await?.banner),
    }
}

/// Write every job with all that is known about it, one JSON object a line
#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    place: place::Args,

    /// The file to write; standard output without it
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Only jobs after this number
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    after: u64,

    /// The most jobs
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

pub(super) async fn export(args: ExportArgs) -> Result<()> {
    let limit = args.limit.unwrap_or(u64::MAX);
    let project = args.place.open().await?;
    let exported = match &args.out {
        Some(path) => {
            let export = export_file(&project, path, args.after, limit);
            or_interrupted("nothing was written", export).await
        }
        None => enough(export_to(&project, io::stdout(), args.after, limit).await),
    };
    project.close().await;
    exported
}

async fn export_file(project: &Project, path: &Path, after: u64, limit: u64) -> Result<()> {
    let file = Output::create(path)?;
    export_to(project, file.writer()?, after, limit).await?;
    file.keep()
}

async fn export_to(
    project: &Project,
    to: impl Write + Send + 'static,
    after: u64,
    limit: u64,
) -> Result<()> {
    match project {
        Project::Store(store) => {
            operation::export(&**store, to, after, limit).await?;
            Ok(())
        }
        Project::Tracker(tracker) => {
            let parameters = [("after", after.to_string()), ("limit", limit.to_string())];
            tracker.download("export", &parameters, to).await
        }
    }
}

/// Keep a whole project in one file, which every kind of store can restore
#[derive(Debug, clap::Args)]
pub(super) struct BackupArgs {
    #[command(flatten)]
    place: place::Args,

    /// The file to write, gzip
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) async fn backup(args: BackupArgs) -> Result<()> {
    let project = args.place.open().await?;
    let backup = backup_to(&project, &args.file);
    let done = or_interrupted("the backup is not whole and was removed", backup).await;
    project.close().await;
    let name = args.file.display();
    match done.with_context(|| format!("there is no backup in {name}"))? {
        true => print(&format!("The project is kept in {name}\n")),
        // Whoever reads there expects a backup and nothing else.
        false => Ok(()),
    }
}

/// Whether the backup is a file that stays.
async fn backup_to(project: &Project, path: &Path) -> Result<bool> {
    let file = Output::create(path)?;
    let to = file.writer()?;
    match project {
        Project::Store(store) => {
            operation::backup(&**store, to).await?;
        }
        Project::Tracker(tracker) => tracker.download("backup", &[], to).await?,
    }
    let stays = file.is_plain();
    file.keep()?;
    Ok(stays)
}

/// Make a project what it was when it was kept with `backup`
#[derive(Debug, clap::Args)]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    place: place::Args,

    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Throw away the jobs that are there
    #[arg(long)]
    replace: bool,
}

pub(super) async fn restore(args: RestoreArgs) -> Result<()> {
    let file = open_file(&args.file)?;
    let restored = match args.place.find()? {
        Place::Store(address) => restore_into(&address, file, args.replace).await,
        Place::Tracker(tracker) => {
            let parameters = [("replace", args.replace.to_string())];
            let file = tokio::fs::File::from_std(file);
            tracker.upload("restore", &parameters, file).await
        }
    };
    let status: Status =
        restored.with_context(|| format!("cannot restore {}", args.file.display()))?;
    print(&format!(
        "The project has {} again\n",
        counted(status.jobs, "job")
    ))
}

/// The file is read to its end before a store is touched, or made.
async fn restore_into(address: &str, file: File, replace: bool) -> Result<Status> {
    operation::check_backup(file.try_clone()?).await?;
    (&file).rewind()?;
    let store = store::open(address).await?;
    // Nobody serves it; whoever serves it next gives its workers time.
    let restored = match operation::restore(&*store, file, replace, 0).await {
        Ok(()) => operation::status(&*store).await.map_err(Into::into),
        Err(error) => Err(error.into()),
    };
    store.close().await;
    restored
}
