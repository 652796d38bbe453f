//! What CPU workers hand over, in a folder of the tracker's own.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use cah_task::blocking;
use futures::{Stream, StreamExt};
use tempfile::TempPath;
use thiserror::Error;
use tokio::{fs, io::AsyncWriteExt, time::timeout};

use super::SweepError;
use crate::store::{State, Store, StoreError, Telling};

/// How long an upload may be silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the name of every file ends in.
const ENDING: &str = ".tar";

/// What the name of a file begins with that has not arrived yet.
const UNFINISHED: &str = ".upload-";

/// How old what has not arrived yet must be to be left over: much older than an upload becomes that
/// is silent, or whose last bytes a slow disk takes.
const LEFT_OVER: Duration = Duration::from_secs(15 * 60);

/// Completions of a job that are looked at for a file of its.
const LOOKED_AT: u32 = 100;

/// Why a file was not taken.
#[derive(Debug, Error)]
pub(crate) enum StagingError {
    /// It has more bytes than it may have.
    #[error("the file is larger than {0} bytes")]
    TooLarge(u64),
    /// The sender was silent, or went away.
    #[error("the file did not arrive")]
    Broken,
    /// The folder refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A folder with files, each under a name that has its job's number and that nobody can guess.
///
/// Several trackers may have it, and each of them takes files.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    folder: PathBuf,
    most: u64,
}

impl Folder {
    /// Makes a folder for files of so many bytes at most, once the first of them comes.
    pub(super) fn new(folder: &Path, most: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            most,
        }
    }

    /// Takes a file for a job, whole or not at all, and returns the name that it is found under.
    pub(crate) async fn take<E>(
        &self,
        number: u64,
        bytes: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<String, StagingError> {
        let temporary = self.receive(bytes).await?;
        let name = format!("{number}-{:032x}{ENDING}", rand::random::<u128>());
        let (folder, to) = (self.folder.clone(), self.folder.join(&name));
        let publish = blocking(move || {
            temporary.persist(to)?;
            std::fs::File::open(folder)?.sync_all()
        });
        publish.await?;
        Ok(name)
    }

    /// Writes what arrives into a file that is removed unless it is kept.
    async fn receive<E>(
        &self,
        bytes: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<TempPath, StagingError> {
        let folder = self.folder.clone();
        let made = blocking(move || {
            std::fs::create_dir_all(&folder)?;
            let file = tempfile::Builder::new()
                .prefix(UNFINISHED)
                .tempfile_in(folder);
            file.map(tempfile::NamedTempFile::into_parts)
        });
        let (file, path) = made.await?;
        let mut file = fs::File::from_std(file);
        let mut bytes = std::pin::pin!(bytes);
        let mut length = 0;
        while let Some(some) = timeout(PATIENCE, bytes.next())
            .await
            .map_err(|_| StagingError::Broken)?
        {
            let some = some.map_err(|_| StagingError::Broken)?;
            length += some.len() as u64;
            if length > self.most {
                return Err(StagingError::TooLarge(self.most));
            }
            file.write_all(&some).await?;
        }
        file.flush().await?;
        file.sync_all().await?;
        Ok(path)
    }

    /// Where a file lies, if its name is one that is given out here.
    pub(crate) fn path_of(&self, name: &str) -> Option<PathBuf> {
        number_of(name).map(|_| self.folder.join(name))
    }

    /// Removes the files that no job waits with: those of jobs that are done or taken out, and after
    /// `idle` those that nobody handed over; and what will never arrive.
    pub(super) async fn sweep(&self, store: &dyn Store, idle: Duration) -> Result<(), SweepError> {
        let mut entries = match fs::read_dir(&self.folder).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        while let Some(entry) = entries.next_entry().await? {
            let Some(age) = there(entry.metadata().await.and_then(|of| of.modified()))? else {
                continue;
            };
            let age = SystemTime::now().duration_since(age).unwrap_or_default();
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_useless = match number_of(&name) {
                Some(number) => !is_waited_with(store, number, &name, age > idle).await?,
                None => name.starts_with(UNFINISHED) && age > LEFT_OVER,
            };
            if is_useless {
                there(fs::remove_file(entry.path()).await)?;
                tracing::debug!(name, "removed what was brought and is of no use any more");
            }
        }
        Ok(())
    }
}

/// What was done with a file; `None` where it is not there any more, for other trackers remove
/// files, too.
fn there<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        done => done.map(Some),
    }
}

async fn is_waited_with(
    store: &dyn Store,
    number: u64,
    name: &str,
    is_old: bool,
) -> Result<bool, StoreError> {
    let telling = Telling {
        attempts: LOOKED_AT,
        outputs: true,
    };
    let Some(job) = store.record(number, telling).await? else {
        return Ok(false);
    };
    if matches!(job.state, State::Closed | State::Banned) {
        return Ok(false);
    }
    let is_it = |output: &String| output.ends_with(name);
    let mut handed_over = job.completions.iter().filter(|made| !made.revoked);
    Ok(!is_old || handed_over.any(|made| made.output.as_ref().is_some_and(is_it)))
}

