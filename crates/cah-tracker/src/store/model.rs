//! What goes into a store and comes out of it.

use cah_protocol::{Shard, WorkerType};

use crate::{clock::Timestamp, token::TokenHash};

/// The stages that a worker takes a job through, first and last included.
///
/// Crawling@Home has two, 0 (CPU) and 1 (GPU): a HYBRID worker does both in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Jobs that wait at this stage are the ones it can claim.
    pub first: u8,
    /// The stage that its result completes, and whose leaderboard counts it.
    pub last: u8,
}

impl From<WorkerType> for Span {
    fn from(worker_type: WorkerType) -> Self {
        let (first, last) = match worker_type {
            WorkerType::Hybrid => (0, 1),
            WorkerType::Cpu => (0, 0),
            WorkerType::Gpu => (1, 1),
        };
        Self { first, last }
    }
}

impl Span {
    /// The Crawling@Home worker that does these stages.
    pub fn worker_type(self) -> WorkerType {
        match (self.first, self.last) {
            (0, 0) => WorkerType::Cpu,
            (0, _) => WorkerType::Hybrid,
            _ => WorkerType::Gpu,
        }
    }
}

/// When a call comes, and until when what it renews lasts.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time of the call.
    pub now: Timestamp,
    /// The new deadline of the caller and its lease.
    pub until: Timestamp,
}

/// Who calls: the token, and the kind of worker that it says it is. Both must fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The hash of the token that came with the call.
    pub token: TokenHash,
    /// The kind of worker.
    pub span: Span,
}

/// A worker that joins.
#[derive(Clone, Debug)]
pub struct NewWorker {
    /// Its token and kind.
    pub caller: Caller,
    /// Its name on pages, unique among the connected.
    pub display_name: String,
    /// Whom its work is counted for.
    pub nickname: String,
    /// What it is doing at first.
    pub progress: String,
}

/// A job, leased to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The shard.
    pub shard: Shard,
    /// How many times the job was leased, this time included.
    pub attempt: u32,
    /// When the lease ends unless the worker is heard from.
    pub until: Timestamp,
    /// What the stage before handed over; `None` at the first stage.
    pub input: Option<String>,
}

/// What a worker made of its job.
#[derive(Clone, Debug, Default)]
pub struct Completion {
    /// How many pairs it found.
    pub pairs: u64,
    /// What the next stage gets.
    pub output: Option<String>,
    /// Whether the job is done with this; it goes on to the next stage otherwise.
    pub closes: bool,
    /// The job that the caller believes to hold, where it says so.
    pub number: Option<u64>,
}

/// Why a worker cannot do its job.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The job that the caller believes to hold, where it says so.
    pub number: Option<u64>,
    /// What is wrong: text from outside.
    pub message: String,
    /// The number of failures that parks a job.
    pub limit: u32,
}

/// A job that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedJob {
    /// The shard.
    pub shard: Shard,
    /// How often it failed.
    pub failures: u32,
    /// What the last worker said: text from outside.
    pub message: String,
}

/// How a call that can be repeated was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It counted.
    Counted,
    /// It had been counted before; nothing changed.
    Repeated,
}

/// What an import changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddedChunks {
    /// WAT files that are new.
    pub added: u64,
    /// WAT files that were there.
    pub known: u64,
}

/// The counters of the project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All jobs.
    pub jobs: u64,
    /// Those that are done.
    pub closed: u64,
    /// Those that were taken out.
    pub banned: u64,
    /// Those that failed too often and wait for a person.
    pub parked: u64,
    /// Pairs over all closed jobs.
    pub pairs: u64,
    /// Workers that are connected.
    pub workers: u64,
    /// The stages in order.
    pub stages: Vec<StageCounts>,
}

impl Counts {
    /// Jobs that wait at a stage.
    pub fn open_at(&self, stage: u8) -> u64 {
        self.stages
            .get(usize::from(stage))
            .map_or(0, |stage| stage.open)
    }

    /// Jobs that somebody works on, over all stages.
    pub fn leased(&self) -> u64 {
        self.stages.iter().map(|stage| stage.leased).sum()
    }

    /// Jobs that count: all that are not banned.
    pub fn total(&self) -> u64 {
        self.jobs - self.banned
    }
}

/// The counters of one stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageCounts {
    /// Its name.
    pub name: String,
    /// Jobs that wait.
    pub open: u64,
    /// Jobs that somebody works on.
    pub leased: u64,
}

/// A connected worker, as pages show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerView {
    /// Its name.
    pub display_name: String,
    /// Its kind.
    pub span: Span,
    /// Whom its work is counted for.
    pub nickname: String,
    /// The job that it holds.
    pub number: Option<u64>,
    /// What it says that it is doing: text from outside.
    pub progress: String,
    /// Jobs that it completed since it joined.
    pub jobs_completed: u64,
    /// When it joined.
    pub first_seen: Timestamp,
    /// When it was heard from last.
    pub last_seen: Timestamp,
}

/// A line of a leaderboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardRow {
    /// The contributor: text from outside.
    pub nickname: String,
    /// Jobs.
    pub jobs: u64,
    /// Pairs.
    pub pairs: u64,
}

/// The counters at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// When.
    pub at: Timestamp,
    /// Jobs closed by then.
    pub closed: u64,
    /// Pairs found by then.
    pub pairs: u64,
}

/// What the reaper did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Workers that it removed.
    pub workers: u64,
    /// Jobs that it re-opened.
    pub jobs: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_is_a_span_of_its_own() {
        for worker_type in [WorkerType::Hybrid, WorkerType::Cpu, WorkerType::Gpu] {
            assert_eq!(Span::from(worker_type).worker_type(), worker_type);
        }
    }
}
