//! Sweeps a run's maps periodically: removes ended connections and counts evicted ones. Also gives back free memory.

use std::{convert::Infallible, time::Duration};

use aya::maps::MapError;
use toa_userspace::live::{
    host::{clock, memory},
    maps::{counters::Counters, flows::evicted},
    runs::pins::Pins,
};
use tokio::time::sleep;

use super::existing::SharedFlows;

/// Interval between sweeps. Several fit into the time for which an ended connection is kept (`LINGER_NS`).
const INTERVAL: Duration = Duration::from_secs(3);

/// Number of sweeps after which free memory is given back.
const SWEEPS_PER_TRIM: u32 = 10;

/// Sweeps periodically, and notes how many connections were evicted.
pub(crate) async fn sweep(flows: &SharedFlows, counters: &Counters, pins: Option<&Pins>) -> Infallible {
    let (mut removed, mut sweeps) = (0, 0_u32);
    loop {
        sleep(INTERVAL).await;
        sweeps = sweeps.wrapping_add(1);
        if sweeps.is_multiple_of(SWEEPS_PER_TRIM) {
            memory::trim();
        }
        // Maps that cannot be read now cannot be read at the end either, where that is an error.
        if let Ok(evicted) = sweep_once(flows, counters, pins, &mut removed) {
            flows.note_evicted(evicted);
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
    flows.note_open(swept.open);
    // Somebody may have removed the pin. Then other processes do not find the run, and cannot remove connections.
    if let Some(info) = pins.and_then(|pins| pins.info().ok()) {
        *removed = info.flows_removed_by_others;
    }
    Ok(evicted(&before, &counters.read()?, swept.open, begun_here, *removed))
}
