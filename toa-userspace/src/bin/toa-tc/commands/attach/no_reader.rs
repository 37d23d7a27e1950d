//! Reports once that packets arrive on a CPU without a ring.

use std::{convert::Infallible, future::pending, time::Duration};

use toa_common::counters::Counter;
use toa_userspace::{live::maps::counters::Counters, print::count::plural};
use tokio::time::sleep;

use crate::stderr;

/// Poll interval.
const INTERVAL: Duration = Duration::from_secs(1);

/// Waits for the first such packets, reports them, and then stays pending.
pub(crate) async fn report_no_reader(counters: &Counters) -> Infallible {
    loop {
        sleep(INTERVAL).await;
        // Counters that cannot be read now cannot be read at the end either, where that is an error.
        let lost = counters.read().map_or(0, |counters| counters.get(Counter::LostNoReader));
        if lost > 0 {
            stderr::line(format_args!(
                "{} lost so far (no reader): a CPU came online after toa-tc attached; restart toa-tc to read its packets",
                plural(lost, "packet")
            ));
            return pending().await;
        }
    }
}
