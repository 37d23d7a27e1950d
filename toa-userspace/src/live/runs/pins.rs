//! The directory in which a run pins its maps, so that other processes can open them. Pins of dead runs are removed
//! here.
//!
//! ```text
//! /sys/fs/bpf/toa-tc/                  0700, ours or root's
//!   PID-START-PIDNAMESPACE/            0700, one per run; its name identifies the process
//!     WATCH PREFIXES SHAPES FLOWS COUNTERS      the maps
//!     INFO                             a `RunInfo`; pinned last, so that a run is found only when it is complete
//! ```

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use aya::{
    maps::{Array, Map, MapData, MapError},
    pin::PinError,
};
use rustix::fs::statfs;
use thiserror::Error;
use toa_common::{
    maps::{INFO, PINNED},
    run_info::RunInfo,
};

use crate::live::runs::identity::Identity;

/// Where the BPF file system is mounted.
pub const BPF_FS: &str = "/sys/fs/bpf";
/// `BPF_FS_MAGIC` of `linux/magic.h`.
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;
/// Our directory in it.
const OURS: &str = "toa-tc";

/// How often to create the directories again if a run that ends removes ours.
const ATTEMPTS: usize = 16;

/// Why maps cannot be pinned or found.
#[derive(Debug, Error)]
pub enum PinsError {
    /// There is no BPF file system.
    #[error("no BPF file system at {BPF_FS} (mount -t bpf bpf {BPF_FS})")]
    NoFileSystem,
    /// Others may write to our directory.
    #[error("{path} is not private: it belongs to user {uid} and has mode {mode:o}; remove it")]
    NotOurs {
        /// The directory.
        path: PathBuf,
        /// The user ID of its owner.
        uid: u32,
        /// Its mode.
        mode: u32,
    },
    /// The identity of this process cannot be read.
    #[error("cannot read /proc/self")]
    Process(#[source] io::Error),
    /// A directory could not be created or read.
    #[error("cannot use {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The underlying error.
        #[source]
        source: io::Error,
    },
    /// The map that describes this run could not be created.
    #[error("cannot create the map {}", INFO.name)]
    Info(#[source] MapError),
    /// A map could not be pinned.
    #[error("cannot pin {path}")]
    Pin {
        /// The pin.
        path: PathBuf,
        /// The underlying error.
        #[source]
        source: PinError,
    },
}

/// Returns our directory, if there is one. It must belong to us or root, and only its owner may write to it.
pub fn directory() -> Result<Option<PathBuf>, PinsError> {
    let magic = statfs(BPF_FS).map_err(|_| PinsError::NoFileSystem)?.f_type;
    if u64::try_from(magic).ok() != Some(BPF_FS_MAGIC) {
        return Err(PinsError::NoFileSystem);
    }
    let path = Path::new(BPF_FS).join(OURS);
    match fs::symlink_metadata(&path) {
        Ok(metadata) => {
            let (uid, mode) = (metadata.uid(), metadata.mode());
            let is_known = uid == 0 || uid == rustix::process::geteuid().as_raw();
            if metadata.is_dir() && is_known && mode & 0o022 == 0 {
                Ok(Some(path))
            } else {
                Err(PinsError::NotOurs { path, uid, mode: mode & 0o7777 })
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PinsError::Directory { path, source }),
    }
}

/// Returns the directories of runs, and the processes that they belong to.
pub fn runs(directory: &Path) -> io::Result<Vec<(PathBuf, Identity)>> {
    let mut runs = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // Ignore names that toa-tc did not choose.
        let Some(identity) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if entry.file_type()?.is_dir() {
            runs.push((entry.path(), identity));
        }
    }
    runs.sort_unstable();
    Ok(runs)
}

/// Removes the pins of dead runs, and returns how many runs were removed.
pub fn sweep(directory: &Path) -> io::Result<usize> {
    let mut swept = 0;
    for (path, identity) in runs(directory)? {
        if identity.is_alive() == Some(false) {
            remove(&path);
            swept += usize::from(!path.exists());
        }
    }
    Ok(swept)
}

/// Removes a run's directory. Only files that a run pins are removed from it.
fn remove(path: &Path) {
    // The directory remains if it contains anything else.
    for map in PINNED.iter().chain([&INFO]) {
        let _ = fs::remove_file(path.join(map.name));
    }
    let _ = fs::remove_dir(path);
}

/// The directory of this run. Dropping it removes it.
#[derive(Debug)]
pub struct Pins {
    path: PathBuf,
    identity: Identity,
}

impl Pins {
    /// Creates the directory, and removes those of dead runs.
    pub fn new() -> Result<Self, PinsError> {
        let identity = Identity::own().map_err(PinsError::Process)?;
        let ours = Path::new(BPF_FS).join(OURS);
        let path = ours.join(identity.to_string());
        let mut attempt = 0;
        loop {
            if let Some(ours) = directory()? {
                // The next run removes what cannot be removed now.
                let _ = sweep(&ours);
            }
            // The parent may exist; our own directory must not.
            let made = make(&ours, true).and_then(|()| make(&path, false));
            match made {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS => attempt += 1,
                Err(source) => return Err(PinsError::Directory { path, source }),
            }
        }
        let pins = Self { path, identity };
        // Another user may have created the parent in the meantime, so check it again.
        directory()?;
        Ok(pins)
    }

    /// Returns the identity of the run's process.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Pins `map` as `name`.
    pub fn pin(&self, name: &str, map: &Map) -> Result<(), PinsError> {
        let path = self.path.join(name);
        map.pin(&path).map_err(|source| PinsError::Pin { path, source })
    }

    /// Publishes the description of this run. From then on, other processes find it.
    pub fn publish(&self, info: &RunInfo) -> Result<(), PinsError> {
        let mut map = Array::<MapData, RunInfo>::create(1, 0).map_err(PinsError::Info)?;
        map.set(0, info, 0).map_err(PinsError::Info)?;
        let path = self.path.join(INFO.name);
        map.pin(&path).map_err(|source| PinsError::Pin { path, source })
    }

    /// Reads the description of this run, which other processes also change.
    pub fn info(&self) -> Result<RunInfo, MapError> {
        let map = Map::from_map_data(MapData::from_pin(self.path.join(INFO.name))?)?;
        Array::<_, RunInfo>::try_from(map)?.get(&0, 0)
    }
}

fn make(path: &Path, recursive: bool) -> io::Result<()> {
    DirBuilder::new().mode(0o700).recursive(recursive).create(path)
}

impl Drop for Pins {
    fn drop(&mut self) {
        remove(&self.path);
        if let Some(ours) = self.path.parent() {
            // This fails while other runs are in it.
            let _ = fs::remove_dir(ours);
        }
    }
}
