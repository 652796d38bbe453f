//! Bytes → WARC records, gzip or plain, whatever the split of the bytes.

mod header;
mod inflate;
mod members;
mod piece;
mod rest;
mod sniff;
mod splitter;
mod stream;
mod window;

pub use piece::Piece;

use self::{
    members::{Event, Flow, Members},
    piece::Range,
    sniff::{Sniffed, sniff, sniff_start},
    splitter::{RawRecord, Segment, Splitter},
    window::Window,
};
use crate::{Error, NotWat};

/// Bytes that are worked on at a time, however many are pushed at once.
const STEP: usize = 256 << 10;

/// Inflated bytes without a record after which a member is given up, and without any record
/// before, the whole input.
const MAX_GARBAGE: u64 = 64 << 20;
const MAX_GARBAGE_AT_START: u64 = 4 << 20;

/// A WARC record of the input.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    offset: u64,
    header: &'a [u8],
    body: &'a [u8],
}

impl<'a> Record<'a> {
    /// Where in the input the record starts: its gzip member, or it itself in a plain file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The content; JSON in the `metadata` records of a WAT file.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The record as a file has it: its header, its content, and the empty lines behind it.
    pub fn parts(&self) -> [&'a [u8]; 3] {
        [self.header, self.body, header::LINE_ENDS]
    }

    /// The value of a WARC header field such as `WARC-Target-URI`, in any case.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        header::value(self.header, name)
    }

    /// Whether it is of the type `metadata`, as a WAT file has it for each request, response and
    /// metadata record of the crawl. Then its content is an object in JSON, unless it is damaged.
    pub fn is_metadata(&self) -> bool {
        self.is_of_type("metadata")
    }

    fn is_json(&self) -> bool {
        self.body.trim_ascii_start().starts_with(b"{")
    }

    fn is_of_type(&self, name: &str) -> bool {
        self.header("WARC-Type")
            .is_some_and(|found| found.eq_ignore_ascii_case(name))
    }
}

/// What was read, and what was lost to damage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Records that were handed on, of whatever type.
    pub records: u64,
    /// Records (or gzip members) that were damaged and left out.
    pub damaged: u64,
    /// Bytes that were skipped with them: compressed ones of damaged members, inflated ones of
    /// damaged records.
    pub lost_bytes: u64,
    /// Whether the input ends in the middle of a record. The records before were handed on.
    pub truncated: bool,
}

impl Report {
    /// Whether nothing was lost.
    pub fn is_whole(&self) -> bool {
        self.damaged == 0 && self.lost_bytes == 0 && !self.truncated
    }
}

#[derive(Debug)]
enum Format {
    Unknown,
    Gzip(Box<Members>),
    Plain,
}

/// Reads the records of a WAT file out of bytes that are pushed into it.
///
/// Memory is bounded whatever the length and however hostile the bytes: some 8 MiB, and for a
/// record that is longer than 4 MiB what it takes to hold it (32 MiB is the longest that is
/// believed). How the bytes are split makes no difference.
#[derive(Debug)]
pub struct Reader {
    range: Range,
    window: Window,
    format: Format,
    splitter: Splitter,
    tally: Tally,
    /// The first and the last bytes that came, and how many, to tell what they are if they are
    /// no WAT file.
    head: Vec<u8>,
    tail: Vec<u8>,
    length: u64,
    done: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    /// Reads a whole file.
    pub fn new() -> Self {
        Self::over(Range::of(Piece::Whole, 0))
    }

    /// Reads a piece of a file that is `total_len` bytes long as it is stored (compressed).
    /// Feed it from [`start_offset`](Self::start_offset) on, until it [`is_done`](Self::is_done)
    /// or the file ends.
    pub fn for_piece(total_len: u64, piece: Piece) -> Self {
        Self::over(Range::of(piece, total_len))
    }

    fn over(range: Range) -> Self {
        Reader {
            range,
            window: Window::at(range.read_from()),
            format: Format::Unknown,
            splitter: Splitter::new(false, true, range.to),
            tally: Tally::default(),
            head: Vec::new(),
            tail: Vec::new(),
            length: 0,
            done: false,
        }
    }

