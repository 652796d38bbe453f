//! A tracker that runs: HTTP server and the work in the background.

use std::{net::SocketAddr, panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Duration};

use cah_protocol::WorkerType;
use cah_task::blocking;
use futures::FutureExt;
use tokio::{
    net::TcpListener,
    sync::oneshot,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    clock::{Clock, SystemClock},
    config::Config,
    connections::{self, Patience},
    error::TrackerError,
    routes::{self, Callers},
    service::Service,
    staging::Staging,
    store::{Counts, Kind, Store, StoreError},
    text,
    tls::Tls,
    turnstile::Turnstile,
};

/// How often what was heard from workers is stored.
const FLUSH_INTERVAL: Duration = Duration::from_secs(5);

/// How often it is read whom operators keep out, perhaps through another tracker.
const EXCLUSIONS_INTERVAL: Duration = Duration::from_secs(5);

/// How often the files of the certificate are looked at.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(60);

/// How often what was handed over and is used up is removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// How often addresses that are quiet are forgotten.
const QUIET_INTERVAL: Duration = Duration::from_secs(60);

/// A tracker, ready to start.
pub struct Tracker {
    store: Arc<dyn Store>,
    config: Config,
    clock: Arc<dyn Clock>,
}

impl Tracker {
    /// Puts a tracker together.
    ///
    /// # Errors
    /// [`TrackerError::Config`] for settings that make no sense.
    pub fn new(store: Arc<dyn Store>, config: Config) -> Result<Self, TrackerError> {
        config.check()?;
        Ok(Self {
            store,
            config,
            clock: Arc::new(SystemClock::default()),
        })
    }

    /// Takes the time from another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Serves until `shutdown`, which is asked once the tracker serves, is ready; then lets calls that are under way end, stores what is
    /// in memory and closes the store.
    ///
    /// # Errors
    /// Settings that make no sense, a store that refuses, a listener that breaks.
    pub async fn serve(
        listener: TcpListener,
        store: Arc<dyn Store>,
        config: Config,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), TrackerError> {
        let started = match Self::new(Arc::clone(&store), config) {
            Ok(tracker) => tracker.start(listener).await,
            Err(error) => Err(error),
        };
        let running = match started {
            Ok(running) => running,
            Err(error) => {
                store.close().await;
                return Err(error);
            }
        };
        shutdown.await;
        let stopped = running.stop().await;
        store.close().await;
        stopped
    }

    /// Starts serving on tasks of its own and returns at once.
    ///
    /// # Errors
    /// A store that refuses, a listener without an address, a staging that cannot be used.
    pub async fn start(self, listener: TcpListener) -> Result<RunningTracker, TrackerError> {
        let addr = listener.local_addr()?;
        let service = Arc::new(Service::new(self.store, self.config, self.clock));
        service.grant_grace().await?;
        service.record_point_if_due().await?;
        service.read_exclusions().await?;
        if hands_over_to_nobody(service.config(), &service.counts().await?) {
            tracing::warn!(
                "no upload address is set for CPU workers, and this tracker has no staging of its \
                 own; set one, like `--upload-address CPU=ADDRESS`, or a folder with `--staging`"
            );
        }

        let (stop, stopped) = oneshot::channel::<()>();
        let config = service.config();
        let callers = Callers::new(config.trusted_proxies.clone(), config.rate_limit);
        let callers = Arc::new(callers);
        let stopping = CancellationToken::new();
        let staging = match &config.staging {
            Some(place) => Some(Staging::open(place, config.staging_limit).await?),
            None => None,
        };
        let (app, rendering) = routes::site(
            Arc::clone(&service),
            addr,
            Arc::clone(&callers),
            staging.clone(),
            stopping.clone(),
        );
        let stopped = async {
            // The sender dropped means the same: stop.
            let _ = stopped.await;
        };
        let tls = service.config().tls.clone();
        let acceptor = tls.as_ref().map(Tls::acceptor).transpose()?;
        let turnstile = Turnstile::new(
            config.max_workers_per_address,
            config.trusted_proxies.clone(),
        );
        let patience = Patience::default();
        let server = connections::serve(listener, acceptor, app, turnstile, patience, stopped);
        let mut background = background(&service);
        let quiet = move || forget_quiet(Arc::clone(&callers));
        background.spawn(kept_up("forgetting who is quiet", quiet));
        background.spawn(kept_up("rendering", rendering));
        if let Some(staging) = staging {
            let service = Arc::clone(&service);
            let sweep = move || keep_swept(staging.clone(), Arc::clone(&service));
            background.spawn(kept_up("removing what is used up", sweep));
        }
        if let Some(tls) = tls {
            let fresh = move || keep_fresh(tls.clone());
            background.spawn(kept_up("reading the certificate", fresh));
        }
        tracing::info!(%addr, "the tracker listens");
        Ok(RunningTracker {
            addr,
            service,
            stopping,
            stop: Some(stop),
            server: AbortOnDropHandle::new(tokio::spawn(server)),
            background,
        })
    }
}

/// A tracker that serves. Dropping it stops it without waiting.
pub struct RunningTracker {
    addr: SocketAddr,
    service: Arc<Service>,
    /// Ends the pages that are kept live, which would never end by themselves.
    stopping: CancellationToken,
    stop: Option<oneshot::Sender<()>>,
    // Dropped without being stopped, it takes its connections with it.
    server: AbortOnDropHandle<()>,
    background: JoinSet<()>,
}

