//! Responsible for one connection's place in HTTP: before a head, in one, in a body, lost or past it. Not
//! responsible for what a head says nor for how long a body is.

mod heads;
mod opening;
mod search;

use bytes::BytesMut;

use super::{
    HttpEvent, NotHttp, PREVIEW_BYTES,
    body::{Body, Progress},
    head::HttpRequest,
    proxy::{Rest, Signature},
    start::Before,
};
use crate::{
    ledger::{HttpLedger, add},
    limits::Limits,
    stream::StreamEvent,
    tls::{ClientHello, HelloReader},
};

/// Longest request line whose beginning alone is looked at, in bytes: what servers accept by default.
const MAX_LINE_BYTES: usize = 8 << 10;

/// How many bytes are collected at a time, so that little is copied behind the end of a head.
const COLLECTED_BYTES: usize = 4 << 10;

/// Where a parser is in its stream.
#[derive(Debug)]
enum State {
    /// Before the connection's first byte, or in what may be the signature of a PROXY header.
    Opening(Signature),
    /// In a PROXY header.
    Proxy(Rest),
    /// In the `ClientHello` of TLS.
    Hello(Box<HelloReader>),
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
            state: State::Opening(Signature::default()),
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
        let buffered = self.unread_bytes();
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
        ledger.rebuffer(buffered, self.unread_bytes());
    }

    /// Drops what is still incomplete: its connection has ended, or there is no memory for it.
    pub fn drop_head(&mut self, ledger: &mut HttpLedger, emit: &mut impl FnMut(HttpEvent<'_>)) {
        let buffered = self.unread_bytes();
        if let State::Hello(_) = self.state {
            self.stop_tls(&ClientHello::default(), ledger, emit);
        }
        if buffered > 0 {
            let is_head = matches!(self.state, State::Head | State::Opening(_));
            self.discard_buffer(ledger);
            if is_head {
                add(&mut ledger.unfinished_heads, 1);
                self.search(ledger);
            }
            ledger.rebuffer(buffered, 0);
        }
    }

    /// Bytes of memory for what is incomplete.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        match &self.state {
            State::Hello(reader) => reader.memory(),
            _ => self.unread_bytes(),
        }
    }

    /// Bytes of which it is not known yet what they are.
    fn unread_bytes(&self) -> usize {
        match &self.state {
            State::Opening(signature) => signature.kept().len(),
            _ => self.buffer.len(),
        }
    }

    /// How many of the next bytes are of no interest, whatever they are; [`u64::MAX`] if that is the rest of the
    /// connection.
    #[must_use]
    pub fn unneeded_bytes(&self) -> u64 {
        match &self.state {
            State::Opening(_) | State::Proxy(_) | State::Hello(_) | State::Head | State::Search => 0,
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
                State::Opening(_) => self.opening(rest, limits, ledger, emit),
                State::Proxy(_) => self.proxy(rest, ledger, emit),
                State::Hello(_) => {
                    self.hello(rest, ledger, emit);
                    return;
                }
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
            State::Hello(_) => self.stop_tls(&ClientHello::default(), ledger, emit),
            State::Proxy(_) => self.search(ledger),
            State::Opening(signature) if !signature.kept().is_empty() => {
                self.discard_buffer(ledger);
                self.search(ledger);
            }
            State::Opening(_) => self.before = Before::Unknown,
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

    fn discard_buffer(&mut self, ledger: &mut HttpLedger) {
        let passed = self.unread_bytes();
        add(&mut ledger.resync_bytes, passed as u64);
        self.buffer = BytesMut::new();
        if let State::Opening(signature) = &mut self.state {
            *signature = Signature::default();
        }
    }
}
