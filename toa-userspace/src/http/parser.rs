//! Responsible for one connection's place in HTTP: before a head, in one, in a body, lost or past it. Not
//! responsible for what a head says nor for how long a body is.

use std::borrow::Cow;

use bytes::BytesMut;

use super::{
    HttpEvent, NotHttp, PREVIEW_BYTES,
    body::{Body, Framing, Progress},
    head::{self, HttpRequest},
    start::{self, Before, Start, Verdict},
};
use crate::{
    ledger::{HttpLedger, add},
    limits::Limits,
    stream::StreamEvent,
};

/// Longest request line whose beginning alone is looked at, in bytes: what servers accept by default.
const MAX_LINE_BYTES: usize = 8 << 10;

/// How many bytes are collected at a time, so that little is copied behind the end of a head.
const COLLECTED_BYTES: usize = 4 << 10;

/// Where a parser is in its stream.
#[derive(Clone, Copy, Debug)]
enum State {
    /// In a head, or before one.
    Head,
    /// In a body.
    Body(Body),
    /// Nobody knows: in search of a request line.
    Search,
    /// Behind the last byte of HTTP.
    Stopped,
}

/// The parser of one connection.
#[derive(Debug)]
pub struct Parser {
    state: State,
    before: Before,
    /// The beginning of a head (or, in a search, of a possible request line) that came in parts.
    buffer: BytesMut,
    /// Where to go on looking for the end of the head in `buffer`.
    looked: usize,
    /// Whether `buffer` begins with a complete request line.
    line_is_complete: bool,
    requests: u64,
    time_ns: u64,
}

impl Default for Parser {
    fn default() -> Self {
        Self {
            state: State::Head,
            before: Before::Unknown,
            buffer: BytesMut::new(),
            looked: 0,
            line_is_complete: false,
            requests: 0,
            time_ns: 0,
        }
    }
}

