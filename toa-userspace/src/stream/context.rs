//! The context in which a stream works.

use super::event::StreamEvent;
use crate::{ledger::StreamLedger, limits::Limits};

/// The limits, the ledger and the receiver of a stream.
pub struct Context<'a> {
    /// The limits on what may wait, and for how long.
    pub limits: &'a Limits,
    /// Counts what became of segments and bytes.
    pub ledger: &'a mut StreamLedger,
    /// When the rings last lost packets, in nanoseconds since the Unix epoch, if they ever did.
    pub lost_ns: Option<u64>,
    /// Takes data in order, and gaps.
    pub deliver: &'a mut dyn FnMut(StreamEvent<'_>),
}
