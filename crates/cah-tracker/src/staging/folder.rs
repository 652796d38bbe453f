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

use super::{
    SweepError,
    room::{Look, Room},
    under_way::{AT_ONCE, UnderWay, Upload},
};
use crate::store::{JobRecord, State, Store, StoreError, Telling};

/// How long an upload may be silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the name of every file ends in.
const ENDING: &str = ".tar";

/// What the name of a file begins with that has not arrived yet.
const UNFINISHED: &str = ".upload-";

/// How old what has not arrived yet must be to be left over: much older than an upload becomes that
/// is silent, or whose last bytes a slow disk takes.
const LEFT_OVER: Duration = Duration::from_secs(15 * 60);

/// Files of a job that stay although nobody has handed them over. A worker hands over the one whose
/// answer it got, and what it began to bring before, in vain as it thought, may arrive later.
const SPARE: usize = AT_ONCE;

/// Bytes of an upload after which is looked again how much room there is.
const STRIDE: u64 = 1 << 20;

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
    /// The job has so many files on their way already.
    #[error("{0} files of the job are on their way already")]
    TooMany(usize),
    /// The disk has to stay as free as it is.
    #[error("the disk of the staging is nearly full")]
    NoRoom,
    /// The store does not tell which files are handed over.
    #[error(transparent)]
    Store(#[from] StoreError),
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
    look: Look,
    under_way: UnderWay,
}

/// A file for a job that has arrived whole; it is removed unless it is kept.
#[derive(Debug)]
pub(crate) struct Arrived {
    number: u64,
    path: TempPath,
    /// It counts among those on their way until it is kept.
    _upload: Upload,
}

impl Folder {
    /// Makes a folder for files of so many bytes at most, once the first of them comes.
    pub(super) fn new(folder: &Path, most: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            most,
            look: Room::at,
            under_way: UnderWay::default(),
        }
    }

    /// Takes the bytes of a file for a job.
    pub(crate) async fn receive<E>(
        &self,
        number: u64,
        bytes: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<Arrived, StagingError> {
        let upload = self.under_way.begin(number);
        let upload = upload.ok_or(StagingError::TooMany(AT_ONCE))?;
        let (file, path) = self.make().await?;
        self.write(fs::File::from_std(file), bytes).await?;
        Ok(Arrived {
            number,
            path,
            _upload: upload,
        })
    }

    /// A file that is removed unless it is kept.
    async fn make(&self) -> Result<(std::fs::File, TempPath), StagingError> {
        let (folder, look) = (self.folder.clone(), self.look);
        let make = blocking(move || {
            std::fs::create_dir_all(&folder)?;
            check_room(look, &folder)?;
            let file = tempfile::Builder::new()
                .prefix(UNFINISHED)
                .tempfile_in(folder)?;
            Ok(file.into_parts())
        });
        make.await
    }

    /// Writes what arrives, as far as there is room for it.
    async fn write<E>(
        &self,
        mut file: fs::File,
        bytes: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<(), StagingError> {
        let mut bytes = std::pin::pin!(bytes);
        let (mut length, mut looked) = (0, 0);
        while let Some(some) = timeout(PATIENCE, bytes.next())
            .await
            .map_err(|_| StagingError::Broken)?
        {
            let some = some.map_err(|_| StagingError::Broken)?;
            length += some.len() as u64;
            if length > self.most {
                return Err(StagingError::TooLarge(self.most));
            }
            if length >= looked + STRIDE {
                looked = length;
                let (folder, look) = (self.folder.clone(), self.look);
                blocking(move || check_room(look, &folder)).await?;
            }
            file.write_all(&some).await?;
        }
        file.flush().await?;
        file.sync_all().await?;
        Ok(())
    }

    /// Keeps a file, and returns the name that it is found under. Of the other files of its job only
    /// those stay that are handed over, and the newest that may still be.
    pub(crate) async fn keep(
        &self,
        store: &dyn Store,
        arrived: Arrived,
    ) -> Result<String, StagingError> {
        let number = arrived.number;
        let job = store.record(number, OUTPUTS).await?;
        let name = format!("{number}-{:032x}{ENDING}", rand::random::<u128>());
        let (folder, kept) = (self.folder.clone(), name.clone());
        let keep = blocking(move || {
            let is_spare = |name: &str| {
                let is_handed_over = job.as_ref().is_some_and(|job| hands_over(job, name));
                number_of(name) == Some(number) && !is_handed_over
            };
            remove_oldest(&folder, is_spare, SPARE - 1)?;
            arrived.path.persist(folder.join(kept))?;
            std::fs::File::open(folder)?.sync_all()
        });
        keep.await?;
        Ok(name)
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

/// Refuses where the disk has to stay as free as it is.
fn check_room(look: Look, folder: &Path) -> Result<(), StagingError> {
    match look(folder)?.is_some_and(Room::is_short) {
        true => Err(StagingError::NoRoom),
        false => Ok(()),
    }
}

/// What was done with a file; `None` where it is not there any more, for other trackers and uploads
/// remove files, too.
fn there<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        done => done.map(Some),
    }
}

/// Removes files of some names but for the newest.
fn remove_oldest(folder: &Path, is_meant: impl Fn(&str) -> bool, but_for: usize) -> io::Result<()> {
    let mut meant = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if is_meant(&entry.file_name().to_string_lossy())
            && let Some(written) = there(entry.metadata().and_then(|of| of.modified()))?
        {
            meant.push((written, entry.path()));
        }
    }
    meant.sort_unstable_by(|a, b| b.cmp(a));
    for (_, path) in meant.into_iter().skip(but_for) {
        there(std::fs::remove_file(path))?;
    }
    Ok(())
}

