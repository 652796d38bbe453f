//! Brace expansion, as shells and webdataset have it: `data/{train,val}-{000..099}.tar`.

/// Nested braces deeper than this are a mistake, and would use up the stack.
const MAX_DEPTH: usize = 16;

/// Most words of one expression: a slip of the finger should not fill the disk.
pub(super) const MAX_WORDS: u64 = 1_000_000_000;

/// An expression that stands for many words, one after the other.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Braces(Vec<Part>);

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// Each with the number of words that it and those before it stand for.
    Choice(Vec<(u64, Braces)>),
    /// Numbers from the first to the last, either may be the larger one.
    Range {
        first: i64,
        last: i64,
        step: i64,
        width: usize,
    },
}

impl Braces {
    /// Reads an expression.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader {
            rest: text,
            depth: 0,
        };
        let braces = reader.sequence()?;
        match reader.rest.chars().next() {
            None => {}
            Some(_) => return Err("a `}` closes nothing".into()),
        }
        match braces.count() {
            Some(count) if count <= MAX_WORDS => Ok(braces),
            _ => Err(too_many()),
        }
    }

    /// How many words there are.
    pub(super) fn count(&self) -> Option<u64> {
        self.0
            .iter()
            .try_fold(1_u64, |product, part| product.checked_mul(part.count()?))
    }

    /// The words in order: the last brace changes fastest.
    pub(super) fn words(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.count().unwrap_or_default()).map(|index| {
            let mut word = String::new();
            self.write(index, &mut word);
            word
        })
    }

    fn write(&self, mut index: u64, word: &mut String) {
        let mut digits = Vec::with_capacity(self.0.len());
        for part in self.0.iter().rev() {
            let count = part.count().unwrap_or(1).max(1);
            digits.push(index % count);
            index /= count;
        }
        for (part, digit) in self.0.iter().zip(digits.into_iter().rev()) {
            part.write(digit, word);
        }
    }
}

impl Part {
    fn count(&self) -> Option<u64> {
        match self {
            Self::Literal(_) => Some(1),
            Self::Choice(choices) => Some(choices.last().map_or(0, |(words, _)| *words)),
            Self::Range {
                first, last, step, ..
            } => (first.abs_diff(*last) / step.unsigned_abs()).checked_add(1),
        }
    }

    fn write(&self, index: u64, word: &mut String) {
        match self {
            Self::Literal(text) => word.push_str(text),
            Self::Choice(choices) => {
                let at = choices.partition_point(|(words, _)| *words <= index);
                let before = at.checked_sub(1).map_or(0, |at| choices[at].0);
                if let Some((_, choice)) = choices.get(at) {
                    choice.write(index - before, word);
                }
            }
            Self::Range {
                first,
                last,
                step,
                width,
            } => {
                let sign = if last < first { -1 } else { 1 };
                // Both ends are within the range that was checked when it was read.
                let number = first + sign * step * index as i64;
                word.push_str(&format!("{number:0width$}"));
            }
        }
    }
}

fn too_many() -> String {
    format!("it stands for more than {MAX_WORDS} words")
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

impl Reader<'_> {
    /// Reads until the end, or a comma or closing brace that belongs to the brace around.
    fn sequence(&mut self) -> Result<Braces, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        while let Some(c) = self.rest.chars().next() {
            match c {
                '}' => break,
                ',' if self.depth > 0 => break,
                '{' => {
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    self.advance(1);
                    parts.push(self.brace()?);
                }
                '\\' if self.rest.len() > 1 => {
                    self.advance(1);
                    literal.extend(self.take());
                }
                _ => literal.extend(self.take()),
            }
        }
        if !literal.is_empty() || parts.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Braces(parts))
    }

    /// Reads what stands between a brace that was just opened and its end.
    fn brace(&mut self) -> Result<Part, String> {
        if let Some(end) = self.rest.find('}')
            && let Some(range) = range(&self.rest[..end])
        {
            self.advance(end + 1);
            return range;
        }
        if self.depth == MAX_DEPTH {
            return Err(format!("braces are nested more than {MAX_DEPTH} deep"));
        }
        self.depth += 1;
        let mut choices = Vec::new();
        let mut words = 0_u64;
        loop {
            let choice = self.sequence()?;
            let count = choice.count().and_then(|count| words.checked_add(count));
            words = count.ok_or_else(too_many)?;
            choices.push((words, choice));
            if !self.rest.starts_with(',') {
                break;
            }
            self.advance(1);
        }
        if !self.rest.starts_with('}') {
            return Err("a `{` is not closed".into());
        }
        self.advance(1);
        self.depth -= 1;
        match choices.len() {
            1 => Err("a brace has neither a comma nor a range like 00..99".into()),
            _ => Ok(Part::Choice(choices)),
        }
    }

    fn take(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.advance(c.len_utf8());
        Some(c)
    }

    fn advance(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }
}

