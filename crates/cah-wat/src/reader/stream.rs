//! A gzip member of any length, a little at a time.

use flate2::{Crc, Decompress, FlushDecompress, Status};

/// The longest header that is believed: its fixed part, names and comments.
const MAX_HEADER: usize = 32 * 1024;

/// Bits of the flags byte of a gzip header (RFC 1952).
mod flag {
    pub(super) const HEADER_CRC: u8 = 1 << 1;
    pub(super) const EXTRA: u8 = 1 << 2;
    pub(super) const NAME: u8 = 1 << 3;
    pub(super) const COMMENT: u8 = 1 << 4;
    pub(super) const RESERVED: u8 = 0b1110_0000;
}

/// Whether a gzip member may start with these bytes. `None`: too few to say.
pub(crate) fn is_member_start(bytes: &[u8]) -> Option<bool> {
    const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
    let known = bytes.len().min(MAGIC.len());
    if bytes[..known] != MAGIC[..known] {
        return Some(false);
    }
    bytes.get(3).map(|flags| flags & flag::RESERVED == 0)
}

/// Where the first member that may start in `bytes` at or after `from` does so, or where one
/// could start whose first bytes are yet to come; `bytes.len()` if nowhere.
pub(crate) fn find_member_start(bytes: &[u8], from: usize) -> (usize, bool) {
    let mut at = from;
    while let Some(found) = memchr::memchr(0x1f, bytes.get(at..).unwrap_or_default()) {
        at += found;
        match is_member_start(&bytes[at..]) {
            Some(true) => return (at, true),
            Some(false) => at += 1,
            None => return (at, false),
        }
    }
    (bytes.len(), false)
}

/// How many bytes at the end of others may be the beginning of a member.
pub(crate) const START_TAIL: usize = 3;

/// What the end of a member says of the length of its content (modulo 4 GiB). `None`: too few
/// bytes.
pub(crate) fn content_length(member: &[u8]) -> Option<u32> {
    member.last_chunk().copied().map(u32::from_le_bytes)
}

/// Whether a member of `compressed` bytes may have content of this length.
pub(crate) fn may_hold(compressed: u64, content: u32) -> bool {
    /// The shortest member: header, an empty block, checksum and length.
    const SHORTEST: u64 = 10 + 2 + 8;
    /// The most that deflate makes of a byte.
    const EXPANSION: u64 = 1032;
    let most = compressed.saturating_mul(EXPANSION);
    let is_possible = (compressed / 2..=most).contains(&u64::from(content));
    compressed >= SHORTEST && (is_possible || most > u64::from(u32::MAX))
}

/// What a step did, and what the decoder wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) consumed: usize,
    pub(crate) written: usize,
    pub(crate) next: Next,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// More input.
    Input,
    /// Room for more output.
    Output,
    /// Nothing: the member is whole, its checksum right.
    End,
    /// Nothing: the member is damaged.
    Bad,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Header,
    Body,
    Trailer { seen: u8, bytes: [u8; 8] },
}

/// Inflates one gzip member in steps.
#[derive(Debug)]
pub(crate) struct StreamInflater {
    part: Part,
    inflate: Decompress,
    crc: Crc,
}

impl StreamInflater {
    pub(crate) fn new() -> Self {
        StreamInflater {
            part: Part::Header,
            inflate: Decompress::new(false),
            crc: Crc::new(),
        }
    }

