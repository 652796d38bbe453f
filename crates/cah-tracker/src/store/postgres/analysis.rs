//! What the server thinks of the tables, brought up to date where they grow all at once: by itself
//! it looks at them a while later, and plans for small tables until then.

use std::sync::atomic::{AtomicI64, Ordering};

use super::{archive, connection::Connection, pool::Pool};
use crate::store::StoreError;

/// Jobs beyond those which there were that make it worth looking.
const MANY: i64 = 1_000;

const IMPORTED: &str = "ANALYZE jobs, chunks, payloads";

/// How many jobs there were at the last look of this tracker.
#[derive(Default)]
pub(super) struct Analysis(AtomicI64);

impl Analysis {
    /// After an import: whenever the project has doubled.
    pub(super) async fn after_import(&self, pool: &Pool) {
        if let Err(error) = self.look_if_doubled(pool).await {
            missed(&error);
        }
    }

    /// After everything was replaced.
    pub(super) async fn after_load(&self, pool: &Pool) {
        let looked = match pool.get().await {
            Ok(db) => db.run(&format!("ANALYZE {}", archive::names())).await,
            Err(error) => Err(error),
        };
        if let Err(error) = looked {
            missed(&error);
        }
    }

    async fn look_if_doubled(&self, pool: &Pool) -> Result<(), StoreError> {
        let db = pool.get().await?;
        let jobs = jobs(&db).await?;
        if jobs
            >= self
                .0
                .load(Ordering::Relaxed)
                .saturating_mul(2)
                .saturating_add(MANY)
        {
            self.0.store(jobs, Ordering::Relaxed);
            db.run(IMPORTED).await?;
        }
        Ok(())
    }
}

async fn jobs(db: &Connection) -> Result<i64, StoreError> {
    let row = db.query_one("SELECT jobs FROM totals", &[]).await?;
    Ok(row.get(0))
}

/// The server does it itself some time.
fn missed(error: &StoreError) {
    tracing::warn!(%error, "the tables were not analysed");
}
