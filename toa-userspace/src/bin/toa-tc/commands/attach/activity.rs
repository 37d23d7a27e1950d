//! Shows other processes, and the server of metrics, what the run has found so far.

use std::{convert::Infallible, time::Duration};

use toa_common::run_activity::{LOSS_REASONS, RunActivity};
use toa_userspace::{
    ledger::{
        Ledger,
        losses::{self, LossCounts, REASONS},
    },
    live::{host::clock, maps::counters::Counters, runs::pins::Pins},
};
use tokio::{sync::watch, time::sleep};

use super::existing::SharedFlows;

/// The interval.
const INTERVAL: Duration = Duration::from_secs(1);

const _: () = assert!(REASONS <= LOSS_REASONS);

/// Shows after each interval what was found until then, if that has changed.
pub(crate) async fn show_activity(
    pins: Option<&Pins>,
    counters: &Counters,
    flows: &SharedFlows,
    pipeline: &watch::Receiver<Ledger>,
    found: watch::Sender<RunActivity>,
) -> Infallible {
    let (mut last, mut is_shown) = (RunActivity::default(), true);
    loop {
        sleep(INTERVAL).await;
        // Counters that cannot be read now cannot be read at the end either, where that is an error.
        let Ok(counters) = counters.read() else {
            continue;
        };
        let ledger = *pipeline.borrow();
        let mut activity = activity(&ledger, &losses::counts(&counters, flows.evicted(), &ledger));
        activity.last_request_ns =
            if activity.requests > last.requests { clock::monotonic_ns() } else { last.last_request_ns };
        let is_new = activity != last;
        if is_new {
            last = activity;
            found.send_replace(activity);
        }
        // If it cannot be shown now, it is after the next interval.
        if is_new || !is_shown {
            is_shown = pins.is_none_or(|pins| pins.show(&activity).is_ok());
        }
    }
}

/// Returns what these counts say. The time of the last request is not among them.
fn activity(ledger: &Ledger, losses: &LossCounts) -> RunActivity {
    let Ledger { stream, plaintext, http, .. } = ledger;
    let mut activity = RunActivity {
        requests: http.requests,
        incomplete_requests: http.incomplete_requests,
        resynchronized_requests: http.resynchronized_requests,
        malformed_requests: http.malformed_requests,
        conflicting_requests: http.conflicting_requests,
        reopened_requests: http.reopened_requests,
        possibly_unread_requests: http.possibly_unread_requests,
        connections: ledger.connections,
        gaps: stream.gaps.saturating_add(plaintext.gaps),
        gap_bytes: stream.gap_bytes.saturating_add(plaintext.gap_bytes),
        used_bytes: stream.used_bytes,
        duplicate_bytes: stream.duplicate_bytes,
        conflicting_bytes: stream.conflicting_bytes,
        discarded_bytes: stream.discarded_bytes(),
        ..RunActivity::default()
    };
    for (to, from) in activity.losses.iter_mut().zip(losses) {
        *to = *from;
    }
    activity
}
