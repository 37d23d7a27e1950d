//! Responsible for one followed connection: what is known of it, its stream and its parser. Not responsible
//! for the others.

use super::Sink;
use crate::{
    http::{HttpEvent, parser::Parser, start::is_request_start},
    ledger::{HttpLedger, Ledger},
    limits::Limits,
    segment::Segment,
    stream::{Stream, StreamEvent, connection::Connection},
};

/// A connection that is followed.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) connection: Connection,
    pub(super) stream: Stream,
    pub(super) parser: Parser,
    /// Whether a timer is set.
    pub(super) is_timed: bool,
}

impl Entry {
    /// The connection of `segment`, its first one, which is still to be accepted.
    pub(super) fn new(id: u64, segment: &Segment<'_>) -> Self {
        Self {
            connection: Connection::new(id, segment),
            stream: Stream::new(segment),
            parser: Parser::default(),
            is_timed: false,
        }
    }

    /// Bytes of memory that wait.
    pub(super) fn memory(&self) -> usize {
        self.stream.memory().saturating_add(self.parser.buffered_bytes())
    }

    /// When to call [`Self::expire`].
    pub(super) fn deadline(&self, limits: &Limits) -> Option<u64> {
        self.stream.deadline(limits, is_request_start)
    }

    /// Takes a segment.
    pub(super) fn accept<S: Sink>(
        &mut self,
        segment: &Segment<'_>,
        limits: &Limits,
        ledger: &mut Ledger,
        sink: &mut S,
    ) {
        let Self { connection, stream, parser, .. } = self;
        let deliver = &mut deliver_to(connection, parser, limits, &mut ledger.http, sink);
        stream.accept(segment, limits, &mut ledger.stream, deliver);
    }

    /// Gives up what has been waited for until `now_ns`.
    pub(super) fn expire<S: Sink>(
        &mut self,
        now_ns: u64,
        limits: &Limits,
        ledger: &mut Ledger,
        sink: &mut S,
    ) {
        let Self { connection, stream, parser, .. } = self;
        let deliver = &mut deliver_to(connection, parser, limits, &mut ledger.http, sink);
        stream.expire(now_ns, limits, is_request_start, &mut ledger.stream, deliver);
    }

    /// Gives up everything that the stream waits for.
    pub(super) fn give_up<S: Sink>(&mut self, limits: &Limits, ledger: &mut Ledger, sink: &mut S) {
        let Self { connection, stream, parser, .. } = self;
        let deliver = &mut deliver_to(connection, parser, limits, &mut ledger.http, sink);
        stream.give_up_all(&mut ledger.stream, deliver);
    }

    /// Hands on everything that waits for the last time.
    pub(super) fn flush<S: Sink>(&mut self, limits: &Limits, ledger: &mut Ledger, sink: &mut S) {
        let Self { connection, stream, parser, .. } = self;
        stream.flush(&mut ledger.stream, &mut deliver_to(connection, parser, limits, &mut ledger.http, sink));
        self.parser.drop_head(&mut ledger.http);
    }
}

/// What hands a stream's events to the connection's parser, and what both find to `sink`.
fn deliver_to<S: Sink>(
    connection: &Connection,
    parser: &mut Parser,
    limits: &Limits,
    ledger: &mut HttpLedger,
    sink: &mut S,
) -> impl FnMut(StreamEvent<'_>) {
    move |event| {
        if let StreamEvent::Gap { bytes } = event {
            sink.gap(connection, bytes);
        }
        parser.accept(event, limits.head_bytes, ledger, &mut |event| match event {
            HttpEvent::Request(request) => sink.request(connection, &request),
            HttpEvent::NotHttp { reason, preview } => sink.not_http(connection, reason, preview),
        });
    }
}