    /// Takes some input and gives some output. The header has to be whole in the first input.
    pub(crate) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        match self.part {
            Part::Header => self.header(input),
            Part::Body => self.body(input, output),
            Part::Trailer { seen, bytes } => self.trailer(input, seen, bytes),
        }
    }

    fn header(&mut self, input: &[u8]) -> Step {
        match header_len(input) {
            Some(consumed) if consumed <= MAX_HEADER => {
                self.part = Part::Body;
                Step {
                    consumed,
                    written: 0,
                    next: Next::Input,
                }
            }
            Some(_) => bad(),
            // Out of input, which is the end of the file or too long a header.
            None if input.len() > MAX_HEADER => bad(),
            None => Step {
                consumed: input.len(),
                written: 0,
                next: Next::Input,
            },
        }
    }

    fn body(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
        let Ok(status) = self
            .inflate
            .decompress(input, output, FlushDecompress::None)
        else {
            return bad();
        };
        // Both fit: they are at most the lengths of the two slices.
        let consumed = (self.inflate.total_in() - before_in) as usize;
        let written = (self.inflate.total_out() - before_out) as usize;
        self.crc.update(&output[..written]);
        let next = match status {
            Status::StreamEnd => {
                self.part = Part::Trailer {
                    seen: 0,
                    bytes: [0; 8],
                };
                Next::Input
            }
            _ if written == output.len() => Next::Output,
            // Neither input nor room is missing, and yet it stands still.
            _ if consumed == 0 && written == 0 && !input.is_empty() => return bad(),
            _ => Next::Input,
        };
        Step {
            consumed,
            written,
            next,
        }
    }

    fn trailer(&mut self, input: &[u8], seen: u8, mut bytes: [u8; 8]) -> Step {
        let missing = &mut bytes[usize::from(seen)..];
        let consumed = missing.len().min(input.len());
        missing[..consumed].copy_from_slice(&input[..consumed]);
        let seen = seen + consumed as u8;
        self.part = Part::Trailer { seen, bytes };
        let next = match seen {
            8 if bytes == self.expected_trailer() => Next::End,
            8 => Next::Bad,
            _ => Next::Input,
        };
        Step {
            consumed,
            written: 0,
            next,
        }
    }

    fn expected_trailer(&self) -> [u8; 8] {
        let mut trailer = [0; 8];
        trailer[..4].copy_from_slice(&self.crc.sum().to_le_bytes());
        trailer[4..].copy_from_slice(&self.crc.amount().to_le_bytes());
        trailer
    }
}

fn bad() -> Step {
    Step {
        consumed: 0,
        written: 0,
        next: Next::Bad,
    }
}

/// The length of the gzip header at the start of `input`, or `None` if it does not end there.
fn header_len(input: &[u8]) -> Option<usize> {
    let flags = *input.get(3)?;
    let mut at = 10;
    if flags & flag::EXTRA != 0 {
        let length = input.get(at..at + 2)?;
        at += 2 + usize::from(u16::from_le_bytes([length[0], length[1]]));
    }
    for text in [flag::NAME, flag::COMMENT] {
        if flags & text != 0 {
            at += memchr::memchr(0, input.get(at..)?)? + 1;
        }
    }
    if flags & flag::HEADER_CRC != 0 {
        at += 2;
    }
    (at <= input.len()).then_some(at)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, GzBuilder};

    use super::*;

    fn run(input: &[u8], room: usize) -> (Vec<u8>, Next) {
        let (mut decoder, mut at, mut all) = (StreamInflater::new(), 0, Vec::new());
        loop {
            let mut output = vec![0; room];
            let step = decoder.step(&input[at..], &mut output);
            at += step.consumed;
            all.extend_from_slice(&output[..step.written]);
            let stuck = step.consumed == 0 && step.written == 0;
            if matches!(step.next, Next::End | Next::Bad) || (stuck && at == input.len()) {
                return (all, step.next);
            }
        }
    }

    fn member(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzBuilder::new()
            .filename("a name")
            .comment("a comment")
            .extra(vec![7; 300])
            .write(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn inflates_with_a_long_header_and_little_room() {
        let text = b"some text, some text, some more".repeat(50);
        for room in [1, 7, 5000] {
            assert_eq!(run(&member(&text), room), (text.clone(), Next::End));
        }
    }

    #[test]
    fn tells_damage_from_a_cut() {
        let mut input = member(b"some text");
        let len = input.len();
        assert_eq!(run(&input[..len - 3], 100).1, Next::Input);
        assert_eq!(run(&input[..20], 100).1, Next::Input);
        input[len - 6] ^= 1;
        assert_eq!(run(&input, 100).1, Next::Bad);
    }

    #[test]
    fn finds_starts_and_what_may_become_one() {
        assert_eq!(find_member_start(b"ab\x1f\x8b\x08\x00", 0), (2, true));
        assert_eq!(
            find_member_start(b"ab\x1f\x8b\x08\xff\x1f\x8b", 0),
            (6, false)
        );
        assert_eq!(find_member_start(b"ab\x1fcd", 0), (5, false));
        assert_eq!(find_member_start(b"", 3), (0, false));
    }
}
