//! A way in which a connection is read: its packets, or its plaintext. Each has a stream and a parser.

use toa_common::{body::states, bypass::Bypass, seq::Seq};

use super::{bypass::BypassTable, connection::Connection, context::Context, receiver::Receiver, sink::Sink};
use crate::{
    event::{Closed, Event},
    http::{self, head::Cause, parser::Parser, start::is_request_start},
    ledger::{Ledger, add},
    limits::Limits,
    segment::{LeftOut, Segment},
    stream::{self, Stream, StreamEvent},
};

/// What a lane reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Source {
    Packets,
    Plaintext,
}

/// The connection of a lane.
pub(super) struct Owner<'a> {
    pub(super) connection: &'a mut Connection,
    /// Whether the sink knows it.
    pub(super) is_announced: &'a mut bool,
}

/// A way in which a connection is read.
#[derive(Debug)]
pub(super) struct Lane {
    source: Source,
    pub(super) stream: Stream,
    pub(super) parser: Parser,
    /// The window that the kernel bypasses, as far as it is known.
    bypass: Option<Bypass>,
    /// The end of a window that the kernel opened by mistake.
    refused: Option<Seq>,
}

impl Lane {
    /// Creates the lane of packets. `segment` is the first one, which is still to be accepted.
    pub(super) fn of_packets(segment: &Segment<'_>) -> Self {
        Self::new(Source::Packets, Stream::new(segment), Parser::default())
    }

    /// Creates the lane of plaintext. `segment` is the first one, which is still to be accepted.
    pub(super) fn of_plaintext(segment: &Segment<'_>, is_wanted: bool) -> Self {
        Self::new(Source::Plaintext, Stream::new(segment), Parser::of_plaintext(is_wanted))
    }

    fn new(source: Source, stream: Stream, parser: Parser) -> Self {
        Self { source, stream, parser, bypass: None, refused: None }
    }

    /// Returns whether the kernel bypasses a window.
    pub(super) fn has_bypass(&self) -> bool {
        self.bypass.is_some()
    }