impl Parser {
    /// Takes an event of the stream. What a head may have is in `limits`.
    pub fn accept(
        &mut self,
        event: StreamEvent<'_>,
        limits: &Limits,
        ledger: &mut HttpLedger,
        emit: &mut impl FnMut(HttpEvent<'_>),
    ) {
        let buffered = self.buffer.len();
        match event {
            StreamEvent::Start { from_syn } => {
                self.before = if from_syn { Before::Syn } else { Before::Unknown };
            }
            StreamEvent::Data { bytes, time_ns } => {
                self.time_ns = time_ns;
                self.data(bytes, limits, ledger, emit);
            }
            StreamEvent::Gap { bytes } => self.gap(bytes, ledger, emit),
            StreamEvent::Skipped { bytes } => self.skip(bytes, ledger, emit),
        }
        ledger.rebuffer(buffered, self.buffer.len());
    }

    /// Drops a head that is still incomplete: its connection has ended, or there is no memory for it.
    pub fn drop_head(&mut self, ledger: &mut HttpLedger) {
        let buffered = self.buffer.len();
        if buffered > 0 {
            if let State::Head = self.state {
                add(&mut ledger.unfinished_heads, 1);
                self.search(ledger);
            }
            self.discard_buffer(ledger);
            ledger.rebuffer(buffered, 0);
        }
    }

    /// Bytes that wait for the end of a head.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// How many of the next bytes are of no interest, whatever they are; [`u64::MAX`] if that is the rest of the
    /// connection.
    #[must_use]
    pub fn unneeded_bytes(&self) -> u64 {
        match &self.state {
            State::Head | State::Search => 0,
            State::Body(body) => body.unneeded_bytes(),
            State::Stopped => u64::MAX,
        }
    }

    fn data(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        ledger: &mut HttpLedger,
        emit: &mut impl FnMut(HttpEvent<'_>),
    ) {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match &mut self.state {
                State::Head if self.buffer.is_empty() => self.head_in_place(rest, limits, ledger, emit),
                State::Head => self.head_in_parts(rest, limits, ledger, emit),
                State::Body(body) => {
                    let (passed, progress) = body.pass(rest);
                    add(&mut ledger.body_bytes, passed as u64);
                    self.after_body(progress, ledger);
                    rest.get(passed..).unwrap_or_default()
                }
                State::Search => self.search_in(rest, ledger),
                State::Stopped => {
                    add(&mut ledger.opaque_bytes, rest.len() as u64);
                    return;
                }
            };
        }
    }

    /// Reads a head at the beginning of `bytes`. Returns what is behind it.
    fn head_in_place<'b>(
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
    fn head_in_parts<'b>(
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
        let Ok(mut request) = HttpRequest::parse(head, self.time_ns, number) else {
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
        let (framing, fault) = Framing::of(&request);
        request.framing_fault = fault;
        add(&mut ledger.faulty_framings, fault.is_some().into());
        self.before = if request.method() == b"CONNECT" {
            Before::Last(NotHttp::Connect)
        } else if request.values("upgrade").next().is_some() {
            Before::Last(NotHttp::Upgrade)
        } else {
            Before::Request
        };
        match framing {
            Framing::Length(0) => self.state = State::Head,
            Framing::Length(length) => self.state = State::Body(Body::Length(length)),
            Framing::Chunked => self.state = State::Body(Body::CHUNKED),
            Framing::Broken => self.search(ledger),
        }
        emit(HttpEvent::Request(request));
    }

    fn after_body(&mut self, progress: Progress, ledger: &mut HttpLedger) {
        match progress {
            Progress::More => {}
            Progress::Done => self.state = State::Head,
            Progress::Broken => self.search(ledger),
        }
    }

    fn gap(&mut self, gap_bytes: u64, ledger: &mut HttpLedger, emit: &mut impl FnMut(HttpEvent<'_>)) {
        match &mut self.state {
            State::Stopped => {}
            State::Search => self.discard_buffer(ledger),
            State::Body(body) => {
                let progress = body.pass_gap(gap_bytes);
                self.after_body(progress, ledger);
            }
            // Still at the beginning, for all that can be known: what follows may say what it is.
            State::Head if self.buffer.is_empty() && matches!(self.before, Before::Syn | Before::Unknown) => {
                self.before = Before::Unknown;
            }
            State::Head => {
                let number = self.requests.saturating_add(1);
                if let Ok(request) =
                    HttpRequest::parse_incomplete(&self.buffer, gap_bytes, self.time_ns, number)
                {
                    self.requests = number;
                    let part = std::mem::take(&mut self.buffer);
                    add(&mut ledger.head_bytes, part.len() as u64);
                    add(&mut ledger.requests, 1);
                    add(&mut ledger.incomplete_requests, 1);
                    emit(HttpEvent::Request(request));
                }
                self.discard_buffer(ledger);
                self.search(ledger);
            }
        }
    }

    /// Passes over bytes that are known to be of no interest: see [`Self::unneeded_bytes`].
    fn skip(&mut self, bytes: u64, ledger: &mut HttpLedger, emit: &mut impl FnMut(HttpEvent<'_>)) {
        add(&mut ledger.skipped_bytes, bytes);
        self.gap(bytes, ledger, emit);
    }

    /// Searches `bytes` for a request line. Returns them from there on.
    fn search_in<'b>(&mut self, bytes: &'b [u8], ledger: &mut HttpLedger) -> &'b [u8] {
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
    fn search(&mut self, ledger: &mut HttpLedger) {
        add(&mut ledger.resyncs, 1);
        self.state = State::Search;
    }

    /// The rest of the stream, from `bytes` on, is not HTTP.
    fn stop(
        &mut self,
        reason: NotHttp,
        bytes: &[u8],
        ledger: &mut HttpLedger,
        emit: &mut impl FnMut(HttpEvent<'_>),
    ) {
        add(&mut ledger.not_http, 1);
        self.state = State::Stopped;
        emit(HttpEvent::NotHttp { reason, preview: bytes.get(..PREVIEW_BYTES).unwrap_or(bytes) });
    }

    /// A head is beyond the limit, and `passed` bytes of it were passed over.
    fn oversized(&mut self, passed: usize, ledger: &mut HttpLedger) {
        add(&mut ledger.oversized_heads, 1);
        add(&mut ledger.resync_bytes, passed as u64);
        self.search(ledger);
    }

    fn discard_buffer(&mut self, ledger: &mut HttpLedger) {
        let passed = std::mem::take(&mut self.buffer).len();
        add(&mut ledger.resync_bytes, passed as u64);
    }
}