    /// The offset in the file of the first byte to push: the start of an HTTP range request.
    pub fn start_offset(&self) -> u64 {
        self.range.read_from()
    }

    /// Whether every record of the piece was handed on, so that no more bytes are needed.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Bytes of memory that the reader's buffers hold.
    pub fn buffered(&self) -> usize {
        let format = match &self.format {
            Format::Gzip(members) => members.capacity(),
            Format::Unknown | Format::Plain => 0,
        };
        self.window.capacity() + self.splitter.capacity() + format
    }

    /// Pushes the next bytes; `sink` is given each record that they complete.
    ///
    /// # Errors
    ///
    /// [`Error::NotWat`] as soon as that is certain.
    pub fn decode(&mut self, bytes: &[u8], mut sink: impl FnMut(Record<'_>)) -> Result<(), Error> {
        for chunk in bytes.chunks(STEP) {
            if self.done {
                break;
            }
            self.remember(chunk);
            self.window.push(chunk);
            self.pump(false, &mut sink)?;
        }
        Ok(())
    }

    /// Ends the input; `sink` is given the records that were still held back.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`] and [`Error::NotWat`], if no record came and the piece should have some,
    /// or if there were only others than a WAT file has. A [second](Piece::Second) piece may have
    /// none, if it ends as the record that goes over the middle of the file does.
    pub fn finish(mut self, mut sink: impl FnMut(Record<'_>)) -> Result<Report, Error> {
        let mut cut = false;
        if !self.done {
            self.pump(true, &mut sink)?;
        }
        let is_rest = self.is_rest();
        if !self.done {
            (cut, _) = self
                .splitter
                .finish(&mut |raw| self.tally.take(raw, &mut sink));
        }
        let report = self.report(cut);
        self.check(&report, is_rest)?;
        Ok(report)
    }

    fn report(&self, cut: bool) -> Report {
        let (damaged, lost_bytes) = self.splitter.lost();
        let mut report = Report {
            records: self.tally.records,
            damaged,
            lost_bytes,
            truncated: cut,
        };
        if let Format::Gzip(members) = &self.format {
            let damage = members.damage();
            report.damaged += damage.members;
            report.lost_bytes += damage.bytes;
            report.truncated |= damage.truncated;
        }
        report
    }

    fn check(&self, report: &Report, is_rest: bool) -> Result<(), Error> {
        if self.head.is_empty() {
            return Err(Error::Empty);
        }
        if self.tally.metadata == 0 && self.tally.foreign > 0 {
            return Err(Error::NotWat(NotWat::OtherWarc));
        }
        // Records that are cut or damaged were some.
        let is_damaged = report.damaged > 0 && self.range.is_midway();
        if self.tally.records == 0 && !report.truncated && !is_damaged && !is_rest {
            return Err(Error::NotWat(self.what_it_is()));
        }
        Ok(())
    }

    /// Whether what came may be the rest of a record that belongs to the first piece, by all that
    /// can be known of it before the input ends.
    fn is_rest(&self) -> bool {
        self.range.is_midway()
            && match &self.format {
                Format::Gzip(members) if !members.found_any() => self.may_be_rest(),
                Format::Unknown => self.may_be_rest(),
                Format::Gzip(_) | Format::Plain => self.splitter.ends_like_a_record(),
            }
    }

    fn may_be_rest(&self) -> bool {
        rest::may_be_rest(&self.head, &self.tail, self.length)
    }

    fn what_it_is(&self) -> NotWat {
        let text = self.head.trim_ascii_start();
        match &self.format {
            Format::Gzip(members) if members.found_any() || !self.range.is_midway() => {
                NotWat::OtherGzip
            }
            _ if text.starts_with(b"<") || text.starts_with(b"\xef\xbb\xbf<") => NotWat::Markup,
            _ => NotWat::Unknown,
        }
    }

    fn remember(&mut self, bytes: &[u8]) {
        let missing = rest::HEAD.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..missing]);
        let last = &bytes[bytes.len().saturating_sub(rest::TAIL)..];
        self.tail.extend_from_slice(last);
        let surplus = self.tail.len().saturating_sub(rest::TAIL);
        self.tail.drain(..surplus);
        self.length += bytes.len() as u64;
    }