impl RunningTracker {
    /// The address that it listens on, with the port that the system chose for port 0.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL that workers on this machine reach it under.
    pub fn url(&self) -> String {
        let mut addr = self.addr;
        if addr.ip().is_unspecified() {
            addr.set_ip(match addr {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("http://{addr}/")
    }

    /// What it does, for callers in the same process.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Takes no more calls, lets those under way end (8 seconds at most, then they are cut off)
    /// and stores what is in memory. The store stays open.
    ///
    /// # Errors
    /// A store that refused the last of it.
    pub async fn stop(mut self) -> Result<(), TrackerError> {
        self.stopping.cancel();
        drop(self.stop.take());
        if let Err(failure) = (&mut self.server).await {
            tracing::error!(%failure, "the server ended");
        }
        self.background.shutdown().await;
        self.service.flush().await?;
        tracing::info!(addr = %self.addr, "the tracker stopped");
        Ok(())
    }
}

/// Whether CPU workers are told an address that takes nothing: that of a staging which there is not.
fn hands_over_to_nobody(config: &Config, counts: &Counts) -> bool {
    let of_shards = match counts.kind {
        Some(kind) => kind == Kind::Shards,
        None => counts.has_default_stages(),
    };
    let hand_over = counts.stages.len() > 1;
    let takes_nothing = config.staging.is_none();
    of_shards
        && hand_over
        && takes_nothing
        && config.upload_addresses_of(WorkerType::Cpu).is_empty()
}

/// The reaper, the series and the heartbeats' storing, each on a task of its own.
fn background(service: &Arc<Service>) -> JoinSet<()> {
    let config = service.config();
    // A point is at most a tenth of its interval late.
    let look = (config.series_interval / 10).clamp(Duration::from_secs(1), Duration::from_secs(60));
    let mut tasks = JoinSet::new();
    let mut spawn = |period, what, work: Work| {
        let service = Arc::clone(service);
        let work = move || every(period, what, Arc::clone(&service), work);
        tasks.spawn(kept_up(what, work));
    };
    spawn(config.reaper_interval, "the reaper", |service| {
        Box::pin(async move { service.reap().await.map(drop) })
    });
    spawn(look, "the series", |service| {
        Box::pin(async move { service.record_point_if_due().await })
    });
    spawn(EXCLUSIONS_INTERVAL, "reading who is kept out", |service| {
        Box::pin(async move { service.read_exclusions().await })
    });
    spawn(FLUSH_INTERVAL, "storing heartbeats", |service| {
        Box::pin(async move { service.flush().await })
    });
    tasks
}

/// How long after a panic work begins anew.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// Keeps work up: a panic, which is a bug, is logged, and the work begins anew. Without its reaper a
/// tracker would serve on and open no job again.
async fn kept_up<F: Future<Output = ()>>(what: &'static str, work: impl Fn() -> F) {
    while let Err(panic) = AssertUnwindSafe(work()).catch_unwind().await {
        let panic = text::of_panic(&*panic);
        tracing::error!(panic, "{what} panicked; it begins anew");
        sleep(AFTER_PANIC).await;
    }
}

/// Forgets callers that call no more.
async fn forget_quiet(callers: Arc<Callers>) {
    let mut ticks = interval(QUIET_INTERVAL);
    loop {
        ticks.tick().await;
        callers.forget_quiet();
    }
}

/// Removes what CPU workers handed over once it is used up.
async fn keep_swept(staging: Staging, service: Arc<Service>) {
    let mut ticks = interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let idle = service.config().idle_timeout;
        if let Err(error) = staging.sweep(service.store(), idle).await {
            tracing::warn!(%error, "what is used up was not removed; it will be tried again");
        }
    }
}

/// Takes certificates as they are renewed.
async fn keep_fresh(tls: Tls) {
    let mut ticks = interval(CERTIFICATE_INTERVAL);
    loop {
        ticks.tick().await;
        let tls = tls.clone();
        // Reading files is no work for the threads that answer.
        blocking(move || tls.reload()).await;
    }
}

/// A piece of background work.
type Work = fn(Arc<Service>) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// Does the work once a period. What fails is logged and tried again a period later.
async fn every(period: Duration, what: &'static str, service: Arc<Service>, work: Work) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = work(Arc::clone(&service)).await {
            tracing::warn!(%error, "{what} failed; it will try again");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::store::StageCounts;

    fn counts(kind: Option<Kind>, stages: &[&str]) -> Counts {
        let stage = |name: &&str| StageCounts {
            name: (*name).to_owned(),
            open: 0,
            leased: 0,
        };
        Counts {
            kind,
            stages: stages.iter().map(stage).collect(),
            ..Counts::default()
        }
    }

    #[test]
    fn only_what_cpu_workers_make_of_shards_needs_an_address() {
        let none = Config::default();
        let (new, shards) = (["CPU", "GPU"], Some(Kind::Shards));
        assert!(hands_over_to_nobody(&none, &counts(None, &new)));
        assert!(hands_over_to_nobody(&none, &counts(shards, &["a", "b"])));
        for fine in [
            counts(None, &["fetch", "sort"]),
            counts(Some(Kind::Data), &new),
            counts(shards, &["only"]),
        ] {
            assert!(!hands_over_to_nobody(&none, &fine));
        }
        let address = vec!["rsync://staging/".to_owned()];
        let set = Config {
            upload_addresses: [(WorkerType::Cpu, address)].into(),
            ..none
        };
        assert!(!hands_over_to_nobody(&set, &counts(shards, &new)));
    }

    #[tokio::test]
    async fn work_that_panics_begins_anew() {
        let begun = AtomicU32::new(0);
        let work = || async {
            tokio::task::yield_now().await;
            let before = begun.fetch_add(1, Ordering::Relaxed);
            assert!(before > 0, "the first time it is broken");
        };
        kept_up("the work", work).await;
        assert_eq!(begun.into_inner(), 2);
    }
}
