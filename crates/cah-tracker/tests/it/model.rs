//! Random lives of a project against a model that is simple enough to be believed.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use cah_protocol::WorkerType;
use cah_tracker::{
    TokenHash,
    store::{
        self, Accepted, Caller, Claim, Completion, Failure, Flag, HandIn, HandInBy, Moment,
        NewWorker, Order, Role, Store, StoreError,
    },
};
use proptest::prelude::*;

use crate::app::LOCAL;
use crate::recount;

const IDLE: i64 = 100;
const MAX_FAILURES: u32 = 3;

/// Reports that send a job of a DistCompute worker back a stage.
const REPORTS: u32 = 2;

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Import(usize),
    Join(Role),
    Claim(usize),
    Complete(usize, u64),
    Flag(usize),
    Fail(usize),
    Requeue,
    Reset(usize),
    Ban(usize),
    /// By an operator or not.
    HandIn(usize, bool),
    Beat(usize),
    Leave(usize),
    Wait(i64),
    Reap,
    /// Ends the store, orderly or not, and opens it again.
    Restart(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..6_usize;
    let which = 0..8_usize;
    let role = prop_oneof![
        3 => Just(Role::Crawler(WorkerType::Hybrid)),
        1 => Just(Role::Crawler(WorkerType::Cpu)),
        1 => Just(Role::Crawler(WorkerType::Gpu)),
        1 => Just(Role::Stage(0)),
        2 => Just(Role::Stage(1)),
    ];
    prop_oneof![
        1 => (1..3_usize).prop_map(Step::Import),
        4 => role.prop_map(Step::Join),
        8 => who.clone().prop_map(Step::Claim),
        8 => (who.clone(), 0..9_u64).prop_map(|(who, pairs)| Step::Complete(who, pairs)),
        3 => who.clone().prop_map(Step::Flag),
        3 => who.clone().prop_map(Step::Fail),
        1 => Just(Step::Requeue),
        1 => which.clone().prop_map(Step::Reset),
        1 => which.clone().prop_map(Step::Ban),
        1 => (which, any::<bool>()).prop_map(|(job, operator)| Step::HandIn(job, operator)),
        2 => who.clone().prop_map(Step::Beat),
        1 => who.prop_map(Step::Leave),
        3 => (1..IDLE).prop_map(Step::Wait),
        2 => Just(Step::Reap),
        1 => any::<bool>().prop_map(Step::Restart),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Open,
    Leased,
    Closed,
    Banned,
    Parked,
}

struct Job {
    state: State,
    stage: u8,
    failures: u32,
    setbacks: u32,
    /// The workers that flagged what it has for stage 1.
    flags: Vec<usize>,
    /// What counts of it: completions, and pairs.
    completions: u64,
    pairs: u64,
}

impl Job {
    fn new() -> Self {
        Self {
            state: State::Open,
            stage: 0,
            failures: 0,
            setbacks: 0,
            flags: Vec::new(),
            completions: 0,
            pairs: 0,
        }
    }

    /// A lease ended without a result.
    fn failed(&mut self) {
        self.failures += 1;
        self.state = match self.failures {
            MAX_FAILURES.. => State::Parked,
            _ => State::Open,
        };
    }

    fn completed(&mut self, stage: u8, pairs: u64) {
        assert_ne!(self.state, State::Closed, "closed twice");
        self.completions += 1;
        (self.state, self.stage) = match stage {
            0 => (State::Open, 1),
            _ => (State::Closed, 1),
        };
        self.pairs += pairs;
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Settled {
    No,
    Completed,
    Flagged,
    Failed,
}

struct Worker {
    caller: Caller,
    role: Role,
    connected: bool,
    deadline: i64,
    held: Option<usize>,
    settled: Settled,
}

impl Worker {
    /// The first and the last stage.
    fn span(&self) -> (u8, u8) {
        match self.role {
            Role::Crawler(WorkerType::Hybrid) => (0, 1),
            Role::Crawler(WorkerType::Cpu) => (0, 0),
            Role::Crawler(WorkerType::Gpu) => (1, 1),
            Role::Stage(stage) => (stage, stage),
        }
    }
}

/// How a call ends, in the model and in the store.
#[derive(Debug, PartialEq)]
enum Ending {
    Job(u64),
    Accepted(Accepted),
    Done,
    UnknownWorker,
    NoOpenJob,
    NoLease,
}

fn ending<T>(result: Result<T, StoreError>, well: impl FnOnce(T) -> Ending) -> Ending {
    match result {
        Ok(value) => well(value),
        Err(StoreError::UnknownWorker) => Ending::UnknownWorker,
        Err(StoreError::NoOpenJob) => Ending::NoOpenJob,
        Err(StoreError::NoLease) => Ending::NoLease,
        Err(error) => panic!("{error}"),
    }
}

#[derive(Default)]
struct Model {
    now: i64,
    jobs: Vec<Job>,
    workers: Vec<Worker>,
}

impl Model {
    /// The worker that a step means, as it is at its call: `None` where it is not known.
    fn call(&mut self, who: usize) -> Option<&mut Worker> {
        let now = self.now;
        let worker = self.workers.get_mut(who)?;
        if !worker.connected || worker.deadline <= now {
            return None;
        }
        worker.deadline = now + IDLE;
        Some(worker)
    }

    fn claim(&mut self, who: usize) -> Ending {
        if self.call(who).is_none() {
            return Ending::UnknownWorker;
        }
        if let Some(job) = self.workers[who].held.take() {
            self.jobs[job].failed();
        }
        let (stage, _) = self.workers[who].span();
        let is_open = |job: &Job| job.state == State::Open && job.stage == stage;
        let open = (0..self.jobs.len()).filter(|number| is_open(&self.jobs[*number]));
        // The first of those with the fewest setbacks.
        let Some(number) = open.min_by_key(|number| self.jobs[*number].setbacks) else {
            return Ending::NoOpenJob;
        };
        self.jobs[number].state = State::Leased;
        let worker = &mut self.workers[who];
        (worker.held, worker.settled) = (Some(number), Settled::No);
        Ending::Job(number as u64 + 1)
    }

    /// Takes the job out of the worker's hands, or says how else the call ends.
    fn settle(&mut self, who: usize, how: Settled) -> Result<usize, Ending> {
        let Some(worker) = self.call(who) else {
            return Err(Ending::UnknownWorker);
        };
        match worker.held.take() {
            Some(job) => {
                worker.settled = how;
                Ok(job)
            }
            None if worker.settled == how => Err(Ending::Accepted(Accepted::Repeated)),
            None => Err(Ending::NoLease),
        }
    }

    fn complete(&mut self, who: usize, pairs: u64) -> Ending {
        let job = match self.settle(who, Settled::Completed) {
            Ok(job) => job,
            Err(ending) => return ending,
        };
        let (_, stage) = self.workers[who].span();
        self.jobs[job].completed(stage, if stage == 1 { pairs } else { 0 });
        Ending::Accepted(Accepted::Counted)
    }

    fn flag(&mut self, who: usize, reports: u32) -> Ending {
        let job = match self.settle(who, Settled::Flagged) {
            Ok(job) => &mut self.jobs[job],
            Err(ending) => return ending,
        };
        if !job.flags.contains(&who) {
            job.flags.push(who);
        }
        if job.flags.len() >= reports as usize {
            job.flags.clear();
            // Where there is no stage to go back to, it is the same input again.
            job.setbacks = if job.stage == 0 { job.setbacks + 1 } else { 0 };
            job.stage = 0;
            job.failed();
        } else {
            job.setbacks += 1;
            job.state = State::Open;
        }
        Ending::Accepted(Accepted::Counted)
    }

    fn fail(&mut self, who: usize) -> Ending {
        match self.settle(who, Settled::Failed) {
            Ok(job) => {
                self.jobs[job].setbacks += 1;
                self.jobs[job].failed();
                Ending::Accepted(Accepted::Counted)
            }
            Err(ending) => ending,
        }
    }

    fn requeue(&mut self) -> u64 {
        let parked = self.jobs.iter_mut();
        let parked = parked.filter(|job| job.state == State::Parked);
        let opened =
            parked.map(|job| (job.state, job.failures, job.setbacks) = (State::Open, 0, 0));
        opened.count() as u64
    }

    /// Takes a job from whoever has it.
    fn revoke_lease(&mut self, job: usize) {
        for worker in &mut self.workers {
            worker.held = worker.held.filter(|held| *held != job);
        }
    }

    fn renew(&mut self, job: usize, state: State) -> bool {
        if job >= self.jobs.len() {
            return false;
        }
        self.revoke_lease(job);
        self.jobs[job] = Job {
            state,
            ..Job::new()
        };
        true
    }

    /// Whether the result stands.
    fn hand_in(&mut self, job: usize, operator: bool, pairs: u64) -> bool {
        let Some(there) = self.jobs.get(job) else {
            return false;
        };
        let acceptable = match there.state {
            State::Open => operator || there.stage == 0,
            State::Leased | State::Parked => operator,
            State::Closed | State::Banned => false,
        };
        if acceptable {
            self.revoke_lease(job);
            self.jobs[job].completed(u8::from(operator), pairs);
        }
        acceptable
    }

    fn leave(&mut self, who: usize) -> Ending {
        if self.call(who).is_none() {
            return Ending::UnknownWorker;
        }
        if let Some(job) = self.workers[who].held.take() {
            self.jobs[job].state = State::Open;
        }
        self.workers[who].connected = false;
        Ending::Done
    }

    fn reap(&mut self) -> u64 {
        let late: Vec<usize> = (0..self.workers.len())
            .filter(|who| self.workers[*who].connected && self.workers[*who].deadline <= self.now)
            .collect();
        for who in &late {
            if let Some(job) = self.workers[*who].held.take() {
                self.jobs[job].failed();
            }
            self.workers[*who].connected = false;
        }
        late.len() as u64
    }

    fn count(&self, state: State) -> u64 {
        self.jobs.iter().filter(|job| job.state == state).count() as u64
    }
}

/// Where the life takes place.
#[async_trait]
pub(crate) trait Place: Send + Sync {
    /// Opens the store, anew after each restart.
    async fn open(&self) -> Arc<dyn Store>;

    /// Counts every row and compares with the counters.
    async fn recount(&self);
}

struct World<'a> {
    model: Model,
    /// Only ever `None` while it is opened again.
    store: Option<Arc<dyn Store>>,
    place: &'a dyn Place,
    handed_in: u64,
}

impl<'a> World<'a> {
    async fn new(place: &'a dyn Place) -> Self {
        Self {
            model: Model::default(),
            store: Some(place.open().await),
            place,
            handed_in: 0,
        }
    }

    fn store(&self) -> &dyn Store {
        self.store.as_deref().unwrap()
    }

    fn moment(&self) -> Moment {
        Moment {
            now: self.model.now,
            until: self.model.now + IDLE,
        }
    }

    fn caller(&self, who: usize) -> Caller {
        self.model.workers.get(who).map_or_else(
            || Caller {
                token: TokenHash::of("nobody"),
                role: None,
            },
            |worker| worker.caller,
        )
    }

    async fn take(&mut self, step: Step) {
        let moment = self.moment();
        match step {
            Step::Import(chunks) => self.import(chunks).await,
            Step::Join(role) => self.join(role).await,
            Step::Claim(who) => {
                let claim = Claim {
                    order: Order::Oldest,
                    max_failures: MAX_FAILURES,
                };
                let claimed = self.store().claim(self.caller(who), claim, moment).await;
                let got = ending(claimed, |claimed| Ending::Job(claimed.number));
                assert_eq!(got, self.model.claim(who));
            }
            Step::Complete(who, pairs) => {
                let completion = self.completion(who, pairs);
                let completed = self
                    .store()
                    .complete(self.caller(who), completion, moment)
                    .await;
                assert_eq!(
                    ending(completed, Ending::Accepted),
                    self.model.complete(who, pairs)
                );
            }
            Step::Flag(who) => {
                let reports = match self.model.workers.get(who).map(|worker| worker.role) {
                    Some(Role::Stage(1)) => REPORTS,
                    _ => 1,
                };
                let flag = Flag {
                    number: None,
                    reports,
                    max_failures: MAX_FAILURES,
                };
                let flagged = self.store().flag(self.caller(who), flag, moment).await;
                let expected = self.model.flag(who, reports);
                assert_eq!(ending(flagged, Ending::Accepted), expected);
            }
            Step::Fail(who) => {
                let failure = Failure {
                    number: None,
                    message: "it cannot be read".into(),
                    max_failures: MAX_FAILURES,
                };
                let failed = self.store().fail(self.caller(who), failure, moment).await;
                assert_eq!(ending(failed, Ending::Accepted), self.model.fail(who));
            }
            Step::Requeue => {
                let opened = self.store().requeue(None).await.unwrap();
                assert_eq!(opened, self.model.requeue());
            }
            Step::Reset(job) => {
                let done = self.store().reset(job as u64 + 1).await.is_ok();
                assert_eq!(done, self.model.renew(job, State::Open));
            }
            Step::Ban(job) => {
                let done = self.store().ban(job as u64 + 1).await.is_ok();
                assert_eq!(done, self.model.renew(job, State::Banned));
            }
            Step::HandIn(job, operator) => self.hand_in(job, operator).await,
            Step::Beat(who) => {
                let beat = self.store().beat(self.caller(who), None, moment).await;
                let known = self.model.call(who).is_some();
                assert_eq!(ending(beat, |_| Ending::Done) == Ending::Done, known);
            }
            Step::Leave(who) => {
                let left = self.store().leave(self.caller(who), moment).await;
                assert_eq!(ending(left, |_| Ending::Done), self.model.leave(who));
            }
            Step::Wait(seconds) => self.model.now += seconds,
            Step::Reap => {
                let now = self.model.now;
                let reaped = self.store().reap(now, MAX_FAILURES).await.unwrap();
                assert_eq!(reaped.workers, self.model.reap());
            }
            Step::Restart(orderly) => self.restart(orderly).await,
        }
    }

    fn completion(&self, who: usize, pairs: u64) -> Completion {
        match self.model.workers.get(who).map(Worker::span) {
            Some((_, 0)) => Completion {
                output: Some("tar".into()),
                ..Completion::default()
            },
            _ => Completion {
                pairs,
                ..Completion::default()
            },
        }
    }

    async fn hand_in(&mut self, job: usize, operator: bool) {
        self.handed_in += 1;
        let pairs = if operator { 3 } else { 0 };
        let completion = Completion {
            pairs,
            output: Some(format!("tar {}", self.handed_in)),
            ..Completion::default()
        };
        let result = HandIn {
            number: job as u64 + 1,
            completion,
        };
        let by = HandInBy {
            nickname: "nick-0".into(),
            operator,
        };
        let now = self.model.now;
        let standing = self.store().hand_in(vec![result], by, now).await.unwrap();
        let expected = u64::from(self.model.hand_in(job, operator, pairs));
        assert_eq!(standing, expected);
    }

    async fn import(&mut self, chunks: usize) {
        let known = self.model.jobs.len() / 2;
        let url = |chunk| format!("https://data.example.org/{chunk}.wat.gz");
        // The list begins anew each time.
        let urls = (0..known + chunks).map(url).collect();
        let added = self.store().add_chunks(urls, 0).await.unwrap();
        assert_eq!(added.added, chunks as u64);
        self.model.jobs.extend((0..2 * chunks).map(|_| Job::new()));
    }

    async fn join(&mut self, role: Role) {
        let name = format!("worker-{}", self.model.workers.len());
        let token = TokenHash::of(&name);
        let worker = NewWorker {
            places: None,
            upload_key: TokenHash::of("key"),
            address: LOCAL,
            token,
            role,
            display_name: name.clone(),
            nickname: format!("nick-{}", self.model.workers.len() % 3),
            progress: String::new(),
        };
        self.store().register(worker, self.moment()).await.unwrap();
        // Some name their role, as Crawling@Home workers do, and others leave it to the token.
        let named = matches!(role, Role::Crawler(_)).then_some(role);
        self.model.workers.push(Worker {
            caller: Caller { token, role: named },
            role,
            connected: true,
            deadline: self.model.now + IDLE,
            held: None,
            settled: Settled::No,
        });
    }

    async fn restart(&mut self, orderly: bool) {
        if orderly {
            self.store().close().await;
        }
        // The last handle: the store is free once it is gone.
        self.store = None;
        self.store = Some(self.place.open().await);
        let Moment { now, until } = self.moment();
        self.store().grant_grace(now, until).await.unwrap();
        for worker in &mut self.model.workers {
            worker.deadline = until;
        }
    }

    async fn compare(&self) {
        let counts = self.store().counts().await.unwrap();
        assert_eq!(counts.jobs, self.model.jobs.len() as u64);
        assert_eq!(counts.closed, self.model.count(State::Closed));
        assert_eq!(counts.leased(), self.model.count(State::Leased));
        assert_eq!(counts.parked, self.model.count(State::Parked));
        assert_eq!(counts.banned, self.model.count(State::Banned));
        assert_eq!(
            counts.open_at(0) + counts.open_at(1),
            self.model.count(State::Open)
        );
        let sum = |part: fn(&Job) -> u64| self.model.jobs.iter().map(part).sum::<u64>();
        assert_eq!(counts.pairs, sum(|job| job.pairs));
        let mut jobs = 0;
        for stage in 0..2 {
            let board = self.store().leaderboard(stage, 100).await.unwrap();
            jobs += board.iter().map(|row| row.jobs).sum::<u64>();
        }
        assert_eq!(jobs, sum(|job| job.completions));
        self.place.recount().await;
    }
}

/// Lives one life.
pub(crate) async fn live(place: &dyn Place, steps: Vec<Step>) {
    let mut world = World::new(place).await;
    for step in steps {
        world.take(step).await;
    }
    world.compare().await;
}

/// A life of so many steps at most.
pub(crate) fn life() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..80)
}

/// A file.
struct Sqlite<'a>(&'a Path);

#[async_trait]
impl Place for Sqlite<'_> {
    async fn open(&self) -> Arc<dyn Store> {
        let address = format!("sqlite:{}", self.0.display());
        store::open(&address).await.unwrap()
    }

    async fn recount(&self) {
        recount::check(self.0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_life_keeps_the_invariants(steps in life()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        runtime.block_on(live(&Sqlite(&path), steps));
    }
}
