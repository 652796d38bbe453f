//! What kind of web is built.

use std::time::Duration;

use crate::Error;

/// How large the mini web is and how it behaves where it misbehaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Everything but the ports follows from it: pages, images, captions, WAT files.
    pub seed: u64,
    /// Pages with images, over all hosts. At least one a WAT file.
    pub pages: usize,
    /// WAT files that the pages are dealt to, each two shards. At least one.
    pub wats: usize,
    /// After how long the slow host answers. Longer than the crawler's deadline.
    pub slow: Duration,
    /// Length in bytes of the bodies that are too long. More than the crawler's byte cap.
    pub heavy_bytes: u64,
}

impl Default for Config {
    /// 240 pages in two WAT files, about 750 candidates; meant for a crawler with a deadline of a
    /// few seconds and a byte cap of 20 MiB.
    fn default() -> Self {
        Self {
            seed: 1,
            pages: 240,
            wats: 2,
            slow: Duration::from_secs(20),
            heavy_bytes: 21 << 20,
        }
    }
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.wats == 0 || self.pages < self.wats {
            return Err(Error::TooFewPages {
                pages: self.pages,
                wats: self.wats,
            });
        }
        Ok(())
    }
}
