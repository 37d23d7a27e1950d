//! Sweeps a run's maps periodically: removes ended connections and reports evicted ones.

use std::{convert::Infallible, time::Duration};

use aya::maps::MapError;
use toa_userspace::{
    live::{
        host::clock,
        maps::{counters::Counters, flows::evicted},
        runs::pins::Pins,
    },
    print::count::Count,
};
use tokio::time::sleep;

use super::existing::SharedFlows;
use crate::stderr;

/// Interval between sweeps. Several fit into the time for which an ended connection is kept (`LINGER_NS`).
const INTERVAL: Duration = Duration::from_secs(3);

/// Sweeps periodically. Reports evictions whenever their number has grown.
pub(crate) async fn sweep(
    flows: &SharedFlows,
    counters: &Counters,
    pins: Option<&Pins>,
    max_flows: u32,
) -> Infallible {
    let (mut told, mut removed) = (0, 0);
    loop {
        sleep(INTERVAL).await;
        // Maps that cannot be read now cannot be read at the end either, where that is an error.
        let Ok(evicted) = sweep_once(flows, counters, pins, &mut removed) else {
            continue;
        };
        if evicted > told {
            told = evicted;
            stderr::line(format_args!(
                "at least {} open connections were evicted: the table holds {} (--max-flows)",
                Count(evicted),
                Count(max_flows.into())
            ));
        }
    }
}

/// Sweeps once, and returns a lower bound for the number of open connections that the kernel evicted. `removed` is the
/// number of those that other processes removed, as of the last time that it could be read.
fn sweep_once(
    flows: &SharedFlows,
    counters: &Counters,
    pins: Option<&Pins>,
    removed: &mut u64,
) -> Result<u64, MapError> {
    let before = counters.read()?;
    let begun_here = flows.begun_here();
    let swept = flows.lock().sweep(clock::monotonic_ns())?;
    // Somebody may have removed the pin. Then other processes do not find the run, and cannot remove connections.
    if let Some(info) = pins.and_then(|pins| pins.info().ok()) {
        *removed = info.flows_removed_by_others;
    }
    Ok(evicted(&before, &counters.read()?, swept.open, begun_here, *removed))
}
