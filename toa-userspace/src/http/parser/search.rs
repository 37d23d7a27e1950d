//! Responsible for finding the next request when the place in the stream is lost. Not responsible for when it is.

use super::{MAX_LINE_BYTES, Parser, State};
use crate::{
    http::start::{self, Before, Start},
    ledger::{HttpLedger, add},
};

impl Parser {
    /// Searches `bytes` for a request line. Returns them from there on.
    pub(super) fn search_in<'b>(&mut self, bytes: &'b [u8], ledger: &mut HttpLedger) -> &'b [u8] {
        if !self.buffer.is_empty() {
            let line_len = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at.saturating_add(1));
            let (line, rest) = bytes.split_at_checked(line_len).unwrap_or((bytes, &[]));
            let before = self.buffer.len();
            self.buffer.extend_from_slice(line);
            match start::known_request_line(&self.buffer) {
                Start::Request => {
                    self.found();
                    self.line_is_complete = true;
                    return rest;
                }
                Start::Partial if self.buffer.len() <= MAX_LINE_BYTES => return rest,
                _ => self.buffer.truncate(before),
            }
            self.discard_buffer(ledger);
        }
        let (passed, verdict) = start::find(bytes, MAX_LINE_BYTES);
        add(&mut ledger.resync_bytes, passed as u64);
        let candidate = bytes.get(passed..).unwrap_or_default();
        if verdict == Start::Request {
            self.found();
            return candidate;
        }
        self.buffer.extend_from_slice(candidate);
        &[]
    }

    /// The place in the stream is known again: at a request line.
    fn found(&mut self) {
        self.state = State::Head;
        self.before = Before::Request;
        self.looked = 0;
    }

    /// The place in the stream is lost.
    pub(super) fn search(&mut self, ledger: &mut HttpLedger) {
        add(&mut ledger.resyncs, 1);
        self.state = State::Search;
    }
}
