//! Inspection of one packet up to its TOA, the same for the eBPF program, the tool and the tests.
//!
//! It has two steps, and the caller may stop after the first: most packets have no options that could be TOA.

use crate::{
    attribution::{Attribution, copy_address},
    config::Config,
    limits::MAX_OPTIONS_BYTES,
    skip_reason::SkipReason,
    tcp_packet::{SegmentKind, TcpPacket},
    wire::{
        tcp::Tcp,
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

    /// Sets a client to that of the packet's TOA or, if there is none, to the packet's sender.
    #[inline(always)]
    pub fn name(&self, attribution: &mut Attribution) {
        attribution.name(&self.toa, self.segment_kind(), self.walk.has_several());
        if !self.toa.is_some() {
            copy_address(&mut attribution.address, &self.tcp.key.source);
            attribution.port_be = self.tcp.key.source_port_be();
        }
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

/// Maximum number of TOA to decode in an option area. Only those with an unknown version make another one necessary, and
/// the shortest of these has 7 bytes.
const MAX_HITS: usize = MAX_OPTIONS_BYTES / 7;

/// Walks the options of `tcp` and returns their TOA, or [`Toa::none`] if they contain none. If there are several,
/// returns the first, because balancers that insert the option put theirs first, or the last if `config` says so.
#[inline(always)]
pub fn find_toa<P: PacketView>(packet: &P, tcp: &TcpPacket, config: &Config) -> (Toa, Walk) {
    find_toa_in(packet, tcp.options_offset(), tcp.options_len, config)
}

/// Does the same with the options in a view that begins with a TCP header. A header that cannot be viewed contains
/// none.
#[inline(always)]
pub fn find_toa_in_header<P: PacketView>(header: &P, config: &Config) -> (Toa, Walk) {
    let fixed = header.bytes(0).map(|fixed| Tcp(fixed).header_len());
    let options_len = fixed.unwrap_or(0).saturating_sub(Tcp::FIXED_LEN);
    if !worth_walking(header, Tcp::FIXED_LEN, options_len) {
        return (Toa::none(), Walk::none());
    }
    find_toa_in(header, Tcp::FIXED_LEN, options_len, config)
}

/// Walks the `len` bytes of options at `offset`.
#[inline(always)]
fn find_toa_in<P: PacketView>(packet: &P, offset: u32, len: u32, config: &Config) -> (Toa, Walk) {
    let walk = tcp_option::walk(packet, offset, len, |kind, length| config.class_of(kind, length));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{address::Address, wire::view::Captured};

    fn find(header: &[u8], config: &Config) -> (Toa, Walk) {
        find_toa_in_header(&Captured { bytes: header, wire_len: 60 }, config)
    }

    /// Returns a header with these options, which must fill whole words.
    fn header(options: &[u8]) -> Vec<u8> {
        let mut header = vec![0; 20];
        header[12] = u8::try_from(5 + options.len() / 4).unwrap() << 4;
        header.extend(options);
        header
    }

    #[test]
    fn a_toa_is_found_in_a_header_alone() {
        let two = [
            1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 254, 8, 0xd4, 0x31, 203, 0, 113, 9, 254, 8, 0, 1, 203, 0,
            113, 7,
        ];
        let (toa, walk) = find(&header(&two), &Config::DEFAULT);
        assert_eq!((toa.client.address, toa.client.port()), (Address::from_ipv4(&[203, 0, 113, 9]), 54321));
        assert!(walk.has_several());
        let (toa, _) = find(&header(&two), &Config::DEFAULT.picking_last());
        assert_eq!(toa.client.address, Address::from_ipv4(&[203, 0, 113, 7]));
    }

    #[test]
    fn a_header_without_a_toa_has_none() {
        let bare = header(&[1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0]);
        let cut = &header(&[254, 8, 0xd4, 0x31, 203, 0, 113, 9])[..24];
        for header in [&[][..], &[0; 20], &header(&[]), &bare, cut, &header(&[200, 8, 0, 1, 203, 0, 113, 9])]
        {
            assert!(!find(header, &Config::DEFAULT).0.is_some(), "{header:?}");
        }
    }
}
