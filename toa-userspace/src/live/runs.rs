//! Finds runs by their pins, selects one, and opens its maps after checking each.

mod descriptions;
mod life;
pub mod pin_directories;
pub mod pins;
pub mod settings;

use std::{
    fmt,
    fs::{self, File},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use aya::maps::{Array, Map, MapData, MapError};
use rustix::fs::{FlockOperation, flock};
use thiserror::Error;
use toa_common::{
    maps::{COUNTERS, FLOWS, INFO, MapSpec, PINNED, PREFIXES, SHAPES, WATCH},
    run_info::{FORMAT, RunInfo, RunInterface},
};

use pin_directories::{DirectoryError, PinDirectories};
use pins::{RULES, RunDirectory};

use crate::live::{
    host::namespace,
    maps::{counters::Counters, flows::Flows, watch::Watch},
};

/// Why runs cannot be found or their pins cannot be used.
#[derive(Debug, Error)]
pub enum RunsError {
    /// A directory of runs cannot be used.
    #[error(transparent)]
    Runs(#[from] DirectoryError),
    /// A directory could not be read, locked or removed.
    #[error("cannot use {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The underlying error.
        #[source]
        source: io::Error,
    },
    /// A pin could not be opened, or its map could not be used.
    #[error("cannot use {path}")]
    Map {
        /// The pin.
        path: PathBuf,
        /// The underlying error.
        #[source]
        source: MapError,
    },
    /// A pin is not what this version expects.
    #[error("{path} is not used: {reason}")]
    Foreign {
        /// The pin.
        path: PathBuf,
        /// How the pin differs from what this version expects.
        reason: String,
    },
}

/// Opens a pin. It is used as a map only if its type and sizes match `spec`, and its ID matches `id`, if given.
pub(crate) fn open(directory: &Path, spec: &MapSpec, id: Option<u32>) -> Result<Map, RunsError> {
    let path = directory.join(spec.name);
    let failed = |source| RunsError::Map { path: path.clone(), source };
    let foreign = |reason| RunsError::Foreign { path: path.clone(), reason };
    if path.is_symlink() {
        return Err(foreign("it is a link".to_owned()));
    }
    let data = MapData::from_pin(&path).map_err(failed)?;
    let info = data.info().map_err(failed)?;
    let kind = info.map_type().map_err(|_| foreign("it is not a map of a known type".to_owned()))?;
    if kind as u32 != spec.kind {
        return Err(foreign(format!("it is a map of type {kind:?}")));
    }
    let sizes = [
        ("bytes of key", info.key_size(), spec.key_size),
        ("bytes of value", info.value_size(), spec.value_size),
        ("entries", info.max_entries(), spec.max_entries.unwrap_or(info.max_entries())),
    ];
    if let Some((what, found, expected)) = sizes.into_iter().find(|(_, found, expected)| found != expected) {
        return Err(foreign(format!("it has {found} {what}, not {expected}")));
    }
    if id.is_some_and(|id| id != info.id()) {
        return Err(foreign("it is another map than the run's".to_owned()));
    }
    Map::from_map_data(data).map_err(failed)
}

/// A run of `attach`.
#[derive(Clone, Debug)]
pub struct Run {
    /// The directory with its pins.
    path: PathBuf,
    /// The run's own description.
    pub info: RunInfo,
}

/// The lock on a run's rules. While it is held, no other toa-tc command changes them.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "it is held, not used")] OwnedFd);

impl Run {
    fn open(RunDirectory { path, id }: RunDirectory) -> Result<Self, RunsError> {
        let pin = path.join(INFO.name);
        let failed = |source| RunsError::Map { path: pin.clone(), source };
        let map = Array::<_, RunInfo>::try_from(open(&path, &INFO, None)?).map_err(failed)?;
        let info = map.get(&0, 0).map_err(failed)?;
        let reason = if info.format != FORMAT {
            Some(format!("it has format {}, this version knows {FORMAT}", info.format))
        } else if info.counters_id() != id {
            Some(format!("it says that its map {} has ID {}", COUNTERS.name, info.counters_id()))
        } else {
            None
        };
        match reason {
            Some(reason) => Err(RunsError::Foreign { path: pin, reason }),
            None => Ok(Self { path, info }),
        }
    }

    /// Locks the rules. Waits while another process changes them.
    pub fn lock(&self) -> Result<Lock, RunsError> {
        let path = self.path.join(RULES);
        let locked = File::open(&path).and_then(|directory| {
            flock(&directory, FlockOperation::LockExclusive)?;
            Ok(directory.into())
        });
        locked.map(Lock).map_err(|source| RunsError::Directory { path, source })
    }

    /// Opens one of the pinned maps.
    fn map<T>(&self, spec: &MapSpec, make: impl FnOnce(Map) -> Result<T, MapError>) -> Result<T, RunsError> {
        let position = PINNED.iter().position(|it| it == spec);
        let id = position.and_then(|at| self.info.map_ids.get(at).copied());
        let map = open(&self.path, spec, id)?;
        make(map).map_err(|source| RunsError::Map { path: self.path.join(spec.name), source })
    }

    /// Opens the rules of the run.
    pub fn watch(&self) -> Result<Watch, RunsError> {
        let (prefixes, shapes) = (self.map(&PREFIXES, Ok)?, self.map(&SHAPES, Ok)?);
        self.map(&WATCH, |rules| Watch::new(rules, prefixes, shapes))
    }

    /// Opens the table of followed connections.
    pub fn flows(&self) -> Result<Flows, RunsError> {
        self.map(&FLOWS, Flows::new)
    }

    /// Opens the counters.
    pub fn counters(&self) -> Result<Counters, RunsError> {
        self.map(&COUNTERS, Counters::new)
    }

    /// Tells the run that up to `count` connections are about to be removed, so that it does not count them as evicted.
    /// The caller must hold the lock.
    pub fn add_removed_flows(&self, count: usize) -> Result<(), RunsError> {
        self.change_info(|info| {
            info.flows_removed_by_others = info.flows_removed_by_others.saturating_add(count as u64);
        })
    }

    /// Tells the run that we added rules, which open connections may match. The caller must hold the lock.
    pub fn note_addition(&self) -> Result<(), RunsError> {
        self.change_info(|info| info.rule_additions = info.rule_additions.wrapping_add(1))
    }

    fn change_info(&self, change: impl FnOnce(&mut RunInfo)) -> Result<(), RunsError> {
        let mut map = self.map(&INFO, Array::<_, RunInfo>::try_from)?;
        let failed = |source| RunsError::Map { path: self.path.join(INFO.name), source };
        let mut info = map.get(&0, 0).map_err(failed)?;
        change(&mut info);
        map.set(0, info, 0).map_err(failed)
    }

    /// Returns the version of the running toa-tc.
    pub fn version(&self) -> String {
        let [major, minor, patch, _] = self.info.version;
        format!("{major}.{minor}.{patch}")
    }

    /// Returns the interfaces' names, separated by commas.
    pub fn interface_names(&self) -> String {
        let names: Vec<_> = self.info.interfaces().iter().map(interface_name).collect();
        names.join(", ")
    }

    fn is_on(&self, interface: &str) -> bool {
        self.info.interfaces().iter().any(|it| it.name() == interface.as_bytes())
    }
}

/// Returns an interface's name as text.
pub fn interface_name(interface: &RunInterface) -> String {
    String::from_utf8_lossy(interface.name()).into_owned()
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RunInfo { pid, network_namespace, .. } = self.info;
        write!(f, "pid {pid} on {} in net:[{network_namespace}]", self.interface_names())
    }
}

