//! Random lives of a project against a model that is simple enough to be believed.

use std::{path::Path, sync::Arc};

use cah_protocol::WorkerType;
use cah_tracker::{
    TokenHash,
    store::{self, Accepted, Caller, Completion, Failure, Moment, NewWorker, Store, StoreError},
};
use proptest::prelude::*;

use crate::recount;

const IDLE: i64 = 100;
const MAX_FAILURES: u32 = 3;

#[derive(Clone, Debug)]
enum Step {
    Import(usize),
    Join(WorkerType),
    Claim(usize),
    Complete(usize, u64),
    Flag(usize),
    Fail(usize),
    Requeue,
    Beat(usize),
    Leave(usize),
    Wait(i64),
    Reap,
    /// Ends the store, orderly or not, and opens it again.
    Restart(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..6_usize;
    let kind = prop_oneof![
        2 => Just(WorkerType::Hybrid),
        1 => Just(WorkerType::Cpu),
        1 => Just(WorkerType::Gpu),
    ];
    prop_oneof![
        1 => (1..3_usize).prop_map(Step::Import),
        4 => kind.prop_map(Step::Join),
        8 => who.clone().prop_map(Step::Claim),
        8 => (who.clone(), 0..9_u64).prop_map(|(who, pairs)| Step::Complete(who, pairs)),
        2 => who.clone().prop_map(Step::Flag),
        3 => who.clone().prop_map(Step::Fail),
        1 => Just(Step::Requeue),
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
    Parked,
}

struct Job {
    state: State,
    stage: u8,
    failures: u32,
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
    kind: WorkerType,
    connected: bool,
    deadline: i64,
    held: Option<usize>,
    settled: Settled,
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
    completions: u64,
    pairs: u64,
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

    fn reopen(&mut self, who: usize) {
        if let Some(job) = self.workers[who].held.take() {
            self.jobs[job].state = State::Open;
        }
    }

    fn claim(&mut self, who: usize) -> Ending {
        if self.call(who).is_none() {
            return Ending::UnknownWorker;
        }
        self.reopen(who);
        let stage = u8::from(self.workers[who].kind == WorkerType::Gpu);
        let is_open = |job: &Job| job.state == State::Open && job.stage == stage;
        let open = (0..self.jobs.len()).filter(|number| is_open(&self.jobs[*number]));
        // The first of those that failed least.
        let Some(number) = open.min_by_key(|number| self.jobs[*number].failures) else {
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
        assert_ne!(self.jobs[job].state, State::Closed, "closed twice");
        self.completions += 1;
        self.jobs[job].stage = 1;
        self.jobs[job].state = match self.workers[who].kind {
            WorkerType::Cpu => State::Open,
            _ => {
                self.pairs += pairs;
                State::Closed
            }
        };
        Ending::Accepted(Accepted::Counted)
    }

    fn flag(&mut self, who: usize) -> Ending {
        match self.settle(who, Settled::Flagged) {
            Ok(job) => {
                self.jobs[job].state = State::Open;
                self.jobs[job].stage = 0;
                Ending::Accepted(Accepted::Counted)
            }
            Err(ending) => ending,
        }
    }

    fn fail(&mut self, who: usize) -> Ending {
        match self.settle(who, Settled::Failed) {
            Ok(job) => {
                let job = &mut self.jobs[job];
                job.failures += 1;
                job.state = match job.failures {
                    MAX_FAILURES.. => State::Parked,
                    _ => State::Open,
                };
                Ending::Accepted(Accepted::Counted)
            }
            Err(ending) => ending,
        }
    }

    fn requeue(&mut self) -> u64 {
        let parked = self.jobs.iter_mut();
        let parked = parked.filter(|job| job.state == State::Parked);
        let opened = parked.map(|job| (job.state, job.failures) = (State::Open, 0));
        opened.count() as u64
    }

    fn leave(&mut self, who: usize) -> Ending {
        if self.call(who).is_none() {
            return Ending::UnknownWorker;
        }
        self.reopen(who);
        self.workers[who].connected = false;
        Ending::Done
    }

    fn reap(&mut self) -> u64 {
        let late: Vec<usize> = (0..self.workers.len())
            .filter(|who| self.workers[*who].connected && self.workers[*who].deadline <= self.now)
            .collect();
        for who in &late {
            self.reopen(*who);
            self.workers[*who].connected = false;
        }
        late.len() as u64
    }

    fn count(&self, state: State) -> u64 {
        self.jobs.iter().filter(|job| job.state == state).count() as u64
    }
}

struct World {
    model: Model,
    /// Only ever `None` while it is opened again.
    store: Option<Arc<dyn Store>>,
    address: String,
}

impl World {
    fn new(path: &Path) -> Self {
        let address = format!("sqlite:{}", path.display());
        Self {
            model: Model::default(),
            store: Some(store::open(&address).unwrap()),
            address,
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
                span: WorkerType::Hybrid.into(),
            },
            |worker| worker.caller,
        )
    }

    async fn take(&mut self, step: Step) {
        let moment = self.moment();
        match step {
            Step::Import(chunks) => self.import(chunks).await,
            Step::Join(kind) => self.join(kind).await,
            Step::Claim(who) => {
                let claimed = self.store().claim(self.caller(who), moment).await;
                let got = ending(claimed, |claimed| Ending::Job(claimed.shard.number));
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
                let flagged = self.store().flag(self.caller(who), moment).await;
                assert_eq!(ending(flagged, Ending::Accepted), self.model.flag(who));
            }
            Step::Fail(who) => {
                let failure = Failure {
                    number: None,
                    message: "it cannot be read".into(),
                    limit: MAX_FAILURES,
                };
                let failed = self.store().fail(self.caller(who), failure, moment).await;
                assert_eq!(ending(failed, Ending::Accepted), self.model.fail(who));
            }
            Step::Requeue => {
                let opened = self.store().requeue().await.unwrap();
                assert_eq!(opened, self.model.requeue());
            }
            Step::Beat(who) => {
                let beat = self.store().beat(self.caller(who), None, moment).await;
                let known = self.model.call(who).is_some();
                assert_eq!(ending(beat, |()| Ending::Done) == Ending::Done, known);
            }
            Step::Leave(who) => {
                let left = self.store().leave(self.caller(who), moment).await;
                assert_eq!(ending(left, |()| Ending::Done), self.model.leave(who));
            }
            Step::Wait(seconds) => self.model.now += seconds,
            Step::Reap => {
                let reaped = self.store().reap(self.model.now).await.unwrap();
                assert_eq!(reaped.workers, self.model.reap());
            }
            Step::Restart(orderly) => self.restart(orderly).await,
        }
    }

    fn completion(&self, who: usize, pairs: u64) -> Completion {
        match self.model.workers.get(who).map(|worker| worker.kind) {
            Some(WorkerType::Cpu) => Completion {
                output: Some("tar".into()),
                ..Completion::default()
            },
            _ => Completion {
                pairs,
                closes: true,
                ..Completion::default()
            },
        }
    }

    async fn import(&mut self, chunks: usize) {
        let known = self.model.jobs.len() / 2;
        let url = |chunk| format!("https://data.example.org/{chunk}.wat.gz");
        // The list begins anew each time.
        let urls = (0..known + chunks).map(url).collect();
        let added = self.store().add_chunks(urls).await.unwrap();
        assert_eq!(added.added, chunks as u64);
        self.model.jobs.extend((0..2 * chunks).map(|_| Job {
            state: State::Open,
            stage: 0,
            failures: 0,
        }));
    }

    async fn join(&mut self, kind: WorkerType) {
        let name = format!("worker-{}", self.model.workers.len());
        let caller = Caller {
            token: TokenHash::of(&name),
            span: kind.into(),
        };
        let worker = NewWorker {
            caller,
            display_name: name.clone(),
            nickname: format!("nick-{}", self.model.workers.len() % 3),
            progress: String::new(),
        };
        self.store().register(worker, self.moment()).await.unwrap();
        self.model.workers.push(Worker {
            caller,
            kind,
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
        // The last handle: the file is free once it is gone.
        self.store = None;
        self.store = Some(store::open(&self.address).unwrap());
        let until = self.moment().until;
        self.store().grant_grace(until).await.unwrap();
        for worker in &mut self.model.workers {
            worker.deadline = until;
        }
    }

    async fn compare(&self, path: &Path) {
        let counts = self.store().counts().await.unwrap();
        assert_eq!(counts.jobs, self.model.jobs.len() as u64);
        assert_eq!(counts.closed, self.model.count(State::Closed));
        assert_eq!(counts.leased(), self.model.count(State::Leased));
        assert_eq!(counts.parked, self.model.count(State::Parked));
        assert_eq!(
            counts.open_at(0) + counts.open_at(1),
            self.model.count(State::Open)
        );
        assert_eq!(counts.pairs, self.model.pairs);
        let mut jobs = 0;
        for stage in 0..2 {
            let board = self.store().leaderboard(stage, 100).await.unwrap();
            jobs += board.iter().map(|row| row.jobs).sum::<u64>();
        }
        assert_eq!(jobs, self.model.completions);
        recount::check(path);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_life_keeps_the_invariants(steps in prop::collection::vec(step(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        runtime.block_on(async {
            let mut world = World::new(&path);
            for step in steps {
                world.take(step).await;
            }
            world.compare(&path).await;
        });
    }
}
