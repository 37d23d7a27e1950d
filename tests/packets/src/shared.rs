//! Addresses, clients and frames in the types of the shared code.

use std::net::{IpAddr, SocketAddr};

use toa_common::{
    address::{Address, Client},
    wire::view::Captured,
};

/// Converts a client.
pub fn client_of(client: SocketAddr) -> Client {
    Client { address: address_of(client.ip()), port_be: client.port().to_be() }
}

/// Converts an address.
pub fn address_of(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(address) => Address::from_ipv4(&address.octets()),
        IpAddr::V6(address) => Address::from_ipv6(&address.octets()),
    }
}

/// Returns a view of a whole frame.
pub fn captured(frame: &[u8]) -> Captured<'_> {
    Captured { bytes: frame, wire_len: u32::try_from(frame.len()).unwrap_or(u32::MAX) }
}
