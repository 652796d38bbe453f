//! Common Crawl WAT bytes in, image candidates out. Sans-IO.
//!
//! The data goes one way, and each step stands on its own:
//!
//! 1. [`Reader`]: bytes → [`Record`]s. Gzip member by member or plain, whatever the split of the
//!    bytes; a damaged record costs that record; half a file ([`Piece`]) can be read by itself.
//! 2. [`Extractor`]: a record → [`Page`] with its [`Link`]s, the rows that cc2dataset takes.
//! 3. [`Rules`]: a link → [`Candidate`], or the [`Rejection`] that says why not.
//!
//! [`PageReader`] joins the first two. Nothing here reads a file or a socket: the caller pushes
//! bytes and is called back.
//!
//! ```
//! use cah_wat::{Options, PageReader, Rules};
//!
//! # fn main() -> Result<(), cah_wat::Error> {
//! # let wat: &[u8] = include_bytes!("../tests/data/whirlwind.warc.wat.gz");
//! let rules = Rules::default();
//! let mut pages = PageReader::new(Options::default());
//! let mut candidates = Vec::new();
//! let mut take = |page: cah_wat::Page<'_>| {
//!     candidates.extend(page.links.iter().filter_map(|link| rules.judge(&page, link).ok()));
//! };
//! for chunk in wat.chunks(1000) {
//!     pages.decode(chunk, &mut take)?;
//! }
//! let report = pages.finish(&mut take)?;
//! assert!(report.is_whole());
//! # Ok(())
//! # }
//! ```

mod error;
mod extract;
mod join;
mod language;
mod licence;
mod pages;
mod reader;
mod rules;
mod text;

pub use error::{Error, NotWat};
pub use extract::{
    BadJson, DocumentType, Extractor, Link, Options, Page, UnknownDocumentType, uid,
};
pub use language::{LanguageDetector, UNDETERMINED};
pub use pages::PageReader;
pub use reader::{Piece, Reader, Record, Report};
pub use rules::{Candidate, Rejection, Rule, Rules, UnknownRule};
pub use text::repair;
