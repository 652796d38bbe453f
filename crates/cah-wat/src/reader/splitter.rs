//! WARC records out of a stream of inflated (or plain) bytes, past any damage.

use super::{
    header::{self, Head},
    members::Flow,
};

/// A record as it stands in the stream.
#[derive(Debug)]
pub(crate) struct RawRecord<'a> {
    /// Where in the input its gzip member starts, or it itself where the input is plain.
    pub(crate) origin: u64,
    pub(crate) header: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl<'a> RawRecord<'a> {
    fn new(origin: u64, bytes: &'a [u8], body: usize) -> Self {
        let (header, body) = bytes.split_at(body);
        RawRecord {
            origin,
            header,
            body,
        }
    }
}

/// Bytes that come next in the stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) bytes: &'a [u8],
    /// Where they are from: the offset of their gzip member, or of the first byte where the
    /// input is plain.
    pub(crate) origin: u64,
    /// Whether a record may start with the first of them although no line end precedes it.
    pub(crate) first: bool,
}

/// Where bytes that are carried over are from.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: usize,
    origin: u64,
}

/// The most members that a record may go over, so that a crowd of tiny ones costs no memory.
/// Those of bgzip hold 64 KiB each: 512 of them are the longest record that is believed.
const MAX_MARKS: usize = 1 << 14;

/// Cuts a stream into records. Keeps the one that is not whole yet, nothing else.
#[derive(Debug)]
pub(crate) struct Splitter {
    /// Whether each byte has an origin of its own, as in a plain file.
    plain: bool,
    /// Records from here on belong to somebody else.
    limit: u64,
    carry: Vec<u8>,
    marks: Vec<Mark>,
    /// Bytes that the carry must have before another look at it is worth it.
    need: usize,
    /// Whether the carry, or else the next segment, is the start of a record.
    synced: bool,
    /// Whether a first record was found: what comes before it is no loss when reading starts
    /// midway.
    started: bool,
    lost_records: u64,
    lost_bytes: u64,
    /// Bytes since the last record that belong to none.
    garbage: u64,
}

impl Splitter {
    /// `synced`: the stream starts with a record, not midway.
    pub(crate) fn new(plain: bool, synced: bool, limit: u64) -> Self {
        Splitter {
            plain,
            limit,
            carry: Vec::new(),
            marks: Vec::new(),
            need: 0,
            synced,
            started: synced,
            lost_records: 0,
            lost_bytes: 0,
            garbage: 0,
        }
    }

    /// Records that were damaged, and the bytes in them that were given up.
    pub(crate) fn lost(&self) -> (u64, u64) {
        (self.lost_records, self.lost_bytes)
    }

    /// Bytes since the last record that belong to none.
    pub(crate) fn garbage(&self) -> u64 {
        self.garbage
    }

    /// Whether no record is left half read.
    pub(crate) fn is_between_records(&self) -> bool {
        !self.synced || self.carry.iter().all(|byte| is_line_end(*byte))
    }

    pub(crate) fn capacity(&self) -> usize {
        self.carry.capacity() + self.marks.capacity() * size_of::<Mark>()
    }

    /// Whether what came last, and belongs to no record that is known, is the end of one.
    pub(crate) fn ends_like_a_record(&self) -> bool {
        header::is_end(&self.carry)
    }