    fn pump(&mut self, last: bool, sink: &mut dyn FnMut(Record<'_>)) -> Result<(), Error> {
        if matches!(self.format, Format::Unknown) {
            self.detect(last)?;
        }
        let Self {
            tally,
            splitter,
            window,
            range,
            ..
        } = self;
        let take = &mut |raw: RawRecord<'_>| tally.take(raw, sink);
        let flow = match &mut self.format {
            Format::Unknown => Flow::Go,
            Format::Plain => {
                let (bytes, origin) = (window.bytes(), window.offset());
                let flow = splitter.push(
                    Segment {
                        bytes,
                        origin,
                        first: origin == 0,
                    },
                    take,
                );
                window.consume(window.bytes().len());
                flow
            }
            Format::Gzip(members) => members.pump(window, last, &mut |event| {
                take_event(event, splitter, *range, take)
            }),
        };
        self.done = flow == Flow::Stop;
        self.give_up_on_garbage()
    }

    /// An input that gives nothing but what is no WARC is not read to its end.
    fn give_up_on_garbage(&self) -> Result<(), Error> {
        let hopeless = self.tally.records == 0 && self.splitter.garbage() > MAX_GARBAGE_AT_START;
        match hopeless && !self.range.is_midway() {
            true => Err(Error::NotWat(self.what_it_is())),
            false => Ok(()),
        }
    }

    /// Finds out whether the input is gzip or plain, by its content.
    fn detect(&mut self, last: bool) -> Result<(), Error> {
        let midway = self.range.is_midway();
        // The byte before the piece counts only as the line end before a plain record.
        let owned = (self.range.from.saturating_sub(self.window.offset())).min(1) as usize;
        let bytes = self.window.bytes();
        let sniffed = if midway {
            sniff(bytes, owned, last)
        } else {
            sniff_start(bytes, last)
        };
        match sniffed {
            Sniffed::Gzip => {
                let before = owned.min(bytes.len());
                self.window.consume(before);
                self.format = Format::Gzip(Box::new(Members::new(midway)));
                self.splitter = Splitter::new(false, !midway, self.range.to);
            }
            Sniffed::Plain => {
                self.format = Format::Plain;
                self.splitter = Splitter::new(true, !midway, self.range.to);
            }
            Sniffed::Unclear { passed } if midway => self.window.consume(passed),
            Sniffed::Unclear { .. } if bytes.len() >= sniff::ENOUGH => {
                return Err(Error::NotWat(self.what_it_is()));
            }
            Sniffed::Unclear { .. } => {}
        }
        Ok(())
    }
}

fn take_event(
    event: Event<'_>,
    splitter: &mut Splitter,
    range: Range,
    sink: &mut dyn FnMut(RawRecord<'_>) -> Flow,
) -> Flow {
    match event {
        Event::Gap => splitter.gap(sink),
        // The first member of the other piece that can be read: the damage before it, which its
        // reader can't tell from the rest of a member, is counted here.
        Event::Data { member, .. } if member >= range.to && splitter.is_between_records() => {
            Flow::Stop
        }
        Event::Data {
            member,
            first,
            bytes,
        } => {
            let flow = splitter.push(
                Segment {
                    bytes,
                    origin: member,
                    first,
                },
                sink,
            );
            match flow {
                Flow::Go if splitter.garbage() > MAX_GARBAGE => Flow::Skip,
                flow => flow,
            }
        }
    }
}

/// What kinds of records there were.
#[derive(Debug, Default)]
struct Tally {
    records: u64,
    /// Those that are the JSON metadata of a WAT file.
    metadata: u64,
    /// Those of a type that is in no WAT file.
    foreign: u64,
}

impl Tally {
    fn take(&mut self, raw: RawRecord<'_>, sink: &mut dyn FnMut(Record<'_>)) -> Flow {
        let record = Record {
            offset: raw.origin,
            header: raw.header,
            body: raw.body,
        };
        self.records += 1;
        if record.is_metadata() {
            self.metadata += u64::from(record.is_json());
        } else if !record.is_of_type("warcinfo") {
            self.foreign += 1;
        }
        sink(record);
        Flow::Go
    }
}
