//! One host: how many requests it gets at once, and how fast they follow each other.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::{Instant, sleep_until},
};

/// How every host is treated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    /// Requests at once.
    pub(crate) at_once: usize,
    /// The least time between two starts.
    pub(crate) delay: Duration,
    /// The pause after a first complaint that names no time; it doubles with each further one.
    pub(crate) pause: Duration,
    /// The longest pause that a complaint can cause.
    pub(crate) longest_pause: Duration,
}

/// The only owner of one host's pace.
#[derive(Debug)]
pub(crate) struct Host {
    key: String,
    manners: Manners,
    slots: Arc<Semaphore>,
    /// Held by the one request that is next to start. The others queue behind it in order.
    gate: tokio::sync::Mutex<()>,
    pace: Mutex<Pace>,
}

#[derive(Debug)]
struct Pace {
    next_start: Instant,
    /// Complaints in a row.
    complaints: u32,
    /// All complaints so far. A request that started before the last one knew nothing of it, and
    /// what it is told is part of the same one.
    burst: u64,
}

impl Host {
    pub(crate) fn new(key: String, manners: Manners) -> Self {
        Self {
            key,
            manners,
            slots: Arc::new(Semaphore::new(manners.at_once)),
            gate: tokio::sync::Mutex::new(()),
            pace: Mutex::new(Pace {
                next_start: Instant::now(),
                complaints: 0,
                burst: 0,
            }),
        }
    }

    /// Waits for one of the host's slots. It is free again when the slot is dropped.
    pub(crate) async fn slot(self: Arc<Self>) -> Slot {
        let permit = Arc::clone(&self.slots).acquire_owned().await;
        Slot {
            _permit: permit.expect("the semaphore is never closed"),
            host: self,
            burst: 0,
        }
    }

    /// Whether forgetting this host changes nothing for the next request to it.
    pub(crate) fn is_rested(&self, now: Instant) -> bool {
        self.pace().next_start <= now
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace
            .lock()
            .expect("nothing panics while it holds the pace")
    }

    /// Takes the start if it is due, and gives the complaints so far.
    fn take_start(&self) -> Option<u64> {
        let now = Instant::now();
        let mut pace = self.pace();
        if pace.next_start > now {
            return None;
        }
        pace.next_start = now + self.manners.delay;
        Some(pace.burst)
    }
}

/// The right to have one request in flight at a host.
#[derive(Debug)]
pub(crate) struct Slot {
    host: Arc<Host>,
    /// The host's complaints when the request started.
    burst: u64,
    _permit: OwnedSemaphorePermit,
}

impl Slot {
    /// The key of the host that this slot belongs to.
    pub(crate) fn key(&self) -> &str {
        &self.host.key
    }

