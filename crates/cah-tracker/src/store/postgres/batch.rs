//! Changes of many workers, made in one transaction.

use std::collections::HashSet;

use tokio::sync::oneshot;

use super::{
    claims::{self, ClaimAsk, Claims, Manner},
    connection::Connection,
    deltas::Deltas,
    headcount::Headcount,
    leases::{self, CompleteAsk, FailAsk, Setback, Vain},
    workers::{self, JoinAsk},
};
use crate::store::{
    Accepted, Claimed, StoreError,
    presence::{Known, Presence},
    rules::{self, COMPLETED, FAILED},
};

/// What somebody asks for, and where the answer goes.
pub(super) struct Call<A, T> {
    pub(super) ask: A,
    pub(super) reply: oneshot::Sender<Result<T, StoreError>>,
}

/// A change that many ask for all the time.
pub(super) enum Change {
    Claim(Call<ClaimAsk, Claimed>),
    Complete(Call<CompleteAsk, Accepted>),
    Fail(Call<FailAsk, Accepted>),
    Join(Call<JoinAsk, i64>),
    Leave(Call<i64, ()>),
    /// Nothing but a round to the disk.
    Probe(Call<(), ()>),
}

/// Changes that go together: no two of the same worker.
#[derive(Default)]
pub(super) struct Batch {
    claims: Vec<Call<ClaimAsk, Claimed>>,
    completions: Vec<Call<CompleteAsk, Accepted>>,
    failures: Vec<Call<FailAsk, Accepted>>,
    joins: Vec<Call<JoinAsk, i64>>,
    leaves: Vec<Call<i64, ()>>,
    probes: Vec<Call<(), ()>>,
    workers: HashSet<i64>,
    manner: Manner,
}

/// What came of a batch: a list a kind, in the order of the calls.
pub(super) struct Answers {
    claims: Vec<Result<Claimed, StoreError>>,
    /// Whose claims found open jobs in the hands of others only.
    passed_over: HashSet<i64>,
    completions: Vec<Result<Accepted, StoreError>>,
    failures: Vec<Result<Accepted, StoreError>>,
    joins: Vec<Result<i64, StoreError>>,
    leaves: Vec<Result<(), StoreError>>,
}

impl Change {
    /// Whose it is, where it is about a worker that is there.
    pub(super) fn worker(&self) -> Option<i64> {
        match self {
            Self::Claim(call) => Some(call.ask.worker),
            Self::Complete(call) => Some(call.ask.worker),
            Self::Fail(call) => Some(call.ask.worker),
            Self::Leave(call) => Some(call.ask),
            Self::Join(_) | Self::Probe(_) => None,
        }
    }

