//! Extracted files on their way to the disk.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    thread,
};

/// Files that are kept open to be synchronised together: file systems write out in one go what is
/// asked of them at once, which takes a small part of the time of one file after the other.
const FILES: usize = 64;

/// Files of these that one thread sees to.
const FILES_A_THREAD: usize = 4;

/// Files that are written but not on the disk yet. One that is full says so only when it is asked,
/// where it is across a network or has quotas.
#[derive(Default)]
pub(crate) struct Unsynced(Vec<(PathBuf, File)>);

impl Unsynced {
    /// Takes a file, which `path` names in errors.
    pub(crate) fn push<E>(
        &mut self,
        path: PathBuf,
        file: File,
        failed: impl Fn(io::Error, &Path) -> E,
    ) -> Result<(), E> {
        self.0.push((path, file));
        match self.0.len() < FILES {
            true => Ok(()),
            false => self.sync(failed),
        }
    }

    /// Returns when every file is on the disk.
    pub(crate) fn sync<E>(&mut self, failed: impl Fn(io::Error, &Path) -> E) -> Result<(), E> {
        let files = std::mem::take(&mut self.0);
        let synced = thread::scope(|threads| {
            let spawn = |files| {
                let started = thread::Builder::new().spawn_scoped(threads, move || each(files));
                // A system without room for another thread has this one do it.
                started.map_err(|_| each(files))
            };
            let started: Vec<_> = files.chunks(FILES_A_THREAD).map(spawn).collect();
            let mut ended = started.into_iter().map(|one| match one {
                Ok(thread) => thread.join().unwrap_or_else(|panic| {
                    std::panic::resume_unwind(panic);
                }),
                Err(done) => done,
            });
            ended.try_for_each(|done| done)
        });
        synced.map_err(|(error, path)| failed(error, path))
    }
}

fn each(files: &[(PathBuf, File)]) -> Result<(), (io::Error, &Path)> {
    let mut files = files.iter();
    files.try_for_each(|(path, file)| file.sync_all().map_err(|error| (error, path.as_path())))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn name(_: io::Error, path: &Path) -> PathBuf {
        path.to_owned()
    }

    #[test]
    fn what_does_not_reach_the_disk_is_named() {
        let file = |n: usize| match n {
            // A device that takes everything and cannot be synchronised.
            7 => File::options().write(true).open("/dev/null").unwrap(),
            _ => tempfile::tempfile().unwrap(),
        };
        let mut few = Unsynced::default();
        for n in 0..9 {
            few.push(n.to_string().into(), file(n), name).unwrap();
        }
        assert_eq!(few.sync(name), Err("7".into()));
        // Those that were synchronised are closed.
        assert_eq!(few.sync(name), Ok(()));

        let mut many = Unsynced::default();
        let pushed = (0..).try_for_each(|n| many.push(n.to_string().into(), file(n), name));
        assert_eq!(pushed, Err("7".into()));
        assert!(many.0.is_empty());
    }
}
