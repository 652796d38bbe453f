//! Open files: each connection is one, and a process may have only so many.

use std::io;

use crate::config::ConfigError;

/// What the rest of the process has open: models, outputs, name servers, other clients.
const OTHERS: u64 = 128;

/// The files that a fetcher with so many requests in flight needs: a connection for each, and as
/// many that wait for another request or are the second try of two families of addresses.
fn needed(in_flight: usize) -> u64 {
    (in_flight as u64).saturating_mul(2).saturating_add(OTHERS)
}

/// Raises the process's limit as far as it may be raised and is needed.
///
/// # Errors
/// [`ConfigError::OpenFiles`] if that is not enough: later it would look as if hosts refused
/// their connections.
pub(crate) fn make_room(in_flight: usize) -> Result<(), ConfigError> {
    check(in_flight, rlimit::increase_nofile_limit(needed(in_flight)))
}

fn check(in_flight: usize, limit: io::Result<u64>) -> Result<(), ConfigError> {
    let needed = needed(in_flight);
    match limit {
        Ok(limit) if limit < needed => Err(ConfigError::OpenFiles {
            in_flight,
            limit,
            needed,
        }),
        Ok(_) => Ok(()),
        // A system that does not even tell its limit is no reason not to try.
        Err(error) => {
            tracing::warn!(%error, "the limit of open files is not known");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_files_are_one_line_that_names_both_mends() {
        check(2_000, Ok(4_128)).unwrap();
        let error = check(2_000, Ok(1_024)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`in_flight` is 2000, which needs 4128 open files, and this process may have 1024: \
             lower it, or raise the limit with `ulimit -n 4128`"
        );
    }

    #[test]
    fn no_number_is_too_large_to_be_refused() {
        assert!(check(usize::MAX, Ok(1_024)).is_err());
        check(1, Err(io::Error::other("not known"))).unwrap();
    }
}
