//! Where the bytes are at which the text of a JSON string stops being plain.

use wide::u8x16;

const BLOCK: usize = 64;

/// Finds quotes, backslashes and control characters, 64 bytes at a time.
///
/// One bit a byte, so that going from one to the next is a count of zeros: most strings are too
/// short for a search of their own.
pub(super) struct Specials<'a> {
    bytes: &'a [u8],
    /// Where the block starts that `bits` are of.
    block: usize,
    bits: u64,
}

impl<'a> Specials<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Specials {
            bytes,
            block: 0,
            bits: special_bits(bytes),
        }
    }

    /// The index of the first special byte at or after `from`, or the length if there is none.
    #[inline]
    pub(super) fn next(&mut self, from: usize) -> usize {
        // `from` lies before the block where the last answer was further on: the difference wraps.
        if from.wrapping_sub(self.block) >= BLOCK {
            self.load(from - from % BLOCK);
        }
        let mut bits = self.bits & (u64::MAX << (from % BLOCK));
        while bits == 0 {
            if self.bytes.len() - self.block <= BLOCK {
                return self.bytes.len();
            }
            self.load(self.block + BLOCK);
            bits = self.bits;
        }
        self.block + bits.trailing_zeros() as usize
    }

    #[inline]
    fn load(&mut self, block: usize) {
        self.block = block;
        self.bits = special_bits(&self.bytes[block.min(self.bytes.len())..]);
    }
}

/// Which of the first 64 bytes are special; the lowest bit is the first byte.
#[inline]
fn special_bits(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<BLOCK>() {
        Some(block) => bits_of_block(block),
        None => {
            let mut block = [b' '; BLOCK];
            block[..bytes.len()].copy_from_slice(bytes);
            bits_of_block(&block)
        }
    }
}

#[inline]
fn bits_of_block(block: &[u8; BLOCK]) -> u64 {
    const LAST_CONTROL: u8x16 = u8x16::splat(0x1f);
    let (lanes, _) = block.as_chunks::<16>();
    lanes.iter().enumerate().fold(0, |bits, (index, lane)| {
        let bytes = u8x16::new(*lane);
        let is_control = bytes.min(LAST_CONTROL).simd_eq(bytes);
        let special =
            bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\')) | is_control;
        bits | (u64::from(special.to_bitmask()) << (16 * index))
    })
}

/// Where the first special byte is among the eight at `from`, counted from there; `None` if there
/// is none, or less than eight bytes.
#[inline]
pub(super) fn special_in_word(bytes: &[u8], from: usize) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let word = u64::from_le_bytes(*bytes.get(from..)?.first_chunk()?);
    // The high bit of each byte that is less than a limit. The borrow of the subtraction may set
    // it above such a byte as well, which is of no matter to the lowest one.
    let less = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let equal = |byte: u8| less(word ^ (ONES * u64::from(byte)), 1);
    let special = (equal(b'"') | equal(b'\\') | less(word, 0x20)) & (ONES << 7);
    (special != 0).then(|| (special.trailing_zeros() / 8) as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_every_special_byte(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let is_special = |byte: u8| matches!(byte, b'"' | b'\\' | 0..0x20);
            let mut specials = Specials::new(&bytes);
            for from in 0..=bytes.len() {
                let first = bytes[from..].iter().position(|byte| is_special(*byte));
                let expected = first.map_or(bytes.len(), |offset| from + offset);
                prop_assert_eq!(specials.next(from), expected);
                prop_assert_eq!(Specials::new(&bytes).next(from), expected);
                let in_word = first.filter(|offset| *offset < 8 && from + 8 <= bytes.len());
                prop_assert_eq!(special_in_word(&bytes, from), in_word);
            }
        }
    }
}
