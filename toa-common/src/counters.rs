//! Responsible for the names of everything that the kernel counts. Not responsible for reading it.

use crate::{
    skip_reason::SkipReason,
    wire::toa_pairs::{KNOWN_PAIRS, MAX_PAIRS},
};

/// Declares the counters once: as an index into the per-CPU value, and as names for people and machines.
macro_rules! counters {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// What the kernel counts.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[repr(u32)]
        pub enum Counter {
            $($(#[$doc])* $variant,)*
        }

        impl Counter {
            /// All counters in the order of their indices.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The counter's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

counters! {
    /// Packets that are neither IPv4 nor IPv6.
    NotIp = "not_ip",
    /// IP packets that are not TCP.
    NotTcp = "not_tcp",
    /// Fragments without a TCP header.
    Fragment = "fragment",
    /// Packets whose headers reach past their end.
    Truncated = "truncated",
    /// Packets with contradicting lengths.
    Malformed = "malformed",
    /// IPv6 packets with too many or too long extension headers.
    ExtensionHeaders = "extension_headers",
    /// TCP packets to other local ports than those asked for.
    OtherPort = "other_port",
    /// TCP packets of connections that are not followed, without a TOA.
    Unmarked = "unmarked",
    /// TCP packets of connections that are not followed, with a TOA that nobody watches.
    Unwatched = "unwatched",
    /// SYNs that ended the following of an older connection, and nothing else.
    UnfollowedBySyn = "unfollowed_by_syn",
    /// Packets of followed connections with neither payload nor SYN, FIN or RST.
    PureAck = "pure_ack",
    /// Packets of followed connections with payload, SYN, FIN or RST.
    Matched = "matched",

    /// Packets with a TOA.
    Toa = "toa",
    /// Packets with a TOA from a source that is none of the balancers asked for: it is not believed.
    Untrusted = "untrusted",
    /// Packets whose options nobody can read to the end.
    MalformedOptions = "malformed_options",
    /// Connections whose following began.
    Learned = "learned",
    /// Followed connections that saw a FIN or RST.
    Closed = "closed",
    /// Followed connections without a FIN or RST that ended because of a SYN or TOA of another on their 4-tuple.
    ReplacedOpen = "replaced_open",
    /// Connections whose client another TOA replaced.
    Replaced = "replaced",
    /// Packets whose TOA contradicts what the connection's client is known to be.
    Conflict = "conflict",
    /// Connections that could not be followed because the map refused them.
    FlowInsertFailed = "flow_insert_failed",

    /// Bytes of payload in matched packets.
    MatchedBytes = "matched_bytes",
    /// Matched packets handed to user space.
    Emitted = "emitted",
    /// Bytes of payload handed to user space.
    EmittedBytes = "emitted_bytes",
    /// Packets handed to user space without the end of their payload.
    Cut = "cut",
    /// Bytes of payload beyond what one record can carry.
    CutBytes = "cut_bytes",
    /// Matched packets that user space asked not to get.
    Bypassed = "bypassed",
    /// Bytes of payload in them.
    BypassedBytes = "bypassed_bytes",
    /// Matched packets lost because the CPU's ring was full.
    LostRingFull = "lost_ring_full",
    /// Bytes of payload lost because the CPU's ring was full.
    LostRingFullBytes = "lost_ring_full_bytes",
    /// Matched packets lost because nobody reads this CPU's ring.
    LostNoReader = "lost_no_reader",
    /// Bytes of payload lost because nobody reads this CPU's ring.
    LostNoReaderBytes = "lost_no_reader_bytes",
    /// Matched packets lost for another reason.
    LostOther = "lost_other",
    /// Bytes of payload lost for another reason.
    LostOtherBytes = "lost_other_bytes",
}

impl From<SkipReason> for Counter {
    #[inline(always)]
    fn from(reason: SkipReason) -> Self {
        match reason {
            SkipReason::NotIp => Self::NotIp,
            SkipReason::NotTcp => Self::NotTcp,
            SkipReason::Fragment => Self::Fragment,
            SkipReason::Truncated => Self::Truncated,
            SkipReason::Malformed => Self::Malformed,
            SkipReason::ExtensionHeaders => Self::ExtensionHeaders,
            SkipReason::OtherPort => Self::OtherPort,
        }
    }
}

/// Places for counters: a power of two, so that a masked index is a place.
pub const COUNTER_SLOTS: usize = 64;

/// The place of the first counter of packets with a known option that is not TOA for this run. One follows for
/// each of [`KNOWN_PAIRS`], at the place of its number.
pub const UNSELECTED_PAIRS: usize = COUNTER_SLOTS - MAX_PAIRS;

const _: () = assert!(Counter::ALL.len() <= UNSELECTED_PAIRS && KNOWN_PAIRS.len() <= MAX_PAIRS);

/// One CPU's counters, indexed by [`Counter`].
pub type CounterValues = [u64; COUNTER_SLOTS];
