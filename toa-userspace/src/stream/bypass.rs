//! Bytes of a stream that the kernel does not copy.
//!
//! [`Stream::bypass`] says that the next bytes are not needed and that the kernel knows it ([`toa_common::bypass`]). A
//! packet that lies entirely in that window leaves no record. The stream learns only from the next record how much was
//! bypassed: everything up to that record, or up to the window's end if that is nearer. This works
//!
//! - if the kernel applies the window late or never: bytes that arrive in order are handed on as usual;
//! - if the client sends less than it announced: the FIN, which is always copied, shows where it stopped;
//! - if the kernel opens the window itself ([`Stream::pass_bypassed`]);
//! - for any length: windows follow each other, each at most a quarter of the sequence numbers long.
//!
//! Inside a window, a lost byte cannot be distinguished from a bypassed one, and need not be: it is no gap, and the
//! stream does not wait for it. The kernel counts losses. Bytes that arrive after the stream has passed them are late.

use toa_common::{bypass::Bypass, seq::Seq};

use super::{Stream, context::Context};

impl Stream {
    /// Tells the stream that the kernel does not copy the next `bytes`; a window has at most [`Bypass::MAX_BYTES`] of
    /// them. Data that waits in the window, or directly after it, is handed on.
    pub fn bypass(&mut self, bytes: u64, cx: &mut Context<'_>) {
        if self.started {
            let until = self.next.saturating_add(bytes.min(u64::from(Bypass::MAX_BYTES)));
            self.bypassed = self.bypassed.max(until);
            self.drain(cx);
            self.tidy();
        }
    }

    /// Hands on that the bytes up to `end` were bypassed, as far as they are in the window: they have arrived.
    pub fn pass_bypassed(&mut self, end: Seq, cx: &mut Context<'_>) {
        self.pass_over(self.position(end).min(self.bypassed), cx);
        self.drain(cx);
        self.tidy();
    }

    /// Returns how many bytes of the stream are missing up to `end`; `None` if it has not started or has passed that.
    pub fn bytes_until(&self, end: Seq) -> Option<u64> {
        self.position(end).checked_sub(self.next).filter(|_| self.started)
    }

    /// Returns how many of the next bytes the kernel does not copy.
    pub fn bypassed_bytes(&self) -> u64 {
        self.bypassed.saturating_sub(self.next)
    }
}
