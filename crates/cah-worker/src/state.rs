//! What a worker needs to go on after it was killed: a folder for each of its lanes, with who it is,
//! which job it holds and what it has of that.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use cah_protocol::{Shard, WorkerType};
use crawlingathome::{Client, ClientConfig, Dump, Hybrid};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use xxhash_rust::xxh3::xxh3_64;

use crate::{WorkerError, pipeline::Settings};

const LOCK: &str = "lock";
const WORKER: &str = "worker.json";
const JOB: &str = "job";
const OF: &str = "of.json";
const RESUMED: &str = "resumed.json";

/// Workers that may share a place, each with a folder of its own.
const MOST_SLOTS: u32 = 4096;

/// The folder of a worker's state, which belongs to this process alone for as long as this lives.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,
    /// What the folder lies in together with those of other workers.
    place: Option<PathBuf>,
    /// Locked; the system unlocks it when the process ends, however that is.
    _lock: File,
}

impl State {
    /// Takes a folder, which is made where it is missing.
    ///
    /// # Errors
    /// [`WorkerError::StateInUse`] where another worker has it; a folder that cannot be written.
    pub fn open(folder: &Path) -> Result<Self, WorkerError> {
        Self::try_open(folder)?.ok_or_else(|| WorkerError::StateInUse(folder.to_owned()))
    }

    /// Takes the first folder of a place for workers like this that no other one has: after a crash
    /// that is the one which the killed worker had.
    ///
    /// # Errors
    /// As [`State::open`].
    pub fn first_free(
        place: &Path,
        worker_type: WorkerType,
        tracker: &ClientConfig,
    ) -> Result<Self, WorkerError> {
        let address = address_of(tracker);
        let whose = xxh3_64(format!("{address}\n{}", tracker.nickname).as_bytes());
        let name = worker_type.as_str().to_lowercase();
        for slot in 1..=MOST_SLOTS {
            let folder = place.join(format!("{name}-{whose:016x}-{slot}"));
            if let Some(state) = Self::try_open(&folder)? {
                return Ok(Self {
                    place: Some(place.to_owned()),
                    ..state
                });
            }
        }
        Err(WorkerError::StateInUse(place.to_owned()))
    }

    fn try_open(folder: &Path) -> Result<Option<Self>, WorkerError> {
        let lock = take(folder).map_err(|cause| WorkerError::state(folder, cause))?;
        Ok(lock.map(|lock| Self {
            folder: folder.to_owned(),
            place: None,
            _lock: lock,
        }))
    }

    /// The place of one of the jobs that the worker has at once, counted from 0.
    pub(crate) fn desk(&self, lane: usize) -> Desk {
        Desk {
            folder: self.folder.join(format!("lane-{lane}")),
        }
    }

    /// Whether an earlier worker had more lanes than this.
    pub(crate) fn had_lane(&self, lane: usize) -> bool {
        self.desk(lane).folder.exists()
    }

    /// Removes the folder, unless a lane has left something in it, and the place that it shared with
    /// others, if it was the last there.
    pub fn close(self) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        if entries.into_iter().all(|entry| entry.file_name() == LOCK) {
            // Who waits for the lock finds its file gone, and takes another one. What cannot be
            // removed is in nobody's way.
            let _ = fs::remove_file(self.folder.join(LOCK));
            let _ = fs::remove_dir(&self.folder);
            if let Some(place) = &self.place {
                let _ = fs::remove_dir(place);
            }
        }
    }
}

/// The tracker's address as its clients keep it in dumps, however a person wrote it: with a port that
/// goes without saying, or a host in capitals. Without the slash at its end.
pub(crate) fn address_of(tracker: &ClientConfig) -> String {
    let anybody = Dump {
        _type: WorkerType::Hybrid.to_string(),
        url: tracker.url.clone(),
        ..Dump::default()
    };
    // Nobody is asked anything by that. What is no address is refused by whoever calls it.
    let client = Client::<Hybrid>::load(&anybody, tracker.clone());
    let address = client.map_or_else(|_| anybody.url.clone(), |(it, _)| it.url().to_owned());
    address.trim().trim_end_matches('/').to_owned()
}