    /// Waits until the host's pace lets a request start and one of `places` is free.
    ///
    /// The place is taken last, so that no place lies idle while a host's delay passes; and the
    /// pace is counted from when the place was got, so that a crowd that waited for places does
    /// not start together afterwards.
    pub(crate) async fn start<'p>(&mut self, places: &'p Semaphore) -> SemaphorePermit<'p> {
        let _next = self.host.gate.lock().await;
        loop {
            let due = self.host.pace().next_start;
            sleep_until(due).await;
            let place = places.acquire().await;
            if let Some(burst) = self.host.take_start() {
                self.burst = burst;
                return place.expect("the semaphore is never closed");
            }
        }
    }

    /// The host asked to be left alone, for `wanted` or for a time that we choose. Holds for all
    /// requests to it; those that were under way together make one complaint.
    pub(crate) fn complained(&self, wanted: Option<Duration>) {
        let manners = &self.host.manners;
        let mut pace = self.host.pace();
        let mut pause = wanted.unwrap_or_default();
        if self.burst == pace.burst {
            pause = pause.max(manners.pause * 2_u32.pow(pace.complaints.min(10)));
            pace.complaints += 1;
            pace.burst += 1;
        }
        let pause = pause.min(manners.longest_pause);
        pace.next_start = pace.next_start.max(Instant::now() + pause);
        tracing::debug!(host = self.host.key, ?pause, "the host asks for a pause");
    }

    /// The host answered well: earlier complaints are forgotten, but none that came meanwhile.
    pub(crate) fn was_content(&self) {
        let mut pace = self.host.pace();
        if self.burst == pace.burst {
            pace.complaints = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use futures::future::join_all;
    use tokio::time::{sleep, timeout};

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const MANNERS: Manners = Manners {
        at_once: 3,
        delay: Duration::from_millis(100),
        pause: Duration::from_secs(1),
        longest_pause: Duration::from_secs(60),
    };

    fn host(manners: Manners) -> Arc<Host> {
        Arc::new(Host::new("a.example".to_owned(), manners))
    }

    fn pause(host: &Host) -> Duration {
        host.pace().next_start - Instant::now()
    }

    async fn start_times(host: &Arc<Host>, places: &Semaphore, requests: usize) -> Vec<Duration> {
        let zero = Instant::now();
        let starts = join_all((0..requests).map(|_| async {
            let mut slot = Arc::clone(host).slot().await;
            let _place = slot.start(places).await;
            let start = zero.elapsed();
            sleep(250 * MS).await;
            start
        }));
        let mut starts = starts.await;
        starts.sort();
        starts
    }

    #[tokio::test(start_paused = true)]
    async fn starts_are_apart_by_the_delay() {
        let starts = start_times(&host(MANNERS), &Semaphore::new(100), 20).await;
        for pair in starts.windows(2) {
            assert!(pair[1] - pair[0] >= MANNERS.delay, "{starts:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn starts_are_apart_even_after_a_crowd_waited_for_places() {
        let places = Semaphore::new(2);
        let busy = places.acquire_many(2).await.unwrap();
        let host = host(MANNERS);
        let (starts, ()) = tokio::join!(start_times(&host, &places, 6), async {
            sleep(5_000 * MS).await;
            drop(busy);
        });
        assert!(starts[0] >= 5_000 * MS);
        for pair in starts.windows(2) {
            assert!(pair[1] - pair[0] >= MANNERS.delay, "{starts:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn never_more_at_once_than_agreed() {
        let manners = Manners {
            delay: Duration::ZERO,
            ..MANNERS
        };
        let (host, places) = (host(manners), Semaphore::new(100));
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        join_all((0..50).map(|i| {
            let (host, places, now, most) = (&host, &places, &now, &most);
            async move {
                let mut slot = Arc::clone(host).slot().await;
                let _place = slot.start(places).await;
                most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                sleep(MS * (i % 7)).await;
                now.fetch_sub(1, SeqCst);
            }
        }))
        .await;
        assert_eq!(most.load(SeqCst), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_host_takes_no_place() {
        let (host, places) = (host(MANNERS), Semaphore::new(1));
        let mut slot = Arc::clone(&host).slot().await;
        drop(slot.start(&places).await);
        slot.complained(Some(60_000 * MS));
        let waiting = async {
            let mut other = Arc::clone(&host).slot().await;
            drop(other.start(&places).await);
        };
        assert!(timeout(1_000 * MS, waiting).await.is_err());
        assert_eq!(places.available_permits(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_complaint_holds_back_every_request() {
        let (host, places) = (host(MANNERS), Semaphore::new(100));
        let mut slot = Arc::clone(&host).slot().await;
        drop(slot.start(&places).await);
        slot.complained(Some(7_000 * MS));
        drop(slot);
        let starts = start_times(&host, &places, 4).await;
        assert!(starts[0] >= 7_000 * MS, "{starts:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_complaint_holds_back_who_waits_for_a_place_already() {
        let (host, places) = (host(MANNERS), Semaphore::new(1));
        let busy = places.acquire().await.unwrap();
        let (mut first, second) = tokio::join!(host.clone().slot(), host.clone().slot());
        let begun = Instant::now();
        let (place, ()) = tokio::join!(first.start(&places), async {
            sleep(MS).await;
            second.complained(Some(7_000 * MS));
            drop(busy);
        });
        assert!(begun.elapsed() >= 7_000 * MS);
        drop(place);
    }

    #[tokio::test(start_paused = true)]
    async fn complaints_double_until_the_longest_pause_and_are_forgotten() {
        let (host, places) = (host(MANNERS), Semaphore::new(1));
        let mut slot = Arc::clone(&host).slot().await;
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            drop(slot.start(&places).await);
            slot.complained(None);
            assert_eq!(pause(&host), Duration::from_secs(seconds));
        }
        drop(slot.start(&places).await);
        slot.was_content();
        slot.complained(None);
        assert_eq!(pause(&host), 1_000 * MS);
        slot.complained(Some(Duration::from_secs(86_400)));
        assert_eq!(pause(&host), MANNERS.longest_pause);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_together_makes_one_complaint() {
        let (host, places) = (host(MANNERS), Semaphore::new(100));
        let mut slots = join_all((0..3).map(|_| host.clone().slot())).await;
        for slot in &mut slots {
            drop(slot.start(&places).await);
        }
        for slot in &slots {
            slot.complained(None);
        }
        assert_eq!(pause(&host), 1_000 * MS);
        // Nor does an answer to one of them, late and good, take the complaint back.
        slots[0].was_content();
        drop(slots[1].start(&places).await);
        slots[1].complained(None);
        assert_eq!(pause(&host), 2_000 * MS);
        // A time that the host names counts from whomever it is told.
        slots[2].complained(Some(7_000 * MS));
        assert_eq!(pause(&host), 7_000 * MS);
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_a_waiter_gives_its_place_in_the_queue_away() {
        let (host, places) = (host(MANNERS), Semaphore::new(1));
        let busy = places.acquire().await.unwrap();
        let mut first = Arc::clone(&host).slot().await;
        assert!(timeout(MS, first.start(&places)).await.is_err());
        drop(busy);
        let mut second = Arc::clone(&host).slot().await;
        drop(timeout(MS, second.start(&places)).await.unwrap());
    }
}
