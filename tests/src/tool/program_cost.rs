//! The cost of a process's BPF programs, by the kernel's statistics.

use std::{collections::HashSet, fs, os::fd::OwnedFd, time::Duration};

use anyhow::{Context as _, Result};
use aya::{
    programs::loaded_programs,
    sys::{Stats, enable_stats},
};

/// What a BPF program cost.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cost {
    /// The first 15 bytes of its name.
    pub name: String,
    /// How often it ran.
    pub runs: u64,
    /// How long all runs took.
    pub time: Duration,
}

/// The kernel counts runs and time of BPF programs while this exists. That costs time itself.
#[derive(Debug)]
pub struct Counting(OwnedFd);

/// Starts to count.
pub fn count() -> Result<Counting> {
    enable_stats(Stats::RunTime).map(Counting).context("cannot enable the statistics of BPF programs")
}

impl Counting {
    /// Stops to count, and returns what the programs of a process cost in this time, without those that did not run.
    pub fn of(self, process: u32) -> Result<Vec<Cost>> {
        let ids = programs_of(process)?;
        // A program may be freed while they are listed.
        let programs = loaded_programs().filter_map(Result::ok).filter(|program| ids.contains(&program.id()));
        let costs = programs.map(|program| Cost {
            name: String::from_utf8_lossy(program.name()).into_owned(),
            runs: program.run_count(),
            time: program.run_time(),
        });
        let costs = costs.filter(|cost| cost.runs > 0).collect();
        drop(self.0);
        Ok(costs)
    }
}

/// Returns the ids of the programs that a process has descriptors of.
fn programs_of(process: u32) -> Result<HashSet<u32>> {
    let mut ids = HashSet::new();
    for entry in fs::read_dir(format!("/proc/{process}/fdinfo"))? {
        // A descriptor may be closed while they are listed.
        let info = fs::read_to_string(entry?.path()).unwrap_or_default();
        ids.extend(info.lines().filter_map(|line| line.strip_prefix("prog_id:")?.trim().parse::<u32>().ok()));
    }
    Ok(ids)
}
