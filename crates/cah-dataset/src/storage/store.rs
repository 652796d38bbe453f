//! The place of a dataset: a folder or a bucket.

use std::{env, fmt, fs::File, io, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use cah_bucket::{self as bucket, OneLine, RemoteUpload};
use cah_staged::{self as staged, StagedFile};
use cah_task::blocking;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    Error as StoreError, ObjectStore, ObjectStoreExt, RetryConfig, local::LocalFileSystem,
    path::Path,
};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use super::{
    location::Location,
    object::{ObjectWriter, Sink},
};
use crate::{
    error::{DatasetError, Result},
    manifest::{MAX_MANIFEST_BYTES, Manifest, ShardInfo},
    names::{FOLDERS, STATS, ShardNames},
};

/// How long a place may take to show that it can be written to.
const OPEN_DEADLINE: Duration = Duration::from_secs(30);

/// How long another process may take to publish its shard in the same folder.
const LOCK_DEADLINE: Duration = Duration::from_secs(60);

/// How long a bucket may take to remove what dropped writers began to upload.
const SETTLE_DEADLINE: Duration = Duration::from_secs(30);

/// Manifests that are read at a time.
const MANIFESTS_IN_FLIGHT: usize = 8;

/// The object, written and removed, that shows whether a bucket can be written to.
const PROBE: &str = ".cah-write-test";

/// Where a dataset lies: a folder of this machine or a bucket. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Place>);

struct Place {
    name: String,
    objects: Arc<dyn ObjectStore>,
    /// Where `objects` is a folder of this machine.
    folder: Option<PathBuf>,
    /// What dropped uploads still have to remove. Closed, so that it can be waited for; tasks
    /// are added all the same.
    cleanups: TaskTracker,
}

impl Store {
    /// Opens a folder (a path or `file:///folder`, created where it is missing) or a bucket
    /// (`s3://bucket/prefix`), and makes sure that it can be written to.
    ///
    /// A bucket takes its credentials, region and endpoint from the usual `AWS_*` environment.
    /// Plain http is allowed for endpoints on this machine, elsewhere with `AWS_ALLOW_HTTP=true`.
    ///
    /// # Errors
    /// Addresses of another kind, and places that cannot be created or written to.
    pub async fn open(place: &str) -> Result<Self> {
        let unwritable = |cause: String| DatasetError::Unwritable {
            place: place.to_owned(),
            cause,
        };
        match Location::parse(place)? {
            Location::Folder(folder) => {
                let folder = blocking(move || writable_folder(folder)).await;
                let folder = folder.map_err(|e| unwritable(e.to_string()))?;
                let objects = LocalFileSystem::new_with_prefix(&folder)
                    .map_err(|e| unwritable(OneLine(e).to_string()))?;
                Ok(Self::new(place, Arc::new(objects), Some(folder)))
            }
            Location::Bucket(url) => {
                let probe = write_probe(bucket::below(&url, bucket::impatient())?);
                match timeout(OPEN_DEADLINE, probe).await {
                    Ok(Ok(())) => {
                        let objects = bucket::below(&url, RetryConfig::default())?;
                        Ok(Self::over(objects, place))
                    }
                    Ok(Err(cause)) => Err(unwritable(OneLine(cause).to_string())),
                    Err(_) => {
                        let seconds = OPEN_DEADLINE.as_secs();
                        Err(unwritable(format!("no answer in {seconds} s")))
                    }
                }
            }
        }
    }

    /// A dataset in any other object store; `name` is what messages call it.
    pub fn over(objects: Arc<dyn ObjectStore>, name: impl Into<String>) -> Self {
        Self::new(name, objects, None)
    }

    fn new(
        name: impl Into<String>,
        objects: Arc<dyn ObjectStore>,
        folder: Option<PathBuf>,
    ) -> Self {
        let cleanups = TaskTracker::new();
        cleanups.close();
        Self(Arc::new(Place {
            name: name.into(),
            objects,
            folder,
            cleanups,
        }))
    }

    /// The place as it was given.
    pub fn place(&self) -> &str {
        &self.0.name
    }

