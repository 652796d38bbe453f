//! The room that the staging leaves on its disk: by default a store is on the same one, which could
//! keep nothing for anybody once it is full.

use std::{io, path::Path};

/// What stays free is one part of so many of the disk.
const PARTS: u64 = 20;

/// More than that need not stay free, in bytes.
const ENOUGH: u64 = 1 << 30;

/// The bytes of a disk, as far as a process without privileges may use them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) free: u64,
    pub(super) size: u64,
}

/// Looks up the room where a folder is; `None` where the disk does not tell.
pub(super) type Look = fn(&Path) -> io::Result<Option<Room>>;

impl Room {
    /// Looks it up.
    #[cfg(unix)]
    pub(super) fn at(folder: &Path) -> io::Result<Option<Self>> {
        let told = rustix::fs::statvfs(folder)?;
        let bytes = |blocks: u64| blocks.saturating_mul(told.f_frsize);
        let room = Self {
            free: bytes(told.f_bavail),
            size: bytes(told.f_blocks),
        };
        // What is mounted over a network may know of no size.
        Ok((room.size > 0).then_some(room))
    }

    /// Looks nothing up: here the standard library tells nothing of disks.
    #[cfg(not(unix))]
    pub(super) fn at(_: &Path) -> io::Result<Option<Self>> {
        Ok(None)
    }

    /// Whether all that is free has to stay so.
    pub(super) fn is_short(self) -> bool {
        self.free < (self.size / PARTS).min(ENOUGH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_disk_stays_free() {
        let is_short = |free, size| Room { free, size }.is_short();
        assert!(is_short(4, 100) && !is_short(5, 100));
        let (gib, tib) = (1_u64 << 30, 1_u64 << 40);
        assert!(is_short(gib - 1, tib) && !is_short(gib, tib));
    }

    #[cfg(unix)]
    #[test]
    fn a_disk_tells_its_room() {
        let folder = tempfile::tempdir().unwrap();
        let room = Room::at(folder.path()).unwrap().unwrap();
        assert!(room.size > 0 && room.free <= room.size);
        Room::at(&folder.path().join("none")).unwrap_err();
    }
}
