//! What a server of the mini web says when it is asked for a path.

use bytes::Bytes;

use crate::{picture::PictureId, site::Location};

/// The answer to a path, before ports and pixels are known.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A picture, under this content type or none.
    Picture(PictureId, Option<&'static str>),
    /// Any other file.
    File(&'static str, Bytes),
    /// A status with a short text.
    Status(u16),
    /// Elsewhere.
    Redirect(u16, Target),
    /// The picture, later than anybody waits.
    Late(PictureId),
    /// Some bytes now and then, for ever.
    Endless,
    /// A body longer than the configured limit, which is announced or not.
    Heavy {
        /// Whether there is a `Content-Length`.
        announced: bool,
    },
    /// Half the picture, and the connection is gone.
    CutShort(PictureId),
    /// An error at first; the picture for whoever comes again.
    Recovering {
        /// The status of the error.
        status: u16,
        /// Seconds in `Retry-After`.
        retry_after: Option<u8>,
        /// What comes then.
        then: PictureId,
    },
}

/// Where a redirect leads.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// To somewhere on the mini web.
    Location(Location),
    /// To exactly this.
    Verbatim(&'static str),
    /// The answer lacks its `Location`.
    Missing,
}
