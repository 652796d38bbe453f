//! Gzip members out of compressed bytes, past any damage.
//!
//! What comes out depends on the bytes alone, never on how they were split. A member whose
//! compressed form fits in [`FAST_LIMIT`] and whose content fits in [`OUTPUT`] goes through
//! libdeflate in one call; every other goes through the streaming inflater, in blocks that are
//! counted from the member's start.

use super::{
    header::{self, Head},
    inflate::{Inflated, Inflater},
    stream::{self, Next, StreamInflater, find_member_start, is_member_start},
    window::Window,
};

/// Compressed bytes to wait for before a member counts as a giant.
const FAST_LIMIT: usize = 1 << 20;

/// Inflated bytes of a member that are held at a time; a damaged member of at most this length
/// gives nothing, a longer one what came before the damage.
const OUTPUT: usize = 4 << 20;

/// Compressed bytes that the streaming inflater takes at a time.
const BLOCK: usize = 64 << 10;

/// What the members of an input hold, in order.
pub(crate) enum Event<'a> {
    /// Content of the member that starts at this offset of the input.
    Data {
        member: u64,
        first: bool,
        bytes: &'a [u8],
    },
    /// The content that should come here is lost.
    Gap,
}

/// What to do after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Go on.
    Go,
    /// Give up the member: its content is of no use.
    Skip,
    /// Nothing further is wanted.
    Stop,
}

/// Damage that was met so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Damage {
    pub(crate) members: u64,
    pub(crate) bytes: u64,
    pub(crate) truncated: bool,
}

#[derive(Debug)]
enum State {
    /// Between two members.
    Boundary,
    /// After damage, or midway into a file: looking for the start of a member.
    Seek,
    /// At the start of a member that may go through in one call.
    Fast(Wait),
    /// Inside a member that is streamed.
    Stream(Box<Streamed>),
}

/// What has to come before the next try at a member is worth it. A try may cost as much as the
/// whole member, so they are kept few.
#[derive(Clone, Copy, Debug)]
enum Wait {
    /// A sign that the next member starts, which would mean that this one is whole; there is none
    /// before `scanned`.
    Sign { scanned: usize },
    /// So many bytes: the sign did come, and it meant nothing.
    Bytes(usize),
}

impl Wait {
    /// What is still to be waited for, or nothing if it came.
    fn after(self, bytes: &[u8]) -> Option<Wait> {
        match self {
            Wait::Sign { scanned } => {
                let (scanned, is_there) = find_member_start(bytes, scanned);
                (!is_there).then_some(Wait::Sign { scanned })
            }
            Wait::Bytes(count) => (bytes.len() < count).then_some(self),
        }
    }
}

#[derive(Debug)]
struct Streamed {
    inflater: StreamInflater,
    member: u64,
    /// Bytes of the window that were inflated already. They are kept while the member is shorter
    /// than [`FAST_LIMIT`]: if it turns out to be damaged, good ones may start within them.
    taken: usize,
    filled: usize,
    /// Whether some of its content was handed on already.
    committed: bool,
}

/// How the work on one block of a streamed member ended.
enum Block {
    /// The block is used up.
    Done,
    /// The member is whole.
    Whole,
    /// The member is damaged, or of no use.
    Useless,
    /// Nothing further is wanted.
    Stop,
}

/// How the work on one state ended.
enum Turn {
    To(State),
    Starved(State),
    Stop,
}

/// Finds and inflates members.
#[derive(Debug)]
pub(crate) struct Members {
    state: State,
    inflater: Inflater,
    output: Vec<u8>,
    /// Until the first whole member of a read that started midway, what does not inflate is no
    /// damage: it is the rest of a member that belongs to the other piece.
    hunting: bool,
    /// Whether a whole member came.
    any: bool,
    damage: Damage,
}

impl Members {
    pub(crate) fn new(midway: bool) -> Self {
        Members {
            state: if midway { State::Seek } else { State::Boundary },
            inflater: Inflater::new(),
            output: vec![0; OUTPUT],
            hunting: midway,
            any: false,
            damage: Damage::default(),
        }
    }

    pub(crate) fn damage(&self) -> Damage {
        self.damage
    }

    /// Whether a whole member came.
    pub(crate) fn found_any(&self) -> bool {
        self.any
    }

    pub(crate) fn capacity(&self) -> usize {
        self.output.capacity()
    }