    /// Asks the kernel not to copy what the parser does not need, or clears a bypass whose window has been passed.
    pub(super) fn bypass<S: Sink>(
        &mut self,
        owner: &mut Owner<'_>,
        table: &mut impl BypassTable,
        cx: &mut Context<'_, S>,
    ) {
        if let Some(end) = self.refused.take() {
            table.clear(&owner.connection.key, &Bypass::new(owner.connection.generation, end, 0));
        }
        // Terminates: an iteration follows another only if that one handed on data that waited in its window.
        while let Some(bytes) = self.wanted_bytes(cx.limits) {
            let Connection { key, generation, .. } = &*owner.connection;
            let bypass = Bypass::new(*generation, self.stream.next_seq(), bytes);
            let is_set = match self.source {
                Source::Packets => table.set(key, &bypass),
                Source::Plaintext => table.set_plaintext(key, &bypass),
            };
            if !is_set {
                break;
            }
            self.bypass = Some(bypass);
            add(&mut cx.ledger.bypasses, 1);
            self.with_stream(owner, cx, |stream, cx| stream.bypass(bytes, cx));
        }
        // In a chunked body that the kernel reads, it goes on with its window.
        let is_kept = self.bypass.is_some_and(|bypass| bypass.position.state >= states::SIZE);
        if self.stream.bypassed_bytes() == 0 && !is_kept {
            self.clear_bypass(owner.connection, table);
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
    pub(super) fn clear_bypass(&mut self, connection: &Connection, table: &mut impl BypassTable) {
        match (self.bypass.take(), self.source) {
            (Some(bypass), Source::Packets) => table.clear(&connection.key, &bypass),
            (Some(bypass), Source::Plaintext) => table.clear_plaintext(&connection.key, &bypass),
            (None, _) => {}
        }
    }

    /// Returns the memory for data that waits, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.stream.memory().saturating_add(self.parser.buffered_bytes())
    }

    /// Returns when to give up what the stream waits for, in nanoseconds since the Unix epoch.
    pub(super) fn deadline(&self, now_ns: u64, limits: &Limits) -> Option<u64> {
        self.stream.deadline(now_ns, limits, is_request_start)
    }

    /// Passes over what the kernel has left out of the body, if the parser is at the same place in it. If not, its window is
    /// cleared, and what it left out is a gap.
    pub(super) fn leave_out<S: Sink>(
        &mut self,
        left_out: &LeftOut,
        owner: &mut Owner<'_>,
        cx: &mut Context<'_, S>,
    ) {
        let window = left_out.window(owner.connection.generation);
        if let Some(bytes) = self.stream.bytes_until(left_out.end)
            && self.parser.leave_out(bytes, left_out.position)
        {
            self.bypass = Some(window);
            self.with_stream(owner, cx, |stream, cx| {
                stream.bypass(bytes, cx);
                stream.pass_bypassed(left_out.packet_end, cx);
            });
        } else {
            self.refused = Some(left_out.end);
        }
    }

    /// Gives up everything whose deadline is not after `now_ns`.
    pub(super) fn expire<S: Sink>(&mut self, now_ns: u64, owner: &mut Owner<'_>, cx: &mut Context<'_, S>) {
        self.with_stream(owner, cx, |stream, cx| stream.expire(now_ns, is_request_start, cx));
    }

    /// Flushes the stream and the parser, because the connection is closed for `reason`.
    pub(super) fn flush<S: Sink>(&mut self, reason: Closed, owner: &mut Owner<'_>, cx: &mut Context<'_, S>) {
        self.with_stream(owner, cx, Stream::flush);
        self.give_up_head(reason.into(), owner, cx);
    }

    /// Gives up the incomplete head or `ClientHello` that the parser has collected.
    pub(super) fn give_up_head<S: Sink>(
        &mut self,
        cause: Cause,
        owner: &mut Owner<'_>,
        cx: &mut Context<'_, S>,
    ) {
        self.with_parser(owner, cx, |parser, _, cx| parser.give_up(cause, cx));
    }

    /// Lets `step` change the parser. Tells it whether a rule matches the client.
    pub(super) fn with_parser<S: Sink>(
        &mut self,
        owner: &mut Owner<'_>,
        cx: &mut Context<'_, S>,
        step: impl FnOnce(&mut Parser, bool, &mut http::context::Context<'_>),
    ) {
        let Owner { connection, is_announced } = owner;
        let Context { limits, rules, ledger, heads, sink, .. } = cx;
        let Ledger { http, unnamed_connections: unnamed, unwatched_connections: unwatched, .. } = ledger;
        let mut receiver =
            Receiver { connection, is_announced, rules: *rules, unnamed, unwatched, sink: *sink };
        let is_wanted = receiver.is_wanted();
        let receiver = &mut receiver;
        step(
            &mut self.parser,
            is_wanted,
            &mut http::context::Context { limits, ledger: http, heads, receiver },
        );
    }

    /// Lets `step` change the stream. What the stream hands on goes to the parser, and the events of both go to the
    /// sink.
    pub(super) fn with_stream<S: Sink>(
        &mut self,
        owner: &mut Owner<'_>,
        cx: &mut Context<'_, S>,
        step: impl FnOnce(&mut Stream, &mut stream::context::Context<'_>),
    ) {
        let Self { source, stream, parser, .. } = self;
        let Owner { connection, is_announced } = owner;
        let Context { limits, rules, ledger, lost_ns, heads, sink } = cx;
        let Ledger {
            stream: packets_ledger,
            plaintext,
            http: ledger,
            unnamed_connections: unnamed,
            unwatched_connections: unwatched,
            ..
        } = ledger;
        let (stream_ledger, lost_ns) = match source {
            Source::Packets => (packets_ledger, *lost_ns),
            // Plaintext is not sent again, so what is missing was lost.
            Source::Plaintext => (plaintext, Some(u64::MAX)),
        };
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