/// The job of a file, from a name as they are given out here.
fn number_of(name: &str) -> Option<u64> {
    let (number, chance) = name.strip_suffix(ENDING)?.split_once('-')?;
    let is_hex = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    let given_out = chance.len() == 32 && chance.bytes().all(is_hex);
    number.parse().ok().filter(|_| given_out)
}

#[cfg(test)]
mod tests {
    use cah_protocol::WorkerType;
    use futures::stream;

    use super::{
        super::testing::{MOMENT, hand_over, store_in, worker},
        *,
    };
    use crate::store::Completion;

    fn some(texts: &[&'static str]) -> impl Stream<Item = Result<Bytes, io::Error>> + use<> {
        let texts: Vec<_> = texts.iter().map(|text| Ok(Bytes::from(*text))).collect();
        stream::iter(texts)
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let name = |entry: io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        let names = entries.map(name).map(|name| name.into_string().unwrap());
        names.collect()
    }

    /// Makes a file so many seconds old.
    fn age(path: &Path, seconds: u64) {
        let file = std::fs::File::options().append(true).open(path).unwrap();
        let then = SystemTime::now() - Duration::from_secs(seconds);
        file.set_modified(then).unwrap();
    }

    #[tokio::test]
    async fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let staging = Folder::new(folder.path(), 6);
        let name = staging.take(7, some(&["abc", "def"])).await.unwrap();
        let path = staging.path_of(&name).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), b"abcdef");
        let large = staging.take(7, some(&["abc", "defg"])).await;
        assert!(matches!(large, Err(StagingError::TooLarge(6))));
        let cut = some(&["abc"]).chain(stream::iter([Err(io::Error::other("cut"))]));
        let cut = staging.take(7, cut).await;
        assert!(matches!(cut, Err(StagingError::Broken)));
        assert_eq!(names(folder.path()), [name]);
    }

    #[tokio::test]
    async fn a_tracker_that_starts_leaves_alone_what_others_take() {
        let (folder, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = store_in(place.path()).await;
        let left = folder.path().join(".upload-left");
        std::fs::write(&left, "half").unwrap();
        age(&left, LEFT_OVER.as_secs() + 60);
        let staging = Folder::new(folder.path(), 6);
        let arrived = staging.receive(some(&["abc"])).await.unwrap();
        let second = Folder::new(folder.path(), 6);
        second.sweep(&*store, Duration::ZERO).await.unwrap();
        assert!(!left.exists());
        arrived.persist(folder.path().join("kept")).unwrap();
    }

    #[test]
    fn names_of_others_are_no_files_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        let staging = Folder::new(folder.path(), 6);
        let chance = "0123456789abcdef0123456789abcdef";
        assert!(staging.path_of(&format!("7-{chance}.tar")).is_some());
        for wrong in [
            "",
            "7.tar",
            "../x.tar",
            ".upload-abc",
            &format!("7-{chance}"),
            &format!("x-{chance}.tar"),
            &format!("7-../{}.tar", &chance[3..]),
            &format!("7-{chance}0.tar"),
        ] {
            assert_eq!(staging.path_of(wrong), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn what_is_used_up_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = store_in(folder.path()).await;
        let staging = Folder::new(&folder.path().join("staging"), 9);
        let there = |name: &str| staging.path_of(name).unwrap().exists();
        let (now, later) = (Duration::ZERO, Duration::from_secs(3_600));

        let (cpu, number) = worker(&*store, WorkerType::Cpu).await;
        assert_eq!(store.held_by(cpu.token).await.unwrap(), number);
        let handed_over = staging.take(number, some(&["a"])).await.unwrap();
        let forgotten = staging.take(number, some(&["b"])).await.unwrap();
        let of_no_job = staging.take(99, some(&["c"])).await.unwrap();
        hand_over(
            &*store,
            cpu,
            &format!("http://tracker/staging/{handed_over}"),
        )
        .await;
        // A worker may still be about to hand over what is new.
        staging.sweep(&*store, later).await.unwrap();
        assert!(there(&handed_over) && there(&forgotten) && !there(&of_no_job));
        staging.sweep(&*store, now).await.unwrap();
        assert!(there(&handed_over) && !there(&forgotten));

        let (gpu, number) = worker(&*store, WorkerType::Gpu).await;
        staging.sweep(&*store, now).await.unwrap();
        assert!(there(&handed_over));
        let done = Completion::default();
        store.complete(gpu, done, MOMENT).await.unwrap();
        staging.sweep(&*store, later).await.unwrap();
        assert!(!there(&handed_over), "{number}");
    }
}
