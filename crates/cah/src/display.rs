//! What a person sees: progress on stderr while it runs, errors in one line.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind, IsTerminal, Write},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use anyhow::{Context, Result};
use cah_protocol::Shard;
use cah_worker::{Made, Observer, Progress, ShardReport};
use clap::ValueEnum;
use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Checks the value of `--log`. A word alone is a level here: to the library it would be a target
/// of which everything is wanted, and a misspelt level would silence all others.
pub(crate) fn log_filter(text: &str) -> Result<String, String> {
    let is_level = |word: &str| word.trim().parse::<LevelFilter>().is_ok();
    let is_word = |part: &&str| !part.contains(['=', '[', ']']);
    let misspelt = text.split(',').filter(is_word).find(|word| !is_level(word));
    match (misspelt, EnvFilter::try_new(text)) {
        (Some(word), _) => Err(format!(
            "`{word}` is no level; use off, error, warn, info, debug or trace"
        )),
        (None, Err(error)) => Err(error.to_string()),
        (None, Ok(_)) => Ok(text.to_owned()),
    }
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people; whoever collects it adds the time.
    Text,
    /// One JSON object a line, with the time.
    Json,
}

/// Lets logs go to stderr, by a filter that [`log_filter`] found right.
pub(crate) fn init_logs(filter: &str, format: LogFormat) {
    let logs = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(io::stderr)
        .log_internal_errors(false);
    match format {
        LogFormat::Text => logs
            .with_ansi(io::stderr().is_terminal())
            .without_time()
            .init(),
        LogFormat::Json => logs.json().flatten_event(true).with_ansi(false).init(),
    }
}

/// Prints to stdout. Whoever reads there may have seen enough, as in `cah wat … | head`: that is
/// no failure, and the rest of the work is done as if all had been read.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    let printed = stdout.write_all(text.as_bytes());
    match printed.and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to the standard output")
        }
        _ => Ok(()),
    }
}

/// A number of things: `1 job`, `1,200 jobs`.
pub(crate) fn counted(number: u64, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        number => format!("{} {thing}s", HumanCount(number)),
    }
}

/// Tells something on stderr; where nobody reads there, nobody needs to know.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints why the command failed: one line, with the causes that it does not tell itself.
pub(crate) fn error(error: &anyhow::Error) {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if !line.contains(&text) {
            let separator = if line.is_empty() { "" } else { ": " };
            line = format!("{line}{separator}{text}");
        }
    }
    note(&format!("error: {}", line.replace('\n', " ")));
}

/// Bars on a terminal, a line for each finished shard elsewhere. Clones are the same display.
#[derive(Clone)]
pub(crate) struct Display {
    bars: MultiProgress,
    /// Over all shards, or all files.
    all: ProgressBar,
    current: Arc<Mutex<BTreeMap<String, Watch>>>,
}

/// A shard or file under way: its bar, and the task that keeps the bar up to date.
struct Watch {
    bar: ProgressBar,
    refresh: tokio::task::JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.refresh.abort();
        self.bar.finish_and_clear();
    }
}

impl Display {
    /// A display for `shards` shards, where their number is known.
    pub(crate) fn new(shards: Option<u64>) -> Self {
        Self::over("shards", shards)
    }

    /// A display for files that are [read](Self::reading) one after the other.
    pub(crate) fn of_files(files: u64) -> Self {
        Self::over("files", Some(files))
    }

    fn over(things: &'static str, count: Option<u64>) -> Self {
        let bars = MultiProgress::new();
        let bar = match count {
            Some(count) => ProgressBar::new(count).with_style(style(
                "{prefix:8} {wide_bar} {pos}/{len} [{elapsed_precise}]",
            )),
            None => {
                ProgressBar::no_length().with_style(style("{pos} {prefix} [{elapsed_precise}]"))
            }
        };
        let all = bars.add(bar.with_prefix(things));
        all.enable_steady_tick(Duration::from_secs(1));
        Self {
            bars,
            all,
            current: Arc::default(),
        }
    }