    /// Whether it is of use to its caller alone, and the caller has gone away: a job would be
    /// leased to nobody, a worker join of which nobody knows.
    pub(super) fn is_vain(&self) -> bool {
        match self {
            Self::Claim(call) => call.reply.is_closed(),
            Self::Join(call) => call.reply.is_closed(),
            Self::Complete(_) | Self::Fail(_) | Self::Leave(_) | Self::Probe(_) => false,
        }
    }
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.claims.len()
            + self.completions.len()
            + self.failures.len()
            + self.joins.len()
            + self.leaves.len()
            + self.probes.len()
    }

    /// Takes a change in, or hands it back where one of the same worker is in it already.
    pub(super) fn push(&mut self, change: Change) -> Option<Change> {
        if change
            .worker()
            .is_some_and(|worker| !self.workers.insert(worker))
        {
            return Some(change);
        }
        match change {
            Change::Claim(call) => self.claims.push(call),
            Change::Complete(call) => self.completions.push(call),
            Change::Fail(call) => self.failures.push(call),
            Change::Join(call) => self.joins.push(call),
            Change::Leave(call) => self.leaves.push(call),
            Change::Probe(call) => self.probes.push(call),
        }
        None
    }

    /// Each change for itself.
    pub(super) fn split(self) -> impl Iterator<Item = Self> {
        let manner = self.manner;
        let all = self.completions.into_iter().map(Change::Complete);
        let all = all.chain(self.failures.into_iter().map(Change::Fail));
        let all = all.chain(self.leaves.into_iter().map(Change::Leave));
        let all = all.chain(self.joins.into_iter().map(Change::Join));
        let all = all.chain(self.claims.into_iter().map(Change::Claim));
        let all = all.chain(self.probes.into_iter().map(Change::Probe));
        all.map(move |change| {
            let mut batch = Self {
                manner,
                ..Self::default()
            };
            batch.push(change);
            batch
        })
    }

    /// Begins a transaction and makes the changes in it. What is sent first goes out at once, for
    /// all of them; those that need more are few.
    pub(super) async fn run(
        &self,
        db: &Connection,
        stages: &mut i64,
    ) -> Result<(Answers, Deltas), StoreError> {
        let claims: Vec<&ClaimAsk> = self.claims.iter().map(|call| &call.ask).collect();
        let completions: Vec<&CompleteAsk> =
            self.completions.iter().map(|call| &call.ask).collect();
        let failures: Vec<&FailAsk> = self.failures.iter().map(|call| &call.ask).collect();
        let leaves: Vec<i64> = self.leaves.iter().map(|call| call.ask).collect();
        let workers: Vec<i64> = self.workers.iter().copied().collect();
        let joins = self.joins.iter().map(|call| &call.ask);
        let joins = joins.map(|ask| workers::join(db, ask, *stages));
        let [mut d1, mut d2, mut d3, mut d4] = std::array::from_fn(|_| Deltas::default());
        // Polled in this order, and sent in it: all is prepared.
        let (begun, locked, completed, failed, left, joined, claimed) = futures::join!(
            db.run(self.begin()),
            workers::lock(db, &workers),
            leases::complete(db, &completions, &mut d1),
            leases::fail(db, &failures, &mut d2),
            workers::leave(db, &leaves, &mut d3),
            futures::future::join_all(joins),
            claims::claim(db, &claims, self.manner, &mut d4),
        );
        begun?;
        locked?;
        let mut deltas = d1;
        deltas.absorb(d2);
        deltas.absorb(d3);
        deltas.absorb(d4);
        if !self.probes.is_empty() {
            deltas.probe();
        }
        let mut answers = Answers {
            passed_over: HashSet::new(),
            completions: self.explain_completions(db, completed?).await?,
            failures: self.explain_failures(db, failed?).await?,
            leaves: left?,
            joins: self.explain_joins(db, joined, stages).await?,
            claims: claim_again(db, &claims, claimed?, self.manner, &mut deltas).await?,
        };
        if self.manner == Manner::PassingOver {
            answers.passed_over = claims::passed_over(db, &claims, &answers.claims).await?;
        }
        Ok((answers, deltas))
    }

    /// Who waits for what others hold keeps everybody behind it waiting.
    fn begin(&self) -> &'static str {
        match self.manner {
            Manner::PassingOver => "BEGIN",
            Manner::Waiting => "BEGIN; SET LOCAL lock_timeout = '2s'",
        }
    }

    async fn explain_completions(
        &self,
        db: &Connection,
        made: Vec<Option<Accepted>>,
    ) -> Result<Vec<Result<Accepted, StoreError>>, StoreError> {
        let calls = self.completions.iter().map(|call| Vain {
            worker: call.ask.worker,
            number: call.ask.completion.number,
            how: COMPLETED,
        });
        explain(db, made, calls).await
    }

    async fn explain_failures(
        &self,
        db: &Connection,
        made: Vec<Option<Accepted>>,
    ) -> Result<Vec<Result<Accepted, StoreError>>, StoreError> {
        let calls = self.failures.iter().map(|call| Vain {
            worker: call.ask.worker,
            number: call.ask.failure.number,
            how: FAILED,
        });
        explain(db, made, calls).await
    }

    async fn explain_joins(
        &self,
        db: &Connection,
        joined: Vec<Result<Option<i64>, StoreError>>,
        stages: &mut i64,
    ) -> Result<Vec<Result<i64, StoreError>>, StoreError> {
        let mut answers = Vec::with_capacity(joined.len());
        for (joined, call) in joined.into_iter().zip(&self.joins) {
            answers.push(match joined? {
                Some(worker) => Ok(worker),
                None => workers::join_after_all(db, &call.ask, stages).await?,
            });
        }
        Ok(answers)
    }

    /// Keeps in memory what has been committed, and tells everybody but those whose claims are to be
    /// made again, waiting for others; these are a batch of their own.
    pub(super) fn answer(
        self,
        answers: Answers,
        presence: &Presence,
        headcount: &Headcount,
    ) -> Self {
        let mut again = Self {
            manner: Manner::Waiting,
            ..Self::default()
        };
        for (call, answer) in self.claims.into_iter().zip(answers.claims) {
            if answers.passed_over.contains(&call.ask.worker) {
                again.push(Change::Claim(call));
                continue;
            }
            let (worker, reply) = (call.ask.worker, call.reply);
            conclude(presence, worker, "Received a job", reply, answer);
        }
        for (call, answer) in self.completions.into_iter().zip(answers.completions) {
            let (worker, reply) = (call.ask.worker, call.reply);
            conclude(presence, worker, "Completed a job", reply, answer);
        }
        for (call, answer) in self.failures.into_iter().zip(answers.failures) {
            let (worker, reply) = (call.ask.worker, call.reply);
            let doing = "Gave a job back that it cannot do";
            conclude(presence, worker, doing, reply, answer);
        }
        for (call, answer) in self.joins.into_iter().zip(answers.joins) {
            if let Ok(worker) = &answer {
                enter(presence, *worker, &call.ask);
                headcount.change(1);
            }
            let _ = call.reply.send(answer);
        }
        for (call, answer) in self.leaves.into_iter().zip(answers.leaves) {
            presence.remove(call.ask);
            headcount.change(if answer.is_ok() { -1 } else { 0 });
            let _ = call.reply.send(answer);
        }
        for call in self.probes {
            let _ = call.reply.send(Ok(()));
        }
        again
    }

    /// Tells everybody that the store cannot be used.
    pub(super) fn refuse(self, why: &StoreError) {
        let why = why.to_string();
        refuse(self.claims, &why);
        refuse(self.completions, &why);
        refuse(self.failures, &why);
        refuse(self.joins, &why);
        refuse(self.leaves, &why);
        refuse(self.probes, &why);
    }
}

