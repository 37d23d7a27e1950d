//! The addresses of the interfaces of our network namespace.

use std::{io, net::IpAddr};

use ipnet::IpNet;
use netlink_packet_core::{DecodeError, NLM_F_DUMP, NlaBuffer, NlasIterator};

use super::route::{self, Message, word};

/// Bytes of `struct ifaddrmsg` of `linux/if_addr.h`.
const IFADDRMSG_BYTES: usize = 8;

/// An address, with the length of its network's prefix.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InterfaceAddress {
    /// The index of its interface.
    pub interface: u32,
    /// The address.
    pub address: IpNet,
}

/// Returns the addresses of all interfaces.
pub fn list() -> io::Result<Vec<InterfaceAddress>> {
    let message = Message { kind: libc::RTM_GETADDR, payload: vec![0; IFADDRMSG_BYTES] };
    let mut addresses = Vec::new();
    route::ask(message, NLM_F_DUMP, |payload| {
        addresses.extend(decode(payload)?);
        Ok(())
    })?;
    Ok(addresses)
}

/// Decodes a `struct ifaddrmsg` and its address. Returns `None` for addresses that are not IP.
fn decode(payload: &[u8]) -> Result<Option<InterfaceAddress>, DecodeError> {
    let short = || DecodeError::from("an address that is too short");
    let prefix = *payload.get(1).ok_or_else(short)?;
    let interface = word(payload, 4).ok_or_else(short)?;
    let mut found = None;
    for attribute in NlasIterator::new(payload.get(IFADDRMSG_BYTES..).ok_or_else(short)?) {
        let attribute: NlaBuffer<&[u8]> = attribute?;
        match attribute.kind() {
            // Of a point-to-point interface, this is the address of the other end, and the next one is ours.
            libc::IFA_ADDRESS => found = found.or_else(|| ip(attribute.value())),
            libc::IFA_LOCAL => found = ip(attribute.value()),
            _ => {}
        }
    }
    let address = found.and_then(|ip| IpNet::new(ip, prefix).ok());
    Ok(address.map(|address| InterfaceAddress { interface, address }))
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(value).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_the_loopback_is_listed() {
        let addresses = list().unwrap();
        let loopback = InterfaceAddress { interface: 1, address: "127.0.0.1/8".parse().unwrap() };
        assert!(addresses.contains(&loopback), "{addresses:?}");
    }

    #[test]
    fn our_end_of_a_link_is_the_address() {
        let mut bytes = vec![2, 32, 0, 0, 7, 0, 0, 0];
        for (kind, last) in [(libc::IFA_ADDRESS, 1), (libc::IFA_LOCAL, 2), (libc::IFA_ADDRESS, 3)] {
            bytes.extend(8_u16.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend([192, 0, 2, last]);
        }
        let expected = InterfaceAddress { interface: 7, address: "192.0.2.2/32".parse().unwrap() };
        assert_eq!(decode(&bytes).unwrap(), Some(expected));
        for length in 0..bytes.len() {
            let decoded = decode(&bytes[..length]);
            assert!(decoded.is_err() || length >= 8, "{length}");
            assert!(decoded.ok().flatten().is_none_or(|it| it.interface == 7), "{length}");
        }
    }
}
