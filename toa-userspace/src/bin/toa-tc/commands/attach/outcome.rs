//! What is reported at the end of a run: its counts and its failures.

use anyhow::{Error, Result};
use toa_userspace::{
    ledger::{counters::Snapshot, kernel::KernelLedger},
    live::maps::bypass::BypassMap,
    pipeline::Pipeline,
    print::ledger::{Equation, PACKETS_AFTER_GRO, PAYLOAD_BYTES, Summary},
};

use crate::stderr;

/// Returns the counts of the whole run.
pub(super) fn summary<'a>(
    counters: &'a Snapshot,
    pipeline: &'a Pipeline<BypassMap>,
    evicted: u64,
) -> Summary<'a> {
    Summary { counters, pipeline: pipeline.ledger(), examples: pipeline.examples(), evicted, after_gro: true }
}

/// Returns the kernel's half of the ledger.
pub(super) fn half(kernel: &KernelLedger) -> String {
    let (packets, bytes) = (kernel.packets(), kernel.bytes());
    format!(
        "toa-tc: {PACKETS_AFTER_GRO}: {}\ntoa-tc: {PAYLOAD_BYTES}: {}\n\
         toa-tc: the counts of requests, connections and gaps are missing\n",
        Equation(&packets),
        Equation(&bytes)
    )
}

/// Returns the last of these errors, after reporting the others.
pub(super) fn fail(errors: impl IntoIterator<Item = Option<Error>>) -> Result<()> {
    let mut errors = errors.into_iter().flatten().peekable();
    while let Some(error) = errors.next() {
        if errors.peek().is_none() {
            return Err(error);
        }
        stderr::error(format_args!("{error:#}"));
    }
    Ok(())
}
