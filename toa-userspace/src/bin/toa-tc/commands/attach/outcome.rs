//! What is reported at the end of a run: its counts and its failures.

use anyhow::{Error, Result};
use toa_userspace::{
    ledger::{Ledger, counters::Snapshot, examples::Examples, kernel::KernelLedger},
    print::{
        hidden::Hidden,
        ledger::{Equation, PACKETS_AFTER_GRO, PAYLOAD_BYTES, Summary},
    },
};

use crate::stderr;

/// The counts of the whole run.
#[derive(Clone)]
pub(super) struct Counts {
    pub(super) counters: Snapshot,
    pub(super) pipeline: Ledger,
    pub(super) examples: Examples,
    pub(super) evicted: u64,
    pub(super) hidden: Hidden,
}

impl Counts {
    /// Returns them for printing. `is_unwritten` says whether results could not be written.
    pub(super) fn summary(&self, is_unwritten: bool) -> Summary<'_> {
        let Self { counters, pipeline, examples, evicted, hidden } = self;
        Summary {
            counters,
            pipeline,
            examples,
            evicted: *evicted,
            after_gro: true,
            hidden: *hidden,
            is_unwritten,
        }
    }
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
