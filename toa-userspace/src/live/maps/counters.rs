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
                emitted: of(Counter::Emitted).saturating_add(of(Counter::PlaintextEmitted)),
                full: of(Counter::LostRingFull).saturating_add(of(Counter::PlaintextLostRingFull)),
                refused: [Counter::LostNoReader, Counter::LostOther, Counter::PlaintextLostNoReader]
                    .map(of)
                    .into_iter()
                    .fold(0, u64::saturating_add),
            }
        };
        Ok(self.0.get(&0, 0)?.iter().map(of_cpu).collect())
    }
}

/// What a CPU has written to its ring, in records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// Packets that were written, and reads of plaintext.
    pub emitted: u64,
    /// Those that were lost because the ring was full.
    pub full: u64,
    /// Those that were lost because there was no ring, and packets that were lost for another reason.
    pub refused: u64,
}
