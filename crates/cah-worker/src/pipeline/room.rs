//! How far downloads may run ahead of a slow answer.
//!
//! Images leave the fetch step in the order of their candidates, so all that came behind a slow
//! answer waits for it in memory. How much that may be is decided twice:
//!
//! - *Before its request* a download is let in if what waits already, and what the downloads under
//!   way will probably bring, leaves room for one more. How long an image is nobody knows before
//!   it is there: it is taken to be as long as those before it were on average, failures counting
//!   nothing. Of hundreds of images the sum is close to that.
//! - *After it* the true length counts. Where guesses were so wrong that twice as much would wait,
//!   the image is thrown away and fetched again once there is room. That happens where a site's
//!   images are all at once many times longer than the rest, or somebody tries to fill our memory.
//!
//! The candidate that all others wait for passes both unasked. Downloads are let in in the order
//! of the candidates, so there is always one that can go on, and nobody waits for ever.

use std::sync::Arc;

use tokio::sync::watch;

/// Bytes of images that may usually wait, for each request in flight.
const SHARE: usize = 384 << 10;

/// Bytes of images that may usually wait, however few requests are in flight.
const LEAST: usize = 96 << 20;

/// The average length of an image is over about so many of the last ones.
const AVERAGE_OVER: usize = 64;

/// Counts the images that are downloaded and not yet decoded.
#[derive(Debug)]
pub(super) struct Room {
    load: watch::Sender<Load>,
    /// Bytes up to which downloads are let in.
    usual: usize,
    /// Bytes that never are exceeded, but by the one image that all others wait for.
    most: usize,
}

#[derive(Clone, Copy, Debug)]
struct Load {
    /// Downloads under way.
    under_way: usize,
    /// Bytes of the images that are there.
    held: usize,
    /// The bytes that a download probably brings.
    expected: usize,
    /// Candidates whose image is decoded, or never came. As they leave in order, this is the turn
    /// of the one that all others wait for.
    gone: u64,
}

/// One download's place, from before its request until the decoder takes its image.
#[derive(Debug)]
pub(crate) struct Ticket {
    room: Arc<Room>,
    turn: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    UnderWay,
    Landed(usize),
    /// Its image was thrown away.
    Refused,
}

impl Room {
    pub(super) fn new(in_flight: usize) -> Arc<Self> {
        Self::of(LEAST.max(in_flight.saturating_mul(SHARE)))
    }

    fn of(usual: usize) -> Arc<Self> {
        let load = Load {
            under_way: 0,
            held: 0,
            expected: SHARE,
            gone: 0,
        };
        Arc::new(Self {
            load: watch::Sender::new(load),
            usual,
            most: usual.saturating_mul(2),
        })
    }

    /// Waits until there is room for the candidate of this turn. Turns begin with 0, and each one's
    /// ticket is dropped after those before it.
    pub(super) async fn enter(self: &Arc<Self>, turn: u64) -> Ticket {
        self.admit(turn).await;
        Ticket {
            room: self.clone(),
            turn,
            stage: Stage::UnderWay,
        }
    }

    async fn admit(&self, turn: u64) {
        let mut changes = self.load.subscribe();
        while !self.try_admit(turn) {
            let changed = changes.changed().await;
            changed.expect("the room has the sender, and is borrowed");
        }
    }

    fn try_admit(&self, turn: u64) -> bool {
        self.load.send_if_modified(|load| {
            let probably = (load.under_way + 1).saturating_mul(load.expected);
            let fits = load.held.saturating_add(probably) <= self.usual;
            let admitted = fits || load.gone == turn;
            load.under_way += usize::from(admitted);
            admitted
        })
    }
}

impl Ticket {
    /// Counts the bytes that the download brought, 0 where it failed. `false` where there is no
    /// room for them: then they have to go, and the download begins [`again`](Self::again).
    pub(super) fn land(&mut self, bytes: usize) -> bool {
        let mut kept = false;
        self.room.load.send_modify(|load| {
            load.under_way -= 1;
            load.expected = (load.expected * (AVERAGE_OVER - 1) + bytes) / AVERAGE_OVER;
            kept = load.held.saturating_add(bytes) <= self.room.most || load.gone == self.turn;
            load.held += if kept { bytes } else { 0 };
        });
        self.stage = if kept {
            Stage::Landed(bytes)
        } else {
            Stage::Refused
        };
        kept
    }

    /// Waits until there is room for a download that was refused.
    pub(super) async fn again(&mut self) {
        self.room.admit(self.turn).await;
        self.stage = Stage::UnderWay;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.room.load.send_modify(|load| {
            match self.stage {
                Stage::UnderWay => load.under_way -= 1,
                Stage::Landed(bytes) => load.held -= bytes,
                Stage::Refused => {}
            }
            load.gone += 1;
        });
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// Lets in whom there is room for, in order.
    fn enter(room: &Arc<Room>, turns: std::ops::Range<u64>) -> Vec<Ticket> {
        turns
            .map_while(|turn| room.enter(turn).now_or_never())
            .collect()
    }

    #[test]
    fn downloads_under_way_count_with_what_they_probably_bring() {
        let room = Room::of(10 * SHARE);
        let mut tickets = enter(&room, 0..100);
        assert_eq!(tickets.len(), 10);
        // Failures free their room at once, whether or not an older answer is still awaited.
        for ticket in &mut tickets[1..6] {
            assert!(ticket.land(0));
        }
        assert!(enter(&room, 10..100).len() >= 5);
    }

    #[test]
    fn short_images_let_more_of_them_in() {
        let room = Room::of(100 * SHARE);
        let mut first = enter(&room, 0..100);
        assert_eq!(first.len(), 100);
        first
            .iter_mut()
            .for_each(|ticket| assert!(ticket.land(SHARE / 10)));
        assert!(enter(&room, 100..500).len() > 150);
    }

    #[test]
    fn no_more_than_twice_the_usual_waits_behind_a_slow_answer() {
        let room = Room::of(10 * SHARE);
        let mut tickets = enter(&room, 0..10);
        let kept = tickets[1..].iter_mut().map(|ticket| ticket.land(4 * SHARE));
        assert_eq!(kept.filter(|kept| *kept).count(), 5);
        assert_eq!(room.load.borrow().held, 20 * SHARE);
        assert!(enter(&room, 10..11).is_empty());
        // The one that all others wait for is kept, and so is in turn each that becomes it.
        assert!(tickets[0].land(20 * SHARE));
        for (turn, mut ticket) in tickets.into_iter().enumerate() {
            if matches!(ticket.stage, Stage::Refused) {
                ticket.again().now_or_never().expect("it is its turn");
                assert!(ticket.land(50 * SHARE), "{turn}");
            }
        }
        let load = *room.load.borrow();
        assert_eq!((load.held, load.under_way, load.gone), (0, 0, 10));
        assert_eq!(enter(&room, 10..11).len(), 1);
    }

    #[tokio::test]
    async fn who_waits_is_let_in_when_an_image_is_taken() {
        let room = Room::of(SHARE);
        let mut first = room.enter(0).await;
        assert!(first.land(SHARE));
        let second = tokio::spawn({
            let room = room.clone();
            async move { room.enter(1).await }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        second.await.unwrap();
    }
}