    /// Takes the next bytes and hands on each record that is whole.
    pub(crate) fn push(
        &mut self,
        segment: Segment<'_>,
        sink: &mut dyn FnMut(RawRecord<'_>) -> Flow,
    ) -> Flow {
        if segment.bytes.is_empty() {
            return Flow::Go;
        }
        if !self.synced && segment.first && header::is_start(segment.bytes) {
            self.start_afresh();
        }
        self.mark(segment.origin);
        if self.carry.is_empty() {
            let (used, flow) = self.split(segment.bytes, false, sink);
            self.carry.extend_from_slice(&segment.bytes[used..]);
            self.shift_marks(used);
            return flow;
        }
        self.carry.extend_from_slice(segment.bytes);
        if self.marks.len() > MAX_MARKS {
            self.lose_record();
        }
        if self.carry.len() < self.need {
            return Flow::Go;
        }
        self.split_carry(false, sink)
    }

    /// Takes up again at a member that starts with a record: what came before is no reason to
    /// doubt it.
    fn start_afresh(&mut self) {
        self.drop_carry();
        self.synced = true;
        self.started = true;
        self.garbage = 0;
    }

    /// Notes where the bytes that come next are from.
    fn mark(&mut self, origin: u64) {
        let at = self.carry.len();
        if at == 0 {
            self.marks.clear();
        }
        let last = self.marks.last();
        if last.is_none_or(|last| !self.plain && last.origin != origin) {
            self.marks.push(Mark { at, origin });
        }
    }

    /// The bytes that should come next are lost.
    pub(crate) fn gap(&mut self, sink: &mut dyn FnMut(RawRecord<'_>) -> Flow) -> Flow {
        let flow = self.split_carry(true, sink);
        self.lose_record();
        flow
    }

    /// Nothing comes any more. Tells whether the stream ended inside a record.
    pub(crate) fn finish(&mut self, sink: &mut dyn FnMut(RawRecord<'_>) -> Flow) -> (bool, Flow) {
        let flow = self.split_carry(true, sink);
        let inside = self.synced && !self.is_between_records();
        self.drop_carry();
        (inside && flow == Flow::Go, flow)
    }

    fn split_carry(&mut self, last: bool, sink: &mut dyn FnMut(RawRecord<'_>) -> Flow) -> Flow {
        let carry = std::mem::take(&mut self.carry);
        let (used, flow) = self.split(&carry, last, sink);
        self.carry = carry;
        self.carry.drain(..used);
        self.shift_marks(used);
        flow
    }

    /// Hands on the records in `bytes`, to which the marks refer. Gives how many bytes are done.
    fn split(
        &mut self,
        bytes: &[u8],
        last: bool,
        sink: &mut dyn FnMut(RawRecord<'_>) -> Flow,
    ) -> (usize, Flow) {
        let mut at = 0;
        self.need = 0;
        loop {
            at += self.pass_to_record(&bytes[at..]);
            if !self.synced || at == bytes.len() {
                return (at, Flow::Go);
            }
            let origin = self.origin(at);
            let found = match origin < self.limit {
                true => whole_record(&bytes[at..], last),
                false => record_of_another(&bytes[at..], last),
            };
            match found {
                Found::Record { body, end } => {
                    let record = RawRecord::new(origin, &bytes[at..at + end], body);
                    self.garbage = 0;
                    at += end;
                    if sink(record) == Flow::Stop {
                        return (at, Flow::Stop);
                    }
                }
                Found::Another => return (at, Flow::Stop),
                Found::Short { need } => {
                    self.need = need;
                    return (at, Flow::Go);
                }
                Found::Bad => {
                    self.lost_records += 1;
                    self.synced = false;
                }
            }
        }
    }

    /// Passes what stands before the next record. Gives how many bytes that is.
    fn pass_to_record(&mut self, bytes: &[u8]) -> usize {
        let skipped = if self.synced { 0 } else { self.sync(bytes) };
        if !self.synced {
            return skipped;
        }
        let rest = bytes[skipped..].iter();
        skipped + rest.take_while(|byte| is_line_end(**byte)).count()
    }

    /// Looks for the next record. Gives how many bytes to skip.
    fn sync(&mut self, bytes: &[u8]) -> usize {
        let start = header::find_start(bytes);
        let skipped = start.unwrap_or(bytes.len().saturating_sub(header::START_TAIL));
        self.lose(skipped);
        self.synced = start.is_some();
        self.started |= self.synced;
        skipped
    }

    fn lose(&mut self, bytes: usize) {
        self.garbage += bytes as u64;
        if self.started {
            self.lost_bytes += bytes as u64;
        }
    }

    fn origin(&self, at: usize) -> u64 {
        // The first mark is at 0 whenever there are bytes.
        let after = self.marks.partition_point(|mark| mark.at <= at);
        let mark = self.marks[..after].last().copied();
        let mark = mark.unwrap_or(Mark { at: 0, origin: 0 });
        if self.plain {
            mark.origin + (at - mark.at) as u64
        } else {
            mark.origin
        }
    }

    fn shift_marks(&mut self, used: usize) {
        let first = Mark {
            at: 0,
            origin: self.origin(used),
        };
        self.marks.retain(|mark| mark.at > used);
        for mark in &mut self.marks {
            mark.at -= used;
        }
        self.marks.insert(0, first);
    }

    /// Gives up the record that is half read, if there is one, and looks for the next.
    fn lose_record(&mut self) {
        if !self.is_between_records() {
            self.lost_records += 1;
        }
        self.drop_carry();
        self.synced = false;
    }

    fn drop_carry(&mut self) {
        self.lose(self.carry.len());
        self.carry.clear();
        self.marks.clear();
        self.need = 0;
    }
}

enum Found {
    Record {
        body: usize,
        end: usize,
    },
    /// One that belongs to somebody else.
    Another,
    Short {
        need: usize,
    },
    Bad,
}

/// The record at the start of `bytes`. `last`: nothing follows them.
fn whole_record(bytes: &[u8], last: bool) -> Found {
    let (body, end) = match header::read(bytes) {
        Head::Known { body, end } => (body, end),
        Head::Short if last => return short_at_the_end(bytes),
        Head::Short => {
            return Found::Short {
                need: bytes.len() + 1,
            };
        }
        Head::Bad => return Found::Bad,
    };
    match bytes.get(end..) {
        // A length that is right is followed by a line end, by the next record or by nothing.
        Some([b'\r' | b'\n', ..]) => Found::Record { body, end },
        Some(rest) if rest.starts_with(b"WARC/") => Found::Record { body, end },
        Some([]) if last => Found::Record { body, end },
        Some(rest) if b"WARC/".starts_with(rest) && !last => Found::Short { need: end + 5 },
        Some(_) => Found::Bad,
        None if last => short_at_the_end(bytes),
        None => Found::Short { need: end + 1 },
    }
}

/// The record of another piece at the start of `bytes`. What it holds is of no interest, but its
/// reader has to find it: what it can't is lost to this one.
fn record_of_another(bytes: &[u8], last: bool) -> Found {
    match header::can_be_found(bytes) {
        Some(true) => Found::Another,
        Some(false) => Found::Bad,
        None if last => Found::Another,
        None => Found::Short {
            need: bytes.len() + 1,
        },
    }
}

/// A record that is longer than what there is: its length is wrong if another one starts in it.
fn short_at_the_end(bytes: &[u8]) -> Found {
    match header::find_start(bytes) {
        Some(_) => Found::Bad,
        None => Found::Short { need: usize::MAX },
    }
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(body: &str) -> String {
        format!(
            "WARC/1.0\r\nContent-Length: {}\r\n\r\n{body}\r\n\r\n",
            body.len()
        )
    }

    fn split(stream: &str, step: usize) -> (Vec<(u64, String)>, Splitter, bool) {
        let (mut splitter, mut found) = (Splitter::new(true, true, u64::MAX), Vec::new());
        let mut sink = |record: RawRecord<'_>| {
            found.push((
                record.origin,
                String::from_utf8_lossy(record.body).into_owned(),
            ));
            Flow::Go
        };
        for (index, bytes) in stream.as_bytes().chunks(step).enumerate() {
            let origin = (index * step) as u64;
            splitter.push(
                Segment {
                    bytes,
                    origin,
                    first: index == 0,
                },
                &mut sink,
            );
        }
        let (inside, _) = splitter.finish(&mut sink);
        (found, splitter, inside)
    }

    #[test]
    fn any_step_gives_the_same_records_with_their_origins() {
        let stream = [record("one"), record(""), record("three")].concat();
        for step in 1..stream.len() {
            let (found, splitter, inside) = split(&stream, step);
            let bodies: Vec<_> = found.iter().map(|(_, body)| body.as_str()).collect();
            assert_eq!(bodies, ["one", "", "three"], "step {step}");
            for (origin, _) in &found {
                assert!(
                    stream[*origin as usize..].starts_with("WARC/"),
                    "step {step}"
                );
            }
            assert_eq!((splitter.lost(), inside), ((0, 0), false));
        }
    }

    #[test]
    fn a_wrong_length_costs_one_record() {
        for length in ["1", "10", "60", "4000", "none"] {
            let bad = record("two!").replace("Length: 4", &format!("Length: {length}"));
            let stream = [record("one"), bad, record("three"), record("four")].concat();
            for step in [1, 10, stream.len()] {
                let (found, splitter, inside) = split(&stream, step);
                let bodies: Vec<_> = found.iter().map(|(_, body)| body.as_str()).collect();
                assert_eq!(
                    bodies,
                    ["one", "three", "four"],
                    "length {length}, step {step}"
                );
                assert_eq!(splitter.lost().0, 1);
                assert!(!inside);
            }
        }
    }

    #[test]
    fn a_cut_stream_says_so() {
        let stream = [record("one"), record("two")].concat();
        let (found, _, inside) = split(&stream[..stream.len() - 5], 7);
        assert_eq!(found.len(), 1);
        assert!(inside);
        // Cut in the line ends after the body: nothing is missing.
        let (found, _, inside) = split(&stream[..stream.len() - 4], 7);
        assert_eq!(found.len(), 2);
        assert!(!inside);
    }
}
