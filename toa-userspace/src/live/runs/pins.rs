//! The directory in which a run pins its maps, so that other processes can open them.
//!
//! ```text
//! run-ID/                          0700, one per run; ID is the kernel's ID of its map COUNTERS
//!   WATCH PREFIXES SHAPES FLOWS COUNTERS      the maps
//!   SETTINGS ACTIVITY CHANGES      how the run was started, what it has found, who has changed its rules
//!   RULES/                         empty; who changes rules locks it
//!   INFO                           a `RunInfo`; pinned last, so that a run is found only when it is complete
//! ```
//!
//! It is locked as long as the run lives (`life.rs`), and stays if the run is killed. [`super::pin_directories`] says where
//! it is.

use std::{
    fs::{self, DirBuilder, File},
    io,
    ops::Range,
    os::{fd::AsFd, unix::fs::DirBuilderExt as _},
    path::{Path, PathBuf},
};

use aya::{
    Pod,
    maps::{Array, Map, MapData, MapError},
    pin::PinError,
};
use rustix::fs::{AtFlags, CWD, FlockOperation, flock, unlinkat};
use thiserror::Error;
use toa_common::{
    maps::{ACTIVITY, CHANGES, DESCRIPTIONS, INFO, MapSpec, PINNED, SETTINGS},
    rule_change::{ChangeRecord, KEPT_CHANGES},
    run_activity::RunActivity,
    run_info::RunInfo,
};

use crate::live::runs::{
    life::{Dead, Life},
    pin_directories::{DirectoryError, PinDirectories},
    settings::Settings,
};

/// What the name of a run's directory begins with.
const RUN: &str = "run-";

/// The directory in a run's directory that is locked while the rules change.
pub(super) const RULES: &str = "RULES";

/// How often to create the directories again if another process removes them.
const ATTEMPTS: usize = 16;

/// Why maps cannot be pinned.
#[derive(Debug, Error)]
pub enum PinsError {
    /// The directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A map that describes this run could not be created.
    #[error("cannot create the map {name}")]
    Create {
        /// Its name.
        name: &'static str,
        /// The underlying error.
        #[source]
        source: MapError,
    },
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

/// The directory of a run that was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct RunDirectory {
    pub(super) path: PathBuf,
    /// The kernel's ID of the run's map COUNTERS.
    pub(super) id: u32,
}

impl RunDirectory {
    /// Returns those in `directory`.
    pub(super) fn all(directory: &Path) -> io::Result<Vec<Self>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            // Ignore names that toa-tc did not choose.
            let Some(id) = entry.file_name().to_str().and_then(id) else {
                continue;
            };
            if entry.file_type()?.is_dir() {
                found.push(Self { path: entry.path(), id });
            }
        }
        found.sort_unstable_by_key(|found| found.id);
        Ok(found)
    }

    /// Returns whether the run is dead. If that cannot be found out, it counts as alive.
    pub(super) fn is_dead(&self) -> bool {
        matches!(Dead::find(&self.path), Ok(Some(_)))
    }

    /// Removes the directory, unless the run lives. Returns whether that was done.
    pub(super) fn remove_dead(&self) -> io::Result<bool> {
        match Dead::find(&self.path)? {
            Some(dead) => remove(&self.path, dead.directory()),
            None => Ok(false),
        }
    }
}

/// Returns the ID in the name of a run's directory.
fn id(name: &str) -> Option<u32> {
    let id = name.strip_prefix(RUN)?.parse().ok()?;
    (self::name(id) == name).then_some(id)
}

/// Returns the name of a run's directory.
fn name(id: u32) -> String {
    format!("{RUN}{id}")
}

/// Removes a run's directory at `path`, which is open. Only what a run pins is removed from it. Returns whether it existed.
fn remove(path: &Path, directory: &File) -> io::Result<bool> {
    let names = PINNED.iter().chain(&DESCRIPTIONS).map(|map| (map.name, AtFlags::empty()));
    for (name, flags) in names.chain([(RULES, AtFlags::REMOVEDIR)]) {
        // Relative to what is open: another directory may be at the path by now.
        removed(directory, Path::new(name), flags)?;
    }
    removed(CWD, path, AtFlags::REMOVEDIR)
}

