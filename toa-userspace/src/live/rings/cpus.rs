//! CPUs that need a new ring while a run lasts: those that come online, also if they had one before they went offline, and
//! those whose ring is stuck.
//!
//! Some kernels (seen on 6.18) stop writing to a ring after it was full for long, although it is empty: every packet is
//! refused as if the ring were full. The cause is not known; a new ring is written to.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::fd::{AsFd as _, OwnedFd},
    time::{Duration, Instant},
};

use aya::maps::MapData;

use super::{PerfError, Ring, Rings, opener::Opener};
use crate::live::maps::counters::{Counters, Written};

/// The CPUs that are online. A container may show others.
const ONLINE: &str = "/sys/devices/system/cpu/online";

/// How long not to open the ring of a CPU again if its packets are lost although it was just opened.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many times in a row a CPU must have lost packets to a full ring, and written none, although the ring was read in
/// between, until the ring is stuck. Once may be chance: the losses may have come before the reading.
const STUCK: u32 = 2;

/// Why a CPU has a new ring.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// It came online.
    Online,
    /// Its ring was stuck.
    Stuck,
}

/// What has changed since the last look.
#[derive(Debug, Default)]
pub struct Changes {
    /// CPUs that went offline.
    pub offline: Vec<u32>,
    /// The new rings.
    pub rings: Vec<(u32, Cause, Result<Ring, PerfError>)>,
}

/// Opens the rings of these CPUs.
#[derive(Debug)]
pub struct Cpus {
    opener: Opener,
    map: OwnedFd,
    /// The size of each ring.
    bytes: usize,
    online: BTreeSet<u32>,
    /// What each CPU has written, and how many times in a row its ring seemed to be stuck.
    written: Vec<(Written, u32)>,
    /// When rings were opened.
    opened: BTreeMap<u32, Instant>,
}

impl Cpus {
    /// Prepares to open rings of the perf event array `map` beside `rings`, with the same size of `bytes`.
    pub fn new(opener: Opener, map: &MapData, bytes: usize, rings: &Rings) -> std::io::Result<Self> {
        let map = map.fd().as_fd().try_clone_to_owned()?;
        let online = online().unwrap_or_else(|| rings.cpus().collect());
        Ok(Self { opener, map, bytes, online, written: Vec::new(), opened: BTreeMap::new() })
    }

    /// Opens the rings of CPUs that came online since the last call, as the system says or as lost packets show, and of
    /// those whose ring is stuck. `were_read` says whether all rings were read since the last call.
    pub fn open(&mut self, counters: &Counters, were_read: bool) -> Changes {
        let mut changes = Changes::default();
        let mut cpus = BTreeMap::new();
        if let Some(online) = online() {
            changes.offline.extend(self.online.difference(&online));
            cpus.extend(online.difference(&self.online).map(|cpu| (*cpu, Cause::Online)));
            self.online = online;
        }
        // Counters that cannot be read now cannot be read at the end either, where that is an error.
        if let Ok(written) = counters.written() {
            self.written.resize(written.len(), Default::default());
            for (cpu, (now, (before, stuck))) in (0..).zip(written.into_iter().zip(&mut self.written)) {
                let is_due = self.opened.get(&cpu).is_none_or(|opened| opened.elapsed() > PATIENCE);
                if now.refused > before.refused && is_due {
                    cpus.entry(cpu).or_insert(Cause::Online);
                }
                if now.emitted > before.emitted {
                    *stuck = 0;
                } else if now.full > before.full && were_read {
                    *stuck += 1;
                }
                if *stuck >= STUCK && is_due {
                    *stuck = 0;
                    cpus.entry(cpu).or_insert(Cause::Stuck);
                }
                *before = now;
            }
        }
        for (cpu, cause) in cpus {
            self.opened.insert(cpu, Instant::now());
            let event = self.opener.open(cpu, self.bytes);
            match event.and_then(|event| Ring::new(event, self.map.as_fd(), cpu, self.bytes)) {
                // It went offline again.
                Err(error) if error.is_offline() => {}
                ring => changes.rings.push((cpu, cause, ring)),
            }
        }
        changes
    }
}

/// Returns the CPUs that are online, if the system says so.
fn online() -> Option<BTreeSet<u32>> {
    parse(&fs::read_to_string(ONLINE).ok()?)
}

/// Parses a list of CPUs, such as `0-3,8`.
fn parse(text: &str) -> Option<BTreeSet<u32>> {
    let mut cpus = BTreeSet::new();
    for range in text.trim().split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        cpus.extend(first..=last);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_parsed() {
        let parse = |text| parse(text).map(|cpus| cpus.into_iter().collect::<Vec<_>>());
        assert_eq!(parse("0-2,8\n"), Some(vec![0, 1, 2, 8]));
        assert_eq!(parse("0\n"), Some(vec![0]));
        assert_eq!(parse("\n"), Some(vec![]));
        assert_eq!(parse("0-\n"), None);
    }
}
