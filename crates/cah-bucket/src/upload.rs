//! Objects of a bucket that appear whole or not at all.

use std::sync::Arc;

use bytes::Bytes;
use object_store::{Error as StoreError, MultipartUpload, ObjectStore, ObjectStoreExt, path::Path};
use tokio::{
    runtime::Handle,
    task::{JoinHandle, JoinSet},
};
use tokio_util::task::TaskTracker;

type StoreResult<T> = std::result::Result<T, StoreError>;
type Multipart = Box<dyn MultipartUpload>;

/// Parts of one object that are on their way at a time. Two keep the line busy while the next
/// part fills; more would only hold more memory.
const PARTS_IN_FLIGHT: usize = 2;

/// An object that is being uploaded.
///
/// What fits into one part is sent as one request when it is published; anything longer is a
/// multipart upload. Dropped before it is published, it is aborted, so that the bucket keeps
/// nothing.
#[derive(Debug)]
pub struct RemoteUpload {
    objects: Arc<dyn ObjectStore>,
    path: Path,
    /// The request for a multipart upload while it is under way, in a task of its own: whoever
    /// gives up waiting for the answer must still learn what there is to abort.
    beginning: Option<JoinHandle<StoreResult<Multipart>>>,
    multipart: Option<Multipart>,
    parts: JoinSet<StoreResult<()>>,
    last: Bytes,
    cleanups: TaskTracker,
}

impl RemoteUpload {
    /// Begins an object; `cleanups` is where the abort of a dropped upload can be waited for.
    pub fn new(objects: Arc<dyn ObjectStore>, path: Path, cleanups: TaskTracker) -> Self {
        Self {
            cleanups,
            objects,
            path,
            beginning: None,
            multipart: None,
            parts: JoinSet::new(),
            last: Bytes::new(),
        }
    }

    /// Sends one more part; waits while enough are on their way. A part has
    /// [`PART_BYTES`](crate::PART_BYTES), which buckets want of each but the last.
    ///
    /// # Errors
    /// What the bucket says, of this part or of one before it.
    pub async fn append(&mut self, part: Bytes) -> StoreResult<()> {
        while self.parts.len() >= PARTS_IN_FLIGHT {
            self.one_part_done().await?;
        }
        let sent = self.multipart().await?.put_part(part.into());
        self.parts.spawn(sent);
        Ok(())
    }

    /// The multipart upload, begun where it is not yet.
    async fn multipart(&mut self) -> StoreResult<&mut Multipart> {
        if self.multipart.is_none() {
            let begun = self.beginning.get_or_insert_with(|| {
                let (objects, path) = (self.objects.clone(), self.path.clone());
                tokio::spawn(async move { objects.put_multipart(&path).await })
            });
            let begun = begun.await;
            self.beginning = None;
            self.multipart = Some(begun??);
        }
        Ok(self.multipart.as_mut().expect("begun above"))
    }

    /// Takes the end of the object and waits until all parts have arrived.
    ///
    /// # Errors
    /// As [`RemoteUpload::append`].
    pub async fn seal(&mut self, end: Bytes) -> StoreResult<()> {
        if self.multipart.is_none() {
            self.last = end;
        } else if !end.is_empty() {
            self.append(end).await?;
        }
        while !self.parts.is_empty() {
            self.one_part_done().await?;
        }
        Ok(())
    }

    /// Makes the object visible; tells its entity tag where the store has such.
    ///
    /// # Errors
    /// What the bucket says.
    pub async fn publish(&mut self) -> StoreResult<Option<String>> {
        let result = match &mut self.multipart {
            None => {
                let payload = std::mem::take(&mut self.last).into();
                self.objects.put(&self.path, payload).await?
            }
            Some(multipart) => multipart.complete().await?,
        };
        self.multipart = None;
        Ok(result.e_tag)
    }

    async fn one_part_done(&mut self) -> StoreResult<()> {
        match self.parts.join_next().await {
            Some(done) => done.map_err(StoreError::from)?,
            None => Ok(()),
        }
    }
}

impl Drop for RemoteUpload {
    /// Aborts in the background. A process that dies first leaves parts that only the bucket's
    /// own rule for incomplete uploads removes.
    fn drop(&mut self) {
        let (multipart, beginning) = (self.multipart.take(), self.beginning.take());
        if multipart.is_none() && beginning.is_none() {
            return;
        }
        let (path, mut parts) = (self.path.clone(), std::mem::take(&mut self.parts));
        let Ok(runtime) = Handle::try_current() else {
            tracing::warn!(%path, "the parts of a dropped upload stay in the bucket");
            return;
        };
        let abort = async move {
            parts.shutdown().await;
            let begun = match beginning {
                Some(beginning) => beginning.await.ok().and_then(Result::ok),
                None => multipart,
            };
            let Some(mut multipart) = begun else {
                return;
            };
            if let Err(error) = multipart.abort().await {
                tracing::warn!(%path, %error, "the parts of a dropped upload stay in the bucket");
            }
        };
        self.cleanups.spawn_on(abort, &runtime);
    }
}
