//! The HTTP parser of a connection. It is before a head, in one, in a body, lost, or after the end of HTTP.

mod frames;
mod gaps;
mod heads;
mod opening;

use toa_common::{body::Position, seq::Seq};

use super::{
    NotHttp, PREVIEW_BYTES,
    body::{Body, Progress},
    context::Context,
    expectation::Expectation,
    framing::Framing,
    head::{Cause, Certainty, HttpRequest, Incomplete, Place},
    http2::{PREFACE, connection::Connection, join::Join},
    long_head::LongHead,
    partial::Partial,
    proxy::{HeaderReader, Signature},
    search::Search,
    start::{Before, is_request_start},
};
use crate::{
    event::Event,
    ledger::add,
    stream::{Arrival, StreamEvent},
    tls::{ClientHello, HelloReader},
};

/// How much of a stream that is not HTTP is searched for a request before a part of it is skipped, in bytes.
const SAMPLE_BYTES: u64 = 64 << 10;

/// The first part of a stream that is not HTTP to be skipped, in bytes. Each further part is twice as long.
const FIRST_SKIP_BYTES: u64 = 1 << 20;

/// The longest part to be skipped, in bytes.
const MAX_SKIP_BYTES: u64 = 64 << 20;

/// The position of a parser in its stream.
#[derive(Debug)]
enum State {
    /// Before the first byte of the connection, or in what may be the signature of a PROXY header.
    Opening(Signature),
    /// In a PROXY header.
    Proxy(HeaderReader),
    /// In a TLS `ClientHello`.
    Hello(Box<HelloReader>),
    /// In a head, or before it.
    Head(Partial),
    /// In a head that is too long, and was emitted.
    LongHead(Box<LongHead>),
    /// In a body. It may have been left out if its client expects a confirmation and none of it was seen.
    Body { body: Body, expectation: Option<Expectation> },
    /// In HTTP/2.
    Http2(Box<Connection>),
    /// Where HTTP/2 may go on.
    Join(Box<Join>),
    /// Lost: searching for a request.
    Search(Search),
    /// In a protocol other than HTTP: searching for a request in the next bytes, then skipping a part.
    Sample { search: Search, left: u64, skip_bytes: u64 },
    /// In a protocol other than HTTP, in a part that is skipped.
    Skip { left: u64, skip_bytes: u64 },
    /// In a protocol that never turns into HTTP.
    Stopped,
    /// On a connection that the receiver does not want.
    Unwanted,
}

/// Whether a connection is TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Tls {
    /// Not as far as is known.
    No,
    /// It is, and is still to be counted, unless its plaintext is read.
    Uncounted,
    /// It is, and was counted.
    Counted,
    /// It is, and its plaintext is read.
    Read,
}

/// The parser of one connection.
#[derive(Debug)]
pub struct Parser {
    state: State,
    before: Before,
    requests: u64,
    /// The segment of the latest bytes.
    latest: Arrival,
    certainty: Certainty,
    /// The first field of the latest request: those of a client hardly change.
    first_field: Option<Place>,
    /// Whether it was found to be HTTP/2.
    is_http2: bool,
    /// The first bytes of a stream that was joined, until a request is found.
    first_bytes: Vec<u8>,
    is_told: bool,
    tls: Tls,
}

impl Default for Parser {
    fn default() -> Self {
        Self {
            state: State::Opening(Signature::default()),
            before: Before::Unknown,
            requests: 0,
            latest: Arrival { time_ns: 0, ack: Seq(0) },
            certainty: Certainty::default(),
            first_field: None,
            is_http2: false,
            first_bytes: Vec::new(),
            is_told: false,
            tls: Tls::No,
        }
    }
}

impl Parser {
    /// Creates the parser of a TLS connection's plaintext, which has no PROXY header: that comes before TLS. It reads the
    /// connection if it `is_wanted`.
    pub fn of_plaintext(is_wanted: bool) -> Self {
        let state = if is_wanted { State::Head(Partial::default()) } else { State::Unwanted };
        Self { state, ..Self::default() }
    }

    /// Takes into account that the stream is TLS whose plaintext is read: it is not searched for a request.
    pub fn leave_to_plaintext(&mut self, cx: &mut Context<'_>) {
        self.tls = Tls::Read;
        self.first_bytes = Vec::new();
        if matches!(self.state, State::Search(_) | State::Sample { .. } | State::Skip { .. }) {
            let unread = self.unread_bytes();
            add(&mut cx.ledger.opaque_bytes, unread as u64);
            cx.ledger.rebuffer(unread, 0);
            self.state = State::Stopped;
        }
    }

