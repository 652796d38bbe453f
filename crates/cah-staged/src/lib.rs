//! Files of this machine that appear whole or not at all, and survive a power loss.

mod folder;

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

pub use folder::StagedFolder;

/// What a staged file's name ends in. It begins with a dot and its target's name, so that no
/// reader's pattern takes it for a file that is there.
const SUFFIX: &str = ".part";

/// A file that is being written beside its target.
///
/// It is locked as long as its process lives, which is how [`remove_leftovers`] tells what a
/// killed process left from what another one is writing: who removes a file holds its lock, and
/// who has created one makes sure, once it is locked, that it is still there. Dropping it removes
/// it.
#[derive(Debug)]
pub struct StagedFile {
    file: NamedTempFile,
    target: PathBuf,
    is_synced: bool,
}

impl StagedFile {
    /// Begins a file; its folder is created where it is missing.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(target: PathBuf) -> io::Result<Self> {
        let folder = folder_of(&target);
        create_folder(folder)?;
        let mut builder = tempfile::Builder::new();
        let prefix = staged_prefix(&target);
        builder.prefix(&prefix).suffix(SUFFIX);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        loop {
            let file = builder.tempfile_in(folder)?;
            if is_held(&file) {
                return Ok(Self {
                    file,
                    target,
                    is_synced: false,
                });
            }
        }
    }

    /// Writes the bytes that come next.
    ///
    /// # Errors
    /// What the system says; a disk that is full, mostly.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.is_synced = false;
        self.file.as_file_mut().write_all(bytes)
    }

    /// Returns when the bytes are on the disk: a full one says so here at the latest. For whoever
    /// wants to know before it [publishes](Self::publish).
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&mut self) -> io::Result<()> {
        if !self.is_synced {
            self.file.as_file().sync_all()?;
            self.is_synced = true;
        }
        Ok(())
    }

    /// Gives the file its name, once its bytes are on the disk; on return the name is there, too.
    ///
    /// # Errors
    /// What the system says. The file has no name then.
    pub fn publish(mut self) -> io::Result<()> {
        self.sync()?;
        self.file.persist(&self.target).map_err(|e| e.error)?;
        sync_folder(folder_of(&self.target))
    }
}

/// Locks a new file, unless a clean-up came between its creation and this and took it for
/// abandoned.
fn is_held(file: &NamedTempFile) -> bool {
    match file.as_file().try_lock() {
        Ok(()) => file.path().exists(),
        Err(TryLockError::WouldBlock) => false,
        // File systems without locks only lose the clean-up of what killed processes leave.
        Err(TryLockError::Error(_)) => true,
    }
}

/// Removes a file so that it stays removed.
///
/// # Errors
/// What the system says.
pub fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    sync_folder(folder_of(path))
}

/// Removes what killed processes left of this file; what a living one writes is locked and stays.
///
/// # Errors
/// What the system says.
pub fn remove_leftovers(target: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder_of(target)) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let prefix = staged_prefix(target).to_string_lossy().into_owned();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&prefix) && name.ends_with(SUFFIX) {
            remove_abandoned(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes a file that nobody has locked. What vanishes meanwhile is none of ours.
fn remove_abandoned(path: &Path) -> io::Result<()> {
    let Ok(file) = File::options().write(true).open(path) else {
        return Ok(());
    };
    // Held until the file is gone, so that its maker cannot lock it in between.
    if file.try_lock().is_err() {
        return Ok(());
    }
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    }
}

/// Takes a folder's exclusive lock; `None` while another process or writer holds it.
///
/// File systems without locks let everybody pass: whose manifest comes last decides there.
///
/// # Errors
/// What the system says.
pub fn try_lock(folder: &Path) -> io::Result<Option<File>> {
    create_folder(folder)?;
    let file = lockable(folder)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(None),
        Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(file)),
    }
}

/// The folder itself, so that no lock file stands among the manifests.
#[cfg(unix)]
fn lockable(folder: &Path) -> io::Result<File> {
    File::open(folder)
}

/// Elsewhere folders cannot be opened.
#[cfg(not(unix))]
fn lockable(folder: &Path) -> io::Result<File> {
    let lock = folder.join(".lock");
    File::options().create(true).append(true).open(lock)
}

/// Creates a folder and its parents, each of which is on the disk on return.
fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent().filter(|p| !p.as_os_str().is_empty()) {
        create_folder(parent)?;
    }
    match fs::create_dir(folder) {
        Err(there) if there.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        result => result?,
    }
    sync_folder(folder_of(folder))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn staged_prefix(target: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(target.file_name().unwrap_or_default());
    prefix.push(".");
    prefix
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Elsewhere folders are no files that could be synchronised.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_file_appears_when_it_is_published() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a/b/x.tar");
        let mut staged = StagedFile::create(target.clone()).unwrap();
        staged.append(b"12").unwrap();
        staged.append(b"3").unwrap();
        staged.sync().unwrap();
        assert!(!target.exists());
        staged.publish().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"123");
        assert_eq!(names(&folder.path().join("a/b")), ["x.tar"]);
    }

    #[test]
    fn a_dropped_file_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut staged = StagedFile::create(folder.path().join("x.tar")).unwrap();
        staged.append(b"12").unwrap();
        assert_eq!(names(folder.path()).len(), 1);
        drop(staged);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn only_abandoned_leftovers_of_the_same_file_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x.tar");
        for name in [".x.tar.abc.part", ".y.tar.abc.part", "x.tar"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let living = StagedFile::create(target.clone()).unwrap();
        remove_leftovers(&target).unwrap();
        let left = names(folder.path());
        assert_eq!(left.len(), 3, "{left:?}");
        assert!(!left.iter().any(|n| n == ".x.tar.abc.part"), "{left:?}");
        living.publish().unwrap();
    }

    /// A clean-up that comes between a file's creation and its lock removes it: its maker takes
    /// another one.
    #[test]
    fn a_clean_up_takes_no_file_from_its_maker() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x.tar");
        std::thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| {
                    for _ in 0..500 {
                        let staged = StagedFile::create(target.clone()).unwrap();
                        staged.publish().unwrap();
                    }
                });
                threads.spawn(|| (0..5_000).for_each(|_| remove_leftovers(&target).unwrap()));
            }
        });
        assert_eq!(names(folder.path()), ["x.tar"]);
    }

    #[test]
    fn one_at_a_time_holds_a_lock() {
        let folder = tempfile::tempdir().unwrap();
        let lock = try_lock(folder.path()).unwrap();
        assert!(lock.is_some());
        assert!(try_lock(folder.path()).unwrap().is_none());
        drop(lock);
        assert!(try_lock(folder.path()).unwrap().is_some());
    }

    #[test]
    #[cfg(unix)]
    fn files_have_the_usual_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let usual = folder.path().join("usual");
        fs::write(&usual, "").unwrap();
        let target = folder.path().join("x.tar");
        StagedFile::create(target.clone())
            .unwrap()
            .publish()
            .unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&target), mode(&usual));
    }

    /// A full disk across a network says so when it is synchronised, not when it is written to.
    #[test]
    #[cfg(unix)]
    fn what_does_not_reach_the_disk_gets_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x.tar");
        let (_, path) = NamedTempFile::new_in(folder.path()).unwrap().into_parts();
        // A device that takes everything and cannot be synchronised.
        let device = File::options().write(true).open("/dev/null").unwrap();
        let mut staged = StagedFile {
            file: NamedTempFile::from_parts(device, path),
            target: target.clone(),
            is_synced: false,
        };
        staged.append(b"12").unwrap();
        staged.publish().unwrap_err();
        assert!(names(folder.path()).is_empty());
    }
}
