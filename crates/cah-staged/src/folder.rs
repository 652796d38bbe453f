//! A folder for what is not in its place yet.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::Path,
};

use tempfile::TempDir;

use crate::{SUFFIX, create_folder};

/// What its name begins with. Together with [`RANDOM`] and [`SUFFIX`] no name that a user gives a
/// folder, for whose sake it is longer than it has to be.
const PREFIX: &str = ".cah-staged-";

/// Letters and digits of its name that are drawn.
const RANDOM: usize = 12;

/// A new folder, within the one where what comes into it will belong: to move it is to rename it.
///
/// It is locked as long as its process lives, as a [`StagedFile`](crate::StagedFile) is, and removed
/// with what is in it when it is dropped.
#[derive(Debug)]
pub struct StagedFolder {
    // Removed before its lock is let go.
    folder: TempDir,
    /// Nothing where there are no locks.
    _lock: Option<File>,
}

impl StagedFolder {
    /// Creates one in a folder, which is created where it is missing, and removes those there that
    /// killed processes left: each may be as large as a shard.
    ///
    /// # Errors
    /// What the system says.
    pub fn create_in(folder: &Path) -> io::Result<Self> {
        create_folder(folder)?;
        remove_abandoned(folder);
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX).suffix(SUFFIX).rand_bytes(RANDOM);
        loop {
            let folder = builder.tempdir_in(folder)?;
            if let Some(lock) = hold(folder.path()) {
                return Ok(Self {
                    folder,
                    _lock: lock,
                });
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Whether only this crate gives a folder this name.
fn is_ours(name: &str) -> bool {
    let random = name.strip_prefix(PREFIX);
    random
        .and_then(|rest| rest.strip_suffix(SUFFIX))
        .is_some_and(|random| {
            random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
}

/// Removes the folders in `folder` whose makers are gone. What cannot be removed is in nobody's way.
fn remove_abandoned(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder
            && entry.file_name().to_str().is_some_and(is_ours)
            // Held until it is gone, so that its maker cannot lock it in between.
            && let Ok(_lock) = lock(&entry.path())
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Locks a new folder; `None` where a clean-up came between its creation and this.
fn hold(folder: &Path) -> Option<Option<File>> {
    match lock(folder) {
        Ok(lock) => folder.exists().then_some(Some(lock)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        // File systems without locks only lose the clean-up of what killed processes leave.
        Err(_) => Some(None),
    }
}

#[cfg(unix)]
fn lock(folder: &Path) -> io::Result<File> {
    let file = File::open(folder)?;
    file.try_lock()?;
    Ok(file)
}

/// Elsewhere folders cannot be opened, and a file in it would be taken for one that belongs there.
#[cfg(not(unix))]
fn lock(_folder: &Path) -> io::Result<File> {
    Err(ErrorKind::Unsupported.into())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn what_killed_processes_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let abandoned = ".cah-staged-aB3aB3aB3aB3.part";
        let kept = [
            ".aB3aB3.part",
            ".cah-staged-.part",
            ".cah-staged-aB3aB3aB3aB.part",
            ".cah-staged-aB3aB3aB-aB3.part",
            ".cah-staged-aB3aB3aB3aB3.part2",
            "x.cah-staged-aB3aB3aB3aB3.part",
        ];
        for name in kept.into_iter().chain([abandoned]) {
            fs::create_dir_all(folder.path().join(name).join("images")).unwrap();
            fs::write(folder.path().join(name).join("images/1.jpg"), "").unwrap();
        }
        fs::write(folder.path().join(".cah-staged-000000000000.part"), "").unwrap();
        let link = folder.path().join(".cah-staged-111111111111.part");
        std::os::unix::fs::symlink(folder.path().join(kept[0]), &link).unwrap();
        let living = StagedFolder::create_in(folder.path()).unwrap();
        let second = StagedFolder::create_in(folder.path()).unwrap();
        assert!(!folder.path().join(abandoned).exists());
        assert!(living.path().exists() && second.path().exists());
        for name in kept {
            assert!(folder.path().join(name).join("images/1.jpg").exists());
        }
        assert!(link.is_symlink());
        drop((living, second));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), kept.len() + 2);
    }

    #[test]
    fn a_clean_up_takes_no_folder_from_its_maker() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for _ in 0..200 {
                        let staged = StagedFolder::create_in(folder.path()).unwrap();
                        fs::write(staged.path().join("x"), "").unwrap();
                        assert!(staged.path().join("x").exists());
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
