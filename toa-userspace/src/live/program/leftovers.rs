//! Netlink filters of killed runs, which stay in the packet path until somebody removes them. (What is attached by TCX
//! goes with its process.)

use std::{collections::HashSet, hash::BuildHasher, io};

use aya::programs::{ProgramError, ProgramInfo, loaded_programs};

use crate::live::{
    host::links::{self, Link},
    program::{
        chain::OURS,
        filters::{self, Filter},
        mark::is_unmarked,
    },
};

/// A filter of a killed run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Leftover {
    /// The interface's name.
    pub interface: String,
    index: u32,
    filter: Filter,
}

impl Leftover {
    /// Returns the filter's priority.
    pub fn priority(&self) -> u16 {
        self.filter.priority
    }

    /// Returns the kernel's ID of the program.
    pub fn program(&self) -> Option<u32> {
        self.filter.program
    }

    /// Removes it.
    pub fn remove(&self) -> io::Result<()> {
        filters::remove(self.index, &self.filter)
    }
}

/// Returns the filters of killed runs on the interfaces of our own network namespace. `living_maps` are IDs of maps of
/// runs that are known to live.
pub fn find<S: BuildHasher>(living_maps: &HashSet<u32, S>) -> io::Result<Vec<Leftover>> {
    let mut found = Vec::new();
    for Link { index, name, .. } in links::list()? {
        let filters = filters::ingress(index)?.into_iter().filter(|filter| filter.program.is_some());
        found.extend(filters.map(|filter| Leftover { interface: name.clone(), index, filter }));
    }
    if found.is_empty() {
        return Ok(found);
    }
    let programs: Vec<ProgramInfo> = loaded_programs().filter_map(listed).collect::<io::Result<_>>()?;
    let ours: HashSet<u32> = programs
        .iter()
        .filter(|program| program.name_as_str().is_some_and(|name| name.starts_with(OURS)))
        .filter(|program| {
            let maps = program.map_ids().ok().flatten();
            maps.is_some_and(|maps| maps.iter().all(|map| !living_maps.contains(map)))
        })
        .map(ProgramInfo::id)
        .collect();
    found.retain(|Leftover { index, filter, .. }| {
        filter.program.is_some_and(|program| ours.contains(&program) && is_unmarked(*index, program))
    });
    Ok(found)
}

/// Returns a program of the list, or `None` if it was unloaded while the programs were listed.
fn listed(program: Result<ProgramInfo, ProgramError>) -> Option<io::Result<ProgramInfo>> {
    match program {
        Ok(program) => Some(Ok(program)),
        Err(ProgramError::SyscallError(error))
            if error.io_error.kind() == io::ErrorKind::PermissionDenied =>
        {
            Some(Err(error.io_error))
        }
        Err(_) => None,
    }
}
