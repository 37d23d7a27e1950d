//! The kinds of tunnels, and their names.

use std::fmt;

/// A kind of tunnel.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Tunnel {
    /// More VLAN tags than the kernel's parser skips, or such of an unusual EtherType.
    Vlan,
    /// LLC/SNAP (RFC 1042).
    Snap,
    /// MPLS (RFC 3032).
    Mpls,
    /// `PPPoE` (RFC 2516).
    Pppoe,
    /// IP in IP (RFC 2003, RFC 2473, RFC 4213).
    IpInIp,
    /// GRE (RFC 2784, RFC 2890).
    Gre,
    /// ERSPAN of all three types.
    Erspan,
    /// VXLAN (RFC 7348).
    Vxlan,
    /// Geneve (RFC 8926).
    Geneve,
    /// GUE.
    Gue,
    /// GTP-U (3GPP TS 29.281).
    Gtp,
    /// Teredo (RFC 4380).
    Teredo,
    /// L2TP, which is not read.
    L2tp,
    /// ESP of `IPsec` (RFC 4303), which is encrypted.
    Esp,
    /// `WireGuard`, which is encrypted.
    WireGuard,
}

impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vlan => "stacked VLANs",
            Self::Snap => "LLC/SNAP",
            Self::Mpls => "MPLS",
            Self::Pppoe => "PPPoE",
            Self::IpInIp => "IP in IP",
            Self::Gre => "GRE",
            Self::Erspan => "ERSPAN",
            Self::Vxlan => "VXLAN",
            Self::Geneve => "Geneve",
            Self::Gue => "GUE",
            Self::Gtp => "GTP-U",
            Self::Teredo => "Teredo",
            Self::L2tp => "L2TP",
            Self::Esp => "IPsec (ESP)",
            Self::WireGuard => "WireGuard",
        })
    }
}
