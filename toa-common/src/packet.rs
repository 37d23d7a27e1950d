//! Responsible for reading one packet from its first byte to its TCP options. Not responsible for what its
//! options or its connection mean.

use crate::{
    flow_key::FlowKey,
    seq::Seq,
    skip_reason::SkipReason,
    wire::{
        ethernet, ip,
        tcp::{FIN, RST, SYN, Tcp},
    },
};

/// Access to the bytes of one packet, each host's own.
pub trait Packet: Sized {
    /// Bytes on the wire, which may be more than can be viewed.
    fn wire_len(&self) -> u32;

    /// The `N` bytes from `offset` on, or `None` unless all of them can be read in place. `N` is at least 2:
    /// the verifier derives no range from the comparison that a one-byte view compiles to.
    fn view<const N: usize>(&self, offset: u32) -> Option<&[u8; N]>;

    /// A view that begins at `offset`, of the same packet.
    #[must_use]
    fn skip(&self, offset: u32) -> Self;
}

/// A captured packet.
#[derive(Clone, Copy, Debug)]
pub struct Captured<'a> {
    /// What was captured of it, from the view's beginning on.
    pub bytes: &'a [u8],
    /// Bytes on the wire.
    pub wire_len: u32,
}

impl Packet for Captured<'_> {
    fn wire_len(&self) -> u32 {
        self.wire_len
    }

    fn view<const N: usize>(&self, offset: u32) -> Option<&[u8; N]> {
        self.bytes.get(usize::try_from(offset).ok()?..)?.first_chunk()
    }

    fn skip(&self, offset: u32) -> Self {
        let bytes =
            usize::try_from(offset).ok().and_then(|offset| self.bytes.get(offset..)).unwrap_or_default();
        Self { bytes, ..*self }
    }
}

/// What the first byte of a packet belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Link {
    /// An Ethernet header.
    Ethernet,
    /// An IP header: devices without a link header.
    Ip,
}

/// A TCP packet, found and measured. Offsets are bytes from the packet's first byte.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TcpPacket {
    /// The connection.
    pub key: FlowKey,
    /// Sequence number of the first payload byte (of the SYN, if there is one).
    pub seq: Seq,
    /// The flags byte, see [`crate::wire::tcp`].
    pub flags: u8,
    /// Where the IP header begins.
    pub network_offset: u32,
    /// Where the TCP header begins.
    pub transport_offset: u32,
    /// Bytes of TCP options, 0 to 40.
    pub options_len: u32,
    /// Bytes of payload.
    pub payload_len: u32,
}

impl TcpPacket {
    /// Finds the TCP header of `packet` and checks every length on the way. Packets to a port, in network order, that
    /// `is_served` says no to are given up early.
    ///
    /// Fails with [`SkipReason::Truncated`] also when only the options cannot be viewed, so that a host can come
    /// again with a view of all headers.
    #[inline(always)]
    pub fn parse<P: Packet>(
        packet: &P,
        link: Link,
        is_served: impl FnOnce(u16) -> bool,
    ) -> Result<Self, SkipReason> {
        let (ether_type, network_offset) = match link {
            Link::Ethernet => ethernet::parse(packet)?,
            Link::Ip => ip::ether_type(packet)?,
        };
        let ip = ip::parse(packet, ether_type, network_offset)?;
        Self::parse_transport(packet, network_offset, &ip, is_served)
    }

    #[inline(always)]
    fn parse_transport<P: Packet>(
        packet: &P,
        network_offset: u32,
        ip: &ip::Ip,
        is_served: impl FnOnce(u16) -> bool,
    ) -> Result<Self, SkipReason> {
        let transport_offset = ip.transport_offset;
        let tcp = Tcp(packet.view(transport_offset).ok_or(SkipReason::Truncated)?);
        if !is_served(tcp.destination_port_be()) {
            return Err(SkipReason::OtherPort);
        }
        let header_len = tcp.header_len();
        let options_len = header_len.checked_sub(Tcp::FIXED_LEN).ok_or(SkipReason::Malformed)?;
        let payload_len = ip.transport_len.checked_sub(header_len).ok_or(SkipReason::Malformed)?;
        let last_two = transport_offset.wrapping_add(header_len).wrapping_sub(2);
        if packet.view::<2>(last_two).is_none() {
            return Err(SkipReason::Truncated);
        }
        Ok(Self {
            key: FlowKey { source: ip.source, destination: ip.destination, ports: tcp.ports() },
            seq: tcp.seq(),
            flags: tcp.flags(),
            network_offset,
            transport_offset,
            options_len,
            payload_len,
        })
    }

    /// Whether there is nothing to tell of it: no payload, and neither the beginning nor the end of a connection.
    #[inline(always)]
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.payload_len == 0 && self.flags & (SYN | FIN | RST) == 0
    }

    /// Where the options begin.
    #[inline(always)]
    #[must_use]
    pub fn options_offset(&self) -> u32 {
        self.transport_offset.wrapping_add(Tcp::FIXED_LEN)
    }

    /// Where the payload begins.
    #[inline(always)]
    #[must_use]
    pub fn payload_offset(&self) -> u32 {
        self.options_offset().wrapping_add(self.options_len)
    }
}
