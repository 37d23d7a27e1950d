//! What all BPF programs of a process cost together.

use std::time::Duration;

use toa_tests::tool::program_cost;

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

impl Cost {
    /// Sums up what programs cost in a time, if any ran.
    pub(crate) fn sum(programs: &[program_cost::Cost], time: Duration) -> Option<Self> {
        let runs: u64 = programs.iter().map(|program| program.runs).sum();
        let spent: Duration = programs.iter().map(|program| program.time).sum();
        #[expect(clippy::cast_precision_loss, reason = "a cost is for people")]
        let cost = Self {
            runs,
            ns_per_run: spent.as_secs_f64() * 1e9 / runs as f64,
            share: spent.as_secs_f64() / time.as_secs_f64(),
        };
        (runs > 0).then_some(cost)
    }
}
