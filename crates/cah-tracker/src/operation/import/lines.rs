//! Lists of one entry a line.

use std::io::{BufRead, BufReader, Read};

use super::ImportError;

/// The lines of a list; those on which there is nothing to see are passed over.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    buffer: Vec<u8>,
    /// Longest line, in bytes.
    longest: usize,
    number: u64,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(list: R, longest: usize) -> Self {
        Self {
            reader: BufReader::new(list),
            buffer: Vec::new(),
            longest,
            number: 0,
        }
    }

    /// The next line on which there is anything to see, without the blanks around it.
    pub(super) fn next(&mut self) -> Result<Option<(u64, &str)>, ImportError> {
        loop {
            if !self.fill()? {
                return Ok(None);
            }
            if !self.text()?.chars().all(is_unseen) {
                break;
            }
        }
        Ok(Some((self.number, self.text()?)))
    }

    /// The line that was read last.
    fn text(&self) -> Result<&str, ImportError> {
        let wrong = |reason: &str| ImportError::Line {
            line: self.number,
            reason: reason.into(),
        };
        if self.buffer.trim_ascii().len() > self.longest {
            return Err(wrong(&format!("it is longer than {} bytes", self.longest)));
        }
        let text = str::from_utf8(&self.buffer).map_err(|_| wrong("it is not UTF-8"))?;
        Ok(text.trim())
    }

    /// Reads one line, but no more than shows that it is too long; false at the end.
    fn fill(&mut self) -> Result<bool, ImportError> {
        self.buffer.clear();
        // Room for a line break of two characters, and for one more that shows the excess.
        let most = self.longest as u64 + 3;
        let read = self
            .reader
            .by_ref()
            .take(most)
            .read_until(b'\n', &mut self.buffer)
            .map_err(|source| ImportError::Read {
                line: self.number,
                source,
            })?;
        self.number += 1;
        Ok(read > 0)
    }
}

/// Blanks of any script, and what joins or marks text without being seen itself.
fn is_unseen(c: char) -> bool {
    let joins = matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}');
    joins || c.is_whitespace()
}
