//! The HTTP parser of a connection. It is before a head, in one, in a body, lost, or after the end of HTTP.

use std::borrow::Cow;

use super::{
    NotHttp, PREVIEW_BYTES,
    body::{Body, Progress},
    context::Context,
    framing::Framing,
    head::{self, HttpRequest},
    partial::Partial,
    proxy::{Beginning, Rest, Signature},
    start::{self, Before, Search, Verdict},
};
use crate::{
    event::Event,
    ledger::add,
    stream::StreamEvent,
    tls::{ClientHello, HelloReader},
};

/// How much of an incomplete request line is examined, in bytes: the default limit of servers.
const MAX_LINE_BYTES: usize = 8 << 10;

/// The position of a parser in its stream.
#[derive(Debug)]
enum State {
    /// Before the first byte of the connection, or in what may be the signature of a PROXY header.
    Opening(Signature),
    /// In a PROXY header.
    Proxy(Rest),
    /// In a TLS `ClientHello`.
    Hello(Box<HelloReader>),
    /// In a head, or before it.
    Head(Partial),
    /// In a body.
    Body(Body),
    /// Lost: searching for a request line, of which this may be the beginning.
    Search(Partial),
    /// After the end of HTTP.
    Stopped,
}

/// The parser of one connection.
#[derive(Debug)]
pub struct Parser {
    state: State,
    before: Before,
    requests: u64,
    time_ns: u64,
}

impl Default for Parser {
    fn default() -> Self {
        let state = State::Opening(Signature::default());
        Self { state, before: Before::Unknown, requests: 0, time_ns: 0 }
    }
}

impl Parser {
    /// Processes an event of the stream.
    pub fn accept(&mut self, event: StreamEvent<'_>, cx: &mut Context<'_>) {
        let buffered = self.unread_bytes();
        match event {
            StreamEvent::Start { from_syn } => {
                self.before = if from_syn { Before::Syn } else { Before::Unknown };
            }
            StreamEvent::Data { bytes, time_ns } => {
                self.time_ns = time_ns;
                self.data(bytes, cx);
            }
            StreamEvent::Gap { bytes } => self.gap(bytes, cx),
            StreamEvent::Bypassed { bytes } => {
                add(&mut cx.ledger.bypassed_bytes, bytes);
                self.gap(bytes, cx);
            }
        }
        cx.ledger.rebuffer(buffered, self.unread_bytes());
    }

    /// Drops an incomplete head or `ClientHello`, because the connection has ended or memory is short.
    pub fn drop_head(&mut self, cx: &mut Context<'_>) {
        if let State::Hello(_) = self.state {
            self.stop_tls(&ClientHello::default(), cx);
        }
        let buffered = self.unread_bytes();
        if buffered > 0 {
            add(&mut cx.ledger.resync_bytes, buffered as u64);
            if let State::Search(partial) = &mut self.state {
                partial.take();
            } else {
                add(&mut cx.ledger.unfinished_heads, 1);
                self.lose(cx);
            }
            cx.ledger.rebuffer(buffered, 0);
        }
    }

    /// Returns the memory for incomplete parts, in bytes.
    pub fn buffered_bytes(&self) -> usize {
        match &self.state {
            State::Hello(reader) => reader.memory(),
            _ => self.unread_bytes(),
        }
    }

    /// Returns how many bytes are kept because their meaning is not known yet.
    fn unread_bytes(&self) -> usize {
        match &self.state {
            State::Opening(signature) => signature.kept().len(),
            State::Head(partial) | State::Search(partial) => partial.len(),
            State::Proxy(_) | State::Hello(_) | State::Body(_) | State::Stopped => 0,
        }
    }

    /// Returns how many of the next bytes are not needed, whatever they contain; [`u64::MAX`] for the rest of the
    /// connection.
    pub fn unneeded_bytes(&self) -> u64 {
        match &self.state {
            State::Body(body) => body.unneeded_bytes(),
            State::Stopped => u64::MAX,
            State::Opening(_) | State::Proxy(_) | State::Hello(_) | State::Head(_) | State::Search(_) => 0,
        }
    }

