//! Names of entries as paths below a folder.

use std::path::{Component, Path, PathBuf};

use crate::Refusal;

/// The longest name that is believed, well below what systems take with a folder before it.
const LONGEST: usize = 1_000;

/// The longest part between two slashes that file systems take.
const LONGEST_PART: usize = 255;

/// The path below the folder that a name means; empty for the folder itself.
pub(crate) fn below_folder(name: &[u8]) -> Result<PathBuf, Refusal> {
    let name = std::str::from_utf8(name).map_err(|_| Refusal::BadName)?;
    if name.is_empty() || name.contains(char::is_control) {
        return Err(Refusal::BadName);
    }
    if name.len() > LONGEST {
        return Err(Refusal::LongName);
    }
    let mut path = PathBuf::new();
    for part in Path::new(name).components() {
        match part {
            Component::Normal(part) if part.len() > LONGEST_PART => return Err(Refusal::LongName),
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir => return Err(Refusal::Outside),
            Component::RootDir | Component::Prefix(_) => return Err(Refusal::Absolute),
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("a.jpg", "a.jpg")]
    #[case("./images//ж.jpg", "images/ж.jpg")]
    #[case("images/./", "images")]
    #[case("./", "")]
    #[case("..a/b..", "..a/b..")]
    fn plain_names_stay_below(#[case] name: &str, #[case] path: &str) {
        assert_eq!(below_folder(name.as_bytes()), Ok(path.into()));
    }

    #[rstest]
    #[case(b"/etc/passwd", Refusal::Absolute)]
    #[case(b"//x", Refusal::Absolute)]
    #[case(b"..", Refusal::Outside)]
    #[case(b"a/../../b", Refusal::Outside)]
    #[case(b"a/../b", Refusal::Outside)]
    #[case(b"", Refusal::BadName)]
    #[case(b"a\0b", Refusal::BadName)]
    #[case(b"a\nb", Refusal::BadName)]
    #[case(b"a\x1b[2J", Refusal::BadName)]
    #[case("a\u{85}b".as_bytes(), Refusal::BadName)]
    #[case(b"a\xff", Refusal::BadName)]
    fn others_are_refused(#[case] name: &[u8], #[case] why: Refusal) {
        assert_eq!(below_folder(name), Err(why));
    }

    #[test]
    fn long_names_are_refused() {
        let parts = |count| vec!["x".repeat(99); count].join("/");
        assert!(below_folder(parts(10).as_bytes()).is_ok());
        assert_eq!(below_folder(parts(11).as_bytes()), Err(Refusal::LongName));
        assert_eq!(below_folder(&[b'x'; 256]), Err(Refusal::LongName));
    }
}