/// Makes the folder and locks it; `None` where another process has.
fn take(folder: &Path) -> io::Result<Option<File>> {
    loop {
        make_private(folder)?;
        let path = folder.join(LOCK);
        let lock = match private_file().create(true).truncate(false).open(&path) {
            // Who had it ended just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            lock => lock?,
        };
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
            Ok(()) if is_at(&lock, &path) => return Ok(Some(lock)),
            // Its owner removed it between our opening and locking it.
            Ok(()) => {}
        }
    }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |metadata: io::Result<fs::Metadata>| metadata.map(|it| (it.dev(), it.ino())).ok();
    let here = id(file.metadata());
    here.is_some() && here == id(fs::metadata(path))
}

/// Elsewhere a file that is open cannot be removed.
#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

/// One job's place in the state. Its calls block.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    folder: PathBuf,
}

/// What tells the work on one job from that on any other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The tracker's address.
    pub(crate) tracker: String,
    /// The job, with its URL.
    pub(crate) shard: Shard,
    /// The settings that decide what comes of it.
    pub(crate) settings: Settings,
}

/// How often a worker went on with a job in vain.
#[derive(Serialize, Deserialize)]
struct Resumed {
    shard: Shard,
    times: u32,
    /// Of the job's files, by the last time.
    bytes: u64,
}

impl Desk {
    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// The worker, and the job that it holds, as they were kept last.
    pub(crate) fn worker(&self) -> Option<Dump> {
        read(&self.folder.join(WORKER))
    }

    /// Keeps who the worker is and which job it holds. The file has its secret.
    pub(crate) fn keep(&self, worker: &Dump) -> Result<(), WorkerError> {
        write(&self.folder.join(WORKER), worker)
    }

    /// Forgets worker and job.
    pub(crate) fn clear(&self) {
        remove(&self.folder);
    }

    /// The folder for what there is of this job. What there is of any other one is removed.
    pub(crate) fn job(&self, of: &Identity) -> Result<JobFolder, WorkerError> {
        let path = self.folder.join(JOB);
        let job = JobFolder { path };
        if job.read::<Identity>(OF).as_ref() != Some(of) {
            remove(&job.path);
            job.write(OF, of)?;
        }
        Ok(job)
    }

    /// Counts that the worker goes on with a job; gives how often it has done so in a row without
    /// getting on: a CPU worker's tar and journal grow with each image.
    pub(crate) fn resume(&self, shard: &Shard) -> Result<u32, WorkerError> {
        let path = self.folder.join(RESUMED);
        let bytes = bytes_in(&self.folder.join(JOB));
        let in_vain = |before: &Resumed| before.shard == *shard && bytes <= before.bytes;
        let before = read::<Resumed>(&path).filter(in_vain);
        let times = before.map_or(0, |before| before.times).saturating_add(1);
        let shard = shard.clone();
        let resumed = Resumed {
            shard,
            times,
            bytes,
        };
        write(&path, &resumed)?;
        Ok(times)
    }

    /// Removes what there is of a job.
    pub(crate) fn clear_job(&self) {
        remove(&self.folder.join(JOB));
        // What cannot be removed counts for this very job alone.
        let _ = fs::remove_file(self.folder.join(RESUMED));
    }
}

/// What there is of a job.
#[derive(Clone, Debug)]
pub(crate) struct JobFolder {
    pub(crate) path: PathBuf,
}

impl JobFolder {
    /// What was written under this name; nothing where that is not as it was written.
    pub(crate) fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        read(&self.path.join(name))
    }

    /// Writes under this name, whole or not at all.
    pub(crate) fn write(&self, name: &str, what: &impl Serialize) -> Result<(), WorkerError> {
        write(&self.path.join(name), what)
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn write(path: &Path, what: &impl Serialize) -> Result<(), WorkerError> {
    // Numbers, texts and maps with text keys always become JSON.
    let json = serde_json::to_vec_pretty(what).expect("a state is plain data");
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = || {
        make_private(folder)?;
        // A temporary file is its owner's alone.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&json)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    written().map_err(|cause| WorkerError::state(path, cause))
}

/// The bytes of the files in a folder, without those in folders of it.
fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| entry.metadata().ok().filter(fs::Metadata::is_file));
    files.map(|file| file.len()).sum()
}

/// Removes a folder; what cannot be removed is overwritten later, or in nobody's way.
pub(crate) fn remove(folder: &Path) {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!("cannot remove {}: {error}", folder.display());
        }
        _ => {}
    }
}

fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn private_file() -> fs::OpenOptions {
    let mut options = File::options();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(number: u64, url: &str) -> Identity {
        Identity {
            tracker: "http://t/".into(),
            shard: Shard::numbered(number, url),
            settings: Settings::new(),
        }
    }

    #[test]
    fn one_worker_at_a_time_has_a_state() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("state");
        let state = State::open(&place).unwrap();
        let second = State::open(&place);
        assert!(matches!(second, Err(WorkerError::StateInUse(_))));
        state.close();
        assert!(!place.exists());
        State::open(&place).unwrap().close();
    }

    #[test]
    fn workers_that_share_a_place_have_folders_of_their_own() {
        let place = tempfile::tempdir().unwrap();
        let take = |url, nickname| {
            let tracker = ClientConfig::new(url, nickname);
            State::first_free(place.path(), WorkerType::Cpu, &tracker).unwrap()
        };
        let (one, two) = (take("http://t", "ada"), take("http://t", "ada"));
        assert_ne!(one.folder, two.folder);
        // As when it is killed: nothing is tidied up, and the next one has what it left.
        let left = one.folder.clone();
        one.desk(0).keep(&Dump::default()).unwrap();
        drop(one);
        let next = take("http://t/", "ada");
        assert_eq!(next.folder, left);
        assert_eq!(next.desk(0).worker(), Some(Dump::default()));
        let other = take("http://t/", "bob");
        assert_eq!(other.desk(0).worker(), None);
    }

    #[test]
    fn an_address_is_the_same_however_it_is_written() {
        let address = |url: &str| address_of(&ClientConfig::new(url, "ada"));
        for (written, meant) in [
            (" http://t/ ", "http://t"),
            ("http://t:80", "http://t"),
            (
                "https://Tracker.Example.org:443/k/Key/",
                "https://tracker.example.org/k/Key",
            ),
            ("http://t:8080", "http://t:8080"),
            ("no address", "no address"),
        ] {
            assert_eq!(address(written), meant);
        }
        // A killed worker finds its state again.
        let place = tempfile::tempdir().unwrap();
        let folder = |url: &str| {
            let tracker = ClientConfig::new(url, "ada");
            let state = State::first_free(place.path(), WorkerType::Cpu, &tracker);
            state.unwrap().folder
        };
        assert_eq!(folder("http://T:80"), folder("http://t/"));
    }

    #[test]
    fn a_lane_goes_on_with_its_own_job_only() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        let desk = state.desk(0);
        let job = desk.job(&identity(1, "u")).unwrap();
        job.write("x.json", &7).unwrap();
        let again = desk.job(&identity(1, "u")).unwrap();
        assert_eq!(again.read::<u32>("x.json"), Some(7));
        fs::write(again.path.join("x.json"), "torn").unwrap();
        assert_eq!(again.read::<u32>("x.json"), None);
        for other in [identity(2, "u"), identity(1, "v")] {
            let other = desk.job(&other).unwrap();
            assert_eq!(other.read::<u32>("x.json"), None);
            other.write("x.json", &8).unwrap();
        }
        assert!(state.had_lane(0) && !state.had_lane(1));
        desk.clear();
        assert!(!state.had_lane(0));
    }

    #[test]
    fn going_on_in_vain_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let desk = State::open(folder.path()).unwrap().desk(0);
        let shard = |number| Shard::numbered(number, "u");
        let resume = |number| desk.resume(&shard(number)).unwrap();
        assert_eq!([resume(1), resume(1), resume(1)], [1, 2, 3]);
        assert_eq!([resume(2), resume(2)], [1, 2]);
        // Who gets on may be killed as often as it likes.
        let job = desk.job(&identity(2, "u")).unwrap();
        assert_eq!([resume(2), resume(2)], [1, 2]);
        job.write("x.json", &"an image").unwrap();
        assert_eq!([resume(2), resume(2)], [1, 2]);
        // Once it is done, or failed, it may come again.
        desk.clear_job();
        assert_eq!(resume(2), 1);
    }

    #[test]
    #[cfg(unix)]
    fn what_has_the_secret_is_for_the_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let desk = State::open(&folder.path().join("s")).unwrap().desk(0);
        desk.keep(&Dump::default()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&desk.folder.join(WORKER)), 0o600);
        assert_eq!(mode(&desk.folder), 0o700);
    }
}
