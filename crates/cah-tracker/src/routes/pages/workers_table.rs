//! Tables of workers.

use super::{ago, contributor_page, encoded, role_name, worker};
use crate::{
    clock::Timestamp,
    store::{Counts, Kind, StageCounts, WorkerSort, WorkerView},
    text::grouped,
};

/// A table of workers, ready for a page.
pub(super) struct WorkersTable {
    pub(super) heads: Vec<Head>,
    pub(super) rows: Vec<WorkerRow>,
    /// Whether their types and pairs have columns of their own.
    pub(super) has_types: bool,
    pub(super) has_pairs: bool,
}

/// The head of a column.
pub(super) struct Head {
    pub(super) name: &'static str,
    pub(super) is_number: bool,
    /// Where the table is sorted by it.
    pub(super) link: Option<SortLink>,
}

/// What sorts a table by one of its columns.
pub(super) struct SortLink {
    pub(super) address: String,
    /// How it is sorted by that column at present, as `aria-sort` has it; empty where by another one.
    pub(super) sorted: &'static str,
}

/// A column: its head, whether it has numbers, and what sorts by it.
type Column = (&'static str, bool, Option<WorkerSort>);

const WORKER: Column = ("Worker", false, Some(WorkerSort::Name));
const TYPE: Column = ("Type", false, Some(WorkerSort::Stage));
const CONTRIBUTOR: Column = ("Contributor", false, Some(WorkerSort::Contributor));
const JOB: Column = ("Job", true, None);
const PROGRESS: Column = ("Progress", false, None);
const DONE: Column = ("Done", true, Some(WorkerSort::Jobs));
const PAIRS: Column = ("Pairs", true, Some(WorkerSort::Pairs));
const AN_HOUR: Column = ("An hour", true, None);
const LAST_SEEN: Column = ("Last seen", true, Some(WorkerSort::LastSeen));

impl WorkersTable {
    /// The table as a part of a page.
    pub(super) fn short(workers: Vec<WorkerView>, counts: &Counts, now: Timestamp) -> Self {
        let columns = [WORKER, CONTRIBUTOR, JOB, PROGRESS, DONE, AN_HOUR, LAST_SEEN];
        let head = |(name, is_number, _)| Head {
            name,
            is_number,
            link: None,
        };
        Self {
            heads: columns.map(head).into(),
            rows: rows(workers, &counts.stages, now),
            has_types: false,
            has_pairs: false,
        }
    }

    /// The table that is a page's subject, which `link` says how to sort.
    pub(super) fn whole(
        workers: Vec<WorkerView>,
        counts: &Counts,
        now: Timestamp,
        link: impl Fn(WorkerSort) -> SortLink,
    ) -> Self {
        let has_pairs = counts.kind != Some(Kind::Data);
        let columns = [
            WORKER,
            TYPE,
            CONTRIBUTOR,
            JOB,
            PROGRESS,
            DONE,
            PAIRS,
            AN_HOUR,
            LAST_SEEN,
        ];
        let head = |(name, is_number, sort): Column| Head {
            name,
            is_number,
            link: sort.map(&link),
        };
        let is_shown = |column: &Column| has_pairs || *column != PAIRS;
        Self {
            heads: columns.into_iter().filter(is_shown).map(head).collect(),
            rows: rows(workers, &counts.stages, now),
            has_types: true,
            has_pairs,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

fn rows(workers: Vec<WorkerView>, stages: &[StageCounts], now: Timestamp) -> Vec<WorkerRow> {
    let row = |worker| WorkerRow::new(worker, stages, now);
    workers.into_iter().map(row).collect()
}

/// A line of a table of workers.
pub(super) struct WorkerRow {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) page: String,
    pub(super) nickname: String,
    pub(super) contributor: String,
    pub(super) job: String,
    /// Empty where it has no job.
    pub(super) job_page: String,
    pub(super) progress: String,
    pub(super) jobs: String,
    pub(super) pairs: String,
    pub(super) speed: String,
    pub(super) seen: String,
}

impl WorkerRow {
    fn new(worker: WorkerView, stages: &[StageCounts], now: Timestamp) -> Self {
        let kind = role_name(worker.role, stages);
        Self {
            page: format!(
                "/worker/{}/{}",
                encoded(&kind.to_lowercase()),
                worker.display_name
            ),
            kind,
            contributor: contributor_page(&worker.nickname),
            job: worker.number.map_or(String::new(), grouped),
            job_page: worker
                .number
                .map_or(String::new(), |number| format!("/job/{number}")),
            jobs: grouped(worker.jobs_completed),
            pairs: grouped(worker.pairs),
            speed: worker::speed(&worker, now),
            seen: ago(worker.last_seen, now),
            name: worker.display_name,
            nickname: worker.nickname,
            progress: worker.progress,
        }
    }
}
