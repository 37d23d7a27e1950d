//! The bytes that balancers write, from the tests' own constants.

use std::net::{IpAddr, SocketAddr};

/// Returns the bytes of the common TOA option for `client`: kind 254, length 8 or 20, port, address.
pub fn toa_option(client: SocketAddr) -> Vec<u8> {
    port_address_option(254, client)
}

/// Like [`toa_option`], with another kind.
pub fn port_address_option(kind: u8, client: SocketAddr) -> Vec<u8> {
    let port = client.port().to_be_bytes();
    match client.ip() {
        IpAddr::V4(address) => [&[kind, 8], &port[..], &address.octets()].concat(),
        IpAddr::V6(address) => [&[kind, 20], &port[..], &address.octets()].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_the_bytes_that_balancers_write() {
        let ipv4 = toa_option("203.0.113.9:54321".parse().unwrap());
        assert_eq!(ipv4, [254, 8, 0xd4, 0x31, 203, 0, 113, 9]);
        let ipv6 = port_address_option(253, "[2001:db8::7]:40000".parse().unwrap());
        assert_eq!(ipv6[..8], [253, 20, 0x9c, 0x40, 0x20, 0x01, 0x0d, 0xb8]);
        assert_eq!((ipv6.len(), ipv6[19]), (20, 7));
    }
}