/// The runs that were found.
#[derive(Debug, Default)]
pub struct Runs {
    /// Runs that can be used.
    pub alive: Vec<Run>,
    /// What looks like a run or has runs but cannot be used, with the reasons.
    pub refused: Vec<RunsError>,
    /// Directories of killed runs.
    dead: Vec<RunDirectory>,
    /// The directory to keep even if it is empty, if it was chosen.
    kept: Option<PathBuf>,
}

/// The criteria that select a run.
#[derive(Clone, Debug, Default)]
pub struct RunSelector {
    /// The name of an interface that the run is attached to.
    pub interface: Option<String>,
    /// The process ID of the run.
    pub pid: Option<u32>,
}

/// Why a selector does not match exactly one run.
#[derive(Debug)]
pub enum NoSingleRun<'a> {
    /// There is no run, or none that matches.
    None,
    /// Several runs match.
    Several(Vec<&'a Run>),
}

impl Runs {
    /// Finds all runs.
    pub fn find(directories: &PinDirectories) -> Result<Self, RunsError> {
        let mut found = Self { kept: directories.chosen().map(Path::to_owned), ..Self::default() };
        for directory in directories.existing()? {
            let runs = directory.map_err(RunsError::Runs).and_then(|path| {
                RunDirectory::all(&path).map_err(|source| RunsError::Directory { path, source })
            });
            match runs {
                Ok(runs) => runs.into_iter().for_each(|run| found.add(run)),
                Err(error) => found.refused.push(error),
            }
        }
        Ok(found)
    }

    fn add(&mut self, directory: RunDirectory) {
        if directory.is_dead() {
            self.dead.push(directory);
        // Without `INFO`, a run is still starting or already ending.
        } else if directory.path.join(INFO.name).exists() {
            let path = directory.path.clone();
            match Run::open(directory) {
                Ok(run) => self.alive.push(run),
                // The run ended before its pins were opened.
                Err(_) if !path.exists() => {}
                Err(error) => self.refused.push(error),
            }
        }
    }