/// `first..last` or `first..last..step`; as wide as the wider end where one begins with a zero.
fn range(text: &str) -> Option<Result<Part, String>> {
    let (first_text, rest) = text.split_once("..")?;
    let (last_text, step_text) = rest.split_once("..").unwrap_or((rest, "1"));
    let number = |text: &str| text.parse::<i64>().ok().filter(|n| n.abs() <= 1 << 40);
    let (first, last) = (number(first_text)?, number(last_text)?);
    let step = match number(step_text) {
        Some(step) if step != 0 => step.abs(),
        _ => return Some(Err(format!("the step of `{{{text}}}` is no number but 0"))),
    };
    let padded = |text: &str| text.trim_start_matches('-').starts_with('0') && text.len() > 1;
    let width = match padded(first_text) || padded(last_text) {
        true => first_text.len().max(last_text.len()),
        false => 0,
    };
    Some(Ok(Part::Range {
        first,
        last,
        step,
        width,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<String> {
        Braces::parse(text).unwrap().words().collect()
    }

    #[test]
    fn braces_are_expanded_as_shells_do() {
        assert_eq!(words("plain"), ["plain"]);
        assert_eq!(words("a{1,2}b"), ["a1b", "a2b"]);
        assert_eq!(words("{08..11}"), ["08", "09", "10", "11"]);
        assert_eq!(words("{3..1}"), ["3", "2", "1"]);
        assert_eq!(words("{0..10..5}"), ["0", "5", "10"]);
        assert_eq!(words("{10..0..5}"), ["10", "5", "0"]);
        assert_eq!(words("{-1..1}"), ["-1", "0", "1"]);
        assert_eq!(words("{a,b{c,d},}e"), ["ae", "bce", "bde", "e"]);
        assert_eq!(words("{a,b}{1..2}"), ["a1", "a2", "b1", "b2"]);
        assert_eq!(words("x,y"), ["x,y"]);
        assert_eq!(words(r"\{a\}"), ["{a}"]);
        let files = words("data/file_{00..99}.tar");
        assert_eq!((files.len(), files[99].as_str()), (100, "data/file_99.tar"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (wrong, part) in [
            ("{a,b", "not closed"),
            ("a}", "closes nothing"),
            ("{a}", "neither"),
            ("{1..9..0}", "step"),
            ("{0..99999999999}", "more than"),
            (
                "{1..99999}{1..99999}{1..99999}{1..99999}{1..9999}",
                "more than",
            ),
        ] {
            let refused = Braces::parse(wrong).unwrap_err();
            assert!(refused.contains(part), "{wrong}: {refused}");
        }
        assert!(
            Braces::parse(&"{".repeat(100_000))
                .unwrap_err()
                .contains("deep")
        );
    }

    proptest! {
        #[test]
        fn there_are_as_many_words_as_counted(text in "[a-c{},.0-9]{0,20}") {
            if let Ok(braces) = Braces::parse(&text) {
                let count = braces.count().unwrap();
                prop_assert_eq!(braces.words().take(2_000).count() as u64, count.min(2_000));
            }
        }
    }
}
