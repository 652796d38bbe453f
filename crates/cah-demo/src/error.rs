use thiserror::Error;

/// Why the mini web could not be built or served.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A WAT file would be empty, or there would be none.
    #[error(
        "{pages} pages cannot fill {wats} WAT files: ask for at least one WAT file and one page for each"
    )]
    TooFewPages {
        /// Pages that were asked for.
        pages: usize,
        /// WAT files that were asked for.
        wats: usize,
    },
    /// No port on the loopback interface.
    #[error("the mini web cannot listen on 127.0.0.1: {0}")]
    Listen(#[from] std::io::Error),
    /// A thread that drew the images died.
    #[error("drawing the mini web's images failed: {0}")]
    Drawing(#[from] tokio::task::JoinError),
}
