//! What goes into a store and comes out of it.

use std::net::IpAddr;

use cah_protocol::{OutcomeCounts, Shard, WorkerType, stage_letter, stage_of_letter};
use ipnet::IpNet;

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::{clock::Timestamp, token::TokenHash};

/// The stages that a worker takes a job through, first and last included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Jobs that wait at this stage are the ones it can claim.
    pub first: u8,
    /// The stage that its result completes, and whose leaderboard counts it.
    pub last: u8,
}

/// What a worker was taken in as: the jobs that it gets, and the dialect in which it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A Crawling@Home worker, which takes shards.
    Crawler(WorkerType),
    /// A DistCompute worker: one stage, from 0.
    Stage(u8),
}

impl Role {
    /// The stages that the role stands for in a project of so many, or `None` where the project
    /// has no such stage.
    ///
    /// HYBRID takes a job the whole way, CPU through the first stage, GPU through the rest.
    pub fn span(self, stages: usize) -> Option<Span> {
        let last = u8::try_from(stages).ok()?.checked_sub(1)?;
        let (first, last) = match self {
            Self::Crawler(WorkerType::Hybrid) => (0, last),
            Self::Crawler(WorkerType::Cpu) => (0, 0),
            Self::Crawler(WorkerType::Gpu) => (1, last),
            Self::Stage(stage) => (stage, stage),
        };
        let exists = usize::from(last) < stages && first <= last;
        exists.then_some(Span { first, last })
    }

    /// Whether such a worker can do such a job: a crawler knows shards only.
    pub(crate) fn does(self, task: &Task) -> bool {
        matches!(self, Self::Stage(_)) || matches!(task, Task::Shard(_))
    }

    /// As it is stored: the worker type, or the letter of the stage.
    pub(crate) fn as_text(self) -> String {
        match self {
            Self::Crawler(worker_type) => worker_type.to_string(),
            Self::Stage(stage) => stage_letter(stage).to_string(),
        }
    }

    /// Reads what [`Role::as_text`] wrote.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        match text {
            "HYBRID" => Some(Self::Crawler(WorkerType::Hybrid)),
            "CPU" => Some(Self::Crawler(WorkerType::Cpu)),
            "GPU" => Some(Self::Crawler(WorkerType::Gpu)),
            letter => stage_of_letter(letter).map(Self::Stage),
        }
    }
}

impl From<WorkerType> for Role {
    fn from(worker_type: WorkerType) -> Self {
        Self::Crawler(worker_type)
    }
}

/// What the jobs of a project are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Halves of WAT files.
    Shards,
    /// Text of any kind.
    Data,
}

impl Kind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Shards => "shards",
            Self::Data => "data",
        }
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        [Self::Shards, Self::Data]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }

    /// Why jobs of another kind are not added.
    pub(crate) fn refusal(self) -> StoreError {
        StoreError::Conflict(match self {
            Self::Shards => "the jobs of this project are shards of WAT files; start another project for others".into(),
            Self::Data => "the jobs of this project are no shards of WAT files; start another project for those".into(),
        })
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

/// Who calls: the token, and what the caller says that it is. Both must fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The hash of the token that came with the call.
    pub token: TokenHash,
    /// The role that it names; `None` leaves that to the token.
    pub role: Option<Role>,
}

/// A worker that joins.
#[derive(Clone, Debug)]
pub struct NewWorker {
    /// The hash of its token.
    pub token: TokenHash,
    /// The hash of the key in the address where it brings files.
    pub upload_key: TokenHash,
    /// What it is taken in as.
    pub role: Role,
    /// Its name on pages, unique among the connected.
    pub display_name: String,
    /// Where it calls from.
    pub address: IpAddr,
    /// How many workers of its machine may be connected, itself included, where not any number may.
    pub places: Option<u32>,
    /// Whom its work is counted for.
    pub nickname: String,
    /// What it is doing at first.
    pub progress: String,
}

/// Which of the open jobs come first, among those of the highest priority with the fewest
/// setbacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By number.
    #[default]
    Oldest,
    /// From a number on that is drawn anew for each claim.
    Random,
}

