//! Bytes → WARC records, gzip or plain, whatever the split of the bytes.

mod header;
mod inflate;
mod members;
mod piece;
mod sniff;
mod splitter;
mod stream;
mod window;

pub use piece::Piece;

use self::{
    members::{Event, Flow, Members},
    piece::Range,
    sniff::{MAX_PREAMBLE, Sniffed, sniff, sniff_start},
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

    /// The value of a WARC header field such as `WARC-Target-URI`, in any case.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        header::value(self.header, name)
    }

    /// Whether it is of the type `metadata` and holds JSON, as a WAT file has it for each request,
    /// response and metadata record of the crawl.
    pub fn is_metadata(&self) -> bool {
        self.body.first() == Some(&b'{') && self.is_of_type("metadata")
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
/// Memory is bounded whatever the length and however hostile the bytes; how they are split makes
/// no difference.
#[derive(Debug)]
pub struct Reader {
    range: Range,
    window: Window,
    format: Format,
    splitter: Splitter,
    tally: Tally,
    /// The first bytes that came, to tell what they are if they are no WAT file.
    head: Vec<u8>,
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
            self.remember_head(chunk);
            self.window.push(chunk);
            self.pump(false, &mut sink)?;
        }
        Ok(())
    }

    /// Ends the input; `sink` is given the records that were still held back.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`] and [`Error::NotWat`], if no record came and the piece should have some.
    pub fn finish(mut self, mut sink: impl FnMut(Record<'_>)) -> Result<Report, Error> {
        let mut cut = false;
        if !self.done {
            self.pump(true, &mut sink)?;
        }
        if !self.done {
            (cut, _) = self
                .splitter
                .finish(&mut |raw| self.tally.take(raw, &mut sink));
        }
        let report = self.report(cut);
        match self.is_a_wat(&report) {
            Ok(()) => Ok(report),
            Err(_) if self.range.is_midway() => Ok(report),
            Err(error) => Err(error),
        }
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

    fn is_a_wat(&self, report: &Report) -> Result<(), Error> {
        if self.head.is_empty() {
            return Err(Error::Empty);
        }
        if self.tally.records == 0 && !report.truncated {
            return Err(Error::NotWat(self.what_it_is()));
        }
        if self.tally.metadata == 0 && self.tally.foreign > 0 {
            return Err(Error::NotWat(NotWat::OtherWarc));
        }
        Ok(())
    }

    fn what_it_is(&self) -> NotWat {
        let text = self.head.trim_ascii_start();
        match self.format {
            Format::Gzip(_) => NotWat::OtherGzip,
            _ if text.starts_with(b"<") || text.starts_with(b"\xef\xbb\xbf<") => NotWat::Markup,
            _ => NotWat::Unknown,
        }
    }

    fn remember_head(&mut self, bytes: &[u8]) {
        const ENOUGH: usize = 64;
        let missing = ENOUGH.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..missing]);
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
            Sniffed::Unclear { .. } if bytes.len() >= MAX_PREAMBLE => {
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
        Event::Member(offset) if offset >= range.to && splitter.is_between_records() => Flow::Stop,
        Event::Member(_) => Flow::Go,
        Event::Gap => splitter.gap(sink),
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
    /// Those that are neither that nor `warcinfo`.
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
            self.metadata += 1;
        } else if !record.is_of_type("warcinfo") {
            self.foreign += 1;
        }
        sink(record);
        Flow::Go
    }
}
