//! Every job with all that is known about it, one JSON object a line.

use std::io::{self, BufWriter, Write};

use cah_task::blocking;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::WriteError;
use crate::store::{
    CompletionRecord, FailedAttempt, JobRecord, StageCounts, Store, Task, stage_name,
};

/// Jobs that are read at a time.
const BATCH: u32 = 1_000;

/// Batches that wait to be written.
const WAITING: usize = 4;

/// Writes the jobs after number `after`, at most `limit` of them, and returns how many.
///
/// A line has the job's `number`, `state`, `stage` (by name), `priority`, `attempts` and
/// `failures`; `url` and `piece` of a shard, or `data` and `data_bytes`; `completions`, the oldest
/// first, each with `stage`, `attempt`, `nickname`, `pairs`, `output`, `output_bytes`, `at` (Unix
/// seconds) and `revoked`; and `messages`, the oldest first, each with the `attempt` that failed, `message` and `at`.
///
/// # Errors
/// A store that refuses, a place that cannot be written to.
pub async fn export(
    store: &dyn Store,
    to: impl Write + Send + 'static,
    mut after: u64,
    limit: u64,
) -> Result<u64, WriteError> {
    let stages = store.counts().await?.stages;
    let (send, lines) = mpsc::channel(WAITING);
    let writing = blocking(move || write(lines, to));
    let mut exported = 0;
    while exported < limit {
        let most = u32::try_from(limit - exported).unwrap_or(BATCH).min(BATCH);
        let records = store.records(after, most).await?;
        let Some(last) = records.last() else {
            break;
        };
        after = last.number;
        exported += records.len() as u64;
        let mut text = String::new();
        for record in records {
            text += &format!("{}\n", line(record, &stages));
        }
        if send.send(text).await.is_err() {
            break;
        }
    }
    drop(send);
    writing.await?;
    Ok(exported)
}

fn write(mut lines: mpsc::Receiver<String>, to: impl Write) -> io::Result<()> {
    let mut to = BufWriter::new(to);
    while let Some(text) = lines.blocking_recv() {
        to.write_all(text.as_bytes())?;
    }
    to.flush()
}

/// A job with all that is known about it, as [`export`] writes it.
pub(crate) fn line(record: JobRecord, stages: &[StageCounts]) -> Value {
    let name = |stage| stage_name(stages, stage);
    let completions = record.completions.into_iter();
    let completions: Vec<Value> = completions.map(|done| completion(done, &name)).collect();
    let messages = record.failed.into_iter().map(message);
    let messages: Vec<Value> = messages.collect();
    let mut line = json!({
        "number": record.number,
        "state": record.state.as_str(),
        "stage": name(record.stage),
        "priority": record.priority,
        "attempts": record.attempts,
        "failures": record.failures,
        "completions": completions,
        "messages": messages,
    });
    match record.task {
        Task::Shard(shard) => {
            line["url"] = json!(shard.url);
            line["piece"] = json!(u8::from(shard.piece));
        }
        Task::Data(data) => {
            line["data_bytes"] = json!(data.len());
            line["data"] = json!(data);
        }
    }
    line
}

fn message(failed: FailedAttempt) -> Value {
    json!({"attempt": failed.attempt, "message": failed.message, "at": failed.at})
}

fn completion<'a>(done: CompletionRecord, name: &impl Fn(u8) -> Option<&'a str>) -> Value {
    json!({
        "stage": name(done.stage),
        "attempt": done.attempt,
        "nickname": done.nickname,
        "pairs": done.pairs,
        "output": done.output,
        "output_bytes": done.output_bytes,
        "at": done.at,
        "revoked": done.revoked,
    })
}
