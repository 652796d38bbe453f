//! Request and response as the crawler sent and got them.

use super::{Capture, clock::Moment};

/// An HTTP message.
pub(super) struct Message<'a> {
    /// Method, path and version; or version, status and reason.
    pub(super) first_line: [String; 3],
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) entity: &'a [u8],
}

impl<'a> Message<'a> {
    /// The request for an absolute http URL.
    pub(super) fn request(url: &str) -> Self {
        let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
        let slash = after_scheme.find('/').unwrap_or(after_scheme.len());
        let (authority, path) = after_scheme.split_at(slash);
        Self {
            first_line: ["GET", path, "HTTP/1.1"].map(str::to_owned),
            headers: vec![
                (
                    "User-Agent",
                    "MiniBot/1.0 (the crawler of the demo)".to_owned(),
                ),
                ("Accept", "text/html,*/*;q=0.8".to_owned()),
                ("Accept-Language", "en-US,en;q=0.5".to_owned()),
                ("Host", authority.to_owned()),
                ("Connection", "Keep-Alive".to_owned()),
            ],
            entity: b"",
        }
    }

    /// The answer that the mini web's server gives.
    pub(super) fn response(capture: &Capture<'a>, moment: Moment) -> Self {
        Self {
            first_line: ["HTTP/1.1", "200", "OK"].map(str::to_owned),
            headers: vec![
                ("content-type", capture.content_type.to_owned()),
                ("content-length", capture.body.len().to_string()),
                ("date", moment.http()),
            ],
            entity: capture.body,
        }
    }

    /// First line, headers and the empty line.
    pub(super) fn head(&self) -> String {
        let headers: String = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        format!("{}\r\n{headers}\r\n", self.first_line.join(" "))
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        [self.head().as_bytes(), self.entity].concat()
    }
}
