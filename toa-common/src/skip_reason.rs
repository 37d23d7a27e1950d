//! Responsible for the reasons why a packet is not looked at further. Not responsible for counting them.

/// Why a packet was left alone before any connection was looked up. Each has a counter of the same name. Zero is
/// no reason.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum SkipReason {
    /// Neither IPv4 nor IPv6.
    NotIp = 1,
    /// IP, but not TCP.
    NotTcp,
    /// A fragment that does not begin at offset 0 and so has no TCP header.
    Fragment,
    /// A header reaches past the end of the packet.
    Truncated,
    /// A length field contradicts another one or the protocol (IHL below 5, data offset below 5, …).
    Malformed,
    /// IPv6 extension headers that are too many or too long.
    ExtensionHeaders,
    /// TCP to a local port that is not asked for.
    OtherPort,
}

impl SkipReason {
    /// The reason with this number.
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
            _ => None,
        }
    }
}
