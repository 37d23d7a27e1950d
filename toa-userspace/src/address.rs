//! Addresses as text and JSON, and their conversion to and from the form in the kernel's maps.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Serialize;
use toa_common::{address::Address, attribution::Attribution};

/// A real client. In text, its port is `-` if the TOA has none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct ClientAddress {
    /// The address.
    pub address: IpAddr,
    /// The port, if the TOA has one.
    pub port: Option<u16>,
}

impl ClientAddress {
    /// Returns the client of an attribution, if anything names it.
    pub fn named(attribution: &Attribution) -> Option<Self> {
        attribution.is_named().then(|| Self::new(attribution))
    }

    /// Returns the client of an attribution or, if nothing names it, the sender.
    pub fn new(attribution: &Attribution) -> Self {
        let port = attribution.has_port().then(|| attribution.client().port());
        Self { address: to_ip(attribution.address), port }
    }

    /// Returns the address and port, if the TOA has one.
    pub fn socket(self) -> Option<SocketAddr> {
        self.port.map(|port| SocketAddr::new(self.address, port))
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.socket(), self.address) {
            (Some(client), _) => client.fmt(f),
            (None, IpAddr::V4(address)) => write!(f, "{address}:-"),
            (None, IpAddr::V6(address)) => write!(f, "[{address}]:-"),
        }
    }
}

/// A client as text: `-` if nothing names it.
#[derive(Clone, Copy, Debug)]
pub struct OrUnknown(pub Option<ClientAddress>);

impl fmt::Display for OrUnknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(client) => client.fmt(f),
            None => f.write_str("-"),
        }
    }
}

/// Converts an address to the form in the kernel's maps.
pub fn to_address(ip: IpAddr) -> Address {
    match ip {
        IpAddr::V4(ip) => Address::from_ipv4(&ip.octets()),
        IpAddr::V6(ip) => Address::from_ipv6(&ip.octets()),
    }
}

/// Bits of an IPv6 address that precede a mapped IPv4 address.
const MAPPED_BITS: u8 = 96;

/// Returns the length of a prefix in bits, as in the kernel's maps.
pub fn net_bits(net: &IpNet) -> u32 {
    let before = match net {
        IpNet::V4(_) => MAPPED_BITS,
        IpNet::V6(_) => 0,
    };
    u32::from(before) + u32::from(net.prefix_len())
}

/// Returns the prefix of the first `bits` bits of an address: an IPv4 prefix if the address is mapped.
pub fn to_net(address: Address, bits: u32) -> Option<IpNet> {
    let bits = u8::try_from(bits).ok()?;
    match (to_ip(address), bits.checked_sub(MAPPED_BITS)) {
        (IpAddr::V4(ip), Some(bits)) => Ipv4Net::new(ip, bits).ok().map(IpNet::V4),
        _ => Ipv6Net::new(address.octets().into(), bits).ok().map(IpNet::V6),
    }
}

/// Converts a prefix of mapped IPv4 addresses to an IPv4 prefix, and returns any other prefix unchanged.
pub fn canonical(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    match (v6.addr().to_canonical(), v6.prefix_len().checked_sub(MAPPED_BITS)) {
        (IpAddr::V4(ip), Some(bits)) => Ipv4Net::new(ip, bits).map_or(net, IpNet::V4),
        _ => net,
    }
}

/// Converts an address of the kernel's maps to its usual form: an IPv4 address if it is mapped.
pub fn to_ip(address: Address) -> IpAddr {
    Ipv6Addr::from(address.octets()).to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_without_a_port_is_no_client_with_port_0() {
        let client = |address, toa_kind, toa_length| {
            ClientAddress::new(&Attribution { address, toa_kind, toa_length, ..Attribution::EMPTY })
        };
        let address = Address::from_ipv4(&[203, 0, 113, 9]);
        assert_eq!(client(address, 254, 8).to_string(), "203.0.113.9:0");
        assert_eq!(client(address, 28, 7).to_string(), "203.0.113.9:-");
        let without =
            client(Address::from_ipv6(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]), 28, 19);
        assert_eq!(without.to_string(), "[2001:db8::7]:-");
        assert_eq!(serde_json::to_string(&without).unwrap(), r#"{"address":"2001:db8::7","port":null}"#);
    }
}
