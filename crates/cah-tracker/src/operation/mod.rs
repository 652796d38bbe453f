//! What operators do with a whole project, by command line or call: fill it, look at it, keep it.

mod archive;
mod bans;
mod export;
mod import;
mod status;

pub use archive::{RestoreError, backup, check_backup, restore};
pub use bans::{check_excluded, network_of, parse_excluded};
pub use export::export;
pub(crate) use export::line as job_line;
pub(crate) use import::how_much_is_in;
pub use import::{COMMON_CRAWL, CheckedList, Format, ImportError, Imported, import};
pub use status::{Board, ParkedJob, Status, contributors, parked, status};

use std::io;

use cah_protocol::stage_of_letter;
use thiserror::Error;

use crate::store::StoreError;

/// Why a project was not written to where it should be.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The place cannot be written to.
    #[error("it cannot be written: {0}")]
    Place(#[from] io::Error),
}

/// The longest name of a stage, in characters.
const MAX_STAGE_NAME: usize = 64;

/// What is wrong with the names of a project's stages, in plain words.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct WrongStages(String);

/// Checks the names of a project's stages.
///
/// # Errors
/// What is wrong with them.
pub fn check_stages(names: &[String]) -> Result<(), WrongStages> {
    let refuse = |why: String| Err(WrongStages(why));
    if !(1..=cah_protocol::distcompute::MAX_STAGES).contains(&names.len()) {
        return refuse(format!(
            "a project has 1 to {} stages, not {}",
            cah_protocol::distcompute::MAX_STAGES,
            names.len()
        ));
    }
    for (i, name) in names.iter().enumerate() {
        let sound = name
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' '));
        if name.trim() != name || name.is_empty() || !sound {
            return refuse(format!(
                "`{}` is no name for a stage; letters, digits, blanks, `-`, `_` and `.` make one",
                name.chars()
                    .filter(|c| !c.is_control())
                    .take(MAX_STAGE_NAME)
                    .collect::<String>()
            ));
        }
        if name.chars().count() > MAX_STAGE_NAME {
            return refuse(format!(
                "a stage's name has {MAX_STAGE_NAME} characters at most"
            ));
        }
        // Calls name a stage by its letter, too.
        let letter = stage_of_letter(&name.to_lowercase());
        if letter.is_some_and(|letter| usize::from(letter) != i) {
            return refuse(format!(
                "`{name}` is the letter of another stage; use a longer name"
            ));
        }
        // A page's address names the stage in lower case.
        let same = |other: &String| other.to_lowercase() == name.to_lowercase();
        if names[..i].iter().any(same) {
            return refuse(format!("two stages are called `{name}`"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_have_names_of_their_own() {
        let check = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            check_stages(&names).map_err(|error| error.to_string())
        };
        assert_eq!(check(&["CPU", "GPU"]), Ok(()));
        assert_eq!(check(&["a", "b"]), Ok(()));
        for (wrong, part) in [
            (vec![], "1 to 26 stages"),
            (vec!["a"; 27], "not 27"),
            (vec!["a", ""], "no name"),
            (vec![" a"], "no name"),
            (vec!["a/b"], "no name"),
            (vec!["b", "a"], "letter of another"),
            (vec!["A", "C"], "letter of another"),
            (vec!["Ä", "ä"], "two stages"),
        ] {
            let refused = check(&wrong).unwrap_err();
            assert!(refused.contains(part), "{refused}");
        }
        assert!(check(&[&"x".repeat(65)]).unwrap_err().contains("64"));
    }
}
