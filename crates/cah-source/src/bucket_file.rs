//! Files in buckets.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use object_store::{
    Error as StoreError, GetOptions, ObjectStore, ObjectStoreExt, path::Path as ObjectPath,
};

use crate::{
    CHUNK,
    error::{Result, SourceError},
};

/// Bytes of a long object that are asked for at a time. A request has a deadline for its whole
/// body, and the pipeline may take hours over a file.
const PART: u64 = 8 << 20;

/// An object in a bucket.
#[derive(Clone, Debug)]
pub(super) struct BucketFile {
    objects: Arc<dyn ObjectStore>,
    path: ObjectPath,
}

impl BucketFile {
    pub(super) fn new(location: &str) -> Result<Self> {
        let (objects, path) = cah_bucket::object(location)?;
        Ok(Self { objects, path })
    }

    pub(super) async fn length(&self, location: &str) -> Result<u64> {
        let head = self.objects.head(&self.path).await;
        Ok(head.map_err(|error| bucket_error(location, error))?.size)
    }

    /// The bytes from `start` to the end of an object that had this length.
    pub(super) fn bytes(
        self,
        location: Arc<str>,
        start: u64,
        length: u64,
    ) -> BoxStream<'static, Result<Bytes>> {
        let parts = stream::try_unfold(start, move |start| {
            let (file, location) = (self.clone(), location.clone());
            async move { file.part(&location, start, length).await }
        });
        // Small chunks, as elsewhere: several of them wait for the parser.
        let chunks = parts.map_ok(|part| stream::iter(chunks(part)).map(Ok));
        chunks.try_flatten().boxed()
    }

    /// The part that begins at `start`, and where the next one does; `None` at the end.
    async fn part(&self, location: &str, start: u64, length: u64) -> Result<Option<(Bytes, u64)>> {
        if start >= length {
            return Ok(None);
        }
        let part = start..length.min(start + PART);
        let options = GetOptions {
            range: Some(part.clone().into()),
            ..GetOptions::default()
        };
        let broken = |error| bucket_error(location, error);
        let answer = self.objects.get_opts(&self.path, options).await;
        let answer = answer.map_err(broken)?;
        if answer.meta.size != length || answer.range != part {
            return Err(SourceError::Changed(location.into()));
        }
        let bytes = answer.bytes().await.map_err(broken)?;
        Ok(Some((bytes, part.end)))
    }
}

fn chunks(mut bytes: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let chunk = bytes.split_to(bytes.len().min(CHUNK));
        (!chunk.is_empty()).then_some(chunk)
    })
}

fn bucket_error(location: &str, error: StoreError) -> SourceError {
    match error {
        StoreError::NotFound { .. } => SourceError::NotFound(location.into()),
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
            SourceError::Denied(location.into())
        }
        other => SourceError::broken(location, other),
    }
}
