//! The loop that reads the rings, feeds the pipeline and flushes the results.

use std::{io, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};

use super::Rings;
use crate::{
    ledger::Ledger,
    live::host::clock,
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

/// Reads until `stop` is true, then once more, and returns the ledger and the output. A reason to end the run earlier
/// is sent to `done`, once. From then on nothing is written, but everything is still read, so that the ledger adds up.
/// `clock_offset_ns` is the pipeline's.
///
/// Writing blocks. While our output is not read, the rings are not read either, and their losses are counted.
pub async fn read<S: FlushSink, B: BypassTable>(
    rings: Rings,
    mut pipeline: Pipeline<B>,
    clock_offset_ns: u64,
    mut sink: RequestLimit<S>,
    mut stop: watch::Receiver<bool>,
    done: mpsc::Sender<Done>,
) -> io::Result<(Ledger, S)> {
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
        let now_ns = clock::monotonic_ns() + clock_offset_ns;
        rings.get_mut().drain(|sample| {
            // Errors are counted in the ledger.
            let _ = pipeline.sample(sample, &mut sink);
        });
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
            return Ok((*pipeline.ledger(), sink.into_inner()));
        }
    }
}
