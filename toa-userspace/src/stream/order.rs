//! Responsible for what the kernel was ordered not to copy of a stream. Not responsible for giving orders.
//!
//! [`Stream::order`] says that the next bytes are of no interest and that the kernel knows it
//! ([`toa_common::order`]). A packet that lies wholly in that window leaves no record, so the stream learns only
//! by what comes next how much was skipped: up to there, or to the window's end if that is nearer. This holds
//!
//! - if the order comes late, or is not carried out: what comes in order is handed on as ever;
//! - if the client sends less than it announced: the FIN, which is always copied, says where it stops;
//! - for any size: windows follow each other, each at most a quarter of the sequence numbers.
//!
//! Inside a window nobody can tell a lost byte from a skipped one, and nobody needs to: it is no gap, and no hole
//! in it is waited for. Losses are counted by the kernel. What comes after the stream has gone on is late.

use toa_common::order::Order;

use super::{Stream, StreamEvent};
use crate::ledger::StreamLedger;

impl Stream {
    /// Says that the kernel is ordered not to copy the next `bytes` ones, of which a window has at most
    /// [`Order::MAX_BYTES`]. What waits in or behind the window goes on.
    pub fn order(
        &mut self,
        bytes: u64,
        ledger: &mut StreamLedger,
        deliver: &mut impl FnMut(StreamEvent<'_>),
    ) {
        if self.started {
            let until = self.next.saturating_add(bytes.min(u64::from(Order::MAX_BYTES)));
            self.ordered = self.ordered.max(until);
            self.drain(ledger, deliver);
            self.tidy();
        }
    }

    /// How many of the next bytes the kernel was ordered not to copy.
    #[must_use]
    pub fn ordered_bytes(&self) -> u64 {
        self.ordered.saturating_sub(self.next)
    }
}