fn refuse<A, T>(calls: Vec<Call<A, T>>, why: &str) {
    for call in calls {
        // Whoever asked may have gone away.
        let _ = call.reply.send(Err(StoreError::unavailable(why)));
    }
}

fn conclude<T>(
    presence: &Presence,
    worker: i64,
    doing: &str,
    reply: oneshot::Sender<Result<T, StoreError>>,
    answer: Result<T, StoreError>,
) {
    match &answer {
        // In the worker's place.
        Ok(_) => presence.note(worker, doing),
        Err(StoreError::UnknownWorker) => presence.remove(worker),
        Err(_) => {}
    }
    // Whoever asked may have gone away; the change stands.
    let _ = reply.send(answer);
}

fn enter(presence: &Presence, worker: i64, ask: &JoinAsk) {
    presence.enter(Known {
        worker,
        token: ask.worker.token,
        role: ask.worker.role,
        last_seen: ask.moment.now,
        deadline: ask.moment.until,
        progress: ask.worker.progress.as_str().into(),
    });
}

/// Finds out what is wrong with the calls that changed nothing.
async fn explain(
    db: &Connection,
    made: Vec<Option<Accepted>>,
    calls: impl Iterator<Item = Vain>,
) -> Result<Vec<Result<Accepted, StoreError>>, StoreError> {
    let vain = made.iter().zip(calls).filter(|(made, _)| made.is_none());
    let vain: Vec<Vain> = vain.map(|(_, call)| call).collect();
    let mut why = leases::explain(db, &vain).await?.into_iter();
    let answer = |made: Option<Accepted>| match made {
        Some(accepted) => Ok(accepted),
        // There is one for each.
        None => why.next().unwrap_or(Err(StoreError::NoLease)),
    };
    Ok(made.into_iter().map(answer).collect())
}

/// Takes the jobs of those that ask for another one, and gives them one.
async fn claim_again(
    db: &Connection,
    asks: &[&ClaimAsk],
    mut made: Claims,
    manner: Manner,
    deltas: &mut Deltas,
) -> Result<Vec<Result<Claimed, StoreError>>, StoreError> {
    if made.holding.is_empty() {
        return Ok(made.answers);
    }
    let holding: Vec<&ClaimAsk> = made.holding.iter().map(|i| asks[*i]).collect();
    let setback = |ask: &&ClaimAsk| Setback {
        worker: ask.worker,
        number: None,
        message: rules::ASKED_ANEW,
        max_failures: ask.claim.max_failures,
        now: ask.moment.now,
    };
    let setbacks: Vec<Setback<'_>> = holding.iter().map(setback).collect();
    leases::set_back(db, &setbacks, false, deltas).await?;
    let again = claims::claim(db, &holding, manner, deltas).await?;
    for (i, answer) in made.holding.iter().zip(again.answers) {
        made.answers[*i] = answer;
    }
    Ok(made.answers)
}
