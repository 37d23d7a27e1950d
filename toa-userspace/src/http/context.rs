//! The context in which a parser works.

use crate::{event::Event, ledger::HttpLedger, limits::Limits};

/// The limits, the ledger and the receiver of a parser.
pub struct Context<'a> {
    /// The limits on heads.
    pub limits: &'a Limits,
    /// Counts what is found.
    pub ledger: &'a mut HttpLedger,
    /// Takes the events.
    pub emit: &'a mut dyn FnMut(&Event<'_>),
}