    fn data(&mut self, bytes: &[u8], cx: &mut Context<'_>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match &mut self.state {
                State::Opening(_) => self.opening(rest, cx),
                State::Proxy(_) => self.proxy(rest, cx),
                State::Hello(reader) => {
                    add(&mut cx.ledger.opaque_bytes, rest.len() as u64);
                    if let Some(hello) = reader.read(rest) {
                        self.stop_tls(&hello, cx);
                    }
                    return;
                }
                State::Head(partial) if partial.is_empty() => self.head_in_place(rest, cx),
                State::Head(_) => self.head_in_parts(rest, cx),
                State::Body(body) => {
                    let (passed, progress) = body.pass(rest);
                    add(&mut cx.ledger.body_bytes, passed as u64);
                    self.after_body(progress, cx);
                    rest.get(passed..).unwrap_or_default()
                }
                State::Search(_) => self.search(rest, cx),
                State::Stopped => {
                    add(&mut cx.ledger.opaque_bytes, rest.len() as u64);
                    return;
                }
            };
        }
    }

    /// Looks for a PROXY header in the first bytes of the connection. Returns the bytes that are not part of one.
    fn opening<'b>(&mut self, bytes: &'b [u8], cx: &mut Context<'_>) -> &'b [u8] {
        let State::Opening(signature) = &mut self.state else {
            return bytes;
        };
        let before = *signature;
        match signature.read(bytes) {
            Beginning::Partial => &[],
            Beginning::Other => {
                self.state = State::Head(Partial::default());
                self.data(before.kept(), cx);
                bytes
            }
            Beginning::Header { version, passed } => {
                self.state = State::Proxy(Rest::of(version));
                add(&mut cx.ledger.head_bytes, before.kept().len().saturating_add(passed) as u64);
                (cx.emit)(&Event::Proxy(version));
                bytes.get(passed..).unwrap_or_default()
            }
        }
    }

    /// Skips the rest of a PROXY header. Returns the bytes after it.
    fn proxy<'b>(&mut self, bytes: &'b [u8], cx: &mut Context<'_>) -> &'b [u8] {
        let State::Proxy(header) = &mut self.state else {
            return bytes;
        };
        let passed = header.pass(bytes);
        let rest = bytes.get(passed..).unwrap_or_default();
        add(&mut cx.ledger.head_bytes, passed as u64);
        match header {
            Rest::Done => self.state = State::Head(Partial::default()),
            Rest::Broken => self.stop(NotHttp::Other, rest, cx),
            _ => {}
        }
        rest
    }

    /// Parses a head at the beginning of `bytes`. Returns the bytes after it.
    fn head_in_place<'b>(&mut self, bytes: &'b [u8], cx: &mut Context<'_>) -> &'b [u8] {
        // Empty lines before a request are ignored (RFC 9112 section 2.2).
        let empty = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        add(&mut cx.ledger.head_bytes, empty as u64);
        let bytes = bytes.get(empty..).unwrap_or_default();
        if bytes.is_empty() {
            return bytes;
        }
        let has_line = match self.before.judge(bytes) {
            Verdict::Head { line_is_complete } => line_is_complete,
            verdict => {
                self.turn_away(&verdict, bytes, cx);
                return bytes;
            }
        };
        let end = head::end(bytes, 0);
        let len = end.unwrap_or(bytes.len());
        if len > cx.limits.head_bytes {
            self.oversized(len, cx);
            return bytes.get(len..).unwrap_or_default();
        }
        match end {
            Ok(end) => {
                let (head, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
                self.complete(head.into(), cx);
                rest
            }
            Err(looked) => {
                if let State::Head(partial) = &mut self.state {
                    partial.begin(bytes, looked, has_line);
                }
                &[]
            }
        }
    }

    /// Adds the beginning of `bytes` to a head that is collected in parts. Returns the bytes after the added ones.
    fn head_in_parts<'b>(&mut self, bytes: &'b [u8], cx: &mut Context<'_>) -> &'b [u8] {
        let Self { state: State::Head(partial), before: previous, .. } = self else {
            return bytes;
        };
        let before = partial.len();
        let (added, rest) = partial.collect(bytes);
        // The line is examined again when it may be complete, and as long as it is short.
        if !partial.has_line && (before < MAX_LINE_BYTES || memchr::memchr(b'\n', added).is_some()) {
            match previous.judge(partial.bytes()) {
                Verdict::Head { line_is_complete } => partial.has_line = line_is_complete,
                verdict => {
                    let mut collected = partial.take();
                    self.turn_away(&verdict, &collected, cx);
                    // The collected and the new bytes are processed separately, because a request may begin with
                    // `bytes`.
                    collected.truncate(before);
                    self.data(&collected, cx);
                    return bytes;
                }
            }
        }
        match partial.end() {
            Some(end) if end <= cx.limits.head_bytes => {
                partial.truncate(end);
                let head = partial.take();
                self.complete(Cow::Borrowed(&head), cx);
                bytes.get(end.saturating_sub(before)..).unwrap_or_default()
            }
            None if partial.len() <= cx.limits.head_bytes => rest,
            _ => {
                let passed = partial.take().len();
                self.oversized(passed, cx);
                rest
            }
        }
    }

    /// Handles bytes other than a head at the place of one.
    fn turn_away(&mut self, verdict: &Verdict, bytes: &[u8], cx: &mut Context<'_>) {
        match verdict {
            Verdict::NotHttp(reason) => self.stop(*reason, bytes, cx),
            Verdict::Tls => self.state = State::Hello(Box::default()),
            Verdict::Lost | Verdict::Head { .. } => self.lose(cx),
        }
    }

    /// Emits the request of a complete head and continues after it.
    fn complete(&mut self, head: Cow<'_, [u8]>, cx: &mut Context<'_>) {
        let len = head.len();
        let number = self.requests.saturating_add(1);
        let Ok(request) = HttpRequest::parse(head, self.time_ns, number) else {
            add(&mut cx.ledger.malformed_heads, 1);
            add(&mut cx.ledger.resync_bytes, len as u64);
            self.lose(cx);
            return;
        };
        if request.fields().len() > cx.limits.fields {
            self.oversized(len, cx);
            return;
        }
        self.requests = number;
        add(&mut cx.ledger.head_bytes, len as u64);
        add(&mut cx.ledger.requests, 1);
        add(&mut cx.ledger.faulty_framings, request.framing_fault().is_some().into());
        self.before = if request.method() == b"CONNECT" {
            Before::Last(NotHttp::Connect)
        } else if request.values("upgrade").next().is_some() {
            Before::Last(NotHttp::Upgrade)
        } else {
            Before::Request
        };
        match request.framing() {
            Framing::Length(0) => self.state = State::Head(Partial::default()),
            Framing::Length(length) => self.state = State::Body(Body::Length(length)),
            Framing::Chunked => self.state = State::Body(Body::CHUNKED),
            Framing::Broken => self.lose(cx),
        }
        (cx.emit)(&Event::Request(&request));
    }

    /// Counts a head that exceeds a limit, of which `passed` bytes were skipped.
    fn oversized(&mut self, passed: usize, cx: &mut Context<'_>) {
        add(&mut cx.ledger.oversized_heads, 1);
        add(&mut cx.ledger.resync_bytes, passed as u64);
        self.lose(cx);
    }

    fn after_body(&mut self, progress: Progress, cx: &mut Context<'_>) {
        match progress {
            Progress::More => {}
            Progress::Done => self.state = State::Head(Partial::default()),
            Progress::Broken => self.lose(cx),
        }
    }

    /// Searches `bytes` for a request line. Returns the bytes that are still to be processed.
    fn search<'b>(&mut self, bytes: &'b [u8], cx: &mut Context<'_>) -> &'b [u8] {
        let Self { state: State::Search(partial), .. } = self else {
            return bytes;
        };
        if !partial.is_empty() {
            let line_len = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at.saturating_add(1));
            let (line, rest) = bytes.split_at_checked(line_len).unwrap_or((bytes, &[]));
            let before = partial.len();
            partial.extend(line);
            match start::continues(partial.bytes(), MAX_LINE_BYTES) {
                Search::Request => {
                    let mut head = std::mem::take(partial);
                    head.has_line = true;
                    self.found(head);
                    return rest;
                }
                Search::Partial => return rest,
                Search::Nothing => add(&mut cx.ledger.resync_bytes, before as u64),
            }
            partial.take();
        }
        let (passed, search) = start::find(bytes, MAX_LINE_BYTES);
        add(&mut cx.ledger.resync_bytes, passed as u64);
        let candidate = bytes.get(passed..).unwrap_or_default();
        if search == Search::Request {
            self.found(Partial::default());
            return candidate;
        }
        partial.extend(candidate);
        &[]
    }

    /// Continues with a head: the search has found a request line, of which `collected` was kept.
    fn found(&mut self, collected: Partial) {
        self.state = State::Head(collected);
        self.before = Before::Request;
    }

    /// Starts a search: the place in the stream is lost.
    fn lose(&mut self, cx: &mut Context<'_>) {
        add(&mut cx.ledger.resyncs, 1);
        self.state = State::Search(Partial::default());
    }

    /// Skips bytes that are missing or not needed.
    fn gap(&mut self, gap_bytes: u64, cx: &mut Context<'_>) {
        match &mut self.state {
            State::Stopped => {}
            State::Search(partial) => add(&mut cx.ledger.resync_bytes, partial.take().len() as u64),
            State::Body(body) => {
                let progress = body.pass_gap(gap_bytes);
                self.after_body(progress, cx);
            }
            State::Hello(_) => self.stop_tls(&ClientHello::default(), cx),
            State::Proxy(_) => self.lose(cx),
            State::Opening(signature) if !signature.kept().is_empty() => {
                add(&mut cx.ledger.resync_bytes, signature.kept().len() as u64);
                self.lose(cx);
            }
            State::Opening(_) => self.before = Before::Unknown,
            // Still before the first head, so the next bytes may show what the stream is.
            State::Head(partial)
                if partial.is_empty() && matches!(self.before, Before::Syn | Before::Unknown) =>
            {
                self.before = Before::Unknown;
            }
            State::Head(partial) => {
                let part = partial.take();
                self.incomplete(&part, gap_bytes, cx);
                self.lose(cx);
            }
        }
    }

    /// Emits the part of a head that has arrived.
    fn incomplete(&mut self, part: &[u8], gap_bytes: u64, cx: &mut Context<'_>) {
        let number = self.requests.saturating_add(1);
        let Ok(request) = HttpRequest::parse_incomplete(part, gap_bytes, self.time_ns, number) else {
            add(&mut cx.ledger.resync_bytes, part.len() as u64);
            return;
        };
        self.requests = number;
        add(&mut cx.ledger.head_bytes, part.len() as u64);
        add(&mut cx.ledger.requests, 1);
        add(&mut cx.ledger.incomplete_requests, 1);
        (cx.emit)(&Event::Request(&request));
    }

    /// Stops because the stream is not HTTP from `bytes` on.
    fn stop(&mut self, reason: NotHttp, bytes: &[u8], cx: &mut Context<'_>) {
        add(&mut cx.ledger.not_http, 1);
        self.state = State::Stopped;
        let preview = bytes.get(..PREVIEW_BYTES).unwrap_or(bytes);
        (cx.emit)(&Event::NotHttp { reason, preview });
    }

    /// Stops because the stream is TLS, with this `ClientHello`.
    fn stop_tls(&mut self, hello: &ClientHello, cx: &mut Context<'_>) {
        add(&mut cx.ledger.not_http, 1);
        add(&mut cx.ledger.oversized_hellos, u64::from(hello.is_cut));
        self.state = State::Stopped;
        (cx.emit)(&Event::Tls(hello));
    }
}
