//! Verification of TCP checksums (RFC 9293 section 3.1, RFC 1071).
//!
//! A packet that is captured where it was sent, or on a virtual device, has no complete checksum: the network card would
//! have computed it. Linux then leaves the sum of the pseudo header in the field. A packet that was merged from several
//! has the same, after the kernel has verified each of them.

use toa_common::tcp_packet::TcpPacket;

/// The state of a segment's checksum.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Checksum {
    /// It cannot be verified: bytes are missing, or the addresses of its pseudo header are not known.
    #[default]
    Unknown,
    /// Right.
    Right,
    /// Left to the network card.
    Offloaded,
    /// Wrong.
    Wrong,
    /// Wrong, and its source is known to send right ones.
    Refused,
}

/// IP protocol number of TCP.
const TCP: u64 = 6;

/// Offset of the checksum in the TCP header.
const FIELD: usize = 16;

/// Checks the TCP segment in `packet`, which begins with the IP header.
pub(super) fn check(packet: &[u8], tcp: &TcpPacket) -> Checksum {
    let checked = || {
        let header_len = tcp.payload_offset().checked_sub(tcp.transport_offset)?;
        let len = header_len.checked_add(tcp.payload_len)?;
        let start = usize::try_from(tcp.transport_offset).ok()?;
        let segment = packet.get(start..)?.get(..usize::try_from(len).ok()?)?;
        let addresses = match packet.first()? >> 4 {
            // With options or extension headers, the destination may be another than that in the header.
            4 if start == 20 => packet.get(12..20)?,
            6 if start == 40 => packet.get(8..40)?,
            _ => return None,
        };
        let field = segment.get(FIELD..)?.first_chunk()?;
        let pseudo = sum(addresses).wrapping_add(TCP);
        let with_len = fold(pseudo.wrapping_add(u64::from(len)));
        // Some senders leave out the length of a segment that the card is to split.
        let field = u16::from_be_bytes(*field);
        Some(if fold(u64::from(with_len).wrapping_add(sum(segment))) == u16::MAX {
            Checksum::Right
        } else if field == with_len || field == fold(pseudo) {
            Checksum::Offloaded
        } else {
            Checksum::Wrong
        })
    };
    if tcp.payload_len > u32::from(u16::MAX) {
        return Checksum::Unknown;
    }
    checked().unwrap_or_default()
}

/// Returns the sum of the 16-bit words of `bytes`, with a zero byte added if their number is odd.
fn sum(bytes: &[u8]) -> u64 {
    // Words of 64 bits in the host's order, whose sum folds to that of the bytes in that order (RFC 1071 section 2 B).
    // Swapping each would cost more than adding it.
    let (words, rest) = bytes.as_chunks();
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let sum = words.iter().fold(u64::from_ne_bytes(last), |sum, word| {
        let (sum, has_carry) = sum.overflowing_add(u64::from_ne_bytes(*word));
        sum.wrapping_add(has_carry.into())
    });
    u64::from(u16::from_be_bytes(fold(sum).to_ne_bytes()))
}

/// Adds the carries of a sum.
fn fold(sum: u64) -> u16 {
    // Of 33, 18 and 17 bits.
    let sum = (sum >> 32).wrapping_add(sum & 0xffff_ffff);
    let sum = (sum >> 16).wrapping_add(sum & 0xffff);
    let sum = (sum >> 16).wrapping_add(sum & 0xffff);
    // One of 17 bits is at most 0x1_0001.
    (sum >> 16).wrapping_add(sum) as u16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of RFC 1071 section 3.
    const EXAMPLE: [u8; 8] = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];

    #[test]
    fn sums_are_those_of_the_rfc() {
        assert_eq!(fold(sum(&EXAMPLE)), 0xddf2);
        assert_eq!(fold(sum(&EXAMPLE[..7])), fold(sum(&[&EXAMPLE[..7], &[0]].concat())));
        assert_eq!(fold(sum(&vec![0xff; 100_000])), 0xffff);
        assert_eq!(fold(0), 0);
    }

    proptest! {
        #[test]
        fn many_at_once_are_added_like_one_after_another(bytes in prop::collection::vec(0xf0_u8.., 0..100)) {
            let words = bytes.chunks(2).map(|word| u16::from_be_bytes([word[0], *word.get(1).unwrap_or(&0)]));
            let expected = words.fold(0, |sum: u32, word| {
                let sum = sum + u32::from(word);
                sum % 0x1_0000 + sum / 0x1_0000
            });
            prop_assert_eq!(u32::from(fold(sum(&bytes))), expected);
        }
    }
}
