//! The program `rsync`, for the addresses that need it.

use std::{
    ffi::OsStr,
    io,
    net::{IpAddr, Ipv6Addr},
    path::{self, Path},
    process::Stdio,
    time::Duration,
};

use cah_fetch::{ErrorKind, Guard};
use thiserror::Error;
use tokio::{io::AsyncReadExt, net::lookup_host, process::Command, time::timeout};

use crate::api::first_line;

/// No file takes so long.
const DEADLINE: Duration = Duration::from_secs(4 * 3600);

/// No name takes so long to resolve.
const NAME_DEADLINE: Duration = Duration::from_secs(30);

/// The program that `rsync` would have another machine start it by: one that fails, whatever an
/// address may mean to some version of it.
const NO_SHELL: (&str, &str) = ("RSYNC_RSH", "false");

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
    let from = checked(address, guard).await?;
    let most = format!("--max-size={most}");
    let local = absolute(to)?;
    run(address, [OsStr::new(&most)], from.as_ref(), local.as_ref()).await?;
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
    let to = checked(address, guard).await?;
    let local = absolute(file)?;
    run(address, [], local.as_ref(), to.as_ref()).await
}

/// A path that cannot be taken for `host:path`.
fn absolute(path: &Path) -> Result<path::PathBuf, RsyncError> {
    path::absolute(path).map_err(RsyncError::Start)
}

/// An address of a daemon as the program reads it, which is not as a URL is read: a colon in the
/// wrong place, and it logs in to the host before that.
struct Daemon<'a> {
    user: Option<&'a str>,
    host: &'a str,
    port: Option<&'a str>,
    /// The module and the path in it.
    path: &'a str,
}

/// The address as it is handed to the program, of a machine that may be asked.
///
/// Where that matters it has an IP address in place of the name, or the program would resolve the
/// name once more, and whoever answers for it could say something else by then.
async fn checked(address: &str, guard: Option<&Guard>) -> Result<String, RsyncError> {
    let daemon = Daemon::parse(address).ok_or_else(|| RsyncError::BadAddress(address.into()))?;
    match guard {
        None => Ok(daemon.at(daemon.host)),
        Some(guard) => Ok(daemon.at(&daemon.permitted(address, guard).await?)),
    }
}

impl<'a> Daemon<'a> {
    /// `rsync://[user@]host[:port]/module/path` or `[user@]host::module/path`, and nothing that
    /// could be something else to any version of the program.
    fn parse(address: &'a str) -> Option<Self> {
        let (place, path, has_port) = match address.strip_prefix("rsync://") {
            Some(rest) => rest
                .split_once('/')
                .map(|(place, path)| (place, path, true))?,
            None => address
                .split_once("::")
                .map(|(place, path)| (place, path, false))?,
        };
        let (user, place) = match place.split_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, place),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if has_port && !place.ends_with(']') => (host, Some(port)),
            _ => (place, None),
        };
        let daemon = Self {
            user,
            host,
            port,
            path,
        };
        daemon.is_sound(has_port).then_some(daemon)
    }

    fn is_sound(&self, is_url: bool) -> bool {
        let literal = self
            .host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'));
        let is_literal = is_url && literal.is_some_and(|h| h.parse::<Ipv6Addr>().is_ok());
        let is_port = |port: &str| {
            let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
            is_number && port.parse::<u16>().is_ok()
        };
        self.user.is_none_or(|user| is_plain(user, "._-+"))
            && (is_literal || is_plain(self.host, "._-"))
            && self.port.is_none_or(is_port)
            && !self.path.starts_with('/')
            && (self.path.is_empty() || is_plain(self.path, "._-+=@~,/"))
    }

    /// The address, with another host than it was given.
    fn at(&self, host: &str) -> String {
        let user = self.user.map(|user| format!("{user}@")).unwrap_or_default();
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("rsync://{user}{host}{port}/{}", self.path)
    }

    /// The first address of the host that the guard permits. It is asked for one after the other,
    /// for what it finds for a name itself it does not tell.
    async fn permitted(&self, address: &str, guard: &Guard) -> Result<String, RsyncError> {
        let failed = |reason: String| RsyncError::Failed {
            address: address.into(),
            reason,
        };
        let name = self.host.trim_matches(['[', ']']);
        let found = timeout(NAME_DEADLINE, lookup_host((name, 0))).await;
        let found = found.map_err(|_| failed(format!("{name} does not resolve in time")))?;
        let found = found.map_err(|error| failed(error.to_string()))?;
        let mut why = failed(format!("{name} has no address"));
        for host in found.map(|place| literal(place.ip())) {
            match guard.check(&format!("http://{host}/")).await {
                Ok(()) => return Ok(host),
                Err(error) if error.kind() == ErrorKind::PrivateAddress => {
                    why = RsyncError::Private(address.into());
                }
                Err(error) => why = failed(error.to_string()),
            }
        }
        Err(why)
    }
}