/// How jobs are given out.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// In which order.
    pub order: Order,
    /// The number of failures that parks the job that the caller still holds.
    pub max_failures: u32,
}

/// What a job is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Half a WAT file.
    Shard(Shard),
    /// Text from the operator's list.
    Data(String),
}

impl Task {
    /// The shard that it is.
    pub fn shard(&self) -> Option<&Shard> {
        match self {
            Self::Shard(shard) => Some(shard),
            Self::Data(_) => None,
        }
    }
}

/// A job, leased to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// What the caller was taken in as.
    pub role: Role,
    /// The job's number.
    pub number: u64,
    /// What it is about.
    pub task: Task,
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
    /// Where its candidates ended, where the worker tells.
    pub outcomes: OutcomeCounts,
    /// Whether the job is done with this although stages are left.
    pub closes: bool,
    /// The job that the caller believes to hold, where it says so.
    pub number: Option<u64>,
}

/// The input of a job is no good, says a worker.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// The job that the caller believes to hold, where it says so.
    pub number: Option<u64>,
    /// How many DistCompute workers must say so before the job goes back a stage. One of
    /// Crawling@Home is enough.
    pub reports: u32,
    /// The number of failures that parks a job; going back counts as one.
    pub max_failures: u32,
}

impl Flag {
    /// The flag as a worker of that role raises it.
    pub(crate) fn by(self, role: Role) -> Self {
        match role {
            Role::Crawler(_) => Self { reports: 1, ..self },
            Role::Stage(_) => self,
        }
    }
}

/// Why a worker cannot do its job.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The job that the caller believes to hold, where it says so.
    pub number: Option<u64>,
    /// What is wrong: text from outside.
    pub message: String,
    /// The number of failures that parks a job.
    pub max_failures: u32,
}

/// A job that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedJob {
    /// The job's number.
    pub number: u64,
    /// What it is about.
    pub task: Task,
    /// How often it failed.
    pub failures: u32,
    /// What was wrong the last times, the latest first: text from outside.
    pub messages: Vec<String>,
}

/// What became of something that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandedOver {
    /// Nobody ever handed it over.
    Never,
    /// A job waits with it for a worker, or is being worked on.
    Waits,
    /// Its job is done, taken out, or was given something else.
    UsedUp,
}

impl HandedOver {
    pub(super) fn of(ever: bool, waits: bool) -> Self {
        match (ever, waits) {
            (_, true) => Self::Waits,
            (true, false) => Self::UsedUp,
            (false, false) => Self::Never,
        }
    }
}

/// A result that comes without a lease: from a client that takes whole WAT files, or from an
/// operator.
#[derive(Clone, Debug)]
pub struct HandIn {
    /// The job.
    pub number: u64,
    /// What was made of it.
    pub completion: Completion,
}

/// Who hands results in, and with what right.
#[derive(Clone, Debug)]
pub struct HandInBy {
    /// Whom they are counted for.
    pub nickname: String,
    /// An operator may settle jobs at any stage and such as others work on; everybody else those
    /// that wait at the first stage.
    pub operator: bool,
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
pub struct Added {
    /// WAT files, or jobs of another kind, that are new.
    pub added: u64,
    /// Those that were there.
    pub known: u64,
}

/// The counters of the project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// What the jobs are; unknown until there are some.
    pub kind: Option<Kind>,
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

    /// Whether the stages are those of a project that nobody gave any: Crawling@Home's.
    pub(crate) fn has_default_stages(&self) -> bool {
        let names = self.stages.iter().map(|stage| stage.name.as_str());
        names.eq(["CPU", "GPU"])
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

/// The name of a stage, where there is such a stage.
pub(crate) fn stage_name(stages: &[StageCounts], stage: u8) -> Option<&str> {
    let stage = stages.get(usize::from(stage))?;
    Some(&stage.name)
}

/// The counters of one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// What it was taken in as.
    pub role: Role,
    /// Whom its work is counted for.
    pub nickname: String,
    /// The job that it holds.
    pub number: Option<u64>,
    /// What it says that it is doing: text from outside.
    pub progress: String,
    /// Jobs that it completed since it joined.
    pub jobs_completed: u64,
    /// Pairs that it found since it joined.
    pub pairs: u64,
    /// When it was given the job that it holds.
    pub working_since: Option<Timestamp>,
    /// When it joined.
    pub first_seen: Timestamp,
    /// When it was heard from last.
    pub last_seen: Timestamp,
}

/// By what a list of workers is sorted. Those that are equal come in the order in which they joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WorkerSort {
    /// The longest connected first.
    #[default]
    Joined,
    /// By display name, whatever its case.
    Name,
    /// By nickname, whatever its case.
    Contributor,
    /// By the first stage that they take a job through, then by the last one.
    Stage,
    /// By the jobs that they completed since they joined.
    Jobs,
    /// By the pairs that they found since they joined.
    Pairs,
    /// By when they were heard from, as far as that is stored: a few seconds may be missing.
    LastSeen,
}

