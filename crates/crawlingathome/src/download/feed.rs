//! From a source that is read without blocking to work that may block.

use std::io::{self, Read};

use bytes::Bytes;
use cah_source::{AnySource, SourceError};
use cah_task::blocking;
use futures::StreamExt;
use tokio::sync::mpsc;

use super::{DownloadError, OnProgress};

/// Chunks that wait for the work.
const CHUNKS: usize = 16;

/// Which bytes of a source are wanted.
pub(super) struct Wanted<'a> {
    pub(super) source: &'a AnySource,
    /// The first of them.
    pub(super) start: u64,
    /// How many there are, as far as progress goes and the server tells.
    pub(super) total: Option<u64>,
    pub(super) progress: Option<&'a OnProgress>,
}

/// Has `work` take the bytes of a source on a thread that may block, until it has enough.
///
/// Where the future is dropped, the bytes end with an error.
pub(super) async fn through<T: Send + 'static>(
    wanted: Wanted<'_>,
    work: impl FnOnce(Fed) -> Result<T, DownloadError> + Send + 'static,
) -> Result<T, DownloadError> {
    let (chunks, fed) = mpsc::channel(CHUNKS);
    let fed = Fed {
        chunks: fed,
        current: Bytes::new(),
        is_over: false,
    };
    let working = blocking(move || work(fed));
    let (sent, worked) = tokio::join!(send(wanted, chunks), working);
    // Work that gets too few bytes complains as well, about less.
    sent?;
    worked
}

async fn send(wanted: Wanted<'_>, chunks: mpsc::Sender<Option<Bytes>>) -> Result<(), SourceError> {
    let mut bytes = std::pin::pin!(wanted.source.read_from(wanted.start));
    let mut done = 0;
    while let Some(chunk) = bytes.next().await {
        let chunk = chunk?;
        done += chunk.len() as u64;
        if let Some(progress) = wanted.progress {
            let total = wanted.total.unwrap_or(done);
            progress(done.min(total), total);
        }
        if chunks.send(Some(chunk)).await.is_err() {
            // The work has enough, or has failed.
            return Ok(());
        }
    }
    let _ = chunks.send(None).await;
    Ok(())
}

/// The bytes as the work reads them.
pub(super) struct Fed {
    /// `None` ends them; where they end without, the transfer was given up.
    chunks: mpsc::Receiver<Option<Bytes>>,
    current: Bytes,
    is_over: bool,
}

impl Fed {
    /// The next chunk, empty at the end.
    pub(super) fn chunk(&mut self) -> io::Result<Bytes> {
        while self.current.is_empty() && !self.is_over {
            match self.chunks.blocking_recv() {
                Some(Some(bytes)) => self.current = bytes,
                Some(None) => self.is_over = true,
                None => return Err(io::Error::other("the transfer was given up")),
            }
        }
        Ok(std::mem::take(&mut self.current))
    }
}

impl Read for Fed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut chunk = self.chunk()?;
        let taken = chunk.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&chunk.split_to(taken));
        self.current = chunk;
        Ok(taken)
    }
}
