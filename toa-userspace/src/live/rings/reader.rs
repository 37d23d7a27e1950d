//! Responsible for the loop that reads the rings, feeds the pipeline and writes results. Not responsible for when
//! it begins and ends.

use std::{io, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};

use toa_common::order::Order;

use crate::{
    ledger::Ledger,
    live::{host::clock, maps::orders::Orders, rings::Rings},
    pipeline::{
        Event, Pipeline, Sink,
        connection::Connection,
        request_limit::{Limited, Output},
    },
};

/// How often the rings are read even if none has reached its watermark: the last records before a silence would
/// never be.
const TICK: Duration = Duration::from_millis(10);

/// Why a reader has nothing more to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Done {
    /// As many requests were printed as were asked for.
    Count,
    /// The output could not be written.
    Output(io::Error),
}

/// Passes orders on to the kernel, and everything else to the output.
struct Ordering<O> {
    output: Limited<O>,
    orders: Orders,
}

impl<O: Output> Sink for Ordering<O> {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) {
        self.output.event(connection, event);
    }

    fn order(&mut self, connection: &Connection, order: &Order) -> bool {
        self.orders.give(&connection.key, order)
    }

    fn withdraw(&mut self, connection: &Connection) {
        self.orders.withdraw(&connection.key, connection.generation);
    }
}

/// The kernel's side of a reader.
pub struct Kernel {
    /// What it streams.
    pub rings: Rings,
    /// What it need not stream.
    pub orders: Orders,
}

/// Reads until `stop` says so, then once more, and returns the ledger and the output. What ends the need to read before that is
/// sent to `done`, once; from then on nothing is written, but everything is still read, so that the ledger adds
/// up. `clock_offset_ns` is the pipeline's.
///
/// Writing blocks: while nobody reads our output, nobody reads the rings, and what they lose is counted.
pub async fn read<O: Output>(
    kernel: Kernel,
    mut pipeline: Pipeline,
    clock_offset_ns: u64,
    output: O,
    count: Option<u64>,
    mut stop: watch::Receiver<bool>,
    done: mpsc::Sender<Done>,
) -> io::Result<(Ledger, O)> {
    let Kernel { rings, orders } = kernel;
    let mut rings = rings.register()?;
    let mut sink = Ordering { output: Limited::new(output, count), orders };
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
        let finding = match sink.output.flush() {
            Err(error) => Some(Done::Output(error)),
            Ok(()) if sink.output.is_done() => Some(Done::Count),
            Ok(()) => None,
        };
        if let (Some(finding), false) = (finding, is_done) {
            is_done = true;
            sink.output.silence();
            // The receiver is only gone when the run is.
            let _ = done.try_send(finding);
        }
        if stops {
            return Ok((*pipeline.ledger(), sink.output.into_inner()));
        }
    }
}
