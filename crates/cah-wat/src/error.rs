//! What can go wrong as a whole. Damage to single records is no error: see [`Report`](crate::Report).

use thiserror::Error;

/// Why an input gives nothing at all, or why a part could not be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a single byte came.
    #[error("the WAT file is empty: download it again")]
    Empty,
    /// The bytes are something else than a WAT file.
    #[error("not a WAT file: {0}; give a file whose name ends in .warc.wat.gz")]
    NotWat(NotWat),
    /// The bytes are no fastText language model.
    #[error("the language model cannot be read ({0}); give fastText's lid.176.ftz")]
    LanguageModel(#[source] fasttext_pure_rs::Error),
}

/// What the bytes are instead of a WAT file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotWat {
    /// Text that begins with markup: an error page, most likely.
    #[error("it is an HTML or XML page")]
    Markup,
    /// Gzip around something else.
    #[error("it is gzip, but there are no WARC records in it")]
    OtherGzip,
    /// WARC records, but none of them is the JSON metadata of a page.
    #[error("it has WARC records, but none with the metadata of a page (a .warc.gz or .wet.gz?)")]
    OtherWarc,
    /// Neither gzip nor WARC.
    #[error("it is neither gzip nor WARC")]
    Unknown,
}