/// An IP address as a host of a URL.
fn literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// Whether a text has letters and digits only, and `marks`, and does not begin as an option does.
fn is_plain(text: &str, marks: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || marks.contains(c);
    !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain)
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
        .env(NO_SHELL.0, NO_SHELL.1)
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
        for (good, handed) in [
            ("rsync://host/module/1.tar", "rsync://host/module/1.tar"),
            (
                "rsync://user@host:873/module/",
                "rsync://user@host:873/module/",
            ),
            ("rsync://[fe80::1]:1/m/@~+=,", "rsync://[fe80::1]:1/m/@~+=,"),
            (
                "user@88.198.2.17::CAH/1.tar",
                "rsync://user@88.198.2.17/CAH/1.tar",
            ),
            ("files.lan::m", "rsync://files.lan/m"),
        ] {
            assert_eq!(checked(good, None).await.unwrap(), handed);
        }
        for bad in [
            "-e sh::x",
            "-e::x",
            "rsync://host/$(x)",
            "rsync://-host/x",
            "host:/path",
            "rsync://host/a b",
            "rsync://host/[ab]",
            "rsync:///module",
            "rsync://host",
            "/path",
            "http://host::x/",
            // These begin a shell on another machine than the one that a URL would name.
            "evil.example:22::x",
            "root@10.0.0.1:x@8.8.8.8::m",
            "rsync://h:1@8.8.8.8/m",
            "rsync://u:p@8.8.8.8/m",
            "rsync://a@b@8.8.8.8/m",
            "a@b@8.8.8.8::m",
            "rsync://h:22:1/m",
            "rsync://h:/m",
            "rsync://h:+1/m",
            "rsync://h:99999/m",
            "rsync://[::1]x/m",
            "rsync://[::1%25eth0]/m",
            "rsync://[h]/m",
            "[::1]::m",
            "host/x::m",
            ":::m",
            "host:::m",
            "host::/etc",
            "@host::m",
            "h\u{f6}st::m",
            // What an old program hands to a shell there.
            "host::m/a;b",
            "host::m/a|b",
            "host::m/a&b",
            "host::m/{a,b}",
            "host::m/a<b",
            "host::m/a>b",
            "host::m/a\nb",
            "host::m/a:b",
        ] {
            let error = checked(bad, None).await.unwrap_err();
            assert!(matches!(error, RsyncError::BadAddress(_)), "{bad}: {error}");
        }
    }

    #[tokio::test]
    async fn private_machines_are_not_asked_for_a_public_tracker() {
        let guard = crate::reach::guard("https://t.example.org/", None).unwrap();
        for private in [
            "rsync://127.0.0.1/m/",
            "user@10.0.0.1::m/x",
            "rsync://[::1]/m/",
            "localhost::m/x",
            "2130706433::m/x",
            "0x7f.1::m/x",
        ] {
            let error = checked(private, guard.as_ref()).await.unwrap_err();
            assert!(matches!(error, RsyncError::Private(_)), "{error}");
        }
        for (public, handed) in [
            ("u@8.8.8.8::m/x", "rsync://u@8.8.8.8/m/x"),
            ("rsync://134744072:873/m/", "rsync://8.8.8.8:873/m/"),
            (
                "rsync://[2001:4860:4860::8888]/m/",
                "rsync://[2001:4860:4860::8888]/m/",
            ),
        ] {
            assert_eq!(checked(public, guard.as_ref()).await.unwrap(), handed);
        }
    }
}
