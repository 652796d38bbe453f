//! A WAT file read on the async side and parsed on a thread of its own.

use bytes::Bytes;
use cah_task::blocking;
use cah_wat::{Options, Page, PageReader, Piece};
use futures::StreamExt;
use tokio::sync::mpsc;

use crate::{Progress, Source, SourceError, Step, WorkerError};

/// Chunks of the file that wait for the parser.
const CHUNKS: usize = 16;

/// Takes the pages of a WAT file, on a thread that may block.
pub(crate) trait PageSink: Send + 'static {
    /// Takes one page, in the order of the file.
    fn take(&mut self, page: &Page<'_>);

    /// Hands on what was taken and waits where the next step is busy. `false` once nobody wants
    /// any more.
    fn flush(&mut self) -> bool;
}

/// Gives the pages of `piece` of a WAT file to `sink`.
pub(crate) async fn read_pages(
    source: Source,
    piece: Piece,
    options: Options,
    progress: Progress,
    sink: impl PageSink,
) -> Result<(), WorkerError> {
    let reader = PageReader::for_piece(options, source.length(), piece);
    let start = reader.start_offset();
    progress.wat_opened(match piece {
        Piece::First => source.length().div_ceil(2),
        Piece::Second | Piece::Whole => source.length() - start,
    });
    let (chunks, arriving) = mpsc::channel(CHUNKS);
    let location = source.location().to_owned();
    let parsing = blocking(move || parse(reader, arriving, &location, &progress, sink));
    let ((), parsed) = tokio::join!(send_bytes(source, start, chunks), parsing);
    parsed
}

/// Moves bytes from the file to the parser until the parser has enough.
async fn send_bytes(source: Source, start: u64, chunks: mpsc::Sender<Result<Bytes, SourceError>>) {
    let mut bytes = std::pin::pin!(source.read_from(start));
    while let Some(chunk) = bytes.next().await {
        if chunks.send(chunk).await.is_err() {
            return;
        }
    }
}

fn parse(
    mut reader: PageReader,
    mut chunks: mpsc::Receiver<Result<Bytes, SourceError>>,
    location: &str,
    progress: &Progress,
    mut sink: impl PageSink,
) -> Result<(), WorkerError> {
    let not_wat = |error| WorkerError::Wat {
        location: location.to_owned(),
        error,
    };
    while let Some(chunk) = chunks.blocking_recv() {
        let chunk = chunk?;
        progress.wat_read(chunk.len());
        let busy = progress.enter(Step::Extract, 0);
        reader
            .decode(&chunk, |page| sink.take(&page))
            .map_err(not_wat)?;
        drop(busy);
        if !sink.flush() {
            return Ok(());
        }
        if reader.is_done() {
            break;
        }
    }
    let report = reader.finish(|page| sink.take(&page)).map_err(not_wat)?;
    sink.flush();
    if report.truncated {
        return Err(WorkerError::Truncated(location.to_owned()));
    }
    if !report.is_whole() {
        let (damaged, lost) = (report.damaged, report.lost_bytes);
        tracing::warn!("{location}: {damaged} damaged records ({lost} bytes) were left out");
    }
    Ok(())
}
