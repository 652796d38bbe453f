//! What the client library has to tell, for Python's `logging`: see `_telling.py`.
//!
//! It is told from threads that should not wait for the interpreter, so it is kept until a call of
//! Python's comes by.

use std::{
    collections::VecDeque,
    fmt::{self, Write},
    sync::Mutex,
};

use pyo3::prelude::*;
use tracing::{Event, Level, Subscriber, field, level_filters::LevelFilter};
use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt, registry::Registry};

/// What of all that is logged in the process is told: the targets of these crates begin so.
const TOLD: [&str; 2] = ["crawlingathome", "cah_"];

/// Lines that are kept; a program that makes no calls wants no more than the first.
const KEPT: usize = 256;

static LINES: Mutex<VecDeque<Line>> = Mutex::new(VecDeque::new());

struct Line {
    level: u32,
    text: String,
}

/// Begins to keep what is logged. Does nothing where the process has a subscriber already.
pub(crate) fn listen() {
    let subscriber = Registry::default().with(Keep.with_filter(LevelFilter::INFO));
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Hands what was kept to `logging`. As this is Python, a signal's handler may run here and raise.
pub(crate) fn tell(py: Python<'_>) -> PyResult<()> {
    // A thread that was forked away may have it for ever.
    let lines = match LINES.try_lock() {
        Ok(mut lines) if !lines.is_empty() => std::mem::take(&mut *lines),
        _ => return Ok(()),
    };
    for Line { level, text } in lines {
        let telling = py.import("crawlingathome._telling")?;
        telling.call_method1("relay", (level, text))?;
    }
    Ok(())
}

struct Keep;

impl<S: Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if !TOLD
            .iter()
            .any(|crates| metadata.target().starts_with(crates))
        {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        let level = level_of(*metadata.level());
        if let Ok(mut lines) = LINES.lock()
            && lines.len() < KEPT
        {
            lines.push_back(Line {
                level,
                text: text.0,
            });
        }
    }
}

/// The level by its number in Python.
fn level_of(level: Level) -> u32 {
    match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        Level::DEBUG | Level::TRACE => 10,
    }
}

#[derive(Default)]
struct Text(String);

impl field::Visit for Text {
    fn record_debug(&mut self, field: &field::Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
        written.expect("a string takes everything");
    }
}
