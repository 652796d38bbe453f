//! A bucket in which another worker finishes the same shard.

use std::{fmt, sync::Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    memory::InMemory, path::Path,
};

/// Once the last file of a shard is put, and before its manifest is, these objects come.
#[derive(Debug)]
pub(crate) struct Rival {
    objects: InMemory,
    brings: Mutex<Vec<(Path, Bytes)>>,
}

impl Rival {
    pub(crate) fn bringing(brings: impl IntoIterator<Item = (Path, Bytes)>) -> Self {
        Self {
            objects: InMemory::new(),
            brings: Mutex::new(brings.into_iter().collect()),
        }
    }

    /// Whether the other worker has come.
    pub(crate) fn came(&self) -> bool {
        self.brings.lock().unwrap().is_empty()
    }
}

/// Everything in a bucket.
pub(crate) async fn objects(bucket: &InMemory) -> Vec<(Path, Bytes)> {
    let mut objects = Vec::new();
    let mut list = bucket.list(None);
    while let Some(object) = list.try_next().await.unwrap() {
        let bytes = bucket.get(&object.location).await.unwrap().bytes().await;
        objects.push((object.location, bytes.unwrap()));
    }
    objects
}

impl fmt::Display for Rival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rival")
    }
}

#[async_trait]
impl ObjectStore for Rival {
    async fn put_opts(
        &self,
        path: &Path,
        data: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let result = self.objects.put_opts(path, data, options).await?;
        if path.as_ref().starts_with("text_emb/") {
            let brings = std::mem::take(&mut *self.brings.lock().unwrap());
            for (path, bytes) in brings {
                self.objects.put(&path, bytes.into()).await?;
            }
        }
        Ok(result)
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.objects.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}
