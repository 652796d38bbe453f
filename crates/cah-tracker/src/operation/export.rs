//! Every job with all that is known about it, one JSON object a line.

use std::io::Write;

use serde_json::{Value, json};

use crate::store::{CompletionRecord, JobRecord, StageCounts, Store, StoreError, Task};

/// Jobs that are read at a time.
const BATCH: u32 = 1_000;

/// Writes the jobs after number `after`, at most `limit` of them, and returns how many.
///
/// A line has the job's `number`, `state`, `stage` (by name), `priority`, `attempts` and
/// `failures`; `url` and `piece` of a shard, or `data`; and `completions`, the oldest first, each
/// with `stage`, `attempt`, `nickname`, `pairs`, `output`, `at` (Unix seconds) and `revoked`.
///
/// # Errors
/// Whatever the store says; a place that cannot be written to, as [`StoreError::Unavailable`].
pub async fn export(
    store: &dyn Store,
    to: &mut (dyn Write + Send),
    mut after: u64,
    limit: u64,
) -> Result<u64, StoreError> {
    let stages = store.counts().await?.stages;
    let mut written = 0;
    while written < limit {
        let most = u32::try_from(limit - written).unwrap_or(BATCH).min(BATCH);
        let records = store.records(after, most).await?;
        let Some(last) = records.last() else {
            break;
        };
        after = last.number;
        written += records.len() as u64;
        for record in records {
            writeln!(to, "{}", line(record, &stages)).map_err(StoreError::unavailable)?;
        }
    }
    to.flush().map_err(StoreError::unavailable)?;
    Ok(written)
}

fn line(record: JobRecord, stages: &[StageCounts]) -> Value {
    let name = |stage: u8| stages.get(usize::from(stage)).map(|stage| &stage.name);
    let completions = record.completions.into_iter();
    let completions: Vec<Value> = completions.map(|done| completion(done, &name)).collect();
    let mut line = json!({
        "number": record.number,
        "state": record.state.as_str(),
        "stage": name(record.stage),
        "priority": record.priority,
        "attempts": record.attempts,
        "failures": record.failures,
        "completions": completions,
    });
    match record.task {
        Task::Shard(shard) => {
            line["url"] = json!(shard.url);
            line["piece"] = json!(u8::from(shard.piece));
        }
        Task::Data(data) => line["data"] = json!(data),
    }
    line
}

fn completion<'a>(done: CompletionRecord, name: &impl Fn(u8) -> Option<&'a String>) -> Value {
    json!({
        "stage": name(done.stage),
        "attempt": done.attempt,
        "nickname": done.nickname,
        "pairs": done.pairs,
        "output": done.output,
        "at": done.at,
        "revoked": done.revoked,
    })
}