impl WorkerSort {
    pub(crate) const ALL: [Self; 7] = [
        Self::Joined,
        Self::Name,
        Self::Contributor,
        Self::Stage,
        Self::Jobs,
        Self::Pairs,
        Self::LastSeen,
    ];
}

/// Which of the connected workers are asked for.
#[derive(Clone, Debug, Default)]
pub struct WorkerQuery {
    /// Those with this in their display name or nickname, whatever its case; all where it is empty.
    pub text: String,
    /// Those of this contributor only, whose nickname must be the same to the letter.
    pub nickname: Option<String>,
    /// By what they are sorted.
    pub sort: WorkerSort,
    /// The other way round.
    pub descending: bool,
    /// Without the first ones.
    pub skip: u32,
    /// The most.
    pub limit: u32,
}

/// Some of the connected workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerList {
    /// In the order that was asked for.
    pub workers: Vec<WorkerView>,
    /// How many there are that were asked for, those that were skipped and left off included.
    pub found: u64,
}

/// What is known of a contributor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContributorView {
    /// What it finished, stage by stage; stages at which it finished nothing are left out.
    pub boards: Vec<Standing>,
    /// What it finished on the last days on which it finished anything, the oldest first.
    pub days: Vec<Day>,
}

/// A contributor's place on the leaderboard of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The stage.
    pub stage: u8,
    /// From 1; those with as many jobs and pairs share one.
    pub rank: u64,
    /// Jobs.
    pub jobs: u64,
    /// Pairs.
    pub pairs: u64,
}

/// What a contributor finished at a stage on one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// When the day began, in UTC.
    pub begin: Timestamp,
    /// The stage.
    pub stage: u8,
    /// Jobs.
    pub jobs: u64,
    /// Pairs.
    pub pairs: u64,
}

/// Whom an operator keeps out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Excluded {
    /// A contributor, whatever the case of its letters.
    Nickname(String),
    /// Everybody who calls from there.
    Network(IpNet),
}

impl Excluded {
    /// Of which kind, and who, as they are stored.
    pub(crate) fn as_texts(&self) -> (&'static str, String) {
        match self {
            Self::Nickname(nickname) => ("nickname", nickname.to_lowercase()),
            Self::Network(network) => ("network", network.trunc().to_string()),
        }
    }

    /// Reads what [`Excluded::as_texts`] wrote.
    pub(crate) fn from_texts(kind: &str, whom: &str) -> Option<Self> {
        match kind {
            "nickname" => Some(Self::Nickname(whom.to_owned())),
            "network" => whom.parse().ok().map(Self::Network),
            _ => None,
        }
    }

    /// Whether it means this caller.
    pub fn means(&self, nickname: Option<&str>, address: Option<IpAddr>) -> bool {
        match self {
            Self::Nickname(excluded) => {
                nickname.is_some_and(|nickname| excluded.to_lowercase() == nickname.to_lowercase())
            }
            Self::Network(network) => address.is_some_and(|address| network.contains(&address)),
        }
    }
}

/// Who is kept out, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exclusion {
    /// Who.
    #[serde(flatten)]
    pub whom: Excluded,
    /// Why, in the operator's words.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
}

/// A line of a leaderboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardRow {
    /// From 1; those with as many jobs and pairs share one.
    pub rank: u64,
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

