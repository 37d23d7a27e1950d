//! Responsible for the real client as people and machines read it. Not responsible for how it is known.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use serde::Serialize;
use toa_common::{address::Client, wire::toa_pairs::has_port};

use crate::rule::to_ip;

/// A real client. In text its port is `-` if the TOA has none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct ClientAddress {
    /// Its address.
    pub address: IpAddr,
    /// Its port, where the TOA has one.
    pub port: Option<u16>,
}

impl ClientAddress {
    /// The one that a TOA of this kind and length names.
    #[must_use]
    pub fn new(client: &Client, kind: u8, length: u8) -> Self {
        let port = has_port(kind, length).then(|| client.port());
        Self { address: to_ip(client.address), port }
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.port) {
            (address, Some(port)) => SocketAddr::new(address, port).fmt(f),
            (IpAddr::V4(address), None) => write!(f, "{address}:-"),
            (IpAddr::V6(address), None) => write!(f, "[{address}]:-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use toa_common::address::Address;

    use super::*;

    #[test]
    fn a_client_without_a_port_is_no_client_with_port_0() {
        let client = Client { address: Address::from_ipv4(&[203, 0, 113, 9]), port_be: 0 };
        assert_eq!(ClientAddress::new(&client, 254, 8).to_string(), "203.0.113.9:0");
        assert_eq!(ClientAddress::new(&client, 28, 7).to_string(), "203.0.113.9:-");
        let bytes = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
        let client = Client { address: Address::from_ipv6(&bytes), port_be: 0 };
        let without = ClientAddress::new(&client, 28, 19);
        assert_eq!(without.to_string(), "[2001:db8::7]:-");
        assert_eq!(serde_json::to_string(&without).unwrap(), r#"{"address":"2001:db8::7","port":null}"#);
    }
}
