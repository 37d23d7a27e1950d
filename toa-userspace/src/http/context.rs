//! The context in which a parser works.

use super::{HeadMemory, ProxyHeader};
use crate::{event::Event, ledger::HttpLedger, limits::Limits};

/// The limits, the ledger, the memory and the receiver of a parser.
pub struct Context<'a> {
    /// The limits on heads.
    pub limits: &'a Limits,
    /// Counts what is found.
    pub ledger: &'a mut HttpLedger,
    /// Memory for reading heads.
    pub heads: &'a mut HeadMemory,
    /// Takes what is found.
    pub receiver: &'a mut dyn Receiver,
}

/// A receiver of what a parser finds in a stream.
pub trait Receiver {
    /// Takes an event.
    fn event(&mut self, event: &Event<'_>);

    /// Called once, before anything else of the stream is read: when it is known whether it begins with a PROXY header.
    /// Returns whether to read the rest.
    fn begin(&mut self, proxy: Option<ProxyHeader>) -> bool;
}

impl<F: FnMut(&Event<'_>)> Receiver for F {
    fn event(&mut self, event: &Event<'_>) {
        self(event);
    }

    fn begin(&mut self, _: Option<ProxyHeader>) -> bool {
        true
    }
}
