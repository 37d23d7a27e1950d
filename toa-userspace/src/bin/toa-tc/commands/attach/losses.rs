//! Reports losses while the run lasts.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use log::Level;
use toa_userspace::{
    ledger::{
        Ledger,
        losses::{self, Loss, Losses, REASONS},
    },
    live::maps::counters::Counters,
    print::{json::message::About, loss::LossLine},
};
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};

use super::existing::SharedFlows;
use crate::stderr;

/// The interval.
const INTERVAL: Duration = Duration::from_secs(10);

/// Reports after each interval what was lost in it: on stderr, and by `results` in the results. While these are blocked,
/// the losses of several intervals become one.
pub(crate) async fn report_losses(
    counters: &Counters,
    flows: &SharedFlows,
    pipeline: &watch::Receiver<Ledger>,
    results: &mpsc::Sender<Loss>,
) -> Infallible {
    let (mut on_stderr, mut in_results) = (Losses::default(), Losses::default());
    let mut reported = Instant::now();
    let mut ticks = interval(INTERVAL);
    // After a stop, intervals are as long as before.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first one is now.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        // Counters that cannot be read now cannot be read at the end either, where that is an error.
        let Ok(counters) = counters.read() else {
            continue;
        };
        let counts = losses::counts(&counters, flows.evicted(), &pipeline.borrow());
        for loss in on_stderr.until(counts, INTERVAL.as_secs()) {
            let about = About { loss: Some(&loss), ..About::default() };
            stderr::message(Level::Warn, format_args!("{}", LossLine(&loss)), about);
        }
        if results.capacity() >= REASONS {
            let seconds = reported.elapsed().as_secs_f64().round();
            reported = Instant::now();
            for loss in in_results.until(counts, Duration::from_secs_f64(seconds).as_secs()) {
                // There is room, and the receiver is dropped only at the end of the run.
                let _ = results.try_send(loss);
            }
        }
    }
}
