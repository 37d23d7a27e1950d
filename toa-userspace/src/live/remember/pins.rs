//! The directory in which `toa-tc remember` pins its program and maps.
//!
//! ```text
//! /sys/fs/bpf/toa-tc/remember/         0700, in the directory of our user's runs
//!   REMEMBERED COUNTS                  the maps
//!   LINK                               the program's attachment; pinned last and removed first
//! ```
//!
//! A lock on the directory keeps what one process makes or removes from being used by another before it is complete.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use aya::maps::Map;
use rustix::fs::{FlockOperation, flock};
use toa_common::maps::{REMEMBER_COUNTS, REMEMBERED};

use crate::live::runs::{
    pin_directories::{DirectoryError, PinDirectories},
    pins::PinsError,
};

/// The directory's name.
const NAME: &str = "remember";

/// The name of the program's pin.
pub(super) const LINK: &str = "LINK";

/// How often to create the directory again if another process removes it.
const ATTEMPTS: usize = 16;

/// The locked directory.
#[derive(Debug)]
pub struct RememberPins {
    path: PathBuf,
    _lock: File,
}

impl RememberPins {
    /// Creates the directory and removes what an interrupted process left in it. Returns `None` if clients are already
    /// being remembered.
    pub(super) fn create() -> Result<Option<Self>, PinsError> {
        let directories = PinDirectories::default();
        let path = directories.own().join(NAME);
        for _ in 0..ATTEMPTS {
            directories.create()?;
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                // A run that ended has removed the parent.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(DirectoryError::Directory { path, source }.into()),
            }
            if let Some(this) = Self::open(FlockOperation::LockExclusive)? {
                if this.is_complete() {
                    return Ok(None);
                }
                this.remove_pins();
                return Ok(Some(this));
            }
        }
        Err(DirectoryError::Directory { path, source: io::ErrorKind::NotFound.into() }.into())
    }

    /// Opens the directory to read the clients. Returns `None` if none are being remembered.
    pub(super) fn open_to_read() -> Result<Option<Self>, PinsError> {
        Ok(Self::open(FlockOperation::LockShared)?.filter(Self::is_complete))
    }

    /// Opens the directory to remove it. Returns `None` if there is none.
    pub(super) fn open_to_remove() -> Result<Option<Self>, PinsError> {
        Self::open(FlockOperation::LockExclusive)
    }

    /// Opens and locks the directory, if there is one.
    fn open(operation: FlockOperation) -> Result<Option<Self>, PinsError> {
        let ours = match PinDirectories::default().own_existing() {
            Ok(Some(ours)) => ours,
            // Without a BPF file system, nothing can have been pinned.
            Ok(None) | Err(DirectoryError::NoFileSystem) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let path = ours.join(NAME);
        let locked = File::open(&path).and_then(|directory| {
            flock(&directory, operation)?;
            Ok(directory)
        });
        match locked.and_then(|lock| Ok(is_at(&path, &lock)?.then_some(lock))) {
            Ok(lock) => Ok(lock.map(|lock| Self { path, _lock: lock })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DirectoryError::Directory { path, source }.into()),
        }
    }

    /// Returns the path of the directory.
    pub(super) fn directory(&self) -> &Path {
        &self.path
    }

    /// Returns the path of a pin.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns whether the program is pinned.
    pub(super) fn is_complete(&self) -> bool {
        self.path(LINK).exists()
    }

    /// Pins `map` as `name`.
    pub(super) fn pin(&self, name: &str, map: &Map) -> Result<(), PinsError> {
        let path = self.path(name);
        map.pin(&path).map_err(|source| PinsError::Pin { path, source })
    }

    /// Removes the directory and all pins. The program is detached before its maps are freed.
    pub(super) fn remove(&self) {
        self.remove_pins();
        let _ = fs::remove_dir(&self.path);
        if let Some(ours) = self.path.parent() {
            // This fails while runs are in it.
            let _ = fs::remove_dir(ours);
        }
    }

    fn remove_pins(&self) {
        for name in [LINK, REMEMBERED.name, REMEMBER_COUNTS.name] {
            let _ = fs::remove_file(self.path(name));
        }
    }
}

/// Returns whether the directory at `path` is the open one, which may have been removed while we waited for the lock.
fn is_at(path: &Path, open: &File) -> io::Result<bool> {
    let (found, open) = (fs::symlink_metadata(path)?, open.metadata()?);
    Ok((found.dev(), found.ino()) == (open.dev(), open.ino()))
}
