//! A followed connection: what is known about it, and how it is read.

use toa_common::address::Address;

use super::{
    bypass::BypassTable,
    connection::Connection,
    context::Context,
    lane::{Lane, Owner},
    receiver::Receiver,
    sink::Sink,
};
use crate::{
    event::{Closed, Event},
    http::{head::Cause, parser::Parser},
    ledger::Ledger,
    limits::Limits,
    segment::{Segment, plaintext::Plaintext},
    stream::{EndKind, Stream},
};

/// A followed connection.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct Entry {
    pub(super) connection: Connection,
    packets: Lane,
    /// Whether a packet has arrived.
    has_packets: bool,
    /// Its plaintext, if it is TLS and some was seen.
    plaintext: Option<Box<Lane>>,
    /// Whether no plaintext follows.
    is_plaintext_over: bool,
    /// Whether the sink knows it.
    is_announced: bool,
    /// The address of the client that was counted for its requests.
    pub(super) counted_client: Option<Address>,
    /// Whether a timer is set.
    pub(super) is_timed: bool,
    /// When its bypass was cleared because of silence, in nanoseconds since the Unix epoch, or 0.
    pub(super) probed_ns: u64,
}

impl Entry {
    /// Creates the connection of `segment`, its first one, which is still to be accepted.
    pub(super) fn new(id: u64, segment: &Segment<'_>) -> Self {
        Self {
            connection: Connection::new(id, segment),
            packets: Lane::of_packets(segment),
            has_packets: false,
            plaintext: None,
            is_plaintext_over: false,
            is_announced: false,
            counted_client: None,
            is_timed: false,
            probed_ns: 0,
        }
    }

    /// Returns the stream of its packets.
    pub(super) fn stream(&self) -> &Stream {
        &self.packets.stream
    }

    /// Returns how it ended, once everything before the end was read: the server reads plaintext later than its packets
    /// arrive.
    pub(super) fn ended(&self, now_ns: u64, limits: &Limits) -> Option<EndKind> {
        let kind = self.packets.stream.ended()?;
        (self.plaintext_deadline(limits).is_none_or(|deadline_ns| deadline_ns <= now_ns)).then_some(kind)
    }

    /// Returns how long to wait for plaintext of a connection whose packets have ended, in nanoseconds since the Unix
    /// epoch, if some may follow.
    fn plaintext_deadline(&self, limits: &Limits) -> Option<u64> {
        let may_follow =
            self.plaintext.is_some() && !self.is_plaintext_over && self.packets.stream.ended().is_some();
        may_follow.then(|| self.connection.last_ns.saturating_add(limits.plaintext_ns))
    }

    /// Returns when the current silence began, in nanoseconds since the Unix epoch: with the latest segment or, if that
    /// is later, when its bypass was cleared.
    pub(super) fn quiet_since_ns(&self) -> u64 {
        self.connection.last_ns.max(self.probed_ns)
    }

    /// Returns whether it has been silent for so long that its bypass is to be cleared, to see whether it is alive.
    pub(super) fn is_probe_due(&self, now_ns: u64, limits: &Limits) -> bool {
        self.has_bypass() && self.probe_ns(limits) <= now_ns
    }

    fn has_bypass(&self) -> bool {
        self.lanes().any(Lane::has_bypass)
    }

    fn probe_ns(&self, limits: &Limits) -> u64 {
        self.quiet_since_ns().saturating_add(limits.probe_ns)
    }

    /// Asks the kernel not to copy what the parsers do not need, or clears bypasses whose windows have been passed.
    pub(super) fn bypass<S: Sink>(&mut self, table: &mut impl BypassTable, cx: &mut Context<'_, S>) {
        self.each(|lane, owner| lane.bypass(owner, table, cx));
    }

    /// Clears its bypasses.
    pub(super) fn clear_bypass(&mut self, table: &mut impl BypassTable) {
        self.each(|lane, owner| lane.clear_bypass(owner.connection, table));
    }

