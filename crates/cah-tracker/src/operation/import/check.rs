//! The first reading of a list: every entry is looked at, and kept in a temporary file.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, Write},
};

use cah_protocol::{MAX_RESULT_BYTES, check_result};
use flate2::read::MultiGzDecoder;

use super::{
    Format, ImportError,
    brace::Braces,
    json,
    lines::Lines,
    wat_paths::{Base, MAX_URL},
};

/// Enough of a line to recognise it.
pub(super) fn start(line: &str) -> String {
    line.chars()
        .take(120)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Reads the whole list and keeps its entries in a temporary file, a JSON text a line.
pub(super) fn check(list: impl Read + 'static, format: &Format) -> Result<File, ImportError> {
    let mut kept = Kept::new()?;
    let list = plain(list).map_err(|source| ImportError::Read { line: 0, source })?;
    match format {
        Format::WatPaths { base_url } => {
            let base = Base::parse(base_url)?;
            let mut lines = Lines::new(list, MAX_URL);
            while let Some((line, text)) = lines.next()? {
                let url = base.resolve(text);
                kept.push(&url.map_err(|reason| ImportError::Line { line, reason })?)?;
            }
        }
        Format::Lines => {
            let mut lines = Lines::new(list, MAX_RESULT_BYTES);
            while let Some((line, text)) = lines.next()? {
                let sound = check_result(text).map_err(|e| e.to_string());
                sound.map_err(|reason| ImportError::Line { line, reason })?;
                kept.push(text)?;
            }
        }
        Format::Json => {
            let mut full = None;
            let read = json::read(BufReader::new(list), |job| {
                check_result(&job).map_err(|e| format!("is no job: {e}"))?;
                kept.push(&job).map_err(|error| {
                    let text = error.to_string();
                    full = Some(error);
                    text
                })
            });
            if let Some(error) = full {
                return Err(error);
            }
            read.map_err(|error| ImportError::Json(error.to_string()))?;
        }
        Format::Brace => expand(list, &mut kept)?,
    }
    kept.finish()
}

/// Keeps the words of a brace expression, which is the whole list.
fn expand(list: impl Read, kept: &mut Kept) -> Result<(), ImportError> {
    let mut lines = Lines::new(list, MAX_RESULT_BYTES);
    let Some((_, text)) = lines.next()? else {
        return Ok(());
    };
    let refuse = |reason: String| ImportError::Brace {
        expression: start(text),
        reason,
    };
    check_result(text).map_err(|e| refuse(e.to_string()))?;
    let braces = Braces::parse(text).map_err(refuse)?;
    if let Some((line, _)) = lines.next()? {
        let reason = "a brace expression is one line".into();
        return Err(ImportError::Line { line, reason });
    }
    braces.words().try_for_each(|word| kept.push(&word))
}

/// The entries that were found good.
struct Kept {
    file: BufWriter<File>,
    any: bool,
}

impl Kept {
    fn new() -> Result<Self, ImportError> {
        let file = tempfile::tempfile().map_err(ImportError::Keep)?;
        Ok(Self {
            file: BufWriter::new(file),
            any: false,
        })
    }

    fn push(&mut self, entry: &str) -> Result<(), ImportError> {
        self.any = true;
        serde_json::to_writer(&mut self.file, entry)
            .map_err(io::Error::from)
            .and_then(|()| self.file.write_all(b"\n"))
            .map_err(ImportError::Keep)
    }

    fn finish(self) -> Result<File, ImportError> {
        if !self.any {
            return Err(ImportError::Empty);
        }
        let mut file = self
            .file
            .into_inner()
            .map_err(|error| ImportError::Keep(error.into_error()))?;
        file.rewind().map_err(ImportError::Keep)?;
        Ok(file)
    }
}

/// A list as its author wrote it: gzip is known by its first bytes, and a byte order mark says
/// nothing about UTF-8.
fn plain(list: impl Read + 'static) -> io::Result<Box<dyn Read>> {
    let (head, list) = peek(list, 2)?;
    let list: Box<dyn Read> = match head.as_slice() {
        [0x1f, 0x8b] => Box::new(MultiGzDecoder::new(list)),
        _ => Box::new(list),
    };
    let (head, mut list) = peek(list, BYTE_ORDER_MARK.len())?;
    if head == BYTE_ORDER_MARK {
        list.read_exact(&mut [0; BYTE_ORDER_MARK.len()])?;
    }
    Ok(Box::new(list))
}

const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// The first bytes, and the reader as if they had not been read.
fn peek<R: Read>(mut list: R, bytes: usize) -> io::Result<(Vec<u8>, impl Read + use<R>)> {
    let mut head = Vec::with_capacity(bytes);
    list.by_ref().take(bytes as u64).read_to_end(&mut head)?;
    let whole = io::Cursor::new(head.clone()).chain(list);
    Ok((head, whole))
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;

    use super::*;

    const BASE: &str = "https://data.example.org";

    fn wat_paths() -> Format {
        Format::WatPaths {
            base_url: BASE.into(),
        }
    }

    fn entries(list: &'static [u8], format: &Format) -> Result<Vec<String>, ImportError> {
        let file = check(list, format)?;
        let entry = |line: io::Result<String>| serde_json::from_str(&line.unwrap()).unwrap();
        Ok(BufReader::new(file).lines().map(entry).collect())
    }

    fn refusal(list: &'static [u8], format: &Format) -> String {
        entries(list, format).unwrap_err().to_string()
    }

    #[test]
    fn paths_are_joined_and_urls_are_left() {
        let list = b"a/b.warc.wat.gz\r\n\n  /c.wat  \ns3://bucket/d.wat.gz";
        assert_eq!(
            entries(list, &wat_paths()).unwrap(),
            [
                "https://data.example.org/a/b.warc.wat.gz",
                "https://data.example.org/c.wat",
                "s3://bucket/d.wat.gz"
            ]
        );
    }

    #[test]
    fn a_wrong_line_is_named_with_its_number() {
        let refusal = |list| refusal(list, &wat_paths());
        assert_eq!(
            refusal(b"a.wat.gz\n\nb.warc.gz\n"),
            "line 3 of the list: `b.warc.gz` ends in neither .wat.gz nor .wat; nothing was imported"
        );
        assert!(refusal(b"<html>").starts_with("line 1 of the list: `<html>` has"));
        assert!(refusal(b"a.wat\nb\0.wat").starts_with("line 2"));
        assert!(refusal(b"a.wat\n\xff.wat").contains("line 2 of the list: it is not UTF-8"));
        assert!(refusal(b"file:///etc/x.wat").contains("no http, https or s3 address"));
        assert!(refusal(b"\n \n").contains("empty"));
    }

    #[test]
    fn other_lists_are_read_as_they_are_written() {
        let lines = entries(b" one \n\ntwo\tb\r\n", &Format::Lines).unwrap();
        assert_eq!(lines, ["one", "two\tb"]);
        // Blanks that are none of ASCII's, and what cannot be seen.
        let blank = "\u{a0}\n\u{2003}\u{3000} \n\u{200b}\n\u{feff}\u{2060}\n";
        assert!(refusal(blank.as_bytes(), &Format::Lines).contains("empty"));
        let seen = "\u{a0}one\u{a0}\n\u{200d}\nne\u{200d}xt\n";
        let lines = entries(seen.as_bytes(), &Format::Lines).unwrap();
        assert_eq!(lines, ["one", "ne\u{200d}xt"]);
        assert!(refusal(b"a\nb\0", &Format::Lines).starts_with("line 2 of the list"));
        let json = entries(br#"["a\nb", {"x": 1}]"#, &Format::Json).unwrap();
        assert_eq!(json, ["a\nb", r#"<!json!>{"x":1}"#]);
        let refused = refusal(b"[\"a\",\n7]", &Format::Json);
        assert!(refused.contains("job 2 of the list is no text") && refused.contains("line 2"));
        assert!(refusal(b"[\"\\u0000\"]", &Format::Json).contains("control character"));
        assert!(refusal(b"[]", &Format::Json).contains("empty"));
        let braces = entries(b"{a,b}{1..2}", &Format::Brace).unwrap();
        assert_eq!(braces, ["a1", "a2", "b1", "b2"]);
        assert!(refusal(b"{a", &Format::Brace).contains("not closed"));
        let two = refusal(b"{a,b}\n\n{c,d}", &Format::Brace);
        assert!(two.starts_with("line 3 of the list: a brace expression is one line"));
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_entry() {
        let lines = entries(b"\xef\xbb\xbfone\ntwo", &Format::Lines).unwrap();
        assert_eq!(lines, ["one", "two"]);
        let json = entries(b"\xef\xbb\xbf[\"one\"]", &Format::Json).unwrap();
        assert_eq!(json, ["one"]);
    }

    #[test]
    fn an_endless_entry_is_refused_without_being_kept() {
        let endless = io::Cursor::new("[\"a\", \"").chain(io::repeat(b'a'));
        let error = check(endless, &Format::Json).unwrap_err().to_string();
        assert!(
            error.contains("job 2") && error.contains("longer than"),
            "{error}"
        );
    }

    #[test]
    fn an_endless_line_is_refused_without_being_read() {
        let longest = format!("{BASE}/{}.wat\r\n", "a".repeat(MAX_URL - BASE.len() - 5));
        assert!(check(io::Cursor::new(longest), &wat_paths()).is_ok());
        for format in [wat_paths(), Format::Lines, Format::Brace] {
            let error = check(io::repeat(b'a'), &format).unwrap_err();
            assert!(error.to_string().contains("longer than"), "{error}");
        }
    }

    #[test]
    fn gzip_is_known_by_its_content_and_damage_is_told() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"a.wat.gz\nb.wat.gz\n").unwrap();
        let mut bytes = gzip.finish().unwrap();
        assert!(check(io::Cursor::new(bytes.clone()), &wat_paths()).is_ok());
        bytes.truncate(bytes.len() - 9);
        assert!(matches!(
            check(io::Cursor::new(bytes), &wat_paths()),
            Err(ImportError::Read { .. })
        ));
    }
}
