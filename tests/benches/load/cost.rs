//! The cost of a process's BPF programs, by the kernel's statistics.

use std::{collections::HashSet, fs, os::fd::OwnedFd, time::Duration};

use anyhow::{Context as _, Result};
use aya::{
    programs::loaded_programs,
    sys::{Stats, enable_stats},
};

/// What BPF programs cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// How often they ran.
    pub(crate) runs: u64,
    /// How long a run took, in nanoseconds.
    pub(crate) ns_per_run: f64,
    /// Their share of a CPU.
    pub(crate) share: f64,
}

/// The kernel counts runs and time of BPF programs while this exists. That costs time itself.
pub(crate) struct Counting(OwnedFd);

/// Starts to count.
pub(crate) fn count() -> Result<Counting> {
    enable_stats(Stats::RunTime).map(Counting).context("cannot enable the statistics of BPF programs")
}

impl Counting {
    /// Stops to count, and returns what the programs of a process cost in this time, if it has any.
    pub(crate) fn of(self, process: u32, time: Duration) -> Result<Option<Cost>> {
        let ids = programs_of(process)?;
        let (mut runs, mut spent) = (0, Duration::ZERO);
        // A program may be freed while they are listed.
        for program in loaded_programs().filter_map(Result::ok).filter(|program| ids.contains(&program.id()))
        {
            runs += program.run_count();
            spent += program.run_time();
        }
        drop(self.0);
        #[expect(clippy::cast_precision_loss, reason = "a cost is for people")]
        let cost = Cost {
            runs,
            ns_per_run: spent.as_secs_f64() * 1e9 / runs as f64,
            share: spent.as_secs_f64() / time.as_secs_f64(),
        };
        Ok((runs > 0).then_some(cost))
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
