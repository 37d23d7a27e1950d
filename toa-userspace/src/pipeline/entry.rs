//! Responsible for one followed connection: what is known of it, its stream and its parser. Not responsible
//! for the others.

use toa_common::order::Order;

use super::sink::{Event, Sink};
use crate::{
    http::{HttpEvent, parser::Parser, start::is_request_start},
    ledger::{HttpLedger, Ledger, add},
    limits::Limits,
    pipeline::connection::Connection,
    segment::Segment,
    stream::{Stream, StreamEvent},
};

/// A connection that is followed.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) connection: Connection,
    pub(super) stream: Stream,
    pub(super) parser: Parser,
    /// Whether a timer is set.
    pub(super) is_timed: bool,
    /// Whether the kernel has an order for it.
    has_order: bool,
    /// When its order was withdrawn because of silence, or 0.
    pub(super) asked_ns: u64,
}

impl Entry {
    /// The connection of `segment`, its first one, which is still to be accepted.
    pub(super) fn new(id: u64, segment: &Segment<'_>) -> Self {
        Self {
            connection: Connection::new(id, segment),
            stream: Stream::new(segment),
            parser: Parser::default(),
            is_timed: false,
            has_order: false,
            asked_ns: 0,
        }
    }

    /// Since when nothing has come although something would have.
    pub(super) fn quiet_since_ns(&self) -> u64 {
        self.connection.last_ns.max(self.asked_ns)
    }

    /// Whether the kernel has an order for it.
    pub(super) fn has_order(&self) -> bool {
        self.has_order
    }

    /// Asks the kernel not to copy what the parser does not need, or withdraws an order whose window is passed.
    pub(super) fn order<S: Sink>(&mut self, limits: &Limits, ledger: &mut Ledger, sink: &mut S) {
        // Each turn hands on something that waited in the window before, or is the last one.
        while let Some(bytes) = self.wanted_bytes(limits) {
            let Self { connection, stream, parser, .. } = self;
            let order = Order::new(connection.generation, stream.next_seq(), bytes);
            if !sink.order(connection, &order) {
                break;
            }
            self.has_order = true;
            add(&mut ledger.orders, 1);
            let deliver = &mut deliver_to(connection, parser, limits, &mut ledger.http, sink);
            stream.order(bytes, &mut ledger.stream, deliver);
        }
        if self.stream.ordered_bytes() == 0 {
            self.withdraw(sink);
        }
    }

    /// How many bytes are worth a new order. A window is renewed when half of the largest is left, so that the
    /// kernel is never without one.
    fn wanted_bytes(&self, limits: &Limits) -> Option<u64> {
        let wanted = self.parser.unneeded_bytes();
        let ordered = self.stream.ordered_bytes();
        let is_short = ordered < wanted && ordered < u64::from(Order::MAX_BYTES / 2);
        let is_wanted = wanted >= limits.order_bytes && (!self.has_order || is_short);
        (is_wanted && self.stream.ended().is_none()).then_some(wanted)
    }

    /// Withdraws its order, if there is one.
    pub(super) fn withdraw<S: Sink>(&mut self, sink: &mut S) {
        if self.has_order {
            self.has_order = false;
            sink.withdraw(&self.connection);
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
        self.drop_head(ledger, sink);
    }

    /// Drops what the parser waits for the end of.
    pub(super) fn drop_head<S: Sink>(&mut self, ledger: &mut Ledger, sink: &mut S) {
        let Self { connection, parser, .. } = self;
        parser.drop_head(&mut ledger.http, &mut |event| tell(connection, event, sink));
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
            sink.event(connection, &Event::Gap { bytes });
        }
        parser.accept(event, limits, ledger, &mut |event| tell(connection, event, sink));
    }
}

/// Tells `sink` what a parser has found.
fn tell<S: Sink>(connection: &Connection, event: HttpEvent<'_>, sink: &mut S) {
    let event = match &event {
        HttpEvent::Request(request) => Event::Request(request),
        HttpEvent::Proxy(version) => Event::Proxy(*version),
        HttpEvent::Tls(hello) => Event::Tls(hello),
        HttpEvent::NotHttp { reason, preview } => Event::NotHttp { reason: *reason, preview },
    };
    sink.event(connection, &event);
}