/// What has to be known of a job to tell whether a file of it is handed over.
const OUTPUTS: Telling = Telling {
    attempts: LOOKED_AT,
    outputs: true,
};

async fn is_waited_with(
    store: &dyn Store,
    number: u64,
    name: &str,
    is_old: bool,
) -> Result<bool, StoreError> {
    let Some(job) = store.record(number, OUTPUTS).await? else {
        return Ok(false);
    };
    if matches!(job.state, State::Closed | State::Banned) {
        return Ok(false);
    }
    Ok(!is_old || hands_over(&job, name))
}

/// Whether a job has been given a file by this name.
fn hands_over(job: &JobRecord, name: &str) -> bool {
    let is_it = |output: &String| output.ends_with(name);
    let mut made = job.completions.iter().filter(|made| !made.revoked);
    made.any(|made| made.output.as_ref().is_some_and(is_it))
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

    async fn bring(
        staging: &Folder,
        store: &dyn Store,
        number: u64,
        texts: &[&'static str],
    ) -> Result<String, StagingError> {
        let arrived = staging.receive(number, some(texts)).await?;
        staging.keep(store, arrived).await
    }

    /// Makes a file so many seconds old.
    fn age(path: &Path, seconds: u64) {
        let file = std::fs::File::options().append(true).open(path).unwrap();
        let then = SystemTime::now() - Duration::from_secs(seconds);
        file.set_modified(then).unwrap();
    }

    #[tokio::test]
    async fn a_file_is_there_whole_or_not_at_all() {
        let (folder, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = store_in(place.path()).await;
        let staging = Folder::new(folder.path(), 6);
        let name = bring(&staging, &*store, 7, &["abc", "def"]).await.unwrap();
        let path = staging.path_of(&name).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), b"abcdef");
        let large = staging.receive(7, some(&["abc", "defg"])).await;
        assert!(matches!(large, Err(StagingError::TooLarge(6))));
        let cut = some(&["abc"]).chain(stream::iter([Err(io::Error::other("cut"))]));
        let cut = staging.receive(7, cut).await;
        assert!(matches!(cut, Err(StagingError::Broken)));
        drop(staging.receive(7, some(&["abc"])).await.unwrap());
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
        let arrived = staging.receive(1, some(&["abc"])).await.unwrap();
        let second = Folder::new(folder.path(), 6);
        second.sweep(&*store, Duration::ZERO).await.unwrap();
        assert!(!left.exists());
        let name = staging.keep(&*store, arrived).await.unwrap();
        assert_eq!(names(folder.path()), [name]);
    }

    #[tokio::test]
    async fn a_job_has_few_files_that_are_not_handed_over() {
        let (folder, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = store_in(place.path()).await;
        let staging = Folder::new(folder.path(), 6);
        let mut made_before = 100;
        let mut bring = async |number| {
            let name = bring(&staging, &*store, number, &["a"]).await.unwrap();
            made_before -= 1;
            age(&staging.path_of(&name).unwrap(), made_before);
            name
        };
        let (cpu, number) = worker(&*store, WorkerType::Cpu).await;
        let mut kept = vec![bring(number).await, bring(number + 1).await];
        let address = format!("http://tracker/staging/{}", kept[0]);
        hand_over(&*store, cpu, &address).await;
        let mut brought = Vec::new();
        for _ in 0..SPARE + 2 {
            brought.push(bring(number).await);
        }
        kept.extend_from_slice(&brought[2..]);
        kept.sort();
        let mut there = names(folder.path());
        there.sort();
        assert_eq!(there, kept);
    }

    #[tokio::test]
    async fn some_of_the_disk_stays_free() {
        /// A disk of which one MiB has to stay free, and three are.
        fn small(folder: &Path) -> io::Result<Option<Room>> {
            let entries = std::fs::read_dir(folder)?.map(|entry| entry?.metadata());
            let used = entries.map(|of| of.unwrap().len()).sum();
            let free = (3_u64 << 20).saturating_sub(used);
            let size = 20 << 20;
            Ok(Some(Room { free, size }))
        }
        let folder = tempfile::tempdir().unwrap();
        let staging = Folder {
            look: small,
            ..Folder::new(folder.path(), u64::MAX)
        };
        let part = || Ok::<_, io::Error>(Bytes::from(vec![0; 1 << 20]));
        let parts = |parts| stream::iter(vec![(); parts]).map(move |()| part());
        let large = staging.receive(1, parts(1_000)).await;
        assert!(matches!(large, Err(StagingError::NoRoom)));
        assert_eq!(names(folder.path()), [""; 0]);
        let other = folder.path().join("other");
        std::fs::write(&other, vec![0; (2 << 20) + 1]).unwrap();
        let small = staging.receive(1, some(&["a"])).await;
        assert!(matches!(small, Err(StagingError::NoRoom)));
        std::fs::write(&other, "").unwrap();
        staging.receive(1, parts(1)).await.unwrap();
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
        let handed_over = bring(&staging, &*store, number, &["a"]).await.unwrap();
        let forgotten = bring(&staging, &*store, number, &["b"]).await.unwrap();
        let of_no_job = bring(&staging, &*store, 99, &["c"]).await.unwrap();
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
