//! The loop that reads the rings, feeds the pipeline and flushes the results.

use std::{io, time::Duration};

use log::debug;
use tokio::sync::{mpsc, watch};

use super::{Ring, Rings};
use crate::{
    ledger::{Ledger, losses::Loss},
    live::host::clock::WallClock,
    pipeline::{
        Pipeline,
        bypass::BypassTable,
        request_limit::{FlushSink, RequestLimit},
    },
};

/// Longest time between two readings, even if no ring has reached its watermark. Without it, the last records before a
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

/// What the reader exchanges with the rest of the run.
#[derive(Debug)]
pub struct Channels {
    /// Becomes true at the end of the run.
    pub stop: watch::Receiver<bool>,
    /// Takes a reason to end the run earlier, once.
    pub done: mpsc::Sender<Done>,
    /// Rings to read as well.
    pub rings: mpsc::Receiver<Ring>,
    /// Losses to write.
    pub losses: mpsc::Receiver<Loss>,
    /// Shows the pipeline's ledger.
    pub ledger: watch::Sender<Ledger>,
}

/// Reads until `stop` is true, then once more, and returns the pipeline and the output. A reason to end the run earlier
/// is sent to `done`. From then on nothing is written, but everything is still read, so that the ledger adds up. The
/// pipeline has the offset of `clock`. Printed times follow the wall clock if it is set.
///
/// It blocks the thread in waiting and in writing: handing each of hundreds of rounds per second over from a thread of the
/// runtime would cost more than the round. While our output is not read, the rings are not read either, and their losses are
/// counted.
pub fn read<S: FlushSink, B: BypassTable>(
    mut rings: Rings,
    mut pipeline: Pipeline<B>,
    mut clock: WallClock,
    mut sink: RequestLimit<S>,
    mut channels: Channels,
) -> io::Result<(Pipeline<B>, S)> {
    // How far the wall clock is ahead of what it was at the start.
    let (mut is_done, mut ahead_ns) = (false, 0);
    loop {
        rings.wait(TICK)?;
        // The sender is dropped only at the end of the run.
        let stops = *channels.stop.borrow() || channels.stop.has_changed().is_err();
        // Taken before reading: see "Order of calls" in the documentation of the pipeline.
        let now_ns = clock.now_ns();
        if let Some(now_ahead_ns) = clock.update() {
            ahead_ns = now_ahead_ns;
            debug!("the wall clock was set: it is {ahead_ns} ns ahead of what it was at the start");
            sink.shift_times(ahead_ns);
        }
        let drained = rings.drain(|sample| {
            sink.packet(sample, clock.offset_ns().saturating_add_signed(ahead_ns));
            // Errors are counted in the ledger.
            let _ = pipeline.sample(sample, &mut sink);
        });
        if drained.lost > 0 {
            pipeline.lost(now_ns);
        }
        pipeline.tick(now_ns, &mut sink);
        // After the ring that this one replaces was read for the last time.
        while let Ok(ring) = channels.rings.try_recv() {
            rings.add(ring).map_err(io::Error::other)?;
        }
        while let Ok(loss) = channels.losses.try_recv() {
            sink.loss(&loss, now_ns);
        }
        channels.ledger.send_replace(*pipeline.ledger());
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
            let _ = channels.done.try_send(finding);
        }
        if stops {
            return Ok((pipeline, sink.into_inner()));
        }
    }
}
