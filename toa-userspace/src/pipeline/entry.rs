//! A followed connection: what is known about it, its stream and its parser.

use toa_common::bypass::Bypass;

use super::{bypass::BypassTable, connection::Connection, context::Context, sink::Sink};
use crate::{
    event::{Closed, Event},
    http::{self, head::Cause, parser::Parser, start::is_request_start},
    ledger::{Ledger, add},
    limits::Limits,
    segment::Segment,
    stream::{self, Stream, StreamEvent},
};

/// A followed connection.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) connection: Connection,
    pub(super) stream: Stream,
    parser: Parser,
    /// Whether a timer is set.
    pub(super) is_timed: bool,
    /// Whether the kernel bypasses a part of it.
    has_bypass: bool,
    /// When its bypass was cleared because of silence, in nanoseconds since the Unix epoch, or 0.
    pub(super) probed_ns: u64,
}

impl Entry {
    /// Creates the connection of `segment`, its first one, which is still to be accepted.
    pub(super) fn new(id: u64, segment: &Segment<'_>) -> Self {
        Self {
            connection: Connection::new(id, segment),
            stream: Stream::new(segment),
            parser: Parser::default(),
            is_timed: false,
            has_bypass: false,
            probed_ns: 0,
        }
    }

    /// Returns when the current silence began, in nanoseconds since the Unix epoch: with the latest segment or, if that
    /// is later, when its bypass was cleared.
    pub(super) fn quiet_since_ns(&self) -> u64 {
        self.connection.last_ns.max(self.probed_ns)
    }

    /// Returns whether it has been silent for so long that its bypass is to be cleared, to see whether it is alive.
    pub(super) fn is_probe_due(&self, now_ns: u64, limits: &Limits) -> bool {
        self.has_bypass && self.probe_ns(limits) <= now_ns
    }

    fn probe_ns(&self, limits: &Limits) -> u64 {
        self.quiet_since_ns().saturating_add(limits.probe_ns)
    }

    /// Asks the kernel not to copy what the parser does not need, or clears a bypass whose window has been passed.
    pub(super) fn bypass<S: Sink>(&mut self, table: &mut impl BypassTable, cx: &mut Context<'_, S>) {
        // Terminates: an iteration follows another only if that one handed on data that waited in its window.
        while let Some(bytes) = self.wanted_bytes(cx.limits) {
            let Connection { key, generation, .. } = &self.connection;
            if !table.set(key, &Bypass::new(*generation, self.stream.next_seq(), bytes)) {
                break;
            }
            self.has_bypass = true;
            add(&mut cx.ledger.bypasses, 1);
            self.with_stream(cx, |stream, cx| stream.bypass(bytes, cx));
        }
        if self.stream.bypassed_bytes() == 0 {
            self.clear_bypass(table);
        }
    }

    /// Returns how many bytes to bypass, if a new bypass is worthwhile. A window is renewed when less than half of the
    /// largest one is left, so that the kernel always has one.
    fn wanted_bytes(&self, limits: &Limits) -> Option<u64> {
        let wanted = self.parser.unneeded_bytes();
        let bypassed = self.stream.bypassed_bytes();
        let is_short = bypassed < wanted && bypassed < u64::from(Bypass::MAX_BYTES / 2);
        let is_wanted = wanted >= limits.bypass_bytes && (!self.has_bypass || is_short);
        (is_wanted && self.stream.ended().is_none()).then_some(wanted)
    }

    /// Clears its bypass, if there is one.
    pub(super) fn clear_bypass(&mut self, table: &mut impl BypassTable) {
        if self.has_bypass {
            self.has_bypass = false;
            table.clear(&self.connection.key, self.connection.generation);
        }
    }

    /// Returns the memory for data that waits, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.stream.memory().saturating_add(self.parser.buffered_bytes())
    }

    /// Returns when to look at it again after `now_ns`, in nanoseconds since the Unix epoch.
    pub(super) fn deadline(&self, now_ns: u64, limits: &Limits) -> Option<u64> {
        let stream_ns = self.stream.deadline(now_ns, limits, is_request_start);
        let probe_ns = self.has_bypass.then(|| self.probe_ns(limits));
        stream_ns.into_iter().chain(probe_ns).min()
    }

    /// Takes a segment.
    pub(super) fn accept<S: Sink>(&mut self, segment: &Segment<'_>, cx: &mut Context<'_, S>) {
        self.with_stream(cx, |stream, cx| stream.accept(segment, cx));
    }

    /// Gives up everything whose deadline is not after `now_ns`.
    pub(super) fn expire<S: Sink>(&mut self, now_ns: u64, cx: &mut Context<'_, S>) {
        self.with_stream(cx, |stream, cx| stream.expire(now_ns, is_request_start, cx));
    }

    /// Gives up everything that the stream waits for.
    pub(super) fn give_up<S: Sink>(&mut self, cx: &mut Context<'_, S>) {
        self.with_stream(cx, Stream::give_up_all);
    }

    /// Flushes the stream and the parser, because the connection is closed for `reason`.
    pub(super) fn flush<S: Sink>(&mut self, reason: Closed, cx: &mut Context<'_, S>) {
        self.with_stream(cx, Stream::flush);
        self.give_up_head(reason.into(), cx);
    }

    /// Gives up the incomplete head or `ClientHello` that the parser has collected.
    pub(super) fn give_up_head<S: Sink>(&mut self, cause: Cause, cx: &mut Context<'_, S>) {
        let Self { connection, parser, .. } = self;
        let Context { limits, ledger, sink, .. } = cx;
        let emit = &mut |event: &Event<'_>| sink.event(connection, event);
        parser.give_up(cause, &mut http::context::Context { limits, ledger: &mut ledger.http, emit });
    }

    /// Lets `step` change the stream. What the stream hands on goes to the parser, and the events of both go to the
    /// sink.
    fn with_stream<S: Sink>(
        &mut self,
        cx: &mut Context<'_, S>,
        step: impl FnOnce(&mut Stream, &mut stream::context::Context<'_>),
    ) {
        let Self { connection, stream, parser, .. } = self;
        let Context { limits, ledger, lost_ns, sink } = cx;
        let lost_ns = *lost_ns;
        let Ledger { stream: stream_ledger, http: http_ledger, .. } = ledger;
        let emit = &mut |event: &Event<'_>| sink.event(connection, event);
        let mut cx = http::context::Context { limits, ledger: http_ledger, emit };
        let deliver = &mut |event: StreamEvent<'_>| {
            match event {
                StreamEvent::Gap { bytes } => (cx.emit)(&Event::Gap { bytes }),
                StreamEvent::Conflict { bytes } => (cx.emit)(&Event::Conflict { bytes }),
                _ => {}
            }
            parser.accept(event, &mut cx);
        };
        step(stream, &mut stream::context::Context { limits, ledger: stream_ledger, lost_ns, deliver });
    }
}
