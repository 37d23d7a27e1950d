//! What every step of the parser needs.

use crate::{event::Event, ledger::HttpLedger, limits::Limits};

/// Bounds, counts, and where events go.
pub struct Context<'a> {
    /// What a head may have.
    pub limits: &'a Limits,
    /// What was found.
    pub ledger: &'a mut HttpLedger,
    /// Takes what is found.
    pub emit: &'a mut dyn FnMut(&Event<'_>),
}
