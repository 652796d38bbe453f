//! The bodies of the DistCompute calls, as the public client sends and reads them.

use serde::{Deserialize, Serialize};

/// The text of a DistCompute call that was carried out.
pub const OK: &str = "200 OK";

/// What stands before the data of a job or result that is JSON and no plain text.
pub const JSON_PREFIX: &str = "<!json!>";

/// The most stages that a project can have: each has a letter.
pub const MAX_STAGES: usize = 26;

/// The letter that names a stage on the wire, from `a` for stage 0.
///
/// Stages after the 26th have no letter of their own; there are none.
pub fn stage_letter(stage: u8) -> char {
    char::from(b'a' + stage.min(MAX_STAGES as u8 - 1))
}

/// The stage that a letter names, in either case.
pub fn stage_of_letter(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [letter] if letter.is_ascii_alphabetic() => Some(letter.to_ascii_lowercase() - b'a'),
        _ => None,
    }
}

/// Answer of `GET /api/new`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewWorkerResponse {
    /// The worker's secret for all further calls, a UUIDv4 as text.
    pub token: String,
    /// Two words and a number, `word-word-123`.
    pub display_name: String,
    /// The project's name.
    pub project: String,
    /// The stage's name.
    pub stage_name: String,
    /// Seconds within which the tracker wants to hear from the worker while it holds a job; beyond
    /// the public protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<u64>,
}

/// Answer of `POST /api/newJob`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobResponse {
    /// Plain text, or JSON behind [`JSON_PREFIX`].
    pub data: String,
    /// The job number.
    pub number: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_name_stages() {
        for stage in 0..MAX_STAGES as u8 {
            let letter = stage_letter(stage);
            assert_eq!(stage_of_letter(&letter.to_string()), Some(stage));
            let upper = letter.to_ascii_uppercase().to_string();
            assert_eq!(stage_of_letter(&upper), Some(stage));
        }
        for wrong in ["", "ab", "1", "ä"] {
            assert_eq!(stage_of_letter(wrong), None);
        }
    }
}
