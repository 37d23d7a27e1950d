//! Plaintext of TLS connections, beside their packets.

use super::{Pipeline, bypass::BypassTable, sink::Sink};
use crate::segment::plaintext::Plaintext;

impl<B: BypassTable> Pipeline<B> {
    /// Processes plaintext.
    pub(super) fn read(&mut self, plaintext: &Plaintext<'_>, sink: &mut impl Sink) {
        let Plaintext { segment, is_end } = plaintext;
        if !is_end {
            self.ledger.plaintext.deliver(segment);
        }
        let key = (segment.key, segment.generation);
        let is_open = self.run(key, |open| open.get_mut(&key), sink, |entry, cx| entry.read(plaintext, cx));
        if is_open || *is_end {
            return;
        }
        // The server may read what arrived before the end only afterwards.
        match self.ended.pop(&key) {
            Some(entry) => self.reopen(key, entry, sink),
            None => self.open(key, segment, sink),
        }
        self.run(key, |open| open.peek_mut(&key), sink, |entry, cx| entry.read(plaintext, cx));
    }
}