    /// Returns how many killed runs have left pins.
    pub fn killed(&self) -> usize {
        self.dead.len()
    }

    /// Removes the pins of killed runs, and returns how many runs these were. Those that cannot be removed remain.
    pub fn remove_killed(&mut self) -> usize {
        let mut removed = 0;
        for directory in std::mem::take(&mut self.dead) {
            match directory.remove_dead() {
                Ok(is_removed) => removed += usize::from(is_removed),
                Err(_) if !directory.path.exists() => {}
                Err(source) => {
                    self.refused.push(RunsError::Directory { path: directory.path.clone(), source });
                    self.dead.push(directory);
                    continue;
                }
            }
            let parent = directory.path.parent();
            if let Some(parent) = parent.filter(|parent| self.kept.as_deref() != Some(*parent)) {
                // This fails while other runs are in it.
                let _ = fs::remove_dir(parent);
            }
        }
        removed
    }

    /// Returns the runs that match `selector`. If a run is attached to an interface of the given name in our own
    /// network namespace, runs in other namespaces do not match.
    pub fn selected(&self, selector: &RunSelector) -> Vec<&Run> {
        let mut runs: Vec<_> = self.alive.iter().collect();
        if let Some(pid) = selector.pid {
            runs.retain(|run| run.info.pid == pid);
        }
        if let Some(interface) = &selector.interface {
            runs.retain(|run| run.is_on(interface));
            let own = namespace::inode("self", "net").ok();
            if runs.iter().any(|run| Some(run.info.network_namespace) == own) {
                runs.retain(|run| Some(run.info.network_namespace) == own);
            }
        }
        runs
    }

    /// Returns the only run that matches `selector`.
    pub fn single(&self, selector: &RunSelector) -> Result<&Run, NoSingleRun<'_>> {
        let runs = self.selected(selector);
        match runs.as_slice() {
            [run] => Ok(run),
            [] => Err(NoSingleRun::None),
            _ => Err(NoSingleRun::Several(runs)),
        }
    }
}

/// Returns the kernel's ID of a map.
pub fn map_id(map: &Map) -> Result<u32, MapError> {
    match map {
        Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::LpmTrie(data)
        | Map::Array(data)
        | Map::PerCpuArray(data) => data.info().map(|info| info.id()),
        _ => Err(MapError::InvalidMapType { map_type: 0 }),
    }
}

#[cfg(test)]
mod tests {
    use toa_common::run_info::MAX_INTERFACES;

    use super::*;

    fn run(pid: u32, network_namespace: u64, names: &[&str]) -> Run {
        let mut interfaces = [RunInterface::EMPTY; MAX_INTERFACES];
        for (interface, name) in interfaces.iter_mut().zip(names) {
            interface.name[..name.len()].copy_from_slice(name.as_bytes());
        }
        let info = RunInfo {
            format: FORMAT,
            version: [1, 2, 3, 0],
            pid,
            map_ids: [0; PINNED.len()],
            since_ns: 0,
            pid_namespace: 0,
            network_namespace,
            interface_count: u32::try_from(names.len()).unwrap(),
            flows_removed_by_others: 0,
            rule_additions: 0,
            rule_changes: 0,
            options: 0,
            interfaces,
        };
        Run { path: PathBuf::new(), info }
    }

    fn pids(runs: &Runs, interface: Option<&str>, pid: Option<u32>) -> Vec<u32> {
        let selector = RunSelector { interface: interface.map(str::to_owned), pid };
        runs.selected(&selector).iter().map(|run| run.info.pid).collect()
    }

    #[test]
    fn a_run_is_selected_by_process_or_interface() {
        let own = namespace::inode("self", "net").unwrap();
        let alive = vec![
            run(1, own, &["eth0", "eth1"]),
            run(2, 1, &["eth0"]),
            run(3, 1, &["eth2"]),
            run(4, 2, &["eth2"]),
        ];
        let runs = Runs { alive, ..Runs::default() };
        assert_eq!(pids(&runs, None, None), [1, 2, 3, 4]);
        assert_eq!(pids(&runs, Some("eth0"), None), [1]);
        assert_eq!(pids(&runs, Some("eth0"), Some(2)), [2]);
        assert_eq!(pids(&runs, Some("eth2"), None), [3, 4]);
        assert_eq!(pids(&runs, None, Some(5)), [0; 0]);
        assert_eq!(runs.alive[0].to_string(), format!("pid 1 on eth0, eth1 in net:[{own}]"));
    }
}
