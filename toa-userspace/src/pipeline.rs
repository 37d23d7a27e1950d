//! From samples of the perf ring to requests: a table of connections, each with its stream and its parser, within
//! limits. The rings and the clock are read in `live`.
//!
//! # Order of calls
//! ```text
//! loop { now = clock
//!        for each sample of all rings: pipeline.sample(sample, sink)
//!        pipeline.tick(now, sink) }
//! pipeline.finish(sink)
//! ```
//! The time of a tick is taken *before* the rings are read. So at a tick, everything that was in a ring at that time
//! was handed in, and data that waits for an older segment need not wait longer. Samples are in order of time, except
//! that a newer sample may already be in one ring while an older one is not yet in another.
//!
//! # Bypasses
//! If a parser does not need the next bytes, the pipeline asks the kernel through a [`BypassTable`] not to copy them.
//! It clears the bypass when the stream has passed it; see [`crate::stream::Stream::bypass`]. A connection that is
//! bypassed entirely looks silent. So after [`Limits::probe_ns`] of silence, its bypass is cleared first. If the
//! connection is alive, its next packet shows this, and the stream still knows what was bypassed.

pub mod bypass;
pub mod checksums;
pub mod connection;
mod context;
mod discarded_names;
mod entry;
mod lane;
mod plaintext;
mod receiver;
pub mod request_limit;
mod sink;
mod timers;

use std::{collections::HashSet, net::IpAddr};

use foldhash::quality::RandomState;
use lru::LruCache;
use toa_common::{flow_key::FlowKey, record::is_plaintext};

use crate::{
    address::ClientAddress,
    event::Closed,
    http::{HeadMemory, head::Cause},
    ledger::{Ledger, add, examples::Examples},
    limits::Limits,
    rule::matcher::Matcher,
    segment::{Segment, SegmentError, plaintext::Plaintext},
    stream::EndKind,
};
use bypass::{BypassTable, NoBypass};
use checksums::Checksums;
use context::Context;
use discarded_names::DiscardedNames;
use entry::Entry;
pub use sink::Sink;
use timers::Timers;

/// Maximum number of clients that are told apart.
const MAX_CLIENTS: usize = 65_536;

/// The key of a connection: the 4-tuple and the generation.
type Key = (FlowKey, u64);

/// Turns samples or segments into requests.
#[derive(Debug)]
pub struct Pipeline<B = NoBypass> {
    limits: Limits,
    /// The rules for what is handed to the sink, if not everything is.
    rules: Option<Matcher>,
    bypass: B,
    clock_offset_ns: u64,
    /// Ordered by latest segment.
    open: LruCache<Key, Entry, RandomState>,
    /// Connections that have ended, which may turn out to go on. Ordered by end.
    ended: LruCache<Key, Entry, RandomState>,
    checksums: Checksums,
    discarded_names: DiscardedNames<Key>,
    /// When the rings last lost packets, in nanoseconds since the Unix epoch, if they ever did.
    lost_ns: Option<u64>,
    /// The time up to which everything was handed in, in nanoseconds since the Unix epoch.
    now_ns: u64,
    timers: Timers<Key>,
    /// Memory for data that waits in `open`, in bytes.
    memory: usize,
    /// Memory for reading heads.
    heads: HeadMemory,
    ledger: Ledger,
    examples: Examples,
    /// The clients in the ledger.
    clients: HashSet<IpAddr, RandomState>,
}

impl Pipeline {
    /// Creates an empty pipeline without a kernel.
    pub fn new(limits: Limits) -> Self {
        Self::with_bypass(limits, 0, NoBypass)
    }
}

impl<B: BypassTable> Pipeline<B> {
    /// Creates an empty pipeline. `clock_offset_ns` is added to `CLOCK_MONOTONIC` nanoseconds to get nanoseconds since
    /// the Unix epoch.
    pub fn with_bypass(limits: Limits, clock_offset_ns: u64, bypass: B) -> Self {
        Self {
            limits,
            rules: None,
            bypass,
            clock_offset_ns,
            // Seeded at random, so that nobody can choose ports that collide; SipHash would cost several times as much.
            open: LruCache::unbounded_with_hasher(RandomState::default()),
            ended: LruCache::unbounded_with_hasher(RandomState::default()),
            checksums: Checksums::default(),
            discarded_names: DiscardedNames::default(),
            lost_ns: None,
            now_ns: 0,
            timers: Timers::default(),
            memory: 0,
            heads: HeadMemory::default(),
            ledger: Ledger::default(),
            examples: Examples::default(),
            clients: HashSet::default(),
        }
    }

    /// Hands on only connections whose client a rule matches. The rules are compared with the sender where nothing names
    /// the client. What begins with a PROXY header is decided when that was read.
    #[must_use]
    pub fn with_rules(self, rules: Matcher) -> Self {
        Self { rules: Some(rules), ..self }
    }

    /// Returns the counts so far.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns clients for whom something worth a remark was counted.
    pub fn examples(&self) -> &Examples {
        &self.examples
    }