    /// Returns the memory for data that waits, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.lanes().map(Lane::memory).fold(0, usize::saturating_add)
    }

    /// Returns when to look at it again after `now_ns`, in nanoseconds since the Unix epoch.
    pub(super) fn deadline(&self, now_ns: u64, limits: &Limits) -> Option<u64> {
        let lanes = self.lanes().filter_map(|lane| lane.deadline(now_ns, limits));
        let probe_ns = self.has_bypass().then(|| self.probe_ns(limits));
        lanes.chain(probe_ns).chain(self.plaintext_deadline(limits)).min()
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
            self.each(|lane, owner| lane.with_parser(owner, cx, Parser::want));
        }
    }

    /// Takes a segment.
    pub(super) fn accept<S: Sink>(&mut self, segment: &Segment<'_>, cx: &mut Context<'_, S>) {
        if !std::mem::replace(&mut self.has_packets, true) {
            // Its plaintext was seen first.
            self.packets.stream = Stream::new(segment);
            if self.connection.interface_index == 0 {
                self.connection.interface_index = segment.interface_index;
            }
        }
        let Self { connection, is_announced, packets, .. } = self;
        let mut owner = Owner { connection, is_announced };
        packets.with_stream(&mut owner, cx, |stream, cx| stream.accept(segment, cx));
        if let Some(left_out) = &segment.left_out {
            packets.leave_out(left_out, &mut owner, cx);
        }
    }

    /// Takes plaintext, or that no more follows.
    pub(super) fn read<S: Sink>(&mut self, plaintext: &Plaintext<'_>, cx: &mut Context<'_, S>) {
        let mut segment = plaintext.segment;
        if segment.interface_index == 0 {
            // Not known of a connection that was open before.
            segment.interface_index = self.connection.interface_index;
        }
        if self.connection.update(&segment) {
            self.rename(cx);
        }
        let Self { connection, is_announced, packets, .. } = self;
        let mut owner = Owner { connection, is_announced };
        if plaintext.is_end {
            self.is_plaintext_over = true;
            if let Some(lane) = &mut self.plaintext {
                lane.flush(Closed::Fin, &mut owner, cx);
            }
            return;
        }
        self.is_plaintext_over = false;
        owner.connection.is_decrypted = true;
        packets.with_parser(&mut owner, cx, |parser, _, cx| parser.leave_to_plaintext(cx));
        let is_wanted = cx.rules.is_none_or(|rules| rules.watches(&owner.connection.attribution));
        let lane =
            self.plaintext.get_or_insert_with(|| Box::new(Lane::of_plaintext(&plaintext.segment, is_wanted)));
        lane.with_stream(&mut owner, cx, |stream, cx| stream.accept(&plaintext.segment, cx));
    }

    /// Gives up everything whose deadline is not after `now_ns`.
    pub(super) fn expire<S: Sink>(&mut self, now_ns: u64, cx: &mut Context<'_, S>) {
        self.each(|lane, owner| lane.expire(now_ns, owner, cx));
    }

    /// Gives up everything that the streams wait for.
    pub(super) fn give_up<S: Sink>(&mut self, cx: &mut Context<'_, S>) {
        self.each(|lane, owner| lane.with_stream(owner, cx, Stream::give_up_all));
    }

    /// Flushes the streams and the parsers, because the connection is closed for `reason`.
    pub(super) fn flush<S: Sink>(&mut self, reason: Closed, cx: &mut Context<'_, S>) {
        self.each(|lane, owner| lane.flush(reason, owner, cx));
    }

    /// Gives up the incomplete head or `ClientHello` that the parsers have collected.
    pub(super) fn give_up_head<S: Sink>(&mut self, cause: Cause, cx: &mut Context<'_, S>) {
        self.each(|lane, owner| lane.give_up_head(cause, owner, cx));
    }

    fn lanes(&self) -> impl Iterator<Item = &Lane> {
        [&self.packets].into_iter().chain(self.plaintext.as_deref())
    }

    /// Lets `step` change each lane.
    fn each(&mut self, mut step: impl FnMut(&mut Lane, &mut Owner<'_>)) {
        let Self { connection, is_announced, packets, plaintext, .. } = self;
        let mut owner = Owner { connection, is_announced };
        step(packets, &mut owner);
        if let Some(plaintext) = plaintext {
            step(plaintext, &mut owner);
        }
    }
}
