//! The counters that the kernel program increments.

use aya::{
    Pod,
    maps::{MapData, MapError, PerCpuArray},
};
use toa_common::counters::CounterValues;

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
}
