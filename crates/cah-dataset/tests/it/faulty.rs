//! An object store in memory that fails when it is told to, and counts what it is left with.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst},
    },
};

use async_trait::async_trait;
use futures::{FutureExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart, memory::InMemory, path::Path,
};
use tokio::sync::Semaphore;

#[derive(Debug, Default)]
pub(crate) struct Faulty {
    pub(crate) objects: Arc<InMemory>,
    /// Uploads that were begun and neither completed nor aborted.
    pub(crate) open_uploads: Arc<AtomicI64>,
    /// Uploads that were completed.
    pub(crate) completed: Arc<AtomicUsize>,
    /// Answers that an upload has begun only once this opens.
    pub(crate) begin: Option<Arc<Semaphore>>,
    /// Fails every part from this one on.
    pub(crate) fail_parts_from: Option<usize>,
    /// Fails putting whatever ends in this.
    pub(crate) fail_put: Option<&'static str>,
    /// Once something that ends in the first is put, somebody else replaces the second.
    pub(crate) rival: Mutex<Option<(&'static str, &'static str)>>,
    pub(crate) parts: Arc<AtomicUsize>,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

fn broken() -> Error {
    Error::Generic {
        store: "faulty",
        source: "the line is\n  cut".into(),
    }
}

#[derive(Debug)]
struct Upload {
    inner: Box<dyn MultipartUpload>,
    open: Arc<AtomicI64>,
    completed: Arc<AtomicUsize>,
    pub(crate) parts: Arc<AtomicUsize>,
    fail_from: Option<usize>,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let part = self.parts.fetch_add(1, SeqCst);
        if self.fail_from.is_some_and(|from| part >= from) {
            return async { Err(broken()) }.boxed();
        }
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.inner.complete().await?;
        self.open.fetch_sub(1, SeqCst);
        self.completed.fetch_add(1, SeqCst);
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.open.fetch_sub(1, SeqCst);
        self.inner.abort().await
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        path: &Path,
        data: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if self
            .fail_put
            .is_some_and(|end| path.as_ref().ends_with(end))
        {
            return Err(broken());
        }
        let result = self.objects.put_opts(path, data, options).await?;
        let rival = self
            .rival
            .lock()
            .unwrap()
            .take_if(|(end, _)| path.as_ref().ends_with(*end));
        if let Some((_, other)) = rival {
            self.objects.put(&Path::from(other), "rival".into()).await?;
        }
        Ok(result)
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.objects.put_multipart_opts(path, options).await?;
        self.open_uploads.fetch_add(1, SeqCst);
        if let Some(begin) = &self.begin {
            begin.acquire().await.unwrap().forget();
        }
        Ok(Box::new(Upload {
            inner,
            open: self.open_uploads.clone(),
            completed: self.completed.clone(),
            parts: self.parts.clone(),
            fail_from: self.fail_parts_from,
        }))
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
