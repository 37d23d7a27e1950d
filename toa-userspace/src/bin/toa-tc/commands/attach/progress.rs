//! A line about the progress of a run, where nothing else shows it.

use std::{
    convert::Infallible,
    future::pending,
    time::{Duration, Instant},
};

use toa_common::run_activity::RunActivity;
use toa_userspace::print::count::plural;
use tokio::{sync::watch, time::sleep};

use crate::{format::age, stderr};

/// The interval.
const INTERVAL: Duration = Duration::from_secs(1);

/// Shows what the run has found so far, after each interval.
pub(super) async fn show_progress(found: watch::Receiver<RunActivity>) -> Infallible {
    if !stderr::shows_progress() {
        return pending().await;
    }
    let start = Instant::now();
    loop {
        sleep(INTERVAL).await;
        let RunActivity { requests, connections, losses, .. } = *found.borrow();
        let (requests, connections) = (plural(requests, "request"), plural(connections, "connection"));
        let lost = if losses.iter().all(|loss| *loss == 0) { "nothing" } else { "something" };
        let time = age(start.elapsed());
        stderr::progress(format_args!("{time}: {requests} on {connections}, {lost} lost so far"));
    }
}
