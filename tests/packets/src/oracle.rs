//! An independent second opinion on a frame: its TCP header and where its TOA is. It is written from the
//! specifications alone, for plainness rather than speed, and shares no code with what it tests.
//!
//! The headers follow RFC 791, 2675, 4302, 8200 and 9293 and IEEE 802.1Q. Where these leave a choice, the
//! limits are the project's: at most two VLAN tags in a frame, at most eight extension headers, and a TCP
//! header that begins at byte 196 or before.

pub mod options;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use options::{Opinion, Wanted};

/// Maximum number of VLAN tags.
const MAX_TAGS: usize = 2;
/// Maximum number of IPv6 extension headers.
const MAX_EXTENSIONS: usize = 8;
/// Maximum offset of a TCP header.
const MAX_TCP_AT: usize = 196;

/// A TCP packet in an Ethernet frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Segment<'a> {
    /// The sender.
    pub source: SocketAddr,
    /// The receiver.
    pub destination: SocketAddr,
    /// Where the IP header begins.
    pub ip_at: usize,
    /// Where the TCP header begins.
    pub tcp_at: usize,
    /// The TCP header and its payload.
    pub tcp: &'a [u8],
}

impl<'a> Segment<'a> {
    /// Parses a frame; `None` if it has no complete TCP header, options included, or if a receiver discards it.
    pub fn of(frame: &'a [u8]) -> Option<Self> {
        let mut ip_at = 14;
        for _ in 0..MAX_TAGS {
            if matches!(number(frame, ip_at - 2)?, 0x8100 | 0x88a8) {
                ip_at += 4;
            }
        }
        let packet = frame.get(ip_at..)?;
        let (source, destination, tcp_in_packet, end) = match number(frame, ip_at - 2)? {
            0x0800 => ipv4(packet)?,
            0x86dd => ipv6(packet, ip_at)?,
            _ => return None,
        };
        let tcp = packet.get(tcp_in_packet..end)?;
        let header_len = usize::from(tcp.get(12)? >> 4) * 4;
        if header_len < 20 || header_len > tcp.len() {
            return None;
        }
        // A receiver discards what has neither ACK nor SYN nor RST.
        if tcp.get(13)? & 0x16 == 0 {
            return None;
        }
        Some(Self {
            source: SocketAddr::new(source, number(tcp, 0)?),
            destination: SocketAddr::new(destination, number(tcp, 2)?),
            ip_at,
            tcp_at: ip_at + tcp_in_packet,
            tcp,
        })
    }

    /// Returns the sequence number.
    pub fn seq(&self) -> u32 {
        self.tcp.get(4..8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
    }

    /// Returns the flags.
    pub fn flags(&self) -> u8 {
        self.tcp.get(13).copied().unwrap_or_default()
    }

    /// Returns the options.
    pub fn options(&self) -> &'a [u8] {
        self.tcp.get(20..self.header_len()).unwrap_or_default()
    }

    /// Returns the payload.
    pub fn payload(&self) -> &'a [u8] {
        self.tcp.get(self.header_len()..).unwrap_or_default()
    }

    /// Returns the oracle's opinion on its options.
    pub fn opinion(&self, wanted: Wanted<'_>) -> Opinion {
        options::look(self.options(), wanted)
    }

    fn header_len(&self) -> usize {
        self.tcp.get(12).map_or(0, |byte| usize::from(byte >> 4) * 4)
    }
}

/// Source, destination, and where TCP begins and ends in the packet.
type Inner = (IpAddr, IpAddr, usize, usize);

fn ipv4(packet: &[u8]) -> Option<Inner> {
    let first = *packet.first()?;
    let header_len = usize::from(first & 15) * 4;
    let end = length_or_all(number(packet, 2)?, packet.len())?;
    let fragment_offset = number(packet, 6)? & 0x1fff;
    if first >> 4 != 4 || *packet.get(9)? != 6 || fragment_offset != 0 || header_len < 20 {
        return None;
    }
    let address = |at: usize| Some(Ipv4Addr::from(*packet.get(at..)?.first_chunk::<4>()?).into());
    Some((address(12)?, address(16)?, header_len, end))
}

fn ipv6(packet: &[u8], ip_at: usize) -> Option<Inner> {
    if packet.first()? >> 4 != 6 {
        return None;
    }
    let end = 40 + length_or_all(number(packet, 4)?, packet.len().checked_sub(40)?)?;
    let (mut kind, mut at, mut passed) = (*packet.get(6)?, 40, 0);
    while kind != 6 {
        let header: &[u8; 8] = packet.get(at..)?.first_chunk()?;
        let [next, length, high, low, ..] = *header;
        at += match kind {
            0 | 43 | 60 => 8 + usize::from(length) * 8,
            44 if u16::from_be_bytes([high, low]) >> 3 == 0 => 8,
            51 => 8 + usize::from(length) * 4,
            _ => return None,
        };
        kind = next;
        passed += 1;
        if passed > MAX_EXTENSIONS || ip_at + at > MAX_TCP_AT {
            return None;
        }
    }
    let address = |at: usize| Some(Ipv6Addr::from(*packet.get(at..)?.first_chunk::<16>()?).into());
    Some((address(8)?, address(24)?, at, end))
}

/// A length of 0 means that the packet is longer than those on a wire, because it was merged from several.
fn length_or_all(length: u16, all: usize) -> Option<usize> {
    if length == 0 { (all > 1500).then_some(all) } else { Some(length.into()) }
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_to_its_payload() {
        let mut frame = [0; 14 + 4 + 40 + 8 + 24 + 2];
        frame[12..18].copy_from_slice(&[0x81, 0, 0, 7, 0x86, 0xdd]);
        frame[18..26].copy_from_slice(&[0x60, 0, 0, 0, 0, 34, 44, 64]);
        frame[41] = 1;
        frame[57] = 2;
        frame[58] = 6;
        frame[66..82].copy_from_slice(&[0, 9, 0, 80, 1, 2, 3, 4, 0, 0, 0, 0, 0x60, 0x18, 0, 0]);
        frame[86..92].copy_from_slice(&[1, 1, 1, 0, 65, 66]);
        let segment = Segment::of(&frame).unwrap();
        assert_eq!((segment.source, segment.destination), addresses());
        assert_eq!(
            (segment.ip_at, segment.tcp_at, segment.seq(), segment.flags()),
            (18, 66, 0x0102_0304, 0x18)
        );
        assert_eq!((segment.options(), segment.payload()), (&[1, 1, 1, 0][..], &b"AB"[..]));
        // A later fragment.
        frame[61] = 8;
        assert_eq!(Segment::of(&frame), None);
    }

    fn addresses() -> (SocketAddr, SocketAddr) {
        ("[::1]:9".parse().unwrap(), "[::2]:80".parse().unwrap())
    }
}
