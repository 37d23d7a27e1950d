//! The kernel program's counters and their names.

use crate::{
    skip_reason::SkipReason,
    wire::toa_pairs::{KNOWN_PAIRS, MAX_PAIRS},
};

/// Declares each counter once: as an index into the per-CPU value, and as a name and a description in the output.
macro_rules! counters {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// A counter of the kernel program.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[repr(u32)]
        pub enum Counter {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Counter {
            /// All counters, in the order of their indices.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the counter's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Returns what it counts: its documentation, each line of which begins with a space.
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($doc),*),)*
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
    /// Packets that end before their headers, or before the length that their IP header announces.
    Truncated = "truncated",
    /// Packets whose length or version fields contradict each other or the protocol.
    Malformed = "malformed",
    /// IPv6 packets with too many or too long extension headers.
    ExtensionHeaders = "extension_headers",
    /// TCP packets to local ports that are not of interest.
    OtherPort = "other_port",
    /// TCP packets with none of the flags SYN, RST and ACK.
    NoAck = "no_ack",
    /// Packets of IP in IP, whose content is not read.
    IpInIp = "ip_in_ip",
    /// Packets of GRE.
    Gre = "gre",
    /// Packets to a port of VXLAN.
    Vxlan = "vxlan",
    /// Packets to the port of Geneve.
    Geneve = "geneve",
    /// Packets of MPLS.
    Mpls = "mpls",
    /// Packets of `PPPoE` sessions.
    Pppoe = "pppoe",
    /// Packets with more VLAN tags than are skipped, or such of an unusual EtherType.
    Vlan = "stacked_vlan",
    /// Packets of followed connections, or with a TOA, whose frame is addressed to another host.
    OtherHost = "other_host",
    /// Packets of followed connections, or with a TOA, that are signed (MD5, TCP-AO).
    Signed = "signed",
    /// Packets of followed connections with an ACK number that the server's socket does not accept.
    AckUnacceptable = "ack_unacceptable",
    /// Packets with payload that came after the server had closed its side of a followed connection.
    ServerClosed = "server_closed",
    /// TCP packets of connections that are not followed, without a trusted TOA.
    Unmarked = "unmarked",
    /// TCP packets of connections that are not followed, with a trusted TOA that no rule matches or that is in a
    /// SYN-ACK or RST.
    Unwatched = "unwatched",
    /// Packets that ended the following of a connection and started no other: the first one of a new connection, or a
    /// TOA that names an unwatched client in place of a provisional one.
    Unfollowed = "unfollowed",
    /// SYNs of watched clients or on followed connections, remembered until a packet completes the handshake.
    Handshakes = "handshakes",
    /// Those on followed connections.
    Challenged = "challenged",
    /// Packets of followed connections with neither payload nor SYN, FIN or RST.
    PureAck = "pure_ack",
    /// Packets of followed connections with payload, SYN, FIN or RST.
    Matched = "matched",

    /// Packets with a TOA.
    Toa = "toa",
    /// Packets with a TOA from a source that is not a trusted balancer. The TOA is ignored.
    Untrusted = "untrusted",
    /// Packets with TCP options of invalid length.
    MalformedOptions = "malformed_options",
    /// Connections that began to be followed.
    Learned = "learned",
    /// Followed connections that ended with a FIN or RST.
    Closed = "closed",
    /// Ended connections that went on.
    Reopened = "reopened",
    /// Packets of followed connections outside of the window, and resets at another place than the next byte.
    Stray = "stray",
    /// Packets of followed connections with an ACK number so old that the server may have discarded them.
    AckOld = "ack_old",
    /// Packets with payload after the end of their connection that do not continue it.
    AfterEnd = "after_end",
    /// Packets of followed connections on another interface or VLAN than the first packet.
    OtherInterface = "other_interface",
    /// Followed connections that had not ended when another connection or client took their 4-tuple.
    ReplacedOpen = "replaced_open",
    /// Connections whose client was replaced by that of another TOA.
    Replaced = "replaced",
    /// Packets whose TOA names a client other than the connection's.
    Conflict = "conflict",
    /// Packets whose entry in the map was reused for another connection while they were handled.
    FlowReused = "flow_reused",
    /// Connections that could not be followed because the insertion into the map failed.
    FlowInsertFailed = "flow_insert_failed",

    /// Bytes of payload in matched packets.
    MatchedBytes = "matched_bytes",
    /// Matched packets handed to user space.
    Emitted = "emitted",
    /// Bytes of payload handed to user space.
    EmittedBytes = "emitted_bytes",
    /// Matched packets handed to user space without the end of their payload.
    Cut = "cut",
    /// Bytes of payload beyond what one record can carry.
    CutBytes = "cut_bytes",
    /// Matched packets that were bypassed, as user space requested.
    Bypassed = "bypassed",
    /// Bytes of payload in bypassed packets.
    BypassedBytes = "bypassed_bytes",
    /// Matched packets lost because the CPU's ring was full.
    LostRingFull = "lost_ring_full",
    /// Bytes of payload lost because the CPU's ring was full.
    LostRingFullBytes = "lost_ring_full_bytes",
    /// Matched packets lost because the CPU's ring has no reader.
    LostNoReader = "lost_no_reader",
    /// Bytes of payload lost because the CPU's ring has no reader.
    LostNoReaderBytes = "lost_no_reader_bytes",
    /// Matched packets lost for another reason.
    LostOther = "lost_other",
    /// Bytes of payload lost for another reason.
    LostOtherBytes = "lost_other_bytes",

    /// Reads of plaintext on followed connections.
    Plaintext = "plaintext",
    /// Bytes of plaintext that were read there.
    PlaintextBytes = "plaintext_bytes",
    /// Reads of plaintext handed to user space.
    PlaintextEmitted = "plaintext_emitted",
    /// Bytes of plaintext handed to user space.
    PlaintextEmittedBytes = "plaintext_emitted_bytes",
    /// Reads of plaintext handed to user space without their end.
    PlaintextCut = "plaintext_cut",
    /// Bytes of plaintext beyond what is copied of one read.
    PlaintextCutBytes = "plaintext_cut_bytes",
    /// Reads of plaintext that were bypassed, as user space requested.
    PlaintextBypassed = "plaintext_bypassed",
    /// Bytes of plaintext in bypassed reads.
    PlaintextBypassedBytes = "plaintext_bypassed_bytes",
    /// Reads of plaintext lost because the CPU's ring was full.
    PlaintextLostRingFull = "plaintext_lost_ring_full",
    /// Bytes of plaintext lost because the CPU's ring was full.
    PlaintextLostRingFullBytes = "plaintext_lost_ring_full_bytes",
    /// Reads of plaintext lost because the CPU's ring has no reader.
    PlaintextLostNoReader = "plaintext_lost_no_reader",
    /// Bytes of plaintext lost because the CPU's ring has no reader.
    PlaintextLostNoReaderBytes = "plaintext_lost_no_reader_bytes",
    /// Reads of plaintext lost for another reason: there was no buffer, or it could not be read.
    PlaintextLostOther = "plaintext_lost_other",
    /// Bytes of plaintext lost for another reason.
    PlaintextLostOtherBytes = "plaintext_lost_other_bytes",
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
            SkipReason::NoAck => Self::NoAck,
            SkipReason::IpInIp => Self::IpInIp,
            SkipReason::Gre => Self::Gre,
            SkipReason::Vxlan => Self::Vxlan,
            SkipReason::Geneve => Self::Geneve,
            SkipReason::Mpls => Self::Mpls,
            SkipReason::Pppoe => Self::Pppoe,
            SkipReason::Vlan => Self::Vlan,
        }
    }
}

/// Number of slots for counters: a power of two, so that a masked index is always valid.
pub const COUNTER_SLOTS: usize = 128;

/// First slot of the counters of packets with a known option that is not TOA for this run. There is one slot for each
/// of [`KNOWN_PAIRS`], in the same order.
pub const UNSELECTED_PAIRS: usize = COUNTER_SLOTS - MAX_PAIRS;

const _: () = assert!(Counter::ALL.len() <= UNSELECTED_PAIRS && KNOWN_PAIRS.len() <= MAX_PAIRS);

/// One CPU's counters, indexed by [`Counter`].
pub type CounterValues = [u64; COUNTER_SLOTS];
