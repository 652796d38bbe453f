//! The program `rsync`, for the addresses that need it.

use std::{ffi::OsStr, io, path::Path, process::Stdio, time::Duration};

use cah_fetch::{ErrorKind, Guard};
use thiserror::Error;
use tokio::{io::AsyncReadExt, process::Command, time::timeout};
use url::Url;

use crate::api::first_line;

/// No file takes so long.
const DEADLINE: Duration = Duration::from_secs(4 * 3600);

/// What of the program's complaints is read.
const COMPLAINTS: u64 = 8 << 10;

/// Why `rsync` moved no file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RsyncError {
    /// The program is not there.
    #[error("{0} needs the program `rsync`, which is not installed here; install it")]
    NotInstalled(String),
    /// The system does not start it.
    #[error("cannot start `rsync`: {0}")]
    Start(#[source] io::Error),
    /// An address that could mean something else to the program.
    #[error("`{0}` is no address for rsync, such as rsync://host/module/")]
    BadAddress(String),
    /// The server has no such file.
    #[error("there is no file at {0}")]
    NotFound(String),
    /// An address that is not on the public Internet, named by a tracker that is.
    #[error("{0} is not on the public Internet; allow private addresses if it is meant")]
    Private(String),
    /// The program ended in vain.
    #[error("rsync failed with {address}: {reason}")]
    Failed {
        /// The address.
        address: String,
        /// The first line of what it said.
        reason: String,
    },
    /// It did not end.
    #[error("rsync did not end within {hours} hours with {address}", hours = DEADLINE.as_secs() / 3600)]
    TooSlow {
        /// The address.
        address: String,
    },
}

/// Whether an address is one for `rsync`: `rsync://host/module/` or `host::module`.
pub(crate) fn is_address(address: &str) -> bool {
    address.starts_with("rsync://") || (!address.contains("://") && address.contains("::"))
}

/// Fetches one file to a path.
pub(crate) async fn fetch(
    address: &str,
    to: &Path,
    most: u64,
    guard: Option<&Guard>,
) -> Result<(), RsyncError> {
    check(address, guard).await?;
    let most = format!("--max-size={most}");
    run(address, [OsStr::new(&most)], address.as_ref(), to.as_ref()).await?;
    match tokio::fs::try_exists(to).await {
        Ok(true) => Ok(()),
        // Too large, or no file.
        _ => Err(RsyncError::NotFound(address.into())),
    }
}

/// Brings one file to an address.
pub(crate) async fn bring(
    file: &Path,
    address: &str,
    guard: Option<&Guard>,
) -> Result<(), RsyncError> {
    check(address, guard).await?;
    run(address, [], file.as_ref(), address.as_ref()).await
}

/// Whether the address is nothing but one, of a machine that may be asked.
async fn check(address: &str, guard: Option<&Guard>) -> Result<(), RsyncError> {
    let bad = || RsyncError::BadAddress(address.into());
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || "*?'\"\\`$".contains(c);
    if !is_address(address) || address.starts_with('-') || address.contains(is_odd) {
        return Err(bad());
    }
    let (host, path) = parts(address).ok_or_else(bad)?;
    // The server would take these for a pattern.
    if path.contains(['[', ']']) {
        return Err(bad());
    }
    let Some(guard) = guard else {
        return Ok(());
    };
    let checked = guard.check(&format!("http://{host}/")).await;
    checked.map_err(|error| match error.kind() {
        ErrorKind::PrivateAddress => RsyncError::Private(address.into()),
        _ => RsyncError::Failed {
            address: address.into(),
            reason: error.to_string(),
        },
    })
}

/// The host of an address, without the user and the port, and the path there.
fn parts(address: &str) -> Option<(String, &str)> {
    let (host, path) = match address.strip_prefix("rsync://") {
        Some(rest) => rest.split_once('/')?,
        None => address.split_once("::")?,
    };
    let url = Url::parse(&format!("rsync://{host}/")).ok()?;
    Some((url.host_str()?.to_owned(), path))
}

async fn run<const N: usize>(
    address: &str,
    options: [&OsStr; N],
    from: &OsStr,
    to: &OsStr,
) -> Result<(), RsyncError> {
    let mut command = Command::new("rsync");
    command
        .args(["--no-motd", "--timeout=120"])
        .args(options)
        .args([OsStr::new("--"), from, to])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut program = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => RsyncError::NotInstalled(address.into()),
        _ => RsyncError::Start(error),
    })?;
    let complaints = program.stderr.take();
    let ended = timeout(DEADLINE, async {
        let mut said = Vec::new();
        if let Some(complaints) = complaints {
            // What cannot be read is no reason to fail.
            let _ = complaints.take(COMPLAINTS).read_to_end(&mut said).await;
        }
        (program.wait().await, said)
    });
    let (status, said) = ended.await.map_err(|_| RsyncError::TooSlow {
        address: address.into(),
    })?;
    let status = status.map_err(RsyncError::Start)?;
    let said = String::from_utf8_lossy(&said);
    match status.code() {
        Some(0) => Ok(()),
        Some(PARTIAL) if said.contains("No such file") => Err(RsyncError::NotFound(address.into())),
        _ => Err(RsyncError::Failed {
            address: address.into(),
            reason: format!("{status}: {}", first_line(&said)),
        }),
    }
}

/// Its status where some files could not be moved.
const PARTIAL: i32 = 23;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_are_nothing_else() {
        for good in [
            "rsync://host/module/1.tar",
            "rsync://user@host:873/module/",
            "user@88.198.2.17::CAH/1.tar",
        ] {
            check(good, None).await.unwrap();
        }
        for bad in [
            "-e sh::x",
            "rsync://host/$(x)",
            "host:/path",
            "rsync://host/a b",
            "rsync://host/[ab]",
            "rsync:///module",
            "/path",
            "http://host::x/",
        ] {
            let error = check(bad, None).await.unwrap_err();
            assert!(matches!(error, RsyncError::BadAddress(_)), "{error}");
        }
    }

    #[tokio::test]
    async fn private_machines_are_not_asked_for_a_public_tracker() {
        let guard = crate::reach::guard("https://t.example.org/", None).unwrap();
        for private in [
            "rsync://127.0.0.1/m/",
            "user@10.0.0.1::m/x",
            "rsync://[::1]/m/",
        ] {
            let error = check(private, guard.as_ref()).await.unwrap_err();
            assert!(matches!(error, RsyncError::Private(_)), "{error}");
        }
    }
}
