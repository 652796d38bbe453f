//! The limits that text from outside keeps before it enters the tracker.

use thiserror::Error;

/// Longest nickname, in characters.
pub const MAX_NICKNAME_CHARS: usize = 128;

/// Longest progress line, in characters.
pub const MAX_PROGRESS_CHARS: usize = 1_000;

/// Longest result of a stage, in bytes.
pub const MAX_RESULT_BYTES: usize = 1 << 20;

/// Text that the protocol refuses; shown to the caller as it is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TextRejected {
    /// More characters or bytes than allowed.
    #[error("{field} is longer than {limit} {unit}")]
    TooLong {
        /// Which text.
        field: &'static str,
        /// How long it may be.
        limit: usize,
        /// What is counted.
        unit: &'static str,
    },
    /// NUL or another control character.
    #[error("{0} contains a control character")]
    ControlCharacter(&'static str),
}

/// Checks a contributor's nickname.
pub fn check_nickname(text: &str) -> Result<(), TextRejected> {
    check_line("nickname", text, MAX_NICKNAME_CHARS)
}

/// Checks a line of progress.
pub fn check_progress(text: &str) -> Result<(), TextRejected> {
    check_line("progress", text, MAX_PROGRESS_CHARS)
}

/// Checks what a worker says about a job that it cannot do: as long as a line of progress.
pub fn check_message(text: &str) -> Result<(), TextRejected> {
    check_line("message", text, MAX_PROGRESS_CHARS)
}

/// Checks what an operator tells everybody: as long as a line of progress.
pub fn check_banner(text: &str) -> Result<(), TextRejected> {
    check_line("the banner", text, MAX_PROGRESS_CHARS)
}

/// Checks what a stage hands over: at most 1 MiB, line breaks and tabs allowed.
pub fn check_result(text: &str) -> Result<(), TextRejected> {
    if text.len() > MAX_RESULT_BYTES {
        return Err(TextRejected::TooLong {
            field: "the result",
            limit: MAX_RESULT_BYTES,
            unit: "bytes",
        });
    }
    if text
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    {
        return Err(TextRejected::ControlCharacter("the result"));
    }
    Ok(())
}

fn check_line(field: &'static str, text: &str, limit: usize) -> Result<(), TextRejected> {
    if text.chars().count() > limit {
        return Err(TextRejected::TooLong {
            field,
            limit,
            unit: "characters",
        });
    }
    if text.chars().any(char::is_control) {
        return Err(TextRejected::ControlCharacter(field));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_count_characters() {
        assert!(check_nickname(&"ж".repeat(MAX_NICKNAME_CHARS)).is_ok());
        assert!(check_nickname(&"ж".repeat(MAX_NICKNAME_CHARS + 1)).is_err());
        assert!(check_progress("12 / 100\0").is_err());
        assert!(check_progress("two\nlines").is_err());
        assert!(check_result("two\nlines").is_ok());
    }
}
