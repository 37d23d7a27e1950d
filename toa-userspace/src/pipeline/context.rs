//! The context in which a connection is processed.

use crate::{ledger::Ledger, limits::Limits};

/// The limits, the ledger and the sink of a pipeline.
pub(super) struct Context<'a, S> {
    pub(super) limits: &'a Limits,
    pub(super) ledger: &'a mut Ledger,
    pub(super) sink: &'a mut S,
}
