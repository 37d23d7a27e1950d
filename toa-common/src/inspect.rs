//! Inspection of one packet up to its TOA, the same for the eBPF program, the tool and the tests.
//!
//! It has two steps, and the caller may stop after the first: most packets have no options that could be TOA.

use crate::{
    attribution::Attribution,
    config::Config,
    limits::MAX_OPTIONS_BYTES,
    skip_reason::SkipReason,
    tcp_packet::{SegmentKind, TcpPacket},
    wire::{
        tcp_option::{self, Walk, worth_walking},
        toa::{self, Toa},
        view::{Link, PacketView},
    },
};

/// A TCP packet and what was found in its options.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Inspected {
    /// The packet.
    pub tcp: TcpPacket,
    /// Its TOA, or [`Toa::none`].
    pub toa: Toa,
    /// How its options were walked.
    pub walk: Walk,
}

impl Inspected {
    /// Returns a packet whose options are not worth walking.
    #[inline(always)]
    pub fn plain(tcp: TcpPacket) -> Self {
        Self { tcp, toa: Toa::none(), walk: Walk::none() }
    }

    /// Returns the kind of segment that the decision depends on.
    #[inline(always)]
    pub fn segment_kind(&self) -> SegmentKind {
        SegmentKind::new(self.tcp.flags, self.tcp.payload_len != 0)
    }

    /// Sets a client to that of the packet's TOA.
    #[inline(always)]
    pub fn name(&self, attribution: &mut Attribution) {
        attribution.name(&self.toa, self.segment_kind(), self.walk.has_several());
    }
}

/// Parses the headers of `packet`, which begins with a header of type `link`. Fails unless it is TCP to a port that
/// `config` selects.
#[inline(always)]
pub fn parse_headers<P: PacketView>(
    packet: &P,
    link: Link,
    config: &Config,
) -> Result<TcpPacket, SkipReason> {
    TcpPacket::parse(packet, link, |destination_port_be| config.serves(destination_port_be))
}

/// Returns whether the options of `tcp` may contain something for [`find_toa`] to find.
#[inline(always)]
pub fn has_interesting_options<P: PacketView>(packet: &P, tcp: &TcpPacket) -> bool {
    worth_walking(packet, tcp.options_offset(), tcp.options_len)
}

/// Runs both steps.
pub fn inspect<P: PacketView>(packet: &P, link: Link, config: &Config) -> Result<Inspected, SkipReason> {
    let tcp = parse_headers(packet, link, config)?;
    if !has_interesting_options(packet, &tcp) {
        return Ok(Inspected::plain(tcp));
    }
    let (toa, walk) = find_toa(packet, &tcp, config);
    Ok(Inspected { tcp, toa, walk })
}

/// Maximum number of TOA in an option area: the shortest has 7 bytes.
const MAX_HITS: usize = MAX_OPTIONS_BYTES / 7;

/// Walks the options of `tcp` and returns their TOA, or [`Toa::none`] if they contain none. If there are several,
/// returns the first, because balancers that insert the option put theirs first, or the last if `config` says so.
#[inline(always)]
pub fn find_toa<P: PacketView>(packet: &P, tcp: &TcpPacket, config: &Config) -> (Toa, Walk) {
    let offset = tcp.options_offset();
    let walk =
        tcp_option::walk(packet, offset, tcp.options_len, |kind, length| config.class_of(kind, length));
    let mut hits = walk.hits();
    for _ in 0..MAX_HITS {
        let Some(position) = (if config.picks_last() { hits.next_back() } else { hits.next() }) else {
            break;
        };
        // The walk only hits options that can be viewed, so this fails only for an unknown version.
        if let Some(toa) = toa::decode(packet, offset.wrapping_add(position)) {
            return (toa, walk);
        }
    }
    (Toa::none(), walk)
}
