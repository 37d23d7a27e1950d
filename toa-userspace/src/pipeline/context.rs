//! The context in which a connection is processed.

use crate::{http::HeadMemory, ledger::Ledger, limits::Limits, rule::matcher::Matcher};

/// The limits, the ledger, the memory and the sink of a pipeline.
pub(super) struct Context<'a, S> {
    pub(super) limits: &'a Limits,
    /// The rules for what is handed to the sink, if not everything is.
    pub(super) rules: Option<&'a Matcher>,
    pub(super) ledger: &'a mut Ledger,
    /// When the rings last lost packets, in nanoseconds since the Unix epoch.
    pub(super) lost_ns: Option<u64>,
    pub(super) heads: &'a mut HeadMemory,
    pub(super) sink: &'a mut S,
}
