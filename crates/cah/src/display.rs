//! What a person sees: progress on stderr while it runs, errors in one line.

use std::{
    io::IsTerminal,
    sync::{Arc, Mutex},
    time::Duration,
};

use cah_protocol::{Outcome, Shard};
use cah_worker::{Observer, Progress, ShardReport};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tracing_subscriber::EnvFilter;

/// Logs go to stderr; a filter that makes no sense falls back to warnings.
pub(crate) fn init_logs(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .init();
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
    eprintln!("error: {}", line.replace('\n', " "));
}

/// Bars on a terminal, a line for each finished shard elsewhere. Clones are the same display.
#[derive(Clone)]
pub(crate) struct Display {
    bars: MultiProgress,
    shards: ProgressBar,
    current: Arc<Mutex<Option<Watch>>>,
}

/// The shard under way: its bar, and the task that keeps the bar up to date.
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
        let bars = MultiProgress::new();
        let bar = match shards {
            Some(count) => ProgressBar::new(count)
                .with_style(style("shards   {wide_bar} {pos}/{len} [{elapsed_precise}]")),
            None => ProgressBar::no_length().with_style(style("{pos} shards [{elapsed_precise}]")),
        };
        let shards = bars.add(bar);
        shards.enable_steady_tick(Duration::from_secs(1));
        Self {
            bars,
            shards,
            current: Arc::default(),
        }
    }

    /// Writes a line that stays.
    pub(crate) fn line(&self, text: &str) {
        if self.bars.is_hidden() {
            eprintln!("{text}");
        } else {
            // A terminal that went away has nobody who reads.
            let _ = self.bars.println(text);
        }
    }

    /// Takes the bars away, so that what follows stands alone.
    pub(crate) fn clear(&self) {
        self.watch(None);
        self.shards.finish_and_clear();
    }

    /// A bar over one WAT file that is read.
    pub(crate) fn reading(&self, name: &str) -> Progress {
        let progress = Progress::default();
        self.watch(Some((file_name(name).to_owned(), progress.clone())));
        progress
    }

    fn watch(&self, what: Option<(String, Progress)>) {
        let watch = what.map(|(name, progress)| {
            let bar = ProgressBar::new(1)
                .with_style(style("{prefix} {bar:20} {bytes}/{total_bytes}  {msg}"))
                .with_prefix(name);
            let bar = self.bars.add(bar);
            let refresh = tokio::spawn(refresh(bar.clone(), progress));
            Watch { bar, refresh }
        });
        *self
            .current
            .lock()
            .expect("nobody panics while exchanging the bar") = watch;
    }
}

async fn refresh(bar: ProgressBar, progress: Progress) {
    loop {
        let (read, length) = progress.wat_position();
        bar.set_length(length.max(1));
        bar.set_position(read);
        let outcomes = progress.outcomes();
        bar.set_message(format!(
            "{} candidates, {} pairs",
            outcomes.candidates(),
            outcomes.get(Outcome::Kept)
        ));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl Observer for Display {
    fn started(&self, shard: &Shard, progress: &Progress) {
        self.watch(Some((format!("shard {}", shard.number), progress.clone())));
    }

    fn finished(&self, report: &ShardReport) {
        self.watch(None);
        self.shards.inc(1);
        self.line(&shard_line(report));
    }
}

fn shard_line(report: &ShardReport) -> String {
    let manifest = &report.manifest;
    if report.was_there {
        return format!("shard {}: was there already", manifest.number);
    }
    let seconds = report.elapsed.as_secs_f64();
    format!(
        "shard {}: {} pairs of {} candidates in {seconds:.1} s",
        manifest.number, manifest.pairs, manifest.candidates,
    )
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates are constants and well-formed")
}

fn file_name(location: &str) -> &str {
    location.rsplit('/').next().unwrap_or(location)
}
