//! What CPU workers hand over, in a bucket: they bring it and GPU workers take it at addresses that
//! the tracker signs, and that it never stores.

use std::{
    future::ready,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::http::Method;
use cah_bucket::{BadBucket, OneLine};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{
    ObjectMeta, ObjectStore, ObjectStoreExt, aws::AmazonS3, path::Path, signer::Signer,
};
use tokio::time::timeout;
use url::Url;

use super::{
    SweepError,
    addresses::{Addresses, draw_name, is_name},
};
use crate::store::{HandedOver, Store};

/// How long an address is good for; S3 allows seven days at most.
const VALID: Duration = Duration::from_secs(12 * 3_600);

/// How old an object may be that nobody has handed over: more than its address was good for.
pub(super) const FORGOTTEN: Duration = Duration::from_secs(24 * 3_600);

/// How long the bucket may take to answer the question whether it is there.
const PATIENCE: Duration = Duration::from_secs(30);

/// Objects that are looked up in the store together.
const LOOKED_UP: usize = 500;

/// Objects that are removed at the same time.
const REMOVED_AT_ONCE: usize = 8;

/// The part of a bucket below a prefix, whose objects have names that nobody can guess.
#[derive(Clone, Debug)]
pub(crate) struct Bucket(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: AmazonS3,
    prefix: Path,
    addresses: Addresses,
    most: u64,
}

impl Bucket {
    /// Opens the place for objects of so many bytes at most. The bucket must answer, and the
    /// settings let the tracker look into it.
    pub(super) async fn open(place: &Url, most: u64) -> Result<Self, BadBucket> {
        let bad = |why: String| BadBucket {
            place: place.to_string(),
            why,
        };
        let (client, prefix) = cah_bucket::signer(place, cah_bucket::impatient())?;
        let opened = async {
            let any = prefix.clone().join("x");
            let signed = client.signed_url(Method::PUT, &any, VALID).await;
            let signed = signed.map_err(|error| {
                bad(format!(
                    "there are no credentials for it; set AWS_ACCESS_KEY_ID and \
                     AWS_SECRET_ACCESS_KEY ({})",
                    OneLine(error)
                ))
            })?;
            let listed = client.list(Some(&prefix)).try_next().await;
            listed.map_err(|error| bad(why_not_listed(&error)))?;
            Ok(Addresses::new(place, &prefix, &signed))
        };
        let addresses = timeout(PATIENCE, opened)
            .await
            .map_err(|_| bad(format!("it does not answer within {PATIENCE:?}")))??;
        Ok(Self(Arc::new(Inner {
            client,
            prefix,
            addresses,
            most,
        })))
    }

    /// An address at which one new object can be brought.
    pub(crate) async fn address_to_bring(&self) -> Result<String, BadSignature> {
        self.sign(Method::PUT, &draw_name()).await
    }

    /// The form in which an address is stored and shown, if it is one of this staging.
    pub(crate) fn kept_form(&self, address: &str) -> Option<String> {
        let name = self.0.addresses.name_at(address)?;
        Some(self.0.addresses.of(&name))
    }

    /// An address at which an object can be taken, if it lies here.
    pub(crate) async fn address_to_take(
        &self,
        address: &str,
    ) -> Result<Option<String>, BadSignature> {
        match self.0.addresses.name_at(address) {
            Some(name) => self.sign(Method::GET, &name).await.map(Some),
            None => Ok(None),
        }
    }

    async fn sign(&self, method: Method, name: &str) -> Result<String, BadSignature> {
        let path = self.0.prefix.clone().join(name);
        let signed = self.0.client.signed_url(method, &path, VALID).await?;
        Ok(signed.into())
    }

    /// Removes the objects that no job waits with: at once those that are used up, those that nobody
    /// hands over after a day, and those that have more bytes than they may have.
    pub(super) async fn sweep(&self, store: &dyn Store) -> Result<(), SweepError> {
        let inner = &*self.0;
        let sweep = Sweep {
            objects: &inner.client,
            prefix: &inner.prefix,
            addresses: &inner.addresses,
            most: inner.most,
            forgotten: FORGOTTEN,
        };
        sweep.run(store).await
    }
}

fn why_not_listed(error: &object_store::Error) -> String {
    let text = OneLine(error).to_string();
    match text.contains("NoSuchBucket") {
        true => "there is no such bucket".into(),
        false => format!("it cannot be listed: {text}"),
    }
}

/// Why no address was signed: credentials that have to be fetched were not there.
#[derive(Debug, thiserror::Error)]
#[error("no address of the bucket was signed: {}", OneLine(.0))]
pub(crate) struct BadSignature(#[from] object_store::Error);

/// One look at every object.
struct Sweep<'a> {
    objects: &'a dyn ObjectStore,
    prefix: &'a Path,
    addresses: &'a Addresses,
    most: u64,
    forgotten: Duration,
}

impl Sweep<'_> {
    async fn run(&self, store: &dyn Store) -> Result<(), SweepError> {
        let listed = self.objects.list(Some(self.prefix));
        let mut parts = listed
            .try_filter_map(|object| ready(Ok(self.named(object))))
            .try_chunks(LOOKED_UP);
        while let Some(part) = parts.next().await {
            let part = part.map_err(|broken| broken.1)?;
            self.remove(self.useless(part, store).await?).await?;
        }
        Ok(())
    }

    /// An object with its name, if that is one that is given out here.
    fn named(&self, object: ObjectMeta) -> Option<(String, ObjectMeta)> {
        let name = object.location.filename()?.to_owned();
        let is_ours = is_name(&name) && self.prefix.clone().join(&*name) == object.location;
        is_ours.then_some((name, object))
    }

    /// Those that nobody will take, or may.
    async fn useless(
        &self,
        objects: Vec<(String, ObjectMeta)>,
        store: &dyn Store,
    ) -> Result<Vec<Path>, SweepError> {
        let addresses = objects.iter().map(|(name, _)| self.addresses.of(name));
        let told = store.handed_over(addresses.collect()).await?;
        let useless = objects
            .into_iter()
            .zip(told)
            .filter_map(|((name, object), told)| {
                let is_useless = match told {
                    HandedOver::UsedUp => true,
                    HandedOver::Never => self.is_forgotten(&object),
                    HandedOver::Waits => false,
                };
                let is_too_large = object.size > self.most;
                if is_too_large {
                    let (bytes, most) = (object.size, self.most);
                    tracing::warn!(
                        name,
                        bytes,
                        most,
                        "removing what was brought and is larger than --staging-limit allows"
                    );
                }
                (is_useless || is_too_large).then_some(object.location)
            });
        Ok(useless.collect())
    }

    fn is_forgotten(&self, object: &ObjectMeta) -> bool {
        let age = SystemTime::now().duration_since(object.last_modified.into());
        age.is_ok_and(|age| age > self.forgotten)
    }

    async fn remove(&self, useless: Vec<Path>) -> Result<(), SweepError> {
        let removed = stream::iter(useless).map(|path| async move {
            match self.objects.delete(&path).await {
                // Another tracker was there before.
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {
                    tracing::debug!(%path, "removed what was handed over and is used up");
                    Ok(())
                }
                Err(error) => Err(error.into()),
            }
        });
        removed
            .buffer_unordered(REMOVED_AT_ONCE)
            .try_collect::<()>()
            .await
    }
}

