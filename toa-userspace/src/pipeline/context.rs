//! The context in which a connection is processed.

use crate::{ledger::Ledger, limits::Limits};

/// The limits, the ledger and the sink of a pipeline.
pub(super) struct Context<'a, S> {
    pub(super) limits: &'a Limits,
    pub(super) ledger: &'a mut Ledger,
    /// When the rings last lost packets, in nanoseconds since the Unix epoch.
    pub(super) lost_ns: Option<u64>,
    pub(super) sink: &'a mut S,
}