    /// Works off what the window has. `last`: nothing comes after it.
    pub(crate) fn pump(
        &mut self,
        window: &mut Window,
        last: bool,
        sink: &mut dyn FnMut(Event<'_>) -> Flow,
    ) -> Flow {
        let mut state = std::mem::replace(&mut self.state, State::Boundary);
        loop {
            let turn = match state {
                State::Boundary => self.boundary(window, last, sink),
                State::Seek => self.seek(window, last),
                State::Fast(wait) => self.fast(window, last, wait, sink),
                State::Stream(streamed) => self.stream(window, last, streamed, sink),
            };
            match turn {
                Turn::To(next) => state = next,
                Turn::Starved(next) => {
                    self.state = next;
                    return Flow::Go;
                }
                Turn::Stop => return Flow::Stop,
            }
        }
    }

    fn boundary(
        &mut self,
        window: &mut Window,
        last: bool,
        sink: &mut dyn FnMut(Event<'_>) -> Flow,
    ) -> Turn {
        skip_padding(window);
        match is_member_start(window.bytes()) {
            Some(true) => start(),
            None if !last || window.bytes().is_empty() => Turn::Starved(State::Boundary),
            None => self.cut(window),
            Some(false) => {
                self.lose_member(sink);
                Turn::To(State::Seek)
            }
        }
    }

    fn seek(&mut self, window: &mut Window, last: bool) -> Turn {
        let (skipped, sure) = find_member_start(window.bytes(), 0);
        self.lose_bytes(window, skipped);
        match sure {
            true => start(),
            false if last => {
                self.lose_bytes(window, window.bytes().len());
                Turn::Starved(State::Seek)
            }
            false => Turn::Starved(State::Seek),
        }
    }

    fn fast(
        &mut self,
        window: &mut Window,
        last: bool,
        wait: Wait,
        sink: &mut dyn FnMut(Event<'_>) -> Flow,
    ) -> Turn {
        let bytes = &window.bytes()[..window.bytes().len().min(FAST_LIMIT)];
        let is_last_try = last || bytes.len() == FAST_LIMIT;
        if !is_last_try && let Some(wait) = wait.after(bytes) {
            return Turn::Starved(State::Fast(wait));
        }
        match self.inflater.member(bytes, &mut self.output) {
            Inflated::Whole { consumed, written } => self.whole(window, consumed, written, sink),
            // Cut off so far, or damaged: more bytes will tell. Doubling keeps the tries few.
            Inflated::Bad if !is_last_try => {
                Turn::Starved(State::Fast(Wait::Bytes(2 * bytes.len())))
            }
            Inflated::Bad | Inflated::TooLong => {
                Turn::To(State::Stream(Box::new(Streamed::at(window.offset()))))
            }
        }
    }

    /// Hands on a member that went through in one call.
    fn whole(
        &mut self,
        window: &mut Window,
        consumed: usize,
        written: usize,
        sink: &mut dyn FnMut(Event<'_>) -> Flow,
    ) -> Turn {
        self.hunting = false;
        self.any = true;
        let flow = sink(Event::Data {
            member: window.offset(),
            first: true,
            bytes: &self.output[..written],
        });
        window.consume(consumed);
        boundary_unless_stopped(flow)
    }

    fn stream(
        &mut self,
        window: &mut Window,
        last: bool,
        mut streamed: Box<Streamed>,
        sink: &mut dyn FnMut(Event<'_>) -> Flow,
    ) -> Turn {
        let available = window.bytes().len() - streamed.taken;
        if available == 0 && last {
            return self.cut_stream(*streamed, window, sink);
        }
        if available < BLOCK && !last {
            return Turn::Starved(State::Stream(streamed));
        }
        let block = &window.bytes()[streamed.taken..][..available.min(BLOCK)];
        let (used, end) = self.inflate(block, &mut streamed, sink);
        match end {
            Block::Done => {
                streamed.take(window, used);
                Turn::To(State::Stream(streamed))
            }
            Block::Whole => {
                window.consume(streamed.taken + used);
                self.hunting = false;
                self.any = true;
                boundary_unless_stopped(self.hand_on(&mut streamed, sink))
            }
            Block::Useless => self.give_up(window, *streamed, sink),
            Block::Stop => Turn::Stop,
        }
    }

    /// Inflates a block of a member and hands on its content whenever there is no room for more.
    /// Gives how many bytes of it were used.
    fn inflate(
        &mut self,
        block: &[u8],
        streamed: &mut Streamed,
        sink: &mut dyn FnMut(Event<'_>) -> Flow,
    ) -> (usize, Block) {
        let mut used = 0;
        loop {
            let room = &mut self.output[streamed.filled..];
            let step = streamed.inflater.step(&block[used..], room);
            used += step.consumed;
            streamed.filled += step.written;
            match step.next {
                Next::Output => match self.hand_on(streamed, sink) {
                    Flow::Go => {}
                    Flow::Skip => return (used, Block::Useless),
                    Flow::Stop => return (used, Block::Stop),
                },
                Next::End => return (used, Block::Whole),
                Next::Bad => return (used, Block::Useless),
                Next::Input if used == block.len() => return (used, Block::Done),
                Next::Input => {}
            }
        }
    }

    /// Hands on what was inflated, which can't be taken back.
    fn hand_on(
        &mut self,
        streamed: &mut Streamed,
        sink: &mut dyn FnMut(Event<'_>) -> Flow,
    ) -> Flow {
        let bytes = &self.output[..streamed.filled];
        let flow = sink(Event::Data {
            member: streamed.member,
            first: !streamed.committed,
            bytes,
        });
        streamed.filled = 0;
        streamed.committed = true;
        flow
    }

    /// Leaves a damaged member for what may start behind its first byte.
    fn give_up(
        &mut self,
        window: &mut Window,
        streamed: Streamed,
        sink: &mut dyn FnMut(Event<'_>) -> Flow,
    ) -> Turn {
        self.lose_member(sink);
        if streamed.member == window.offset() {
            self.lose_bytes(window, 1);
        }
        Turn::To(State::Seek)
    }

    /// The input ends between the first bytes of a member.
    fn cut(&mut self, window: &mut Window) -> Turn {
        self.damage.truncated = true;
        self.lose_bytes(window, window.bytes().len());
        Turn::Starved(State::Boundary)
    }

    /// The input ends inside a member: what there is of it counts, if it is one. Damage, though,
    /// can make a member go on over those that follow it, to the end.
    fn cut_stream(
        &mut self,
        mut streamed: Streamed,
        window: &mut Window,
        sink: &mut dyn FnMut(Event<'_>) -> Flow,
    ) -> Turn {
        if self.has_its_end(&streamed, window) || self.has_swallowed_another(window.bytes()) {
            return self.give_up(window, streamed, sink);
        }
        let is_warc = self.output[..streamed.filled].starts_with(b"WARC/");
        window.consume(streamed.taken);
        if !self.hunting || streamed.committed || is_warc {
            // One that belongs to the other piece is missed by its reader.
            if self.hand_on(&mut streamed, sink) == Flow::Stop {
                return Turn::Stop;
            }
            self.damage.truncated = true;
            self.damage.bytes += window.offset() - streamed.member;
        }
        Turn::Starved(State::Boundary)
    }

    /// Whether the input does end with the end of the member, which damage makes go on. A member
    /// closes with the length of its content, and its record begins with its own: a file that was
    /// cut has both say the same by chance only.
    fn has_its_end(&self, streamed: &Streamed, window: &Window) -> bool {
        let is_held = streamed.member == window.offset() && !streamed.committed;
        let Some(length) = stream::content_length(window.bytes()).filter(|_| is_held) else {
            return false;
        };
        match header::read(&self.output[..streamed.filled]) {
            Head::Known { end, .. } => {
                (end..=end + header::LINE_ENDS.len()).contains(&(length as usize))
            }
            // Damaged right at the start: then any length is right that a member can have.
            Head::Short | Head::Bad => stream::may_hold(window.bytes().len() as u64, length),
        }
    }

    /// Whether a whole member starts behind the first byte.
    fn has_swallowed_another(&mut self, bytes: &[u8]) -> bool {
        /// More starts than chance makes; no need to try them all.
        const TRIES: usize = 16;
        let mut scratch = Vec::new();
        let mut at = 0;
        for _ in 0..TRIES {
            let (start, sure) = find_member_start(bytes, at + 1);
            if !sure {
                return false;
            }
            scratch.resize(OUTPUT, 0);
            if let Inflated::Whole { .. } = self.inflater.member(&bytes[start..], &mut scratch) {
                return true;
            }
            at = start;
        }
        false
    }

    fn lose_member(&mut self, sink: &mut dyn FnMut(Event<'_>) -> Flow) {
        if !self.hunting {
            self.damage.members += 1;
            // Whatever the sink says: it is asked again at the next member.
            let _ = sink(Event::Gap);
        }
    }

    fn lose_bytes(&mut self, window: &mut Window, count: usize) {
        window.consume(count);
        if !self.hunting {
            self.damage.bytes += count as u64;
        }
    }
}

impl Streamed {
    fn at(member: u64) -> Self {
        Streamed {
            inflater: StreamInflater::new(),
            member,
            taken: 0,
            filled: 0,
            committed: false,
        }
    }

    /// Notes that the next bytes of the window were inflated.
    fn take(&mut self, window: &mut Window, count: usize) {
        self.taken += count;
        let is_giant = window.offset() > self.member || self.taken >= FAST_LIMIT;
        if is_giant {
            window.consume(self.taken);
            self.taken = 0;
        }
    }
}

fn start() -> Turn {
    Turn::To(State::Fast(Wait::Sign { scanned: 1 }))
}

fn boundary_unless_stopped(flow: Flow) -> Turn {
    match flow {
        Flow::Stop => Turn::Stop,
        Flow::Go | Flow::Skip => Turn::To(State::Boundary),
    }
}

/// Zeros between and after members, as tape blocks and some uploads have them.
fn skip_padding(window: &mut Window) {
    let zeros = window.bytes().iter().take_while(|byte| **byte == 0).count();
    window.consume(zeros);
}