/// Removes a file or directory. Returns whether it existed.
fn removed(directory: impl AsFd, path: &Path, flags: AtFlags) -> io::Result<bool> {
    match unlinkat(directory, path, flags) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The directory of this run. Dropping it removes it.
#[derive(Debug)]
pub struct Pins {
    path: PathBuf,
    life: Life,
    /// Whether to remove the parent once it is empty.
    removes_parent: bool,
}

impl Pins {
    /// Creates the directory. `id` is the kernel's ID of the run's map COUNTERS.
    pub fn new(directories: &PinDirectories, id: u32) -> Result<Self, PinsError> {
        let mut attempt = 0;
        loop {
            let (parent, removes_parent) = directories.create()?;
            let path = parent.join(name(id));
            match make(&path) {
                Ok(Some(life)) => return Ok(Self { path, life, removes_parent }),
                // A run that ended has removed the parent, or a process has taken us for a dead run.
                Ok(None) if attempt < ATTEMPTS => attempt += 1,
                Ok(None) => {
                    return Err(
                        DirectoryError::Directory { path, source: io::ErrorKind::NotFound.into() }.into()
                    );
                }
                Err(source) => return Err(DirectoryError::Directory { path, source }.into()),
            }
        }
    }

    /// Returns the directory below which dropping this removes something.
    pub fn changed_directory(&self) -> Option<&Path> {
        let parent = self.path.parent();
        if self.removes_parent { parent.and_then(Path::parent) } else { parent }
    }

    /// Pins `map` as `name`.
    pub fn pin(&self, name: &str, map: &Map) -> Result<(), PinsError> {
        let path = self.path.join(name);
        map.pin(&path).map_err(|source| PinsError::Pin { path, source })
    }

    /// Publishes the description of this run, and how it was started. From then on, other processes find it.
    pub fn publish(&self, info: &RunInfo, settings: &Settings) -> Result<(), PinsError> {
        self.describe(&SETTINGS, Some(&*settings.to_bytes()))?;
        self.describe(&ACTIVITY, Some(&RunActivity::default()))?;
        self.describe::<ChangeRecord>(&CHANGES, None)?;
        self.describe(&INFO, Some(info))
    }

    /// Shows what the run has found so far.
    pub fn show(&self, activity: &RunActivity) -> Result<(), MapError> {
        Array::<MapData, RunActivity>::try_from(self.open(&ACTIVITY)?)?.set(0, activity, 0)
    }

    /// Creates a map and pins it.
    fn describe<V: Pod>(&self, spec: &MapSpec, value: Option<&V>) -> Result<(), PinsError> {
        let created = || {
            let mut map = Array::<MapData, V>::create(spec.max_entries.unwrap_or(1), 0)?;
            value.map_or(Ok(()), |value| map.set(0, value, 0))?;
            Ok(map)
        };
        let map = created().map_err(|source| PinsError::Create { name: spec.name, source })?;
        let path = self.path.join(spec.name);
        map.pin(&path).map_err(|source| PinsError::Pin { path, source })
    }

    /// Returns the changes of rules with these numbers that are still kept.
    pub fn changes(&self, numbers: Range<u64>) -> Result<Vec<ChangeRecord>, MapError> {
        let map = Array::<MapData, ChangeRecord>::try_from(self.open(&CHANGES)?)?;
        let first = numbers.start.max(numbers.end.saturating_sub(KEPT_CHANGES.into()));
        let mut changes = Vec::new();
        for number in first..numbers.end {
            let change = map.get(&u32::try_from(number % u64::from(KEPT_CHANGES)).unwrap_or(0), 0)?;
            changes.extend((change.number == number).then_some(change));
        }
        Ok(changes)
    }

    /// Reads the description of this run, which other processes also change.
    pub fn info(&self) -> Result<RunInfo, MapError> {
        self.open_info()?.get(&0, 0)
    }

    /// Changes the description of this run. Returns whether that was possible now: another process may be changing it.
    pub fn change_info(&self, change: impl FnOnce(&mut RunInfo)) -> Result<bool, MapError> {
        let locked = File::open(self.path.join(RULES)).and_then(|directory| {
            flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
            Ok(directory)
        });
        let _lock = match locked {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            // Somebody has removed the pins, so there is nobody to inform.
            Err(_) => return Ok(true),
        };
        let mut map = self.open_info()?;
        let mut info = map.get(&0, 0)?;
        change(&mut info);
        map.set(0, info, 0)?;
        Ok(true)
    }

    fn open_info(&self) -> Result<Array<MapData, RunInfo>, MapError> {
        Array::try_from(self.open(&INFO)?)
    }

    fn open(&self, spec: &MapSpec) -> Result<Map, MapError> {
        Map::from_map_data(MapData::from_pin(self.path.join(spec.name))?)
    }
}

/// Creates the directory of a run that begins to live. Returns `None` if another process has removed it or its parent.
fn make(path: &Path) -> io::Result<Option<Life>> {
    let mut builder = DirBuilder::new();
    let life = || -> io::Result<_> {
        builder.mode(0o700).create(path)?;
        let Some(life) = Life::begin(path)? else {
            return Ok(None);
        };
        builder.create(path.join(RULES))?;
        Ok(Some(life))
    };
    let mut life = life;
    match life() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        made => made,
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        // The next run removes what cannot be removed now.
        let _ = remove(&self.path, self.life.directory());
        if let Some(parent) = self.path.parent().filter(|_| self.removes_parent) {
            // This fails while other runs are in it.
            let _ = fs::remove_dir(parent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_a_runs_by_its_name() {
        assert_eq!(id(&name(7)), Some(7));
        for other in ["run-", "run-07", "run-+7", "run-x", "run-7 ", "run-4294967296", "7", "remember"] {
            assert_eq!(id(other), None, "{other}");
        }
    }

    #[test]
    fn only_what_a_run_pins_is_removed() {
        let parent = std::env::temp_dir().join(format!("toa-runs-{}", std::process::id()));
        let path = parent.join(name(7));
        assert!(make(&path).unwrap().is_none());
        fs::create_dir(&parent).unwrap();
        let life = make(&path).unwrap().unwrap();
        let [run] = RunDirectory::all(&parent).unwrap().try_into().unwrap();
        assert!(!run.is_dead() && !run.remove_dead().unwrap());
        fs::write(path.join(INFO.name), "").unwrap();
        fs::write(path.join("other"), "").unwrap();
        drop(life);
        assert!(run.is_dead() && run.remove_dead().is_err());
        assert!(path.join("other").exists() && !path.join(INFO.name).exists());
        fs::remove_file(path.join("other")).unwrap();
        assert!(run.remove_dead().unwrap() && !path.exists());
        assert_eq!(RunDirectory::all(&parent).unwrap(), []);
        fs::remove_dir(parent).unwrap();
    }
}
