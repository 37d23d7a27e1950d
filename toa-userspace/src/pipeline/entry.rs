//! A followed connection: what is known about it, its stream and its parser.

use toa_common::{address::Address, body::states, bypass::Bypass, seq::Seq};

use super::{bypass::BypassTable, connection::Connection, context::Context, receiver::Receiver, sink::Sink};
use crate::{
    event::{Closed, Event},
    http::{self, head::Cause, parser::Parser, start::is_request_start},
    ledger::{Ledger, add},
    limits::Limits,
    segment::{LeftOut, Segment},
    stream::{self, Stream, StreamEvent},
};

/// A followed connection.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) connection: Connection,
    pub(super) stream: Stream,
    parser: Parser,
    /// Whether the sink knows it.
    is_announced: bool,
    /// The address of the client that was counted for its requests.
    pub(super) counted_client: Option<Address>,
    /// Whether a timer is set.
    pub(super) is_timed: bool,
    /// The window that the kernel bypasses, as far as it is known.
    bypass: Option<Bypass>,
    /// The end of a window that the kernel opened by mistake.
    refused: Option<Seq>,
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
            is_announced: false,
            counted_client: None,
            is_timed: false,
            bypass: None,
            refused: None,
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
        self.bypass.is_some() && self.probe_ns(limits) <= now_ns
    }

    fn probe_ns(&self, limits: &Limits) -> u64 {
        self.quiet_since_ns().saturating_add(limits.probe_ns)
    }

    /// Asks the kernel not to copy what the parser does not need, or clears a bypass whose window has been passed.
    pub(super) fn bypass<S: Sink>(&mut self, table: &mut impl BypassTable, cx: &mut Context<'_, S>) {
        if let Some(end) = self.refused.take() {
            table.clear(&self.connection.key, &Bypass::new(self.connection.generation, end, 0));
        }
        // Terminates: an iteration follows another only if that one handed on data that waited in its window.
        while let Some(bytes) = self.wanted_bytes(cx.limits) {
            let Connection { key, generation, .. } = &self.connection;
            let bypass = Bypass::new(*generation, self.stream.next_seq(), bytes);
            if !table.set(key, &bypass) {
                break;
            }
            self.bypass = Some(bypass);
            add(&mut cx.ledger.bypasses, 1);
            self.with_stream(cx, |stream, cx| stream.bypass(bytes, cx));
        }
        // In a chunked body that the kernel reads, it goes on with its window.
        let is_kept = self.bypass.is_some_and(|bypass| bypass.position.state >= states::SIZE);
        if self.stream.bypassed_bytes() == 0 && !is_kept {
            self.clear_bypass(table);
        }
    }

    /// Returns how many bytes to bypass, if a new bypass is worthwhile. A window is renewed when less than half of the
    /// largest one is left, so that the kernel always has one.
    fn wanted_bytes(&self, limits: &Limits) -> Option<u64> {
        let wanted = self.parser.unneeded_bytes();
        let bypassed = self.stream.bypassed_bytes();
        let is_short = bypassed < wanted && bypassed < u64::from(Bypass::MAX_BYTES / 2);
        let is_wanted = wanted >= limits.bypass_bytes && (self.bypass.is_none() || is_short);
        (is_wanted && self.stream.ended().is_none()).then_some(wanted)
    }

    /// Clears its bypass, if there is one.
    pub(super) fn clear_bypass(&mut self, table: &mut impl BypassTable) {
        if let Some(bypass) = self.bypass.take() {
            table.clear(&self.connection.key, &bypass);
        }
    }

    /// Returns the memory for data that waits, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.stream.memory().saturating_add(self.parser.buffered_bytes())
    }

    /// Returns when to look at it again after `now_ns`, in nanoseconds since the Unix epoch.
    pub(super) fn deadline(&self, now_ns: u64, limits: &Limits) -> Option<u64> {
        let stream_ns = self.stream.deadline(now_ns, limits, is_request_start);
        let probe_ns = self.bypass.map(|_| self.probe_ns(limits));
        stream_ns.into_iter().chain(probe_ns).min()
    }

    /// Announces it to the sink, if it is certainly wanted.
    pub(super) fn open<S: Sink>(&mut self, cx: &mut Context<'_, S>) {
        let Self { connection, is_announced, .. } = self;
        let Context { rules, ledger, sink, .. } = cx;
        let Ledger { unnamed_connections: unnamed, unwatched_connections: unwatched, .. } = ledger;
        Receiver { connection, is_announced, rules: *rules, unnamed, unwatched, sink: *sink }.open();
    }

    /// Tells the sink that it is closed, if the sink knows it.
    pub(super) fn close<S: Sink>(&mut self, reason: Closed, sink: &mut S) {
        if std::mem::take(&mut self.is_announced) {
            sink.event(&self.connection, &Event::Closed(reason));
        }
    }

    /// Begins or ends to read it, because its client turned out to be another one.
    pub(super) fn rename<S: Sink>(&mut self, cx: &mut Context<'_, S>) {
        if cx.rules.is_some() {
            self.with_parser(cx, Parser::want);
        }
    }

    /// Takes a segment.
    pub(super) fn accept<S: Sink>(&mut self, segment: &Segment<'_>, cx: &mut Context<'_, S>) {
        self.with_stream(cx, |stream, cx| stream.accept(segment, cx));
        if let Some(left_out) = &segment.left_out {
            self.leave_out(left_out, cx);
        }
    }

    /// Passes over what the kernel has left out of the body, if the parser is at the same place in it. If not, its window is
    /// cleared, and what it left out is a gap.
    fn leave_out<S: Sink>(&mut self, left_out: &LeftOut, cx: &mut Context<'_, S>) {
        let window = left_out.window(self.connection.generation);
        if let Some(bytes) = self.stream.bytes_until(left_out.end)
            && self.parser.leave_out(bytes, left_out.position)
        {
            self.bypass = Some(window);
            self.with_stream(cx, |stream, cx| {
                stream.bypass(bytes, cx);
                stream.pass_bypassed(left_out.packet_end, cx);
            });
        } else {
            self.refused = Some(left_out.end);
        }
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
        self.with_parser(cx, |parser, _, cx| parser.give_up(cause, cx));
    }

    /// Lets `step` change the parser. Tells it whether a rule matches the client.
    fn with_parser<S: Sink>(
        &mut self,
        cx: &mut Context<'_, S>,
        step: impl FnOnce(&mut Parser, bool, &mut http::context::Context<'_>),
    ) {
        let Self { connection, parser, is_announced, .. } = self;
        let Context { limits, rules, ledger, heads, sink, .. } = cx;
        let Ledger { http, unnamed_connections: unnamed, unwatched_connections: unwatched, .. } = ledger;
        let mut receiver =
            Receiver { connection, is_announced, rules: *rules, unnamed, unwatched, sink: *sink };
        let is_wanted = receiver.is_wanted();
        let receiver = &mut receiver;
        step(parser, is_wanted, &mut http::context::Context { limits, ledger: http, heads, receiver });
    }

    /// Lets `step` change the stream. What the stream hands on goes to the parser, and the events of both go to the
    /// sink.
    fn with_stream<S: Sink>(
        &mut self,
        cx: &mut Context<'_, S>,
        step: impl FnOnce(&mut Stream, &mut stream::context::Context<'_>),
    ) {
        let Self { connection, stream, parser, is_announced, .. } = self;
        let Context { limits, rules, ledger, lost_ns, heads, sink } = cx;
        let lost_ns = *lost_ns;
        let Ledger {
            stream: stream_ledger,
            http: ledger,
            unnamed_connections: unnamed,
            unwatched_connections: unwatched,
            ..
        } = ledger;
        let receiver =
            &mut Receiver { connection, is_announced, rules: *rules, unnamed, unwatched, sink: *sink };
        let mut cx = http::context::Context { limits, ledger, heads, receiver };
        let deliver = &mut |event: StreamEvent<'_>| {
            match event {
                StreamEvent::Gap { bytes } => cx.receiver.event(&Event::Gap { bytes }),
                StreamEvent::Conflict { bytes } => cx.receiver.event(&Event::Conflict { bytes }),
                _ => {}
            }
            parser.accept(event, &mut cx);
        };
        step(stream, &mut stream::context::Context { limits, ledger: stream_ledger, lost_ns, deliver });
    }
}
