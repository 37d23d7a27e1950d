//! Responsible for reading one packet to its TOA, the same in every host. Not responsible for what is decided
//! from it.
//!
//! In two steps, between which a host may stop: most packets have no options that could be TOA.

use crate::{
    config::Config,
    flow::Flow,
    limits::MAX_OPTIONS_BYTES,
    skip_reason::SkipReason,
    tcp_packet::{SegmentKind, TcpPacket},
    wire::{
        tcp_option::{self, Walk, worth_walking},
        toa::{self, Toa},
        view::{Link, PacketView},
    },
};

/// A TCP packet with what its options say.
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
    /// A packet whose options say nothing.
    #[inline(always)]
    pub fn plain(tcp: TcpPacket) -> Self {
        Self { tcp, toa: Toa::none(), walk: Walk::none() }
    }

    /// What it is to a decision.
    #[inline(always)]
    pub fn segment_kind(&self) -> SegmentKind {
        SegmentKind::new(self.tcp.flags, self.tcp.payload_len != 0)
    }

    /// Records in `flow` that its TOA names the client.
    #[inline(always)]
    pub fn attribute(&self, flow: &mut Flow) {
        flow.attribution.name(&self.toa, self.segment_kind(), self.walk.has_several());
    }
}

/// Reads the headers of `packet`, whose first byte belongs to `link`, if it is TCP to a port that `config` wants.
#[inline(always)]
pub fn parse_headers<P: PacketView>(
    packet: &P,
    link: Link,
    config: &Config,
) -> Result<TcpPacket, SkipReason> {
    TcpPacket::parse(packet, link, |destination_port_be| config.serves(destination_port_be))
}

/// Whether there is anything in the options of `tcp` that [`find_toa`] could find.
#[inline(always)]
pub fn has_interesting_options<P: PacketView>(packet: &P, tcp: &TcpPacket) -> bool {
    worth_walking(packet, tcp.options_offset(), tcp.options_len)
}

/// Both steps at once.
pub fn inspect<P: PacketView>(packet: &P, link: Link, config: &Config) -> Result<Inspected, SkipReason> {
    let tcp = parse_headers(packet, link, config)?;
    if !has_interesting_options(packet, &tcp) {
        return Ok(Inspected::plain(tcp));
    }
    let (toa, walk) = find_toa(packet, &tcp, config);
    Ok(Inspected { tcp, toa, walk })
}

/// Most TOA that an option area has room for.
const MAX_HITS: usize = MAX_OPTIONS_BYTES / 7;

/// Looks for TOA in the options of `tcp`, and returns [`Toa::none`] where the walk hits none. Of several the first one
/// is taken, since balancers that insert put theirs first, or the last one if `config` says so.
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
        // What the walk has seen can be viewed.
        if let Some(toa) = toa::decode(packet, offset.wrapping_add(position)) {
            return (toa, walk);
        }
    }
    (Toa::none(), walk)
}
