//! Bytes → pages with their links.

use crate::{Error, Extractor, Options, Page, Piece, Reader, Record, Report};

/// A [`Reader`] with an [`Extractor`] behind it: bytes in, pages out.
#[derive(Debug)]
pub struct PageReader {
    reader: Reader,
    pages: Pages,
}

/// Turns records into pages and counts those that can't be.
#[derive(Debug)]
struct Pages {
    extractor: Extractor,
    bad: u64,
    bad_bytes: u64,
}

impl PageReader {
    /// Reads a whole file.
    pub fn new(options: Options) -> Self {
        Self::over(Reader::new(), options)
    }

    /// Reads a piece of a file of `total_len` bytes; see [`Reader::for_piece`].
    pub fn for_piece(options: Options, total_len: u64, piece: Piece) -> Self {
        Self::over(Reader::for_piece(total_len, piece), options)
    }

    fn over(reader: Reader, options: Options) -> Self {
        let pages = Pages {
            extractor: Extractor::new(options),
            bad: 0,
            bad_bytes: 0,
        };
        PageReader { reader, pages }
    }

    /// The offset in the file of the first byte to push.
    pub fn start_offset(&self) -> u64 {
        self.reader.start_offset()
    }

    /// Whether no more bytes are needed.
    pub fn is_done(&self) -> bool {
        self.reader.is_done()
    }

    /// Pushes the next bytes; `sink` is given each page with links that they complete, in the
    /// order of the file.
    ///
    /// # Errors
    ///
    /// As [`Reader::decode`].
    pub fn decode(&mut self, bytes: &[u8], mut sink: impl FnMut(Page<'_>)) -> Result<(), Error> {
        self.reader
            .decode(bytes, |record| self.pages.take(record, &mut sink))
    }

    /// Ends the input; `sink` is given the pages that were still held back.
    ///
    /// # Errors
    ///
    /// As [`Reader::finish`].
    pub fn finish(mut self, mut sink: impl FnMut(Page<'_>)) -> Result<Report, Error> {
        let mut report = self
            .reader
            .finish(|record| self.pages.take(record, &mut sink))?;
        report.damaged += self.pages.bad;
        report.lost_bytes += self.pages.bad_bytes;
        Ok(report)
    }
}

impl Pages {
    fn take(&mut self, record: Record<'_>, sink: &mut impl FnMut(Page<'_>)) {
        match self.extractor.page(&record) {
            Ok(Some(page)) => sink(page),
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(offset = record.offset(), "{error}");
                self.bad += 1;
                self.bad_bytes += record.body().len() as u64;
            }
        }
    }
}