    /// Writes a line that stays.
    pub(crate) fn line(&self, text: &str) {
        if self.bars.is_hidden() {
            note(text);
        } else {
            // A terminal that went away has nobody who reads.
            let _ = self.bars.println(text);
        }
    }

    /// Takes the bars away, so that what follows stands alone.
    pub(crate) fn clear(&self) {
        self.current().clear();
        self.all.finish_and_clear();
    }

    /// A bar over one WAT file that is read. The one before it is done.
    pub(crate) fn reading(&self, name: &str) -> Progress {
        let progress = Progress::default();
        let before = std::mem::take(&mut *self.current());
        self.all.inc(before.len() as u64);
        self.watch(file_name(name).to_owned(), progress.clone());
        progress
    }

    /// Shows what is under way.
    fn watch(&self, name: String, progress: Progress) {
        let bar = ProgressBar::new(1).with_prefix(name.clone());
        let bar = self.bars.add(bar);
        let refresh = tokio::spawn(refresh(bar.clone(), progress));
        self.current().insert(name, Watch { bar, refresh });
    }

    fn current(&self) -> MutexGuard<'_, BTreeMap<String, Watch>> {
        self.current
            .lock()
            .expect("nobody panics while exchanging the bars")
    }
}

async fn refresh(bar: ProgressBar, progress: Progress) {
    let of_wat = style("{prefix} {bar:20} {bytes}/{total_bytes}  {msg}");
    let of_images = style("{prefix} {bar:20} {pos}/{len} images  {msg}");
    bar.set_style(of_wat);
    let mut handed_over = false;
    loop {
        let ((done, images), wat) = (progress.images_position(), progress.wat_position());
        if images > 0 && !handed_over {
            bar.set_style(of_images.clone());
            handed_over = true;
        }
        let (position, length) = if handed_over { (done, images) } else { wat };
        bar.set_length(length.max(1));
        bar.set_position(position);
        bar.set_message(progress.yield_so_far());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn bar_of(number: u64) -> String {
    format!("shard {number}")
}

impl Observer for Display {
    fn started(&self, shard: &Shard, progress: &Progress) {
        self.watch(bar_of(shard.number), progress.clone());
    }

    fn left(&self, shard: &Shard) {
        self.current().remove(&bar_of(shard.number));
    }

    fn finished(&self, report: &ShardReport) {
        self.all.inc(1);
        self.line(&shard_line(report));
    }
}

fn shard_line(report: &ShardReport) -> String {
    let number = report.number;
    if report.was_there {
        return format!("shard {number}: was there already");
    }
    let (made, candidates) = match &report.made {
        Made::Pairs(manifest) => (counted(manifest.pairs, "pair"), manifest.candidates),
        Made::Images(handed_on) => (
            format!("{} handed over", counted(handed_on.images, "image")),
            handed_on.candidates,
        ),
    };
    let seconds = report.elapsed.as_secs_f64();
    format!("shard {number}: {made} of {candidates} candidates in {seconds:.1} s")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates are constants and well-formed")
}

fn file_name(location: &str) -> &str {
    location.rsplit('/').next().unwrap_or(location)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_are_counted_one_by_one() {
        let display = Display::of_files(3);
        for (done, name) in ["a.wat", "b.wat", "c.wat"].iter().enumerate() {
            drop(display.reading(name));
            assert_eq!(display.all.position(), done as u64);
        }
        display.clear();
        assert_eq!(display.all.length(), Some(3));
    }

    #[test]
    fn filters_are_levels_and_targets_with_levels() {
        for right in [
            "warn",
            "INFO",
            "off",
            "info,cah_fetch=debug",
            "cah=trace,error",
        ] {
            assert_eq!(log_filter(right).as_deref(), Ok(right));
        }
        for wrong in ["wran", "cah_fetch", "info,loud", "cah=wran", "cah==info"] {
            assert!(log_filter(wrong).is_err(), "{wrong}");
        }
    }
}
