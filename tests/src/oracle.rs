//! Responsible for a second opinion on where a frame's TOA is. Not responsible for speed: it is written from
//! the facts alone, as plainly as possible, and shares nothing with the tested code.
//!
//! RFC 791, 8200 and 9293 for the headers; for TOA: kind 254 or 253 with length 20 is a port and an IPv6
//! address, kind 254 with length 8 a port and an IPv4 address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A TOA in a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Found {
    /// The client that it names.
    pub client: SocketAddr,
    /// Bytes from the first option's kind to this one's.
    pub offset: usize,
}

/// What the TCP options of a frame come to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Opinion {
    /// The first TOA.
    pub found: Option<Found>,
    /// How many there are.
    pub hits: usize,
    /// Where the walk over the options ended, as the offset of `found`.
    pub end: usize,
    /// Why it ended there: `end`, `eol`, `size<2` or `past end`.
    pub why: &'static str,
}

/// The TCP header, its payload and whatever is behind, of an Ethernet frame; `None` if there is no whole one.
#[must_use]
pub fn tcp_of(frame: &[u8]) -> Option<&[u8]> {
    let packet = frame.get(14..)?;
    match frame.get(12..14)? {
        [0x08, 0x00] => {
            let header_len = usize::from(packet.first()? & 15) * 4;
            let total_len = length_or_all(number(packet, 2)?, packet.len());
            let fragment_offset = number(packet, 6)? & 0x1fff;
            if packet.first()? >> 4 != 4 || *packet.get(9)? != 6 || fragment_offset != 0 || header_len < 20 {
                return None;
            }
            packet.get(header_len..total_len)
        }
        [0x86, 0xdd] => {
            let payload_len = length_or_all(number(packet, 4)?, packet.len().checked_sub(40)?);
            if packet.first()? >> 4 != 6 || *packet.get(6)? != 6 {
                return None;
            }
            packet.get(40..)?.get(..payload_len)
        }
        _ => None,
    }
}

/// A length of 0 is that of a packet merged from so many that 16 bits do not hold it.
fn length_or_all(length: u16, all: usize) -> usize {
    if length == 0 { all } else { length.into() }
}

/// The TCP flags of a frame.
#[must_use]
pub fn flags_of(frame: &[u8]) -> Option<u8> {
    tcp_of(frame)?.get(13).copied()
}

/// The TCP payload of a frame.
#[must_use]
pub fn payload_of(frame: &[u8]) -> Option<&[u8]> {
    let tcp = tcp_of(frame)?;
    tcp.get(usize::from(tcp.get(12)? >> 4) * 4..)
}

/// The source port of a frame.
#[must_use]
pub fn source_port_of(frame: &[u8]) -> Option<u16> {
    number(tcp_of(frame)?, 0)
}

/// Looks for TOA in a frame; `None` if it has no whole TCP header.
#[must_use]
pub fn look(frame: &[u8]) -> Option<Opinion> {
    let tcp = tcp_of(frame)?;
    let header_len = usize::from(tcp.get(12)? >> 4) * 4;
    Some(look_at_options(tcp.get(20..header_len)?))
}

/// Looks for TOA in an option area.
#[must_use]
pub fn look_at_options(options: &[u8]) -> Opinion {
    let mut opinion = Opinion { found: None, hits: 0, end: 0, why: "end" };
    let mut rest = options;
    while let Some(kind) = rest.first().copied() {
        opinion.end = options.len() - rest.len();
        if kind == 0 {
            opinion.why = "eol";
            return opinion;
        }
        if kind == 1 {
            rest = rest.get(1..).unwrap_or_default();
            continue;
        }
        let length = match rest.get(1).copied().map(usize::from) {
            Some(0 | 1) => {
                opinion.why = "size<2";
                return opinion;
            }
            Some(length) if length <= rest.len() => length,
            _ => {
                opinion.why = "past end";
                return opinion;
            }
        };
        let (option, behind) = rest.split_at(length);
        if let Some(client) = client_of(option) {
            opinion.hits += 1;
            opinion.found = opinion.found.or(Some(Found { client, offset: opinion.end }));
        }
        rest = behind;
    }
    opinion.end = options.len();
    opinion
}

/// The client that an option names, if it is a TOA.
fn client_of(option: &[u8]) -> Option<SocketAddr> {
    let port = number(option, 2)?;
    let address: IpAddr = match option {
        [254, 8, _, _, address @ ..] => Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?).into(),
        [253 | 254, 20, _, _, address @ ..] => Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?).into(),
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_several_is_found() {
        let opinion = look_at_options(&[1, 254, 8, 0xd4, 0x31, 203, 0, 113, 9, 254, 8, 0, 1, 1, 2, 3, 4, 0]);
        let client = "203.0.113.9:54321".parse().unwrap();
        let found = Some(Found { client, offset: 1 });
        assert_eq!(opinion, Opinion { found, hits: 2, end: 17, why: "eol" });
    }

    #[test]
    fn a_walk_ends_where_a_length_is_wrong() {
        assert_eq!(look_at_options(&[8, 1, 0, 0]).why, "size<2");
        assert_eq!(look_at_options(&[1, 1, 1, 254]).why, "past end");
        assert_eq!(look_at_options(&[254, 9, 0, 0]).why, "past end");
        assert_eq!(look_at_options(&[]), Opinion { found: None, hits: 0, end: 0, why: "end" });
    }
}
