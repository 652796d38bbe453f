//! Gzip members out of compressed bytes, past any damage.
//!
//! What comes out depends on the bytes alone, never on how they were split. A member whose
//! compressed form fits in [`FAST_LIMIT`] and whose content fits in [`OUTPUT`] goes through
//! libdeflate in one call; every other goes through the streaming inflater, in blocks that are
//! counted from the member's start.

use super::{
    inflate::{Inflated, Inflater},
    stream::{Next, StreamInflater, find_member_start, is_member_start},
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
    /// A member starts at this offset of the input.
    Member(u64),
    /// Content of the member that started last.
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
    /// At the start of a member. `wait` bytes are needed for the next try, unless there is a
    /// sign earlier, beyond `scanned`, that the next member starts.
    Fast { wait: usize, scanned: usize },
    /// Inside a member that is streamed.
    Stream(Box<Streamed>),
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
    damage: Damage,
}

impl Members {
    pub(crate) fn new(midway: bool) -> Self {
        Members {
            state: if midway { State::Seek } else { State::Boundary },
            inflater: Inflater::new(),
            output: vec![0; OUTPUT],
            hunting: midway,
            damage: Damage::default(),
        }
    }

    pub(crate) fn damage(&self) -> Damage {
        self.damage
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
                State::Seek => self.seek(window, last, sink),
                State::Fast { wait, scanned } => self.fast(window, last, wait, scanned, sink),
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
            Some(true) => start(window, sink),
            None if !last || window.bytes().is_empty() => Turn::Starved(State::Boundary),
            None => self.cut(window),
            Some(false) => {
                self.lose_member(sink);
                Turn::To(State::Seek)
            }
        }
    }

    fn seek(
        &mut self,
        window: &mut Window,
        last: bool,
        sink: &mut dyn FnMut(Event<'_>) -> Flow,
    ) -> Turn {
        let (skipped, sure) = find_member_start(window.bytes(), 0);
        self.lose_bytes(window, skipped);
        match sure {
            true => start(window, sink),
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
        wait: usize,
        scanned: usize,
        sink: &mut dyn FnMut(Event<'_>) -> Flow,
    ) -> Turn {
        let bytes = &window.bytes()[..window.bytes().len().min(FAST_LIMIT)];
        let final_try = last || bytes.len() == FAST_LIMIT;
        if !final_try && bytes.len() < wait {
            let is_retry = wait < FAST_LIMIT;
            let (scanned, sure) = if is_retry {
                (0, false)
            } else {
                find_member_start(bytes, scanned)
            };
            if !sure {
                return Turn::Starved(State::Fast { wait, scanned });
            }
        }
        match self.inflater.member(bytes, &mut self.output) {
            Inflated::Whole { consumed, written } => {
                self.hunting = false;
                let data = Event::Data {
                    member: window.offset(),
                    first: true,
                    bytes: &self.output[..written],
                };
                let flow = sink(data);
                window.consume(consumed);
                if flow == Flow::Stop {
                    Turn::Stop
                } else {
                    Turn::To(State::Boundary)
                }
            }
            // Cut off so far, or damaged: more bytes will tell. Doubling keeps the tries few.
            Inflated::Bad if !final_try => {
                let wait = (2 * bytes.len()).min(FAST_LIMIT - 1);
                Turn::Starved(State::Fast { wait, scanned: 0 })
            }
            Inflated::Bad | Inflated::TooLong => {
                Turn::To(State::Stream(Box::new(Streamed::at(window.offset()))))
            }
        }
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
        let mut used = 0;
        loop {
            let room = &mut self.output[streamed.filled..];
            let step = streamed.inflater.step(&block[used..], room);
            used += step.consumed;
            streamed.filled += step.written;
            let flow = match step.next {
                Next::Output => self.hand_on(&mut streamed, sink),
                _ => Flow::Go,
            };
            match (flow, step.next) {
                (Flow::Stop, _) => return Turn::Stop,
                (Flow::Skip, _) | (_, Next::Bad) => return self.give_up(window, *streamed, sink),
                (_, Next::End) => {
                    window.consume(streamed.taken + used);
                    self.hunting = false;
                    return match self.hand_on(&mut streamed, sink) {
                        Flow::Stop => Turn::Stop,
                        _ => Turn::To(State::Boundary),
                    };
                }
                (_, Next::Input) if used == block.len() => {
                    streamed.take(window, used);
                    return Turn::To(State::Stream(streamed));
                }
                _ => {}
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
        if self.has_swallowed_another(window.bytes()) {
            return self.give_up(window, streamed, sink);
        }
        let is_warc = self.output[..streamed.filled].starts_with(b"WARC/");
        window.consume(streamed.taken);
        if !self.hunting || streamed.committed || is_warc {
            self.damage.truncated = true;
            self.damage.bytes += window.offset() - streamed.member;
            if self.hand_on(&mut streamed, sink) == Flow::Stop {
                return Turn::Stop;
            }
        }
        Turn::Starved(State::Boundary)
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

fn start(window: &Window, sink: &mut dyn FnMut(Event<'_>) -> Flow) -> Turn {
    match sink(Event::Member(window.offset())) {
        Flow::Stop => Turn::Stop,
        // The first try waits for a sign that the member is whole; a giant shows none.
        _ => Turn::To(State::Fast {
            wait: FAST_LIMIT,
            scanned: 1,
        }),
    }
}

/// Zeros between and after members, as tape blocks and some uploads have them.
fn skip_padding(window: &mut Window) {
    let zeros = window.bytes().iter().take_while(|byte| **byte == 0).count();
    window.consume(zeros);
}
