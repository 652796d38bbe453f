//! Errors of others, fit for one line.

use std::fmt;

/// Shows a value with every run of white space as one space: object stores answer in XML of
/// several lines, and an error is one line.
pub struct OneLine<T>(pub T);

impl<T: fmt::Display> fmt::Display for OneLine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        for (i, word) in text.split_whitespace().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{word}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_line() {
        let xml = "not found:\n  <Error>\r\n<Code>NoSuchBucket</Code>";
        assert_eq!(
            OneLine(xml).to_string(),
            "not found: <Error> <Code>NoSuchBucket</Code>"
        );
    }
}
