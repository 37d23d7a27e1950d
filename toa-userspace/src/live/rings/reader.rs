//! The loop that reads the rings, feeds the pipeline and flushes the results.

use std::{io, time::Duration};

use log::debug;
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};

use super::Rings;
use crate::{
    live::host::clock::WallClock,
    pipeline::{
        Pipeline,
        bypass::BypassTable,
        request_limit::{FlushSink, RequestLimit},
    },
};

/// Interval at which the rings are read even if none has reached its watermark. Without it, the last records before a
/// quiet period would stay unread.
const TICK: Duration = Duration::from_millis(10);

/// A reason to end the run, found by the reader.
#[derive(Debug)]
pub enum Done {
    /// The requested number of requests was printed.
    Count,
    /// The output could not be written.
    Output(io::Error),
}

impl Done {
    /// Returns why the output could not be written, if that is the reason.
    pub fn error(self) -> Option<io::Error> {
        match self {
            Self::Count => None,
            Self::Output(error) => Some(error),
        }
    }
}

/// Reads until `stop` is true, then once more, and returns the pipeline and the output. A reason to end the run earlier
/// is sent to `done`, once. From then on nothing is written, but everything is still read, so that the ledger adds up.
/// The pipeline has the offset of `clock`. Printed times follow the wall clock if it is set.
///
/// Writing blocks. While our output is not read, the rings are not read either, and their losses are counted.
pub async fn read<S: FlushSink, B: BypassTable>(
    rings: Rings,
    mut pipeline: Pipeline<B>,
    mut clock: WallClock,
    mut sink: RequestLimit<S>,
    mut stop: watch::Receiver<bool>,
    done: mpsc::Sender<Done>,
) -> io::Result<(Pipeline<B>, S)> {
    let mut rings = rings.register()?;
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_done = false;
    loop {
        let stops = tokio::select! {
            ready = rings.readable() => {
                ready?.clear_ready();
                false
            }
            _ = tick.tick() => false,
            // The sender is dropped only at the end of the run.
            _ = stop.wait_for(|stop| *stop) => true,
        };
        // Taken before reading: see "Order of calls" in the documentation of the pipeline.
        let now_ns = clock.now_ns();
        if let Some(ahead_ns) = clock.update() {
            debug!("the wall clock was set: it is {ahead_ns} ns ahead of what it was at the start");
            sink.shift_times(ahead_ns);
        }
        let drained = rings.get_mut().drain(|sample| {
            // Errors are counted in the ledger.
            let _ = pipeline.sample(sample, &mut sink);
        });
        if drained.lost > 0 {
            pipeline.lost(now_ns);
        }
        pipeline.tick(now_ns, &mut sink);
        if stops {
            pipeline.finish(&mut sink);
        }
        let finding = match sink.flush() {
            Err(error) => Some(Done::Output(error)),
            Ok(()) if sink.is_reached() => Some(Done::Count),
            Ok(()) => None,
        };
        if let (Some(finding), false) = (finding, is_done) {
            is_done = true;
            sink.silence();
            // The receiver is dropped only at the end of the run.
            let _ = done.try_send(finding);
        }
        if stops {
            return Ok((pipeline, sink.into_inner()));
        }
    }
}
