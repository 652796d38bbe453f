//! What crosses the wire between tracker, workers and datasets.
//!
//! Plain types without IO: [`Shard`]s and their numbering, [`WorkerType`]s, the messages of the
//! Crawling@Home calls and of [`distcompute`]'s, the text limits that both sides keep, and the closed list of [`Outcome`]s
//! in which every candidate ends.

pub mod distcompute;
mod host;
mod outcome;
mod shard;
mod text;
mod wire;
mod worker;

pub use distcompute::{stage_letter, stage_of_letter};
pub use host::is_loopback;
pub use outcome::{Outcome, OutcomeCounts, Phase};
pub use shard::{IDS_PER_CHUNK, IDS_PER_SHARD, Piece, Shard, UnknownPiece};
pub use text::{
    MAX_NICKNAME_CHARS, MAX_PROGRESS_CHARS, MAX_RESULT_BYTES, TextRejected, check_banner,
    check_message, check_nickname, check_progress, check_result,
};
pub use wire::{JobResponse, MalformedJob, NewWorkerResponse, SUCCESS, UNKNOWN_WORKER};
pub use worker::{UnknownWorkerType, WorkerType};
