//! Shards: the halves of WAT files, and how they are numbered.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Sample ids that belong to one WAT file (a chunk).
pub const IDS_PER_CHUNK: u64 = 1_000_000;

/// Sample ids that belong to one shard, half a chunk.
pub const IDS_PER_SHARD: u64 = IDS_PER_CHUNK / 2;

/// Which half of a WAT file a shard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Piece {
    /// Piece 0: the records that start before the middle.
    First,
    /// Piece 1: the others.
    Second,
}

/// A shard piece that is neither 0 nor 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a shard is piece 0 or 1 of its WAT file, not {0}")]
pub struct UnknownPiece(pub u8);

impl Piece {
    /// Both halves, in order.
    pub const BOTH: [Piece; 2] = [Piece::First, Piece::Second];
}

impl From<Piece> for u8 {
    fn from(piece: Piece) -> u8 {
        match piece {
            Piece::First => 0,
            Piece::Second => 1,
        }
    }
}

impl TryFrom<u8> for Piece {
    type Error = UnknownPiece;

    fn try_from(number: u8) -> Result<Self, UnknownPiece> {
        match number {
            0 => Ok(Piece::First),
            1 => Ok(Piece::Second),
            other => Err(UnknownPiece(other)),
        }
    }
}

/// Half a WAT file: the unit of work of Crawling@Home.
///
/// Chunk k (from 1) is one WAT file with sample ids (k−1)·10⁶ to k·10⁶; its shards are numbered
/// 2k−1 (piece 0) and 2k (piece 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// The job number, from 1.
    pub number: u64,
    /// Where the WAT file is.
    pub url: String,
    /// First sample id of the chunk.
    pub start_id: u64,
    /// First sample id after the chunk.
    pub end_id: u64,
    /// Which half of the WAT file.
    pub piece: Piece,
}

impl Shard {
    /// The shard of `piece` of the `chunk`th WAT file, counted from 1.
    pub fn of_chunk(chunk: u64, piece: Piece, url: impl Into<String>) -> Self {
        Self {
            number: 2 * chunk - 1 + u64::from(u8::from(piece)),
            url: url.into(),
            start_id: (chunk - 1) * IDS_PER_CHUNK,
            end_id: chunk * IDS_PER_CHUNK,
            piece,
        }
    }

    /// The shard with this job number, from 1, of the WAT file at `url`.
    pub fn numbered(number: u64, url: impl Into<String>) -> Self {
        let piece = match number % 2 {
            1 => Piece::First,
            _ => Piece::Second,
        };
        Self::of_chunk(Self::chunk_of(number), piece, url)
    }

    /// The chunk, from 1, that the shard with this job number is half of.
    pub fn chunk_of(number: u64) -> u64 {
        number.div_ceil(2)
    }

    /// Whether the job has a number and its ids are a chunk's: 10⁶ of them, all within an int64 as
    /// the dataset's columns are.
    pub(crate) fn is_numbered_as_a_chunk(&self) -> bool {
        self.number > 0
            && self.end_id <= i64::MAX as u64
            && self.start_id.checked_add(IDS_PER_CHUNK) == Some(self.end_id)
    }

    /// The sample id of the candidate with this index in the shard.
    ///
    /// Piece 1 starts at the middle of the chunk; `index` is below [`IDS_PER_SHARD`].
    pub fn sample_id(&self, index: u64) -> u64 {
        debug_assert!(index < IDS_PER_SHARD);
        self.start_id + u64::from(u8::from(self.piece)) * IDS_PER_SHARD + index
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_follow_the_protocol() {
        let a = Shard::of_chunk(1, Piece::First, "u");
        assert_eq!((a.number, a.start_id, a.end_id), (1, 0, 1_000_000));
        let b = Shard::of_chunk(3, Piece::Second, "u");
        assert_eq!((b.number, b.start_id, b.end_id), (6, 2_000_000, 3_000_000));
        assert_eq!(b.sample_id(7), 2_500_007);
    }

    proptest! {
        #[test]
        fn sample_ids_of_different_shards_differ(a in 1u64..1000, b in 1u64..1000, i in 0..IDS_PER_SHARD, j in 0..IDS_PER_SHARD) {
            let shard = |n: u64| Shard::numbered(n, "u");
            prop_assert_eq!(shard(a).number, a);
            prop_assert_eq!(shard(a).sample_id(i) == shard(b).sample_id(j), (a, i) == (b, j));
        }
    }
}
