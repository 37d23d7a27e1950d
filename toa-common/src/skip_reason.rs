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
            _ => None,
        }
    }
}
