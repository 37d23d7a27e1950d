//! Removes what killed runs have left behind: their pins, and their netlink filters.

use std::{
    collections::{BTreeMap, HashSet},
    io,
};

use anyhow::Error;
use toa_userspace::{
    live::{
        program::leftovers::{self, Leftover},
        runs::Runs,
    },
    print::count::plural,
};

use crate::stderr;

/// What became of the filters of killed runs.
pub(crate) struct Filters {
    /// How many were removed.
    pub(crate) removed: usize,
    /// Whether none remain.
    pub(crate) is_complete: bool,
}

/// Removes the pins of killed runs, reports that, and returns how many runs these were.
pub(crate) fn remove_pins(runs: &mut Runs) -> usize {
    let removed = runs.remove_killed();
    if removed > 0 {
        stderr::note(format_args!("removed the pins of {}", plural(removed, "killed run")));
    }
    removed
}

/// Returns the filters that killed runs have left on the interfaces of our network namespace. `runs` are all runs that can
/// be found.
pub(crate) fn filters(runs: &Runs) -> io::Result<Vec<Leftover>> {
    let living_maps: HashSet<u32> = runs.alive.iter().flat_map(|run| run.info.map_ids).collect();
    leftovers::find(&living_maps)
}

/// Removes the filters that killed runs have left on these interfaces, or on all if there are none, and reports that.
pub(crate) fn remove_filters(runs: &Runs, interfaces: &[String]) -> Filters {
    let mut found = match filters(runs) {
        Ok(found) => found,
        Err(error) => {
            cannot_look(&error);
            return Filters { removed: 0, is_complete: false };
        }
    };
    found.retain(|leftover| interfaces.is_empty() || interfaces.contains(&leftover.interface));
    let mut removed = BTreeMap::<String, usize>::new();
    let mut is_complete = true;
    for leftover in found {
        match leftover.remove() {
            Ok(()) => *removed.entry(leftover.interface).or_default() += 1,
            Err(error) => {
                let (error, interface) = (Error::new(error), leftover.interface);
                stderr::error(format_args!(
                    "cannot remove a filter of a killed run from {interface}: {error:#}"
                ));
                is_complete = false;
            }
        }
    }
    for (interface, count) in &removed {
        let filters = plural(*count, "filter");
        stderr::note(format_args!("removed {filters} of killed runs from {interface}"));
    }
    Filters { removed: removed.values().sum(), is_complete }
}

/// Reports why filters of killed runs are not known.
pub(crate) fn cannot_look(error: &io::Error) {
    stderr::error(format_args!("cannot look for filters of killed runs: {error}"));
}
