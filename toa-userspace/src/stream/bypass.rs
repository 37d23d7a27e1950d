//! What the kernel does not copy of a stream.
//!
//! [`Stream::bypass`] says that the next bytes are of no interest and that the kernel knows it ([`toa_common::bypass`]). A
//! packet that lies entirely in that window leaves no record, so the stream learns only from what comes next how much was
//! bypassed: up to there, or to the window's end if that is nearer. This holds
//!
//! - if the kernel takes it late, or never: what comes in order is handed on as ever;
//! - if the client sends less than it announced: the FIN, which is always copied, says where it stops;
//! - for any size: windows follow each other, each at most a quarter of the sequence numbers.
//!
//! Inside a window a lost byte cannot be told from a bypassed one, and need not be: it is no gap, and no hole in it is
//! waited for. Losses are counted by the kernel. What comes after the stream has gone on is late.

use toa_common::bypass::Bypass;

use super::{Stream, context::Context};

impl Stream {
    /// Says that the kernel does not copy the next `bytes`, of which a window has at most [`Bypass::MAX_BYTES`]. What
    /// waits in or after the window goes on.
    pub fn bypass(&mut self, bytes: u64, cx: &mut Context<'_>) {
        if self.started {
            let until = self.next.saturating_add(bytes.min(u64::from(Bypass::MAX_BYTES)));
            self.bypassed = self.bypassed.max(until);
            self.drain(cx);
            self.tidy();
        }
    }

    /// How many of the next bytes the kernel does not copy.
    pub fn bypassed_bytes(&self) -> u64 {
        self.bypassed.saturating_sub(self.next)
    }
}
