//! Which part of a file a reader owns.

/// The part of a WAT file to read.
///
/// The first byte of a record decides whose it is: the offset of its gzip member in the
/// compressed file (of the record itself where the file is plain). What starts before half of
/// the length is [`First`](Piece::First), the rest [`Second`](Piece::Second): each record is in
/// exactly one of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Piece {
    /// The whole file.
    #[default]
    Whole,
    /// Piece 0: what starts before the middle.
    First,
    /// Piece 1: the others.
    Second,
}

/// The offsets at which the records that a reader owns start, `from` included and `to` not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Range {
    pub(crate) fn of(piece: Piece, total_len: u64) -> Self {
        // An offset lies before half of the length if and only if twice the offset is less
        // than the length, which is the half rounded up.
        let half = total_len.div_ceil(2);
        match piece {
            Piece::Whole => Range {
                from: 0,
                to: u64::MAX,
            },
            Piece::First => Range { from: 0, to: half },
            Piece::Second => Range {
                from: half,
                to: u64::MAX,
            },
        }
    }

    /// Where reading starts: one byte earlier, because a record in a plain file is recognised by
    /// the line end before it.
    pub(crate) fn read_from(self) -> u64 {
        self.from.saturating_sub(1)
    }

    /// Whether reading starts somewhere inside the file.
    pub(crate) fn is_midway(self) -> bool {
        self.from > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_meet_for_odd_and_even_lengths() {
        for len in 0..10 {
            let (first, second) = (Range::of(Piece::First, len), Range::of(Piece::Second, len));
            assert_eq!(first.to, second.from);
            for offset in 0..len {
                assert_eq!(offset < first.to, 2 * offset < len, "{offset} of {len}");
            }
        }
    }
}