    /// Processes an event of the stream.
    pub fn accept(&mut self, event: StreamEvent<'_>, cx: &mut Context<'_>) {
        let buffered = self.unread_bytes();
        match event {
            StreamEvent::Start { is_known } => {
                self.before = if is_known { Before::Start } else { Before::Unknown };
            }
            StreamEvent::Data { bytes, arrival } => {
                self.latest = arrival;
                self.begin_join(bytes);
                self.data(bytes, cx);
            }
            // Of whichever request: it may have been the length of a body, so where the next one begins is a guess.
            StreamEvent::Conflict { .. } => self.certainty.conflicting = true,
            StreamEvent::Reopened => self.certainty.reopened = true,
            StreamEvent::Gap { bytes } => self.gap(bytes, cx),
            StreamEvent::Bypassed { bytes } => {
                add(&mut cx.ledger.bypassed_bytes, bytes);
                self.gap(bytes, cx);
            }
        }
        cx.ledger.rebuffer(buffered, self.unread_bytes());
    }

    /// Gives up an incomplete head or `ClientHello`: emits what is known of it.
    pub fn give_up(&mut self, cause: Cause, cx: &mut Context<'_>) {
        let buffered = self.unread_bytes();
        self.leave_opening(cx);
        self.leave_join(cx);
        match &mut self.state {
            State::Hello(_) => self.stop_tls(&ClientHello::default(), cx),
            State::Head(partial) if !partial.is_empty() => {
                let part = partial.take();
                self.incomplete(&part, Incomplete { cause, gap_bytes: 0 }, cx);
                self.lose(cx);
            }
            State::Http2(connection) => {
                if let Some(block) = connection.give_up() {
                    self.block(*block, Some(Incomplete { cause, gap_bytes: 0 }), None, cx);
                }
            }
            State::Search(search) => search.drop_kept(&mut cx.ledger.resync_bytes),
            State::Sample { search, .. } => search.drop_kept(&mut cx.ledger.opaque_bytes),
            _ => {}
        }
        if self.tls == Tls::Uncounted {
            self.tls = Tls::Counted;
            add(&mut cx.ledger.not_http, 1);
        }
        if self.requests == 0 && cause != Cause::Limit {
            if let State::Http2(_) = self.state {
                self.tell(NotHttp::Http2, PREFACE, cx);
            }
            let first_bytes = std::mem::take(&mut self.first_bytes);
            // It may still be HTTP if it ended within its first head.
            if !first_bytes.is_empty() && !is_request_start(&first_bytes) {
                // Where a stream was joined, they name no protocol, and may be the rest of a password.
                self.tell(NotHttp::Other, &[], cx);
            }
        }
        cx.ledger.rebuffer(buffered, self.unread_bytes());
    }

    /// Returns the memory for incomplete parts, in bytes.
    pub fn buffered_bytes(&self) -> usize {
        match &self.state {
            State::Hello(reader) => reader.memory(),
            State::Proxy(reader) => reader.memory(),
            State::Http2(connection) => connection.memory(),
            State::Join(join) => join.memory(),
            _ => self.unread_bytes(),
        }
    }

    /// Returns how many bytes are kept because their meaning is not known yet.
    fn unread_bytes(&self) -> usize {
        match &self.state {
            State::Opening(signature) => signature.kept().len(),
            State::Head(partial) => partial.len(),
            State::Join(join) => join.len(),
            State::Search(search) | State::Sample { search, .. } => search.len(),
            _ => 0,
        }
    }

    /// Returns how many of the next bytes are not needed, whatever they contain; [`u64::MAX`] for the rest of the
    /// connection.
    pub fn unneeded_bytes(&self) -> u64 {
        match &self.state {
            State::Body { body, expectation: None } => body.unneeded_bytes(),
            State::Http2(connection) => connection.unneeded_bytes(),
            State::Skip { left, .. } => *left,
            State::Stopped | State::Unwanted => u64::MAX,
            _ => 0,
        }
    }

