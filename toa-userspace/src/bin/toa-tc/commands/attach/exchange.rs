//! What a run and other processes tell each other.

use std::convert::Infallible;

use toa_common::run_activity::RunActivity;
use toa_userspace::{
    ledger::Ledger,
    live::{maps::counters::Counters, runs::pins::Pins},
};
use tokio::sync::watch;

use super::{
    activity::show_activity,
    existing::SharedFlows,
    metrics::{Metrics, serve},
    progress::show_progress,
    rule_changes::report_rule_changes,
};

/// Shows other processes what was found so far, reports what they change, and serves metrics.
pub(super) async fn exchange(
    pins: Option<&Pins>,
    counters: &Counters,
    flows: &SharedFlows,
    pipeline: &watch::Receiver<Ledger>,
    metrics: Option<Metrics>,
) -> Infallible {
    let (found, seen) = watch::channel(RunActivity::default());
    tokio::select! {
        never = show_activity(pins, counters, flows, pipeline, found) => never,
        never = report_rule_changes(pins) => never,
        never = serve(metrics, counters, &seen) => never,
        never = show_progress(seen.clone()) => never,
    }
}
