//! What every step of a stream needs.

use super::event::StreamEvent;
use crate::{ledger::StreamLedger, limits::Limits};

/// Bounds, counts, and where bytes go.
pub struct Context<'a> {
    /// What may wait, and for how long.
    pub limits: &'a Limits,
    /// What became of bytes.
    pub ledger: &'a mut StreamLedger,
    /// Takes what is in order.
    pub deliver: &'a mut dyn FnMut(StreamEvent<'_>),
}
