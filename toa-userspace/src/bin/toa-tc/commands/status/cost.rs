//! What the programs of a run cost.

use std::{fmt, io, time::Duration};

use serde::Serialize;
use toa_userspace::{
    live::{
        program::chain::{self, Cost},
        runs::Run,
    },
    print::count::Count,
};

/// How long to sample run counts.
pub(super) const MEASURED: Duration = Duration::from_secs(1);

#[derive(Serialize)]
pub(super) struct CostReport {
    /// Runs that the kernel measured.
    pub(super) runs: u64,
    ns_per_run: u64,
    /// The rate in the last sample.
    runs_per_second: u64,
}

/// Returns the programs of a run, and their cost.
pub(super) fn users_of(run: &Run) -> io::Result<(Vec<u32>, Cost)> {
    chain::users_of(run.info.counters_id())
}

impl CostReport {
    /// Computes averages of `cost`. The last `time` contained `last` of its runs.
    pub(super) fn new(cost: Cost, last: u64, time: Duration) -> Self {
        let per_second = u128::from(last) * 1_000_000_000 / time.as_nanos().max(1);
        Self {
            runs: cost.runs,
            ns_per_run: cost.run_time_ns.checked_div(cost.runs).unwrap_or(0),
            runs_per_second: u64::try_from(per_second).unwrap_or(u64::MAX),
        }
    }
}

impl fmt::Display for CostReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, ns_per_run, runs_per_second } = self;
        let (runs, per_second) = (Count(*runs), Count(*runs_per_second));
        write!(f, "{ns_per_run} ns a run over {runs} measured runs; now {per_second} runs/s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_told_by_run_and_by_second() {
        let report = |cost, last, time| {
            let CostReport { runs, ns_per_run, runs_per_second } = CostReport::new(cost, last, time);
            (runs, ns_per_run, runs_per_second)
        };
        let cost = Cost { runs: 3000, run_time_ns: 600_000 };
        assert_eq!(report(cost, 1000, Duration::from_millis(500)), (3000, 200, 2000));
        assert_eq!(report(Cost::default(), 0, Duration::ZERO), (0, 0, 0));
    }
}
