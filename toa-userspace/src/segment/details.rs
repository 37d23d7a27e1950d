//! What a segment's TCP header says besides ports, numbers and flags.

use toa_common::{
    seq::Seq,
    tcp_packet::TcpPacket,
    wire::tcp::{Tcp, URG},
};

use super::checksum::{self, Checksum};

/// Kinds and lengths of options.
mod option {
    pub(super) const END_OF_LIST: u8 = 0;
    pub(super) const NO_OPERATION: u8 = 1;
    /// RFC 7323 section 3.2.
    pub(super) const TIMESTAMPS: (u8, u8) = (8, 10);
    /// RFC 7413 section 4.1.1.
    pub(super) const FAST_OPEN: u8 = 34;
}

/// Parts of a TCP header that tell whether a server accepts the segment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Details {
    /// Whether the checksum is right.
    pub checksum: Checksum,
    /// The acknowledgment number.
    pub ack: Seq,
    /// The value of the timestamps option.
    pub timestamp: Option<u32>,
    /// Offset of the urgent byte in the payload, if there is one. It may be beyond the segment.
    pub urgent: Option<u16>,
    /// Whether there is a Fast Open cookie, so that the payload of a SYN counts.
    pub is_fast_open: bool,
    /// Whether it is the first fragment of a packet, so that more payload follows, which is not read.
    pub is_fragment: bool,
}

impl Details {
    /// Reads the header of `tcp` in `packet`, which begins with the IP header. `is_merged` says whether the packet was
    /// merged from several.
    pub fn read(packet: &[u8], tcp: &TcpPacket, is_merged: bool) -> Self {
        let at = |offset: u32| usize::try_from(offset).ok().and_then(|offset| packet.get(offset..));
        let Some((header, options)) = at(tcp.transport_offset)
            .and_then(|bytes| bytes.split_first_chunk::<{ Tcp::FIXED_LEN as usize }>())
        else {
            return Self::default();
        };
        let is_fragment = is_fragment(packet);
        let checksum =
            if is_merged || is_fragment { Checksum::Unknown } else { checksum::check(packet, tcp) };
        let mut details = Self { checksum, is_fragment, ..Self::default() };
        let [.., high, low] = *header;
        let [_, _, _, _, _, _, _, _, a, b, c, d, ..] = *header;
        details.ack = Seq(u32::from_be_bytes([a, b, c, d]));
        let pointer = u16::from_be_bytes([high, low]);
        if tcp.flags & URG != 0 {
            // The pointer is that of the byte after the urgent one, as servers read it (RFC 6093 section 3.1). Linux takes
            // 0 for the first byte, too (`tcp_check_urg` in `net/ipv4/tcp_input.c`).
            details.urgent = Some(pointer.saturating_sub(1));
        }
        let options = usize::try_from(tcp.options_len).ok().and_then(|len| options.get(..len));
        details.read_options(options.unwrap_or_default());
        details
    }

    fn read_options(&mut self, options: &[u8]) {
        let mut rest = options;
        loop {
            rest = match rest {
                [] | [option::END_OF_LIST, ..] => return,
                [option::NO_OPERATION, rest @ ..] => rest,
                [kind, length, ..] if *length >= 2 => {
                    let Some((option, rest)) = rest.split_at_checked(usize::from(*length)) else { return };
                    if (*kind, *length) == option::TIMESTAMPS {
                        self.timestamp = option
                            .get(2..)
                            .and_then(<[u8]>::first_chunk)
                            .map(|value| u32::from_be_bytes(*value));
                    }
                    self.is_fast_open |= *kind == option::FAST_OPEN && *length > 2;
                    rest
                }
                _ => return,
            }
        }
    }
}

/// Returns whether more fragments follow `packet`, which begins with the IP header.
fn is_fragment(packet: &[u8]) -> bool {
    match packet {
        // RFC 791 section 3.1.
        [0x40..=0x4f, _, _, _, _, _, flags, ..] => flags & 0x20 != 0,
        // RFC 8200 section 4.5: the fragment header usually comes first.
        [0x60..=0x6f, _, _, _, _, _, 44, ..] => packet.get(43).is_some_and(|byte| byte & 1 != 0),
        _ => false,
    }
}
