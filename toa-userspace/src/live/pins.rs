//! Responsible for the directory in which a run's maps are pinned, so that other processes can reach them. Not
//! responsible for what those do with them.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use aya::{maps::Map, pin::PinError};
use rustix::fs::statfs;
use thiserror::Error;

/// Where BPF file systems are mounted.
const BPF_FS: &str = "/sys/fs/bpf";
/// `BPF_FS_MAGIC` of `linux/magic.h`.
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;
/// Our directory in it.
const OURS: &str = "toa-tc";

/// Why the maps are not pinned.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PinsError {
    /// There is no BPF file system.
    #[error("no BPF file system at {BPF_FS} (mount -t bpf bpf {BPF_FS})")]
    NoFileSystem,
    /// A directory could not be made.
    #[error("cannot make {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// A map could not be pinned.
    #[error("cannot pin {path}")]
    Pin {
        /// The pin.
        path: PathBuf,
        /// What failed.
        #[source]
        source: PinError,
    },
}

/// The directory of this run. Dropping it removes it.
#[derive(Debug)]
pub struct Pins {
    path: PathBuf,
}

impl Pins {
    /// Makes the directory.
    pub fn new() -> Result<Self, PinsError> {
        let magic = statfs(BPF_FS).map_err(|_| PinsError::NoFileSystem)?.f_type;
        if u64::try_from(magic).ok() != Some(BPF_FS_MAGIC) {
            return Err(PinsError::NoFileSystem);
        }
        let ours = Path::new(BPF_FS).join(OURS);
        let path = ours.join(rustix::process::getpid().as_raw_nonzero().to_string());
        for (path, recursive) in [(&ours, true), (&path, false)] {
            DirBuilder::new()
                .mode(0o700)
                .recursive(recursive)
                .create(path)
                .map_err(|source| PinsError::Directory { path: path.clone(), source })?;
        }
        Ok(Self { path })
    }

    /// Pins `map` by its name.
    pub fn pin(&self, name: &str, map: &Map) -> Result<(), PinsError> {
        let path = self.path.join(name);
        map.pin(&path).map_err(|source| PinsError::Pin { path, source })
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        // What cannot be removed is a directory in which somebody else put something.
        if let Ok(entries) = fs::read_dir(&self.path) {
            for entry in entries.flatten() {
                let _ = fs::remove_file(entry.path());
            }
        }
        let _ = fs::remove_dir(&self.path);
        if let Some(ours) = self.path.parent() {
            let _ = fs::remove_dir(ours);
        }
    }
}