    /// Returns how many connections are open.
    pub fn connections(&self) -> usize {
        self.open.len()
    }

    /// Processes a sample of a ring. A sample that is neither a segment nor plaintext is counted and has no other effect.
    pub fn sample(&mut self, sample: &[u8], sink: &mut impl Sink) -> Result<(), SegmentError> {
        let result = if is_plaintext(sample) {
            Plaintext::decode(sample, self.clock_offset_ns).map(|plaintext| self.read(&plaintext, sink))
        } else {
            Segment::decode(sample, self.clock_offset_ns).map(|segment| self.segment(&segment, sink))
        };
        add(&mut self.ledger.undecodable_samples, u64::from(result.is_err()));
        result
    }

    /// Processes a segment.
    pub fn segment(&mut self, segment: &Segment<'_>, sink: &mut impl Sink) {
        self.ledger.stream.deliver(segment);
        let key = (segment.key, segment.generation);
        if !self.checksums.accepts(&segment.key.source, segment.details.checksum) {
            let before = self.ledger.remark_counts();
            add(&mut self.ledger.stream.bad_checksums, 1);
            add(&mut self.ledger.stream.bad_checksum_bytes, segment.payload.len() as u64);
            self.examples
                .add(&before, &self.ledger.remark_counts(), || ClientAddress::new(&segment.attribution));
            if let Some(left_out) = &segment.left_out {
                self.bypass.clear(&segment.key, &left_out.window(segment.generation));
            }
            let known = self.open.peek(&key).or_else(|| self.ended.peek(&key));
            let known = known.map(|entry| &entry.connection.attribution);
            self.discarded_names.note(key, &segment.attribution, known);
            return;
        }
        let mut copy;
        let mut segment = segment;
        if self.discarded_names.contains(&key) {
            copy = *segment;
            copy.attribution.conflict();
            segment = &copy;
        }
        // Usually, it is open.
        let is_open = self.run(
            key,
            |open| open.get_mut(&key),
            sink,
            |entry, cx| {
                if entry.connection.update(segment) {
                    entry.rename(cx);
                }
                entry.accept(segment, cx);
            },
        );
        if is_open {
            return;
        }
        let mut is_renamed = false;
        if let Some(ended) = self.ended.peek(&key) {
            if !ended.stream().is_continued_by(segment) {
                self.ledger.stream.after_end(segment, ended.stream().next_seq());
                return;
            }
            if let Some(mut entry) = self.ended.pop(&key) {
                is_renamed = entry.connection.update(segment);
                self.reopen(key, entry, sink);
            }
        } else {
            self.open(key, segment, sink);
        }
        self.run(
            key,
            |open| open.peek_mut(&key),
            sink,
            |entry, cx| {
                if is_renamed {
                    entry.rename(cx);
                }
                entry.accept(segment, cx);
            },
        );
    }

    /// Announces that the rings have lost packets before `now_ns`, in nanoseconds since the Unix epoch.
    pub fn lost(&mut self, now_ns: u64) {
        self.lost_ns = Some(now_ns);
    }

    /// Announces that everything older than `now_ns`, in nanoseconds since the Unix epoch, was handed in. Gives up what
    /// was waited for in vain, and drops connections that were silent for too long. Must be called at least a few times
    /// per second.
    pub fn tick(&mut self, now_ns: u64, sink: &mut impl Sink) {
        self.now_ns = now_ns;
        while let Some(key) = self.timers.pop(now_ns) {
            let Some(entry) = self.open.peek_mut(&key) else { continue };
            entry.is_timed = false;
            if entry.is_probe_due(now_ns, &self.limits) {
                entry.clear_bypass(&mut self.bypass);
                entry.probed_ns = now_ns;
            } else {
                self.run(key, |open| open.peek_mut(&key), sink, |entry, cx| entry.expire(now_ns, cx));
            }
        }
        let is_over = |since_ns: u64, for_ns| since_ns.saturating_add(for_ns) <= now_ns;
        while let Some((key, entry)) = self.open.peek_lru()
            && is_over(entry.quiet_since_ns(), self.limits.idle_ns)
        {
            let key = *key;
            add(&mut self.ledger.connections_idle, 1);
            self.close(key, Closed::Idle, sink);
        }
        while self
            .ended
            .peek_lru()
            .is_some_and(|(_, ended)| is_over(ended.connection.last_ns, self.limits.linger_ns))
        {
            self.ended.pop_lru();
        }
    }

    /// Flushes and closes all connections.
    pub fn finish(&mut self, sink: &mut impl Sink) {
        while let Some((key, _)) = self.open.peek_lru() {
            let key = *key;
            self.close(key, Closed::Finished, sink);
        }
    }

    /// Adds the connection of `segment`.
    fn open(&mut self, key: Key, segment: &Segment<'_>, sink: &mut impl Sink) {
        add(&mut self.ledger.connections, 1);
        self.reopen(key, Entry::new(self.ledger.connections, segment), sink);
    }

