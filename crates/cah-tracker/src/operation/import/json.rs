//! JSON lists of jobs: texts, lists and objects.

use std::{
    cell::Cell,
    fmt,
    io::{self, Read},
};

use cah_protocol::{MAX_RESULT_BYTES, distcompute::JSON_PREFIX};
use serde::{
    Deserializer,
    de::{Error as _, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// The longest entry as it is written: the longest job of which every byte is escaped.
const MAX_ENTRY: u64 = 6 * MAX_RESULT_BYTES as u64 + 64;

/// Hands on every entry of a JSON list, as the data of a job, without keeping the list in memory.
///
/// The error says where the list is wrong, and why.
pub(super) fn read(
    list: impl Read,
    mut take: impl FnMut(String) -> Result<(), String>,
) -> Result<(), serde_json::Error> {
    let left = Cell::new(MAX_ENTRY);
    let number = Cell::new(1);
    let mut json = serde_json::Deserializer::from_reader(Rationed {
        list,
        left: &left,
        number: &number,
    });
    json.deserialize_seq(Entries {
        take: &mut take,
        left: &left,
        number: &number,
    })?;
    json.end()
}

/// A reader that gives no more of one entry than an entry may have.
struct Rationed<'a, R> {
    list: R,
    left: &'a Cell<u64>,
    number: &'a Cell<u64>,
}

impl<R: Read> Read for Rationed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 {
            let number = self.number.get();
            return Err(io::Error::other(format!(
                "job {number} of the list is longer than {MAX_ENTRY} bytes"
            )));
        }
        let most = usize::try_from(self.left.get()).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        let read = self.list.read(&mut buffer[..most])?;
        self.left.set(self.left.get() - read as u64);
        Ok(read)
    }
}

struct Entries<'a, T> {
    take: &'a mut T,
    left: &'a Cell<u64>,
    /// From 1.
    number: &'a Cell<u64>,
}

impl<'de, T: FnMut(String) -> Result<(), String>> Visitor<'de> for Entries<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of jobs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(entry) = entries.next_element::<Box<RawValue>>()? {
            let number = self.number.get();
            let taken = data(entry.get()).and_then(&mut *self.take);
            taken.map_err(|why| A::Error::custom(format!("job {number} of the list {why}")))?;
            self.number.set(number + 1);
            self.left.set(MAX_ENTRY);
        }
        Ok(())
    }
}

/// What a worker is handed for an entry: a text as it is, other JSON marked as such.
fn data(entry: &str) -> Result<String, String> {
    match entry.as_bytes().first() {
        Some(b'"') => serde_json::from_str(entry).map_err(|error| error.to_string()),
        Some(b'[' | b'{') => {
            // Written anew, so that the same entry is the same job however it is spaced.
            let value: &RawValue = serde_json::from_str(entry).map_err(|e| e.to_string())?;
            Ok(format!("{JSON_PREFIX}{}", compact(value.get())))
        }
        _ => Err("is no text, list or object".into()),
    }
}

/// JSON without the blanks between its parts; the order of names stays.
fn compact(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let (mut inside, mut escaped) = (false, false);
    for c in json.chars() {
        match (inside, c) {
            (false, ' ' | '\n' | '\r' | '\t') => continue,
            (_, '"') if !escaped => inside = !inside,
            _ => {}
        }
        escaped = inside && c == '\\' && !escaped;
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(list: &str) -> Result<Vec<String>, String> {
        let mut jobs = Vec::new();
        let read = read(list.as_bytes(), |job| {
            jobs.push(job);
            Ok(())
        });
        read.map(|()| jobs).map_err(|error| error.to_string())
    }

    #[test]
    fn texts_lists_and_objects_are_jobs() {
        let list = r#"[ "a\nb", ["x", 1 ], {"z": "q \" , r", "a": [ ] } ]"#;
        assert_eq!(
            jobs(list).unwrap(),
            [
                "a\nb",
                r#"<!json!>["x",1]"#,
                r#"<!json!>{"z":"q \" , r","a":[]}"#
            ]
        );
        assert_eq!(jobs("[]").unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_no_list_of_jobs_is_refused_with_its_place() {
        for (list, part) in [
            ("", "EOF"),
            ("{}", "a list of jobs"),
            ("[1]", "job 1 of the list is no text, list or object"),
            ("[\"a\",\n null]", "job 2 of the list is no text"),
            ("[\"a\"", "line 1"),
            ("[\"a\"] []", "trailing"),
            ("[{\"a\":}]", "line 1"),
        ] {
            let refused = jobs(list).unwrap_err();
            assert!(refused.contains(part), "{list}: {refused}");
        }
        assert!(jobs(&"[".repeat(100_000)).is_err());
    }
}
