//! Responsible for reading what the kernel program counted. Not responsible for counting.

use aya::{
    Pod,
    maps::{MapData, MapError, PerCpuArray},
};
use toa_common::counters::CounterValues;

use crate::ledger::counters::Snapshot;

/// One CPU's values, as the map holds them.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Values(CounterValues);

// SAFETY: an array of integers.
unsafe impl Pod for Values {}

/// The counters of a run.
pub struct Counters(PerCpuArray<MapData, Values>);

impl Counters {
    /// The counters in the map `COUNTERS`.
    pub fn new(map: aya::maps::Map) -> Result<Self, MapError> {
        PerCpuArray::try_from(map).map(Self)
    }

    /// Reads and adds them up.
    pub fn read(&self) -> Result<Snapshot, MapError> {
        let mut sums = Snapshot::default();
        for Values(values) in self.0.get(&0, 0)?.iter() {
            sums.add_all(values);
        }
        Ok(sums)
    }
}
