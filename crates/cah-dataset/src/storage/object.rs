//! One file on its way, in parts, with its digest.

use bytes::Bytes;
use cah_bucket::{PART_BYTES, RemoteUpload};
use cah_staged::StagedFile;
use cah_task::blocking;
use sha2::{Digest as _, Sha256};

use crate::{
    error::{DatasetError, Result},
    manifest::FileEntry,
    text::hex,
};

/// A file that is being written, see the module about its steps. Dropped, nothing of it stays.
#[derive(Debug)]
pub(crate) struct ObjectWriter {
    name: String,
    buffer: Vec<u8>,
    digest: Digest,
    /// Away while a part is written, so that a dropped call leaves a writer that refuses.
    sink: Option<Sink>,
}

/// A file whose bytes are at the place, but which has no name yet. Dropped, nothing of it stays.
#[derive(Debug)]
pub(crate) struct Sealed {
    name: String,
    sink: Sink,
    entry: FileEntry,
}

#[derive(Debug)]
pub(super) enum Sink {
    Local(StagedFile),
    Remote(RemoteUpload),
}

#[derive(Debug, Default)]
struct Digest {
    sha256: Sha256,
    size: u64,
}

impl ObjectWriter {
    /// `name` is what messages call the file.
    pub(super) fn new(name: String, sink: Sink) -> Self {
        Self {
            name,
            buffer: Vec::new(),
            digest: Digest::default(),
            sink: Some(sink),
        }
    }

    /// What messages call the file.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Appends bytes; they leave in parts of 8 MiB.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        while self.buffer.len() >= PART_BYTES {
            let rest = self.buffer.split_off(PART_BYTES);
            let part = std::mem::replace(&mut self.buffer, rest);
            let (part, sink) = self.digest(part).await?;
            self.sink = Some(sink.append(part).await.map_err(|e| e.of(&self.name))?);
        }
        Ok(())
    }

    /// Sends what is left and waits until everything is at the place.
    pub(crate) async fn seal(mut self) -> Result<Sealed> {
        let end = std::mem::take(&mut self.buffer);
        let (end, sink) = self.digest(end).await?;
        let sink = sink.seal(end).await.map_err(|e| e.of(&self.name))?;
        let entry = FileEntry {
            size: self.digest.size,
            sha256: hex(&self.digest.sha256.finalize()),
        };
        Ok(Sealed {
            name: self.name,
            sink,
            entry,
        })
    }

    /// Adds a part to the digest and hands it on with the sink it goes to.
    async fn digest(&mut self, part: Vec<u8>) -> Result<(Bytes, Sink)> {
        let sink = self.sink.take();
        let sink = sink.ok_or_else(|| DatasetError::Interrupted(self.name.clone()))?;
        let mut digest = std::mem::take(&mut self.digest);
        let (digest, part) = blocking(move || {
            digest.sha256.update(&part);
            digest.size += part.len() as u64;
            (digest, part)
        })
        .await;
        self.digest = digest;
        Ok((part.into(), sink))
    }
}

impl Sealed {
    /// Size and digest of the whole file.
    pub(crate) fn entry(&self) -> &FileEntry {
        &self.entry
    }

    /// Gives the file its name; tells the entity tag of a remote one.
    pub(crate) async fn publish(self) -> Result<Option<String>> {
        self.sink.publish().await.map_err(|e| e.of(&self.name))
    }
}

/// What a sink says went wrong; the writer knows the name.
enum Failure {
    Local(std::io::Error),
    Remote(object_store::Error),
}

impl Failure {
    fn of(self, name: &str) -> DatasetError {
        match self {
            Self::Local(cause) => DatasetError::io(name, cause),
            Self::Remote(cause) => DatasetError::remote(name, cause),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(cause: std::io::Error) -> Self {
        Self::Local(cause)
    }
}

impl From<object_store::Error> for Failure {
    fn from(cause: object_store::Error) -> Self {
        Self::Remote(cause)
    }
}

impl Sink {
    async fn append(self, part: Bytes) -> Result<Self, Failure> {
        match self {
            Self::Local(mut staged) => {
                let appended = move || staged.append(&part).map(|()| staged);
                Ok(Self::Local(blocking(appended).await?))
            }
            Self::Remote(mut upload) => {
                upload.append(part).await?;
                Ok(Self::Remote(upload))
            }
        }
    }

    async fn seal(self, end: Bytes) -> Result<Self, Failure> {
        match self {
            Self::Local(mut staged) => {
                let sealed = move || {
                    staged.append(&end)?;
                    staged.sync().map(|()| staged)
                };
                Ok(Self::Local(blocking(sealed).await?))
            }
            Self::Remote(mut upload) => {
                upload.seal(end).await?;
                Ok(Self::Remote(upload))
            }
        }
    }

    async fn publish(self) -> Result<Option<String>, Failure> {
        match self {
            Self::Local(staged) => {
                blocking(move || staged.publish()).await?;
                Ok(None)
            }
            Self::Remote(mut upload) => Ok(upload.publish().await?),
        }
    }
}
