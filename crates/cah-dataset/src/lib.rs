//! Rows in, tar, parquet, npy and manifest out, on any object store.
//!
//! A [`Store`] is the folder or bucket of a dataset. A [`ShardWriter`] takes the pairs of one
//! shard in order and streams them into a webdataset tar, a parquet table and two npy files of
//! embeddings; [`ShardWriter::finish`] gives these their names and writes the [`Manifest`] last.
//! A shard exists if and only if its manifest does. A [`CandidateWriter`] writes the one table
//! that extraction alone gives. A [`HandOverPacker`] makes what a CPU worker hands over, a
//! [`HandedOver`] reads it on the other side.
//!
//! Two promises shape the code. *Whole or not at all*: files are staged, sealed and only then
//! named, and the manifest follows once they are durable, so that neither a crash nor a full disk
//! leaves a shard that a later run would believe. *The same rows, the same bytes*: nothing that
//! depends on time, machine or chance goes into any file but the manifest.

mod candidates;
mod captions;
mod columns;
mod embeddings;
mod error;
mod hand_over;
mod manifest;
mod names;
mod row;
mod shard;
mod storage;
mod table;
mod tarball;
mod text;

pub use candidates::{Candidate, CandidateWriter};
pub use captions::Caption;
pub use error::{DatasetError, Result};
pub use hand_over::{HandOver, HandOverPacker, HandedOver};
pub use manifest::{FileEntry, Manifest, Model, ShardInfo, Tally};
pub use row::{FetchedRow, ImageSize, Nsfw, PairRow, StoredImage};
pub use shard::ShardWriter;
pub use storage::Store;
