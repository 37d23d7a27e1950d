//! The reasons why a packet is skipped.

/// Why a packet was skipped before its connection was looked up. Each reason has a counter of the same name. Zero is
/// not a reason.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum SkipReason {
    /// Neither IPv4 nor IPv6.
    NotIp = 1,
    /// IP, but not TCP.
    NotTcp,
    /// A fragment with an offset other than 0, which has no TCP header.
    Fragment,
    /// A header, or the length that the IP header announces, reaches past the end of the packet.
    Truncated,
    /// A length or version field contradicts another field or the protocol (IHL below 5, data offset below 5, …).
    Malformed,
    /// Too many or too long IPv6 extension headers.
    ExtensionHeaders,
    /// TCP to a local port that is not of interest.
    OtherPort,
    /// TCP with none of the flags SYN, RST and ACK, which a server discards.
    NoAck,
    /// IP in IP.
    IpInIp,
    /// GRE.
    Gre,
    /// UDP to a port of VXLAN.
    Vxlan,
    /// UDP to the port of Geneve.
    Geneve,
    /// MPLS.
    Mpls,
    /// A `PPPoE` session.
    Pppoe,
    /// More VLAN tags than are skipped, or such of an unusual EtherType.
    Vlan,
}

impl SkipReason {
    /// Returns the reason with this number, or `None` if there is none.
    #[inline(always)]
    pub fn from_code(code: u32) -> Option<Self> {
        match code {
            1 => Some(Self::NotIp),
            2 => Some(Self::NotTcp),
            3 => Some(Self::Fragment),
            4 => Some(Self::Truncated),
            5 => Some(Self::Malformed),
            6 => Some(Self::ExtensionHeaders),
            7 => Some(Self::OtherPort),
            8 => Some(Self::NoAck),
            9 => Some(Self::IpInIp),
            10 => Some(Self::Gre),
            11 => Some(Self::Vxlan),
            12 => Some(Self::Geneve),
            13 => Some(Self::Mpls),
            14 => Some(Self::Pppoe),
            15 => Some(Self::Vlan),
            _ => None,
        }
    }

    /// Returns the reason for an IP packet of this protocol, which is not TCP.
    #[inline(always)]
    pub(crate) fn of_protocol(protocol: u8) -> Self {
        match protocol {
            4 | 41 => Self::IpInIp,
            47 => Self::Gre,
            _ => Self::NotTcp,
        }
    }

    /// Returns the reason for a UDP packet to this port, in host order.
    #[inline(always)]
    pub(crate) fn of_udp_port(port: u16) -> Self {
        match port {
            // RFC 7348, and the one that Linux has used before.
            4789 | 8472 => Self::Vxlan,
            // RFC 8926.
            6081 => Self::Geneve,
            _ => Self::NotTcp,
        }
    }

    /// Returns the reason for a frame of this EtherType (host order), which is neither IPv4 nor IPv6.
    #[inline(always)]
    pub(crate) fn of_ether_type(ether_type: u16) -> Self {
        match ether_type {
            0x8847 | 0x8848 => Self::Mpls,
            0x8864 => Self::Pppoe,
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => Self::Vlan,
            _ => Self::NotIp,
        }
    }
}
