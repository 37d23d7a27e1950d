//! What every step of a connection needs.

use crate::{ledger::Ledger, limits::Limits};

/// Bounds, counts and the sink.
pub(super) struct Context<'a, S> {
    pub(super) limits: &'a Limits,
    pub(super) ledger: &'a mut Ledger,
    pub(super) sink: &'a mut S,
}
