//! What trackers that share a database agree on: who is there, who reaps, whose worker is gone.
//!
//! Each has a session of its own for this. The lock of the one that reaps belongs to the session,
//! so that another takes over when it ends, however it ends. What the session hears of workers
//! that are gone only saves time: heartbeats of such are found out when they are stored.

use std::{
    sync::{self, Arc, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Mutex, MutexGuard},
    time::sleep,
};
use tokio_postgres::Notification;
use uuid::Uuid;

use super::{
    connection::Connection,
    connector::Connector,
    deltas::{CHANNEL, EVERYBODY},
};
use crate::{
    clock::Timestamp,
    store::{StoreError, presence::Presence},
};

/// How often to look whether the session is still there.
const LOOK: Duration = Duration::from_secs(1);

/// A tracker that was not known to live for so long is gone, in seconds.
const LIVES: i64 = 60;

/// What another tracker heard of a worker may not be stored yet, in seconds: so much later is
/// late where there are others.
const UNSTORED: i64 = 15;

/// How long after a break the others have stored what they heard during it, in seconds.
const CALM: i64 = 30;

/// Trackers that are gone are forgotten after so many seconds.
const FORGOTTEN: i64 = 86_400;

/// The lock of the tracker that reaps. Projects in other schemas have others.
const LOCK: &str =
    "SELECT pg_try_advisory_lock(hashtextextended('cah-tracker reaper ' || current_schema(), 0))";

/// Whether another tracker lives: it was seen, and the session in which it says so is there.
const OTHERS: &str = "
    SELECT EXISTS (SELECT 1 FROM replicas r JOIN pg_stat_activity a ON a.pid = r.pid
                   WHERE r.id <> $1 AND r.seen > $2 AND a.datname = current_database())";

const SEEN: &str = "
    INSERT INTO replicas (id, seen, pid) VALUES ($1, $2, $3)
    ON CONFLICT (id) DO UPDATE SET seen = excluded.seen, pid = excluded.pid";

pub(super) struct Leader {
    connector: Arc<Connector>,
    presence: Arc<Presence>,
    id: Uuid,
    session: Mutex<Option<Session>>,
    watch: sync::Mutex<Watch>,
}

/// What is known of the others, and whether they can have stored what they know.
#[derive(Default)]
struct Watch {
    /// Since when the session stands and what is heard here is stored, without a break.
    since: Option<Timestamp>,
    /// Whether there are others, or were before the break.
    others: bool,
}

impl Watch {
    fn is_calm(&self, now: Timestamp) -> bool {
        self.since
            .is_some_and(|since| now.saturating_sub(since) >= CALM)
    }

    fn note(&mut self, now: Timestamp, others: bool) {
        self.since.get_or_insert(now);
        // Those of before a break come back at their own time.
        self.others = others || (self.others && !self.is_calm(now));
    }
}

struct Session {
    db: Connection,
    pid: i32,
    leads: bool,
}

impl Leader {
    pub(super) fn new(connector: Arc<Connector>, presence: Arc<Presence>) -> Self {
        Self {
            connector,
            presence,
            id: Uuid::new_v4(),
            session: Mutex::default(),
            watch: sync::Mutex::default(),
        }
    }

    /// Keeps a session up for as long as it is polled.
    pub(super) async fn keep_listening(&self) {
        loop {
            if let Err(error) = self.session().await.map(drop) {
                tracing::debug!(%error, "the session with the other trackers is not there");
            }
            sleep(LOOK).await;
        }
    }

    /// Whether this tracker reaps: it does where no other one does.
    pub(super) async fn leads(&self) -> Result<bool, StoreError> {
        let mut session = self.session().await?;
        let Some(open) = session.as_mut() else {
            return Ok(false);
        };
        if open.leads {
            // The lock is gone where the session is.
            open.db.query_one("SELECT 1", &[]).await?;
            return Ok(true);
        }
        open.leads = open.db.query_one(LOCK, &[]).await?.get(0);
        if open.leads {
            tracing::info!("this tracker removes workers that fall silent from now on");
        }
        Ok(open.leads)
    }

    /// Whether other trackers serve the project.
    pub(super) async fn has_others(
        &self,
        db: &Connection,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let since = now.saturating_sub(LIVES);
        let row = db.query_one(OTHERS, &[&self.id, &since]).await?;
        Ok(row.get(0))
    }

    /// Tells the others that this tracker lives.
    pub(super) async fn appear(&self, db: &Connection, now: Timestamp) -> Result<(), StoreError> {
        let pid = match self.session().await?.as_ref() {
            Some(session) => i64::from(session.pid),
            None => return Ok(()),
        };
        db.execute(SEEN, &[&self.id, &now, &pid]).await?;
        let forgotten = now.saturating_sub(FORGOTTEN);
        db.execute("DELETE FROM replicas WHERE seen < $1", &[&forgotten])
            .await?;
        let others = self.has_others(db, now).await?;
        self.watch().note(now, others);
        Ok(())
    }

    /// Takes note that the database could not be reached for a while, perhaps by nobody.
    pub(super) fn interrupted(&self) {
        self.watch().since = None;
    }

    /// Who should have called by then is late; `None` where nobody can say so yet, because others
    /// may have heard from anybody and could not store it.
    pub(super) fn late_at(&self, now: Timestamp) -> Option<Timestamp> {
        let watch = self.watch();
        match (watch.others, watch.is_calm(now)) {
            (false, _) => Some(now),
            (true, true) => Some(now.saturating_sub(UNSTORED)),
            (true, false) => None,
        }
    }

    fn watch(&self) -> sync::MutexGuard<'_, Watch> {
        // No step under the lock leaves it half changed.
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the others that it is gone, and gives up its lock.
    pub(super) async fn disappear(&self, db: &Connection) -> Result<(), StoreError> {
        db.execute("DELETE FROM replicas WHERE id = $1", &[&self.id])
            .await?;
        self.session.lock().await.take();
        Ok(())
    }

    /// The session, made anew where it is lost.
    async fn session(&self) -> Result<MutexGuard<'_, Option<Session>>, StoreError> {
        let mut session = self.session.lock().await;
        if session.as_ref().is_none_or(|open| open.db.is_closed()) {
            session.take();
            self.interrupted();
            *session = Some(self.connect().await?);
            // Nobody told this tracker who left until now: it asks again for each worker.
            self.presence.forget_saved();
        }
        Ok(session)
    }

    async fn connect(&self) -> Result<Session, StoreError> {
        let presence = Arc::clone(&self.presence);
        let heard = move |note: Notification| hear(&presence, note.payload());
        let db = self.connector.connect_listening(heard).await?;
        db.run(&format!("LISTEN {CHANNEL}")).await?;
        let pid = db.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
        Ok(Session {
            db,
            pid,
            leads: false,
        })
    }
}

/// Forgets the workers that are gone.
fn hear(presence: &Presence, message: &str) {
    if message == EVERYBODY {
        return presence.clear();
    }
    let gone = message.split(',').filter_map(|id| id.parse().ok());
    gone.for_each(|worker| presence.remove(worker));
}
