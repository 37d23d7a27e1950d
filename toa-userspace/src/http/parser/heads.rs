//! Responsible for heads: where they lie in one segment, and where they are cut. Not responsible for finding the next
//! one when the place is lost.

use std::borrow::Cow;

use super::{COLLECTED_BYTES, MAX_LINE_BYTES, Parser, State};
use crate::{
    http::{
        HttpEvent, NotHttp,
        body::Body,
        framing::Framing,
        head::{self, HttpRequest},
        start::{Before, Verdict},
    },
    ledger::{HttpLedger, add},
    limits::Limits,
};

impl Parser {
    /// Reads a head at the beginning of `bytes`. Returns what is behind it.
    pub(super) fn head_in_place<'b>(
        &mut self,
        bytes: &'b [u8],
        limits: &Limits,
        ledger: &mut HttpLedger,
        emit: &mut impl FnMut(HttpEvent<'_>),
    ) -> &'b [u8] {
        // Empty lines before a request are to be ignored (RFC 9112 section 2.2).
        let empty = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        add(&mut ledger.head_bytes, empty as u64);
        let bytes = bytes.get(empty..).unwrap_or_default();
        if bytes.is_empty() {
            return bytes;
        }
        let line_is_complete = match self.before.judge(bytes) {
            Verdict::Head { line_is_complete } => line_is_complete,
            Verdict::NotHttp(reason) => {
                self.stop(reason, bytes, ledger, emit);
                return bytes;
            }
            Verdict::Tls => {
                self.state = State::Hello(Box::default());
                return bytes;
            }
            Verdict::Lost => {
                self.search(ledger);
                return bytes;
            }
        };
        let end = head::end(bytes, 0);
        let len = end.unwrap_or(bytes.len());
        if len > limits.head_bytes {
            self.oversized(len, ledger);
            return bytes.get(len..).unwrap_or_default();
        }
        match end {
            Ok(end) => {
                let (head, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
                self.complete(head.into(), limits, ledger, emit);
                rest
            }
            Err(looked) => {
                self.buffer.extend_from_slice(bytes);
                self.looked = looked;
                self.line_is_complete = line_is_complete;
                &[]
            }
        }
    }

    /// Adds the beginning of `bytes` to the head in `buffer`. Returns what is behind what was added.
    pub(super) fn head_in_parts<'b>(
        &mut self,
        bytes: &'b [u8],
        limits: &Limits,
        ledger: &mut HttpLedger,
        emit: &mut impl FnMut(HttpEvent<'_>),
    ) -> &'b [u8] {
        let (added, rest) = bytes.split_at_checked(COLLECTED_BYTES).unwrap_or((bytes, &[]));
        let before = self.buffer.len();
        self.buffer.extend_from_slice(added);
        // A line is looked at again when it may be complete, and while it is short.
        if !self.line_is_complete && (before < MAX_LINE_BYTES || memchr::memchr(b'\n', added).is_some()) {
            match self.before.judge(&self.buffer) {
                Verdict::Head { line_is_complete } => self.line_is_complete = line_is_complete,
                verdict => {
                    let mut buffer = std::mem::take(&mut self.buffer);
                    match verdict {
                        Verdict::NotHttp(reason) => self.stop(reason, &buffer, ledger, emit),
                        Verdict::Tls => self.state = State::Hello(Box::default()),
                        _ => self.search(ledger),
                    }
                    // What was collected and what came now are looked at one after the other: a request may
                    // begin with `bytes`.
                    buffer.truncate(before);
                    self.data(&buffer, limits, ledger, emit);
                    return bytes;
                }
            }
        }
        match head::end(&self.buffer, self.looked) {
            Ok(end) if end <= limits.head_bytes => {
                self.buffer.truncate(end);
                let head = std::mem::take(&mut self.buffer);
                self.complete(Cow::Borrowed(&head), limits, ledger, emit);
                bytes.get(end.saturating_sub(before)..).unwrap_or_default()
            }
            Err(looked) if self.buffer.len() <= limits.head_bytes => {
                self.looked = looked;
                rest
            }
            _ => {
                let passed = std::mem::take(&mut self.buffer).len();
                self.oversized(passed, ledger);
                rest
            }
        }
    }

    /// Emits the request of a complete head and goes on behind it.
    fn complete(
        &mut self,
        head: Cow<'_, [u8]>,
        limits: &Limits,
        ledger: &mut HttpLedger,
        emit: &mut impl FnMut(HttpEvent<'_>),
    ) {
        let len = head.len();
        let number = self.requests.saturating_add(1);
        let Ok(request) = HttpRequest::parse(head, self.time_ns, number) else {
            add(&mut ledger.malformed_heads, 1);
            add(&mut ledger.resync_bytes, len as u64);
            self.search(ledger);
            return;
        };
        if request.fields().len() > limits.fields {
            self.oversized(len, ledger);
            return;
        }
        self.requests = number;
        add(&mut ledger.head_bytes, len as u64);
        add(&mut ledger.requests, 1);
        add(&mut ledger.faulty_framings, request.framing_fault().is_some().into());
        self.before = if request.method() == b"CONNECT" {
            Before::Last(NotHttp::Connect)
        } else if request.values("upgrade").next().is_some() {
            Before::Last(NotHttp::Upgrade)
        } else {
            Before::Request
        };
        match request.framing() {
            Framing::Length(0) => self.state = State::Head,
            Framing::Length(length) => self.state = State::Body(Body::Length(length)),
            Framing::Chunked => self.state = State::Body(Body::CHUNKED),
            Framing::Broken => self.search(ledger),
        }
        emit(HttpEvent::Request(request));
    }

    /// A head is beyond the limit, and `passed` bytes of it were passed over.
    fn oversized(&mut self, passed: usize, ledger: &mut HttpLedger) {
        add(&mut ledger.oversized_heads, 1);
        add(&mut ledger.resync_bytes, passed as u64);
        self.search(ledger);
    }
}
