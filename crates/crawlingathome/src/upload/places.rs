//! Buckets and folders.

use std::{fs::File, io::Read, path::PathBuf, time::Duration};

use bytes::{Bytes, BytesMut};
use cah_bucket::{BadBucket, OneLine, PART_BYTES, RemoteUpload};
use cah_staged::StagedFile;
use cah_task::blocking;
use futures::StreamExt;
use object_store::{RetryConfig, path::Path as ObjectPath};
use tokio_util::task::TaskTracker;
use url::Url;

use super::{CHUNK, Upload, UploadError, shown, with_slash};

/// How long the parts of an upload that failed are seen off.
const SETTLE_DEADLINE: Duration = Duration::from_secs(30);

impl Upload {
    /// Puts the file into a bucket.
    pub(super) async fn to_bucket(&self, url: &Url) -> Result<String, UploadError> {
        let attempt = || self.once_to_bucket(url);
        self.retry.run(attempt, UploadError::can_pass).await
    }

    async fn once_to_bucket(&self, url: &Url) -> Result<String, UploadError> {
        let place = shown(url.as_str());
        let bad = |error: BadBucket| UploadError::Setup(error.to_string());
        let url = cah_bucket::address(&with_slash(url.as_str())).map_err(bad)?;
        let objects = cah_bucket::below(&url, RetryConfig::default()).map_err(bad)?;
        let aborts = TaskTracker::new();
        let path = ObjectPath::from(self.name.as_str());
        let upload = RemoteUpload::new(objects, path, aborts.clone());
        let sent = self.send_parts(upload, &place).await;
        aborts.close();
        // The parts of an upload that failed may stay where the bucket does not answer any more.
        let _ = tokio::time::timeout(SETTLE_DEADLINE, aborts.wait()).await;
        sent.map(|()| format!("{url}{}", self.name))
    }

    async fn send_parts(&self, mut upload: RemoteUpload, place: &str) -> Result<(), UploadError> {
        let of_bucket = |error| of_bucket(place, &error);
        let mut bytes = std::pin::pin!(self.bytes().await?);
        let mut part = BytesMut::new();
        while let Some(chunk) = bytes.next().await {
            part.extend_from_slice(&chunk.map_err(|error| self.read_error(error))?);
            while part.len() >= PART_BYTES {
                let full: Bytes = part.split_to(PART_BYTES).freeze();
                upload.append(full).await.map_err(of_bucket)?;
            }
        }
        upload.seal(part.freeze()).await.map_err(of_bucket)?;
        upload.publish().await.map_err(of_bucket).map(drop)
    }

    /// Copies the file into a folder.
    pub(super) async fn to_folder(&self, folder: PathBuf) -> Result<String, UploadError> {
        let target = folder.join(&self.name);
        if self.guard.is_some() {
            return Err(UploadError::Private("file://".into()));
        }
        let url = Url::from_file_path(&target);
        let url = url.map_err(|()| UploadError::UnknownAddress("file://".into()))?;
        let write_error = {
            let path = target.clone();
            move |source| UploadError::Write {
                path: path.clone(),
                source,
            }
        };
        let (file, length, progress) = (self.file.clone(), self.length, self.progress.clone());
        let copied = blocking(move || {
            let read_error = |source| UploadError::Read {
                path: file.clone(),
                source,
            };
            let mut from = File::open(&file).map_err(read_error)?.take(length);
            let mut to = StagedFile::create(target).map_err(&write_error)?;
            let mut buffer = vec![0; CHUNK];
            let mut done = 0;
            loop {
                let read = from.read(&mut buffer).map_err(read_error)?;
                if read == 0 {
                    break;
                }
                to.append(&buffer[..read]).map_err(&write_error)?;
                done += read as u64;
                if let Some(progress) = &progress {
                    progress(done, length);
                }
            }
            to.publish().map_err(write_error)
        });
        copied.await?;
        Ok(url.into())
    }
}

/// What a bucket's error means. One that does not let this worker in will not do so later.
fn of_bucket(place: &str, error: &object_store::Error) -> UploadError {
    use object_store::Error::{NotFound, PermissionDenied, Unauthenticated};
    let (place, said) = (place.to_owned(), OneLine(error).to_string());
    let status = match error {
        Unauthenticated { .. } => 401,
        PermissionDenied { .. } => 403,
        NotFound { .. } => 404,
        _ => {
            return UploadError::Broken {
                place,
                reason: said,
            };
        }
    };
    UploadError::Refused {
        place,
        status,
        text: said,
    }
}
