//! Parsing of one packet, from its first byte to the end of the TCP header.

use crate::{
    flow_key::FlowKey,
    seq::Seq,
    skip_reason::SkipReason,
    wire::{
        ethernet::{self, ETHER_TYPE_IPV4, ETHER_TYPE_IPV6},
        ip::Ip,
        ipv4, ipv6,
        tcp::{ACK, FIN, RST, SYN, Tcp},
        view::{Link, PacketView},
    },
};

/// A parsed TCP packet. Offsets are in bytes from the start of the packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TcpPacket {
    /// The connection.
    pub key: FlowKey,
    /// Sequence number of the first payload byte, or of the SYN if there is one.
    pub seq: Seq,
    /// The flags byte, see [`crate::wire::tcp`].
    pub flags: u8,
    /// Offset of the IP header.
    pub network_offset: u32,
    /// Offset of the TCP header.
    pub transport_offset: u32,
    /// Length of the TCP options, in bytes, 0 to 40.
    pub options_len: u32,
    /// Length of the payload, in bytes.
    pub payload_len: u32,
}

impl TcpPacket {
    /// Finds the TCP header of `packet` and checks every length on the way. Rejects the packet early if `is_served`
    /// returns `false` for its destination port, which it gets in network order.
    ///
    /// Also fails with [`SkipReason::Truncated`] if the fixed header can be viewed but the options cannot, so that the
    /// caller can retry with a view of all headers.
    #[inline(always)]
    pub fn parse<P: PacketView>(
        packet: &P,
        link: Link,
        is_served: impl FnOnce(u16) -> bool,
    ) -> Result<Self, SkipReason> {
        let (ether_type, network_offset) = match link {
            Link::Ethernet => ethernet::parse(packet)?,
            Link::Ip => ether_type_of(packet)?,
        };
        let ip = parse_ip(packet, ether_type, network_offset)?;
        Self::parse_transport(packet, network_offset, &ip, is_served)
    }

    #[inline(always)]
    fn parse_transport<P: PacketView>(
        packet: &P,
        network_offset: u32,
        ip: &Ip,
        is_served: impl FnOnce(u16) -> bool,
    ) -> Result<Self, SkipReason> {
        let transport_offset = ip.transport_offset;
        let tcp = Tcp(packet.bytes(transport_offset).ok_or(SkipReason::Truncated)?);
        if !is_served(tcp.destination_port_be()) {
            return Err(SkipReason::OtherPort);
        }
        let flags = tcp.flags();
        // RFC 9293 section 3.10.7.4, fifth check.
        if flags & (SYN | RST | ACK) == 0 {
            return Err(SkipReason::NoAck);
        }
        let header_len = tcp.header_len();
        let options_len = header_len.checked_sub(Tcp::FIXED_LEN).ok_or(SkipReason::Malformed)?;
        let payload_len = ip.transport_len.checked_sub(header_len).ok_or(SkipReason::Malformed)?;
        let last_two = transport_offset.wrapping_add(header_len).wrapping_sub(2);
        if packet.bytes::<2>(last_two).is_none() {
            return Err(SkipReason::Truncated);
        }
        Ok(Self {
            key: FlowKey { source: ip.source, destination: ip.destination, ports: tcp.ports() },
            seq: tcp.seq(),
            flags,
            network_offset,
            transport_offset,
            options_len,
            payload_len,
        })
    }

    /// Returns whether it has neither payload nor SYN, FIN or RST.
    #[inline(always)]
    pub fn is_pure_ack(&self) -> bool {
        self.payload_len == 0 && self.flags & (SYN | FIN | RST) == 0
    }

    /// Returns the sequence number of the first byte of payload: a SYN takes a number of its own.
    #[inline(always)]
    pub fn first_byte(&self) -> Seq {
        self.seq + u32::from(self.flags & SYN != 0)
    }

    /// Returns the offset of the options.
    #[inline(always)]
    pub fn options_offset(&self) -> u32 {
        self.transport_offset.wrapping_add(Tcp::FIXED_LEN)
    }

    /// Returns the offset of the payload.
    #[inline(always)]
    pub fn payload_offset(&self) -> u32 {
        self.options_offset().wrapping_add(self.options_len)
    }
}

/// Returns the EtherType that the IP version field of a packet without a link header implies, and offset 0.
#[inline(always)]
fn ether_type_of<P: PacketView>(packet: &P) -> Result<(u16, u32), SkipReason> {
    let [first, _]: &[u8; 2] = packet.bytes(0).ok_or(SkipReason::Truncated)?;
    match first >> 4 {
        4 => Ok((ETHER_TYPE_IPV4, 0)),
        6 => Ok((ETHER_TYPE_IPV6, 0)),
        _ => Err(SkipReason::NotIp),
    }
}

/// Parses the IP header at `offset`.
#[inline(always)]
fn parse_ip<P: PacketView>(packet: &P, ether_type: u16, offset: u32) -> Result<Ip, SkipReason> {
    match ether_type {
        ETHER_TYPE_IPV4 => ipv4::parse(packet, offset),
        ETHER_TYPE_IPV6 => ipv6::parse(packet, offset),
        other => Err(SkipReason::of_ether_type(other)),
    }
}

/// The kinds of segments that the decision distinguishes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SegmentKind {
    /// A SYN without ACK, which opens a connection.
    Syn,
    /// A SYN with ACK: this host is the client of the connection, so nothing is learned. Or one with FIN, which Linux discards.
    SynAck,
    /// A reset, even with SYN.
    Rst,
    /// Any other segment without payload, including a FIN.
    Ack,
    /// Any other segment with payload.
    Data,
}

impl SegmentKind {
    /// Returns the kind of a segment with these TCP flags.
    #[inline(always)]
    pub fn new(flags: u8, has_payload: bool) -> Self {
        if flags & RST != 0 {
            Self::Rst
        } else if flags & SYN != 0 {
            if flags & (ACK | FIN) == 0 { Self::Syn } else { Self::SynAck }
        } else if has_payload {
            Self::Data
        } else {
            Self::Ack
        }
    }

    #[inline(always)]
    pub(crate) fn names_client(self) -> bool {
        matches!(self, Self::Syn | Self::Ack | Self::Data)
    }
}