/// A job with all that is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRecord {
    /// The job's number.
    pub number: u64,
    /// What it is about.
    pub task: Task,
    /// Where it is.
    pub state: State,
    /// The stage that it waits at, is worked on at or was closed at.
    pub stage: u8,
    /// Claims of a higher priority come first.
    pub priority: i64,
    /// How many times it was leased.
    pub attempts: u32,
    /// How many of these failed.
    pub failures: u32,
    /// What was accepted, stage by stage, the oldest first.
    pub completions: Vec<CompletionRecord>,
    /// What went wrong, the oldest first.
    pub failed: Vec<FailedAttempt>,
}

/// An attempt that brought nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedAttempt {
    /// Which.
    pub attempt: u32,
    /// Why: text from outside.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits at a stage.
    Open,
    /// A worker has it.
    Leased,
    /// It is done.
    Closed,
    /// An operator took it out.
    Banned,
    /// It failed too often and waits for a person.
    Parked,
}

impl State {
    /// The number that stands for it in a store.
    pub(crate) const fn code(self) -> i64 {
        match self {
            Self::Open => 0,
            Self::Leased => 1,
            Self::Closed => 2,
            Self::Banned => 3,
            Self::Parked => 4,
        }
    }

    pub(crate) const fn from_code(code: i64) -> Option<Self> {
        match code {
            0 => Some(Self::Open),
            1 => Some(Self::Leased),
            2 => Some(Self::Closed),
            3 => Some(Self::Banned),
            4 => Some(Self::Parked),
            _ => None,
        }
    }

    /// The name that exports and messages use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Leased => "leased",
            Self::Closed => "closed",
            Self::Banned => "banned",
            Self::Parked => "parked",
        }
    }
}

/// How much is told of what came of a job.
#[derive(Clone, Copy, Debug)]
pub struct Telling {
    /// What came of so many of the last attempts.
    pub attempts: u32,
    /// Whether what was handed over is told, beside its length.
    pub outputs: bool,
}

impl Telling {
    /// Everything.
    pub(crate) const ALL: Self = Self {
        attempts: u32::MAX,
        outputs: true,
    };

    /// The attempt after which those come that are told, of so many.
    pub(crate) fn after(self, attempts: u32) -> i64 {
        i64::from(attempts) - i64::from(self.attempts)
    }
}

/// One accepted result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletionRecord {
    /// The stage that it completed.
    pub stage: u8,
    /// The attempt that made it.
    pub attempt: u32,
    /// Whose it is: text from outside.
    pub nickname: String,
    /// How many pairs were found.
    pub pairs: u64,
    /// What was handed over, where it is asked for: text from outside.
    pub output: Option<String>,
    /// How long that is, asked for or not.
    pub output_bytes: Option<u64>,
    /// When it was accepted.
    pub at: Timestamp,
    /// Whether an operator took it back.
    pub revoked: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_spans_of_the_project() {
        let span = |role: Role, stages| role.span(stages).map(|span| (span.first, span.last));
        assert_eq!(span(WorkerType::Hybrid.into(), 2), Some((0, 1)));
        assert_eq!(span(WorkerType::Cpu.into(), 2), Some((0, 0)));
        assert_eq!(span(WorkerType::Gpu.into(), 2), Some((1, 1)));
        assert_eq!(span(WorkerType::Gpu.into(), 3), Some((1, 2)));
        assert_eq!(span(WorkerType::Hybrid.into(), 1), Some((0, 0)));
        assert_eq!(span(WorkerType::Gpu.into(), 1), None);
        assert_eq!(span(Role::Stage(4), 5), Some((4, 4)));
        assert_eq!(span(Role::Stage(5), 5), None);
        assert_eq!(span(Role::Stage(0), 0), None);
    }

    #[test]
    fn roles_and_states_survive_the_store() {
        let types = [WorkerType::Hybrid, WorkerType::Cpu, WorkerType::Gpu];
        let stages = (0..26).map(Role::Stage);
        for role in types.map(Role::from).into_iter().chain(stages) {
            assert_eq!(Role::from_text(&role.as_text()), Some(role));
        }
        assert_eq!(Role::from_text("?"), None);
        for code in 0..5 {
            assert_eq!(State::from_code(code).map(State::code), Some(code));
        }
    }
}