    /// The folder, where the place is one of this machine.
    pub fn folder(&self) -> Option<&std::path::Path> {
        self.0.folder.as_deref()
    }

    /// The manifest of a shard, or `None` where the shard is not complete.
    ///
    /// # Errors
    /// A manifest that cannot be read or believed.
    pub async fn manifest(&self, number: u64) -> Result<Option<Manifest>> {
        let name = ShardNames(number).manifest();
        let Some(bytes) = self.small_object(&name).await? else {
            return Ok(None);
        };
        let manifest = Manifest::parse(&bytes).and_then(|manifest| {
            let right = manifest.number == number;
            right
                .then_some(manifest)
                .ok_or("it is of another shard".into())
        });
        manifest.map(Some).map_err(|why| DatasetError::BadManifest {
            file: self.name_of(&name),
            why,
        })
    }

    /// The manifests of all complete shards, in no order.
    pub fn manifests(&self) -> BoxStream<'static, Result<Manifest>> {
        let (store, reader) = (self.clone(), self.clone());
        self.0
            .objects
            .list(Some(&Path::from(STATS)))
            .map_err(move |cause| DatasetError::remote(store.name_of(STATS), cause))
            .try_filter_map(async |entry| Ok(ShardNames::of_manifest(&entry.location)))
            .map_ok(move |names| {
                let store = reader.clone();
                async move { store.manifest(names.0).await }
            })
            .try_buffer_unordered(MANIFESTS_IN_FLIGHT)
            .try_filter_map(async |manifest| Ok(manifest))
            .boxed()
    }

    /// What a resumed run asks: is this very shard here already?
    ///
    /// # Errors
    /// [`DatasetError::ShardTaken`] where a shard of that number is here which was made from
    /// another WAT file, by another model or with other settings.
    pub async fn completed(&self, info: &ShardInfo) -> Result<Option<Manifest>> {
        let Some(manifest) = self.manifest(info.shard.number).await? else {
            return Ok(None);
        };
        match info.difference(&manifest) {
            None => Ok(Some(manifest)),
            Some(difference) => Err(DatasetError::ShardTaken {
                manifest: self.name_of(&ShardNames(manifest.number).manifest()),
                difference,
            }),
        }
    }

    /// Waits until what dropped writers began to upload is removed from the bucket, half a minute
    /// at most. A process that ends by itself calls this last;
    /// [`ShardWriter::abort`](crate::ShardWriter::abort) and writers that fail have done so.
    pub async fn settle(&self) {
        self.settle_within(SETTLE_DEADLINE).await;
    }

    async fn settle_within(&self, deadline: Duration) {
        let cleanups = &self.0.cleanups;
        if timeout(deadline, cleanups.wait()).await.is_err() {
            tracing::warn!(
                "{} does not answer: the parts of {} dropped uploads may stay in the bucket",
                self.place(),
                cleanups.len()
            );
        }
    }

    /// What messages call a file of this place.
    pub(crate) fn name_of(&self, file: &str) -> String {
        format!("{}/{file}", self.0.name.trim_end_matches('/'))
    }

    /// Where files that never get a name may lie: in the dataset's folder, which is known to be
    /// writable and large, else in the system's folder for such.
    pub(crate) fn scratch_folder(&self) -> PathBuf {
        self.0.folder.clone().unwrap_or_else(env::temp_dir)
    }

    /// Begins a file.
    pub(crate) async fn create(&self, file: &str) -> Result<ObjectWriter> {
        let name = self.name_of(file);
        let sink = match self.local(file) {
            Some(target) => {
                let staged = blocking(move || {
                    staged::remove_leftovers(&target)?;
                    StagedFile::create(target)
                });
                Sink::Local(staged.await.map_err(|e| DatasetError::io(&name, e))?)
            }
            None => Sink::Remote(RemoteUpload::new(
                self.0.objects.clone(),
                Path::from(file),
                self.0.cleanups.clone(),
            )),
        };
        Ok(ObjectWriter::new(name, sink))
    }

    /// Removes a file for good, if it is there.
    pub(crate) async fn remove(&self, file: &str) -> Result<()> {
        if let Some(path) = self.local(file) {
            return match blocking(move || staged::remove(&path)).await {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                    Err(DatasetError::io(self.name_of(file), cause))
                }
                _ => Ok(()),
            };
        }
        match self.0.objects.delete(&Path::from(file)).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(cause) => Err(DatasetError::remote(self.name_of(file), cause)),
        }
    }

    /// Waits for this process's turn to publish a shard. Processes that share a folder publish
    /// one after the other while they hold what this returns; a bucket has no such lock, there
    /// [`Store::is_still`] finds out afterwards.
    pub(crate) async fn publishing_turn(&self) -> Result<Option<File>> {
        let Some(folder) = self.local(STATS) else {
            return Ok(None);
        };
        let deadline = Instant::now() + LOCK_DEADLINE;
        loop {
            let folder = folder.clone();
            match blocking(move || staged::try_lock(&folder)).await {
                Ok(None) if Instant::now() < deadline => sleep(Duration::from_millis(20)).await,
                Ok(None) => return Err(DatasetError::Locked(self.name_of(STATS))),
                Ok(lock) => return Ok(lock),
                Err(cause) => return Err(DatasetError::io(self.name_of(STATS), cause)),
            }
        }
    }

    /// Whether the object that was published with this entity tag is still the one that is there.
    pub(crate) async fn is_still(&self, file: &str, published: &str) -> Result<bool> {
        let head = self.0.objects.head(&Path::from(file)).await;
        let head = head.map_err(|e| DatasetError::remote(self.name_of(file), e))?;
        let bare = |tag: &str| tag.trim_matches('"').to_owned();
        Ok(head.e_tag.is_none_or(|tag| bare(&tag) == bare(published)))
    }

    fn local(&self, file: &str) -> Option<PathBuf> {
        self.0.folder.as_ref().map(|folder| folder.join(file))
    }

    /// Reads an object that has to be there.
    pub(crate) async fn object(&self, file: &str) -> Result<Bytes> {
        let remote = |cause| DatasetError::remote(self.name_of(file), cause);
        let object = self.0.objects.get(&Path::from(file)).await;
        object.map_err(remote)?.bytes().await.map_err(remote)
    }

    /// Reads an object that is no longer than a manifest may be.
    async fn small_object(&self, file: &str) -> Result<Option<Bytes>> {
        let remote = |cause| DatasetError::remote(self.name_of(file), cause);
        let object = match self.0.objects.get(&Path::from(file)).await {
            Err(StoreError::NotFound { .. }) => return Ok(None),
            object => object.map_err(remote)?,
        };
        if object.meta.size > MAX_MANIFEST_BYTES {
            return Err(DatasetError::BadManifest {
                file: self.name_of(file),
                why: format!("it has more than {MAX_MANIFEST_BYTES} bytes"),
            });
        }
        object.bytes().await.map(Some).map_err(remote)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.0.name).finish()
    }
}

/// Creates the folder where it is missing, and writes into it and into those parts of a dataset
/// that it has already: what cannot be written is better known before a long run than after it.
fn writable_folder(folder: PathBuf) -> io::Result<PathBuf> {
    let probe = |folder: &std::path::Path| {
        let mut probe = StagedFile::create(folder.join(PROBE))?;
        probe.append(b"?")?;
        probe.sync()
    };
    probe(&folder)?;
    for part in FOLDERS.map(|part| folder.join(part)) {
        if part.exists() {
            probe(&part)?;
        }
    }
    folder.canonicalize()
}

async fn write_probe(objects: Arc<dyn ObjectStore>) -> Result<(), StoreError> {
    let probe = Path::from(PROBE);
    objects.put(&probe, Bytes::from_static(b"?").into()).await?;
    if let Err(error) = objects.delete(&probe).await {
        tracing::warn!(%error, "the bucket takes objects but lets none be removed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn a_bucket_that_does_not_answer_is_not_waited_for_without_end() {
        let store = Store::over(Arc::new(InMemory::new()), "mem://x");
        store.0.cleanups.spawn(std::future::pending::<()>());
        store.settle_within(Duration::from_millis(10)).await;
    }
}