#[cfg(test)]
mod tests {
    use cah_protocol::WorkerType;
    use object_store::local::LocalFileSystem;

    use super::{
        super::testing::{MOMENT, hand_over, store_in, worker},
        *,
    };
    use crate::store::Completion;

    #[tokio::test]
    async fn what_no_job_waits_with_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = store_in(folder.path()).await;
        let objects = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
        let (place, prefix) = (Url::parse("s3://b/a").unwrap(), Path::from("a"));
        let addresses = Addresses::new(&place, &prefix, &Url::parse("http://h/b/a/x").unwrap());
        let sweep = Sweep {
            objects: &objects,
            prefix: &prefix,
            addresses: &addresses,
            most: 9,
            forgotten: FORGOTTEN,
        };
        let impatient = Sweep {
            forgotten: Duration::ZERO,
            ..sweep
        };
        let bring = async |path: Path, bytes: &'static str| {
            objects.put(&path, bytes.into()).await.unwrap();
            path
        };
        let brought = async |bytes: &'static str| {
            let name = draw_name();
            let path = bring(prefix.clone().join(&*name), bytes).await;
            (path, addresses.of(&name))
        };
        let there = async |path: &Path| objects.head(path).await.is_ok();

        let (cpu, _) = worker(&*store, WorkerType::Cpu).await;
        let (handed_over, address) = brought("images").await;
        let (late, _) = brought("images").await;
        let (large, _) = brought("images in plenty").await;
        let foreign = bring(prefix.clone().join("notes.tar"), "not ours").await;
        let below = prefix.clone().join("below").join(draw_name());
        let below = bring(below, "not ours either").await;
        hand_over(&*store, cpu, &address).await;
        // A worker may still be about to hand over what is new.
        sweep.run(&*store).await.unwrap();
        assert!(there(&handed_over).await && there(&late).await && !there(&large).await);
        impatient.run(&*store).await.unwrap();
        assert!(there(&handed_over).await && !there(&late).await);

        let (gpu, _) = worker(&*store, WorkerType::Gpu).await;
        impatient.run(&*store).await.unwrap();
        assert!(there(&handed_over).await);
        let done = Completion::default();
        store.complete(gpu, done, MOMENT).await.unwrap();
        sweep.run(&*store).await.unwrap();
        assert!(!there(&handed_over).await);
        assert!(there(&foreign).await && there(&below).await);
    }
}
