//! Data that is of no connection that is followed, as far as is known. If a TOA names its client later, that shows no start.

use foldhash::quality::RandomState;
use lru::LruCache;
use toa_common::{
    flow::WINDOW_BYTES,
    flow_key::FlowKey,
    seq::Seq,
    tcp_packet::TcpPacket,
    wire::tcp::{RST, SYN},
};

/// What was seen of a connection, as sequence numbers.
#[derive(Clone, Copy, Debug)]
struct Seen {
    first: Seq,
    last: Seq,
}

/// The connections, in the order of their latest data.
#[derive(Debug)]
pub(super) struct UnfollowedData {
    seen: LruCache<FlowKey, Seen, RandomState>,
    max: usize,
}

impl UnfollowedData {
    /// Remembers at most `max` connections.
    pub(super) fn new(max: usize) -> Self {
        Self { seen: LruCache::unbounded_with_hasher(RandomState::default()), max }
    }

    /// Notes a packet. A SYN begins another connection.
    pub(super) fn note(&mut self, tcp: &TcpPacket) {
        if tcp.flags & SYN != 0 {
            self.seen.pop(&tcp.key);
        } else if tcp.payload_len != 0 && tcp.flags & RST == 0 {
            let last = tcp.seq;
            if let Some(seen) = self.seen.get_mut(&tcp.key) {
                let behind = if is_near(last, seen.last) { last.distance(seen.first) } else { 0 };
                let behind = behind.clamp(0, WINDOW_BYTES.cast_signed()).cast_unsigned();
                *seen = Seen { first: last + behind.wrapping_neg(), last };
                return;
            }
            self.seen.put(tcp.key, Seen { first: last, last });
            if self.seen.len() > self.max {
                self.seen.pop_lru();
            }
        }
    }

    /// Forgets a connection. Returns whether data before `tcp` was seen.
    pub(super) fn take(&mut self, tcp: &TcpPacket) -> bool {
        let seen = self.seen.pop(&tcp.key);
        seen.is_some_and(|seen| is_near(tcp.seq, seen.last) && tcp.seq.distance(seen.first) > 0)
    }
}

/// Returns whether two segments may be of the same connection: a new one begins so near in 1 of 128 cases by chance.
fn is_near(seq: Seq, other: Seq) -> bool {
    seq.distance(other).unsigned_abs() <= WINDOW_BYTES
}
