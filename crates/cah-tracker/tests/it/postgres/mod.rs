//! What matters for the shared store alone.

mod batches;
#[expect(dead_code, reason = "the end-to-end tests use more of it")]
pub(crate) mod cluster;
mod faults;
mod moves;
mod opening;
mod proxy;
mod replicas;

use std::sync::Arc;

use async_trait::async_trait;
use cah_tracker::store::{self, Store};
use proptest::prelude::*;

use crate::{
    model::{self, Place},
    recount,
};
use cluster::Database;

/// A schema.
struct Postgres(String);

#[async_trait]
impl Place for Postgres {
    async fn open(&self) -> Arc<dyn Store> {
        store::open(&self.0).await.unwrap()
    }

    async fn recount(&self) {
        recount::check_postgres(&self.0).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_life_keeps_the_invariants(steps in model::life()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let database = Database::new().await;
            let place = Postgres(database.schema("life").await);
            model::live(&place, steps).await;
        });
    }
}
