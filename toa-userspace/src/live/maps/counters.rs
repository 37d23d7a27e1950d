//! The counters that the kernel program increments.

use aya::{
    Pod,
    maps::{MapData, MapError, PerCpuArray},
};
use toa_common::counters::{Counter, CounterValues};

use crate::ledger::counters::Snapshot;

/// One CPU's values in the map.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Values(CounterValues);

// SAFETY: an array of integers, without padding and with no invalid values.
unsafe impl Pod for Values {}

/// The counters of a run.
pub struct Counters(PerCpuArray<MapData, Values>);

impl Counters {
    /// Wraps the map `COUNTERS`.
    pub fn new(map: aya::maps::Map) -> Result<Self, MapError> {
        PerCpuArray::try_from(map).map(Self)
    }

    /// Reads the counters and adds up the values of all CPUs.
    pub fn read(&self) -> Result<Snapshot, MapError> {
        let mut sums = Snapshot::default();
        for Values(values) in self.0.get(&0, 0)?.iter() {
            sums.add_all(values);
        }
        Ok(sums)
    }

    /// Returns what each CPU has written to its ring.
    pub fn written(&self) -> Result<Vec<Written>, MapError> {
        let of_cpu = |Values(values): &Values| {
            let of = |counter: Counter| values.get(counter as usize).copied().unwrap_or(0);
            Written {
                emitted: of(Counter::Emitted),
                full: of(Counter::LostRingFull),
                refused: of(Counter::LostNoReader).saturating_add(of(Counter::LostOther)),
            }
        };
        Ok(self.0.get(&0, 0)?.iter().map(of_cpu).collect())
    }
}

/// What a CPU has written to its ring, in packets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// Packets that were written.
    pub emitted: u64,
    /// Packets that were lost because the ring was full.
    pub full: u64,
    /// Packets that were lost because there was no ring, or for another reason.
    pub refused: u64,
}
