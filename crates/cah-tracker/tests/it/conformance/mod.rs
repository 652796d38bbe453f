//! What every store promises. Each case is a function over the store's interface and runs on an
//! empty store with the jobs of two WAT files; each store runs all cases.

mod contributors;
mod jobs;
mod operation;
mod stages;
mod workers;

use crate::app::LOCAL;
use cah_protocol::WorkerType;
use cah_tracker::{
    TokenHash,
    store::{
        Caller, Claim, Claimed, Completion, Flag, Moment, NewWorker, Order, Role, Store,
        StoreError, WorkerQuery, WorkerView,
    },
};

/// The time of the first call, and how long a lease lasts.
const NOW: i64 = 1_000_000;
const IDLE: i64 = 100;

fn at(now: i64) -> Moment {
    Moment {
        now,
        until: now + IDLE,
    }
}

/// How often a job may fail in these cases.
const MAX_FAILURES: u32 = 2;

const CLAIM: Claim = Claim {
    order: Order::Oldest,
    max_failures: MAX_FAILURES,
};

const FLAG: Flag = Flag {
    number: None,
    reports: 1,
    max_failures: MAX_FAILURES,
};

fn caller(name: &str, role: impl Into<Role>) -> Caller {
    Caller {
        token: TokenHash::of(name),
        role: Some(role.into()),
    }
}

/// Registers a worker whose token, display name and nickname are all `name`.
async fn join(store: &dyn Store, name: &str, role: impl Into<Role>) -> Caller {
    let caller = caller(name, role);
    store
        .register(newcomer(caller, name), at(NOW))
        .await
        .unwrap();
    caller
}

fn newcomer(caller: Caller, name: &str) -> NewWorker {
    NewWorker {
        places: None,
        upload_key: TokenHash::of("key"),
        address: LOCAL,
        token: caller.token,
        role: caller.role.unwrap(),
        display_name: name.into(),
        nickname: name.into(),
        progress: "Connected".into(),
    }
}

/// The first `limit` workers.
async fn listed(store: &dyn Store, limit: u32) -> Vec<WorkerView> {
    let query = WorkerQuery {
        limit,
        ..WorkerQuery::default()
    };
    store.workers(query).await.unwrap().workers
}

async fn hybrid(store: &dyn Store, name: &str) -> Caller {
    join(store, name, WorkerType::Hybrid).await
}

async fn claim(store: &dyn Store, caller: Caller) -> Result<Claimed, StoreError> {
    store.claim(caller, CLAIM, at(NOW)).await
}

fn pairs(pairs: u64) -> Completion {
    Completion {
        pairs,
        ..Completion::default()
    }
}

fn hand_over(output: &str) -> Completion {
    Completion {
        output: Some(output.into()),
        ..Completion::default()
    }
}

/// Makes one test of each case, on stores that `$open` makes. It returns the store and whatever
/// must live as long.
macro_rules! conformance {
    ($store:ident, $open:expr, $($aggregate:ident: [$($case:ident),* $(,)?])*) => {
        mod $store {
            $($(
                #[tokio::test]
                async fn $case() {
                    let (store, _guard) = $open;
                    let url = |chunk| format!("https://data.example.org/{chunk}.warc.wat.gz");
                    store.add_chunks((1..=2).map(url).collect(), 0).await.unwrap();
                    super::$aggregate::$case(&*store).await;
                }
            )*)*
        }
    };
}

/// All cases, for one store.
macro_rules! all_cases {
    ($store:ident, $open:expr) => {
        conformance! {
            $store, $open,
            jobs: [
                claims_come_oldest_first,
                attempts_are_counted,
                a_worker_never_holds_two_jobs,
                a_job_closes_once,
                a_repeated_completion_counts_nothing,
                a_completion_without_a_job_is_refused,
                a_completion_that_names_another_job_is_refused,
                a_refused_call_changes_nothing,
                what_one_stage_hands_over_the_next_one_gets,
                a_flagged_job_goes_back_and_keeps_its_input,
                a_repeated_flag_counts_nothing,
                a_flag_that_names_another_job_is_refused,
                a_job_that_fails_comes_after_the_others,
                a_job_that_fails_too_often_is_parked,
                a_repeated_failure_counts_nothing,
                a_job_that_is_given_back_has_not_failed,
                a_hand_over_may_close,
                chunks_are_added_once_and_numbered_on,
                a_worker_without_a_job_has_received_none,
                counters_follow_every_change,
                silence_and_asking_anew_are_failures,
            ]
            stages: [
                each_stage_gets_what_the_one_before_made,
                crawlers_take_a_job_through_their_stages,
                a_stage_that_is_not_there_takes_no_worker,
                stages_are_named_before_there_is_work,
                payloads_are_added_once_and_numbered_on,
                shards_and_payloads_do_not_mix,
                a_higher_priority_comes_first,
                random_claims_find_every_job_once,
                different_workers_flag_a_job_back,
                a_flagged_job_comes_after_the_others,
                a_job_that_goes_to_and_fro_is_parked,
                a_token_alone_says_who_calls,
                a_crawler_is_handed_no_other_jobs,
                much_text_comes_in_parts,
                the_last_attempts_of_a_job_are_told,
            ]
            operation: [
                a_reset_job_was_never_done,
                whoever_works_on_a_reset_job_loses_it,
                a_banned_job_is_out_until_it_is_reset,
                a_banner_stays_until_it_is_taken_down,
                whole_wat_files_are_found_and_handed_in,
                an_operator_closes_any_job,
                what_no_job_waits_with_is_finished,
                what_was_made_anew_is_finished,
                whole_wat_files_are_drawn,
                restored_workers_have_time_to_call,
                counters_that_lie_are_found_out,
                an_archive_brings_everything_back,
                an_archive_brings_its_workers_back,
                half_an_archive_changes_nothing,
                jobs_without_a_task_are_found_out,
                a_backup_of_the_first_version_is_read,
            ]
            workers: [
                names_are_unique_among_the_connected,
                a_worker_that_leaves_gives_its_job_back,
                silence_costs_the_worker_and_its_job,
                any_call_moves_the_deadline,
                who_is_late_is_unknown_before_the_reaper_comes,
                a_token_counts_for_its_own_kind_only,
                workers_are_listed_as_they_were_heard_last,
                grace_moves_every_deadline,
                workers_are_searched_and_paged,
                workers_are_sorted,
                the_workers_of_a_contributor_are_found,
                who_is_kept_out_is_gone,
                whoever_joins_meanwhile_is_kept_out_too,
                a_machine_has_so_many_workers,
                a_closed_store_refuses,
            ]
            contributors: [
                the_leaderboard_ranks_by_jobs_then_pairs,
                each_stage_has_its_own_board,
                equals_share_a_place_everywhere,
                of_whom_nothing_counts_is_on_no_board,
                points_come_back_oldest_first,
                a_contributor_has_a_history,
                candidates_end_in_outcomes,
            ]
        }
    };
}

all_cases!(sqlite, {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let address = format!("sqlite:{}", path.display());
    let store = cah_tracker::store::open(&address).await.unwrap();
    (store, dir)
});

all_cases!(postgres, {
    let database = crate::postgres::cluster::Database::new().await;
    let store = cah_tracker::store::open(&database.address).await.unwrap();
    (store, database)
});