    /// Adds a connection, evicting the one that has been silent for longest if the table is full.
    fn reopen(&mut self, key: Key, mut entry: Entry, sink: &mut impl Sink) {
        while self.open.len() >= self.limits.connections.max(1)
            && let Some((oldest, _)) = self.open.peek_lru()
        {
            let oldest = *oldest;
            add(&mut self.ledger.connections_evicted, 1);
            self.close(oldest, Closed::Evicted, sink);
        }
        let Self { limits, rules, ledger, lost_ns, heads, .. } = self;
        entry.open(&mut Context { limits, rules: rules.as_ref(), ledger, lost_ns: *lost_ns, heads, sink });
        self.open.put(key, entry);
    }

    /// Lets `step` change the connection that `find` finds. Then keeps it within limits, and closes it if it has ended or
    /// sets its timer. Returns whether there is one.
    fn run<S: Sink>(
        &mut self,
        key: Key,
        find: impl FnOnce(&mut LruCache<Key, Entry, RandomState>) -> Option<&mut Entry>,
        sink: &mut S,
        step: impl FnOnce(&mut Entry, &mut Context<'_, S>),
    ) -> bool {
        let (remarks, requests) = (self.ledger.remark_counts(), self.ledger.http.requests);
        let Self {
            limits,
            rules,
            bypass,
            open,
            ledger,
            examples,
            clients,
            memory,
            timers,
            lost_ns,
            heads,
            now_ns,
            ..
        } = self;
        let cx = &mut Context { limits, rules: rules.as_ref(), ledger, lost_ns: *lost_ns, heads, sink };
        let Some(entry) = find(open) else {
            return false;
        };
        let before = entry.memory();
        step(entry, cx);
        if cx.ledger.http.requests != requests {
            count_client(entry, clients, cx.ledger);
        }
        entry.bypass(bypass, cx);
        *memory = memory.saturating_add(entry.memory()).saturating_sub(before);
        if *memory > limits.total_bytes && entry.memory() > 0 {
            add(&mut cx.ledger.total_bytes_limits, 1);
            let before = entry.memory();
            entry.give_up(cx);
            if memory.saturating_add(entry.memory()).saturating_sub(before) > limits.total_bytes {
                entry.give_up_head(Cause::Limit, cx);
            }
            *memory = memory.saturating_add(entry.memory()).saturating_sub(before);
        }
        let client = || ClientAddress::new(&entry.connection.attribution);
        examples.add(&remarks, &cx.ledger.remark_counts(), client);
        let now_ns = (*now_ns).max(entry.connection.last_ns);
        if let Some(kind) = entry.ended(now_ns, limits) {
            let reason = match kind {
                EndKind::Fin => Closed::Fin,
                EndKind::Rst => Closed::Rst,
            };
            self.close(key, reason, sink);
        } else if !entry.is_timed
            && let Some(deadline_ns) = entry.deadline(now_ns, limits)
        {
            entry.is_timed = true;
            timers.set(deadline_ns, key);
            if timers.len() > limits.connections.saturating_mul(2) {
                timers.retain(|key| open.contains(key));
            }
        }
        true
    }

    /// Flushes and drops a connection. One that has ended by itself is kept in `ended`.
    fn close(&mut self, key: Key, reason: Closed, sink: &mut impl Sink) {
        let Some(mut entry) = self.open.pop(&key) else {
            return;
        };
        let memory = entry.memory();
        let (remarks, requests) = (self.ledger.remark_counts(), self.ledger.http.requests);
        let Self { limits, rules, ledger, lost_ns, heads, clients, .. } = self;
        let cx = &mut Context { limits, rules: rules.as_ref(), ledger, lost_ns: *lost_ns, heads, sink };
        entry.flush(reason, cx);
        if cx.ledger.http.requests != requests {
            count_client(&mut entry, clients, cx.ledger);
        }
        let client = || ClientAddress::new(&entry.connection.attribution);
        self.examples.add(&remarks, &self.ledger.remark_counts(), client);
        self.memory = self.memory.saturating_sub(memory);
        entry.clear_bypass(&mut self.bypass);
        entry.close(reason, sink);
        if let Closed::Fin | Closed::Rst = reason {
            while self.ended.len() >= self.limits.ended_connections.max(1) {
                add(&mut self.ledger.ended_evicted, 1);
                self.ended.pop_lru();
            }
            self.ended.put(key, entry);
        }
    }
}

/// Counts the client of a connection with a new request, if it is not among `clients`.
fn count_client(entry: &mut Entry, clients: &mut HashSet<IpAddr, RandomState>, ledger: &mut Ledger) {
    let address = entry.connection.attribution.address;
    if entry.counted_client != Some(address)
        && clients.len() < MAX_CLIENTS
        && let Some(client) = entry.connection.client()
    {
        add(&mut ledger.clients, u64::from(clients.insert(client.address)));
        entry.counted_client = Some(address);
    }
}

#[cfg(test)]
mod tests;