    /// Leaves out the next `bytes`, which belong to the body according to the kernel; it is at `position` then. Returns
    /// `false` if the parser is not in that body.
    pub fn leave_out(&mut self, bytes: u64, position: Position) -> bool {
        match &mut self.state {
            State::Body { body, expectation: None } => body.leave_out(bytes, position),
            _ => false,
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
                State::LongHead(long) => {
                    let (read, framing) = long.read(rest);
                    add(&mut cx.ledger.head_bytes, read as u64);
                    if let Some(framing) = framing {
                        self.begin_body(framing, None, cx);
                    }
                    rest.get(read..).unwrap_or_default()
                }
                State::Body { .. } => self.body(rest, cx),
                State::Http2(_) => self.frames(rest, cx),
                State::Join(_) => return self.join(rest, cx),
                State::Search(_) | State::Sample { .. } => self.search(rest, cx),
                State::Skip { left, skip_bytes } => {
                    let skipped = usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
                    *left = left.saturating_sub(skipped as u64);
                    add(&mut cx.ledger.opaque_bytes, skipped as u64);
                    if *left == 0 {
                        self.state = sample(*skip_bytes);
                    }
                    rest.get(skipped..).unwrap_or_default()
                }
                State::Stopped => {
                    add(&mut cx.ledger.opaque_bytes, rest.len() as u64);
                    return;
                }
                State::Unwanted => {
                    add(&mut cx.ledger.unwanted_bytes, rest.len() as u64);
                    return;
                }
            };
        }
    }

    fn begin_body(&mut self, framing: Framing, expectation: Option<Expectation>, cx: &mut Context<'_>) {
        self.state = match framing {
            // It is empty already.
            Framing::Length(0) if matches!(self.state, State::Head(_)) => return,
            Framing::Length(0) => State::Head(Partial::default()),
            Framing::Length(length) => State::Body { body: Body::Length(length), expectation },
            Framing::Chunked => State::Body { body: Body::CHUNKED, expectation },
            Framing::Broken => return self.lose(cx),
        };
    }

    /// Skips the part of `bytes` that belongs to the body. Returns the bytes after it.
    fn body<'b>(&mut self, bytes: &'b [u8], cx: &mut Context<'_>) -> &'b [u8] {
        let State::Body { body, expectation } = &mut self.state else {
            return bytes;
        };
        if expectation.take().is_some_and(|it| it.is_refused(bytes, self.latest.ack, cx.limits)) {
            self.lose(cx);
            return bytes;
        }
        let (passed, progress) = body.pass(bytes);
        add(&mut cx.ledger.body_bytes, passed as u64);
        self.after_body(progress, cx);
        bytes.get(passed..).unwrap_or_default()
    }

    fn after_body(&mut self, progress: Progress, cx: &mut Context<'_>) {
        match progress {
            Progress::More => {}
            Progress::Done => self.state = State::Head(Partial::default()),
            Progress::Broken => self.lose(cx),
        }
    }

    /// Searches `bytes` for a request. Returns the bytes that are still to be processed.
    fn search<'b>(&mut self, bytes: &'b [u8], cx: &mut Context<'_>) -> &'b [u8] {
        let (search, left, skipped) = match &mut self.state {
            State::Search(search) => (search, None, &mut cx.ledger.resync_bytes),
            State::Sample { search, left, skip_bytes } => {
                (search, Some((left, *skip_bytes)), &mut cx.ledger.opaque_bytes)
            }
            _ => return bytes,
        };
        let (read, head) = search.read(bytes, cx.limits, skipped);
        if let Some(head) = head {
            self.certainty.resynchronized = true;
            self.complete(HttpRequest::read(&*head, cx.limits.fields, cx.heads), cx);
        } else if let Some((left, skip_bytes)) = left {
            *left = left.saturating_sub(read as u64);
            if *left == 0 {
                search.drop_kept(skipped);
                self.state =
                    State::Skip { left: skip_bytes, skip_bytes: (2 * skip_bytes).min(MAX_SKIP_BYTES) };
            }
        }
        bytes.get(read..).unwrap_or_default()
    }

    /// Starts a search: the place in the stream is lost, and what is found from here on is not certain.
    fn lose(&mut self, cx: &mut Context<'_>) {
        add(&mut cx.ledger.resyncs, 1);
        self.state = State::Search(Search::default());
    }

    /// Stops because the stream is not HTTP from `bytes` on.
    fn stop(&mut self, reason: NotHttp, bytes: &[u8], cx: &mut Context<'_>) {
        // What is in frames names no protocol, and may be part of a password.
        self.tell(reason, if reason == NotHttp::Http2 { PREFACE } else { bytes }, cx);
        self.state = if reason == NotHttp::Http2 { State::Stopped } else { sample(FIRST_SKIP_BYTES) };
    }

    /// Emits that the stream is not HTTP, once.
    fn tell(&mut self, reason: NotHttp, bytes: &[u8], cx: &mut Context<'_>) {
        if !self.is_told && self.tls != Tls::Read {
            self.is_told = true;
            add(&mut cx.ledger.not_http, 1);
            let preview = bytes.get(..PREVIEW_BYTES).unwrap_or(bytes);
            cx.receiver.event(&Event::NotHttp { reason, preview });
        }
    }

    /// Stops because the stream is TLS, with this `ClientHello`.
    fn stop_tls(&mut self, hello: &ClientHello, cx: &mut Context<'_>) {
        if self.tls == Tls::No {
            self.tls = Tls::Uncounted;
        }
        add(&mut cx.ledger.oversized_hellos, u64::from(hello.is_cut));
        self.state = State::Stopped;
        cx.receiver.event(&Event::Tls(hello));
    }
}

/// Returns the state of a search in a protocol other than HTTP, after which `skip_bytes` are skipped.
fn sample(skip_bytes: u64) -> State {
    State::Sample { search: Search::default(), left: SAMPLE_BYTES, skip_bytes }
}
