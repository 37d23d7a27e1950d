//! Responsible for the loop that reads the rings, feeds the pipeline and writes results. Not responsible for when
//! it begins and ends.

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

/// How often the rings are read even if none has reached its watermark: the last records before a silence would
/// never be.
const TICK: Duration = Duration::from_millis(10);

/// Why a reader has nothing more to do.
#[derive(Debug)]
pub enum Done {
    /// As many requests were printed as were asked for.
    Count,
    /// The output could not be written.
    Output(io::Error),
}

/// Reads until `stop` says so, then once more, and returns the ledger and the output. What ends the need to read before that is
/// sent to `done`, once; from then on nothing is written, but everything is still read, so that the ledger adds
/// up. `clock_offset_ns` is the pipeline's.
///
/// Writing blocks: while nobody reads our output, nobody reads the rings, and what they lose is counted.
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
            // The sender is only gone when the run is.
            _ = stop.wait_for(|stop| *stop) => true,
        };
        // Taken before reading: see the pipeline's order of calls.
        let now_ns = clock::monotonic_ns() + clock_offset_ns;
        rings.get_mut().drain(|sample| {
            // An error is counted in the ledger.
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
            // The receiver is only gone when the run is.
            let _ = done.try_send(finding);
        }
        if stops {
            return Ok((*pipeline.ledger(), sink.into_inner()));
        }
    }
}
