//! The bytes of a TOA option that names a client.

use std::fmt;

use ipnet::IpNet;
use toa_common::wire::{
    toa::{address_at, has_ipv6},
    toa_pairs::{has_port, has_version},
};

use crate::{
    address::{net_bits, to_address},
    rule::Rule,
};

/// Bits of an IPv4-mapped address before those of the IPv4 address.
const MAPPED_BITS: usize = 96;

/// A byte of an option. Only the bits of the mask are compared.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MaskedByte {
    /// The bits that it must have.
    pub value: u8,
    /// The bits that matter.
    pub mask: u8,
}

/// An option of one kind and length, as far as it must name a client that a rule matches.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern {
    /// The rule.
    pub rule: Rule,
    /// Its kind.
    pub kind: u8,
    /// Its bytes, from the kind on.
    pub bytes: Vec<MaskedByte>,
}

impl Pattern {
    /// Returns the option of this kind and length, or `None` if it can name no client that the rule matches.
    pub fn new(rule: &Rule, kind: u8, length: u8) -> Option<Self> {
        let mut bytes = vec![MaskedByte::default(); usize::from(length)];
        set(&mut bytes, 0, &[kind, length], 16);
        if has_version(kind, length) && length == 7 {
            set(&mut bytes, 2, &[1], 8);
        }
        let (net, port) = match *rule {
            Rule::Address(ip) => (Some(IpNet::from(ip)), None),
            Rule::AddressPort(address) => (Some(IpNet::from(address.ip())), Some(address.port())),
            Rule::Prefix(net) => (Some(net), None),
            Rule::PrefixPort(net, port) => (Some(net), Some(port)),
            Rule::Port(port) => (None, Some(port)),
            Rule::Any => (None, None),
        };
        if let Some(port) = port {
            if !has_port(kind, length) {
                return None;
            }
            set(&mut bytes, 2, &port.to_be_bytes(), 16);
        }
        if let Some(net) = net {
            let at = usize::try_from(address_at(kind, length)).ok()?;
            let (octets, bits) = (to_address(net.network()).octets(), usize::try_from(net_bits(&net)).ok()?);
            if has_ipv6(kind, length) {
                set(&mut bytes, at, &octets, bits);
            } else if is_mapped(&octets, bits) {
                set(&mut bytes, at, octets.last_chunk::<4>()?, bits.saturating_sub(MAPPED_BITS));
            } else {
                return None;
            }
        }
        Some(Self { rule: *rule, kind, bytes })
    }

    /// Returns the option's length in bytes.
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Returns whether every bit of it matters.
    pub fn is_exact(&self) -> bool {
        self.bytes.iter().all(|byte| byte.mask == 0xff)
    }
}

/// Writes the first `bits` bits of `value` at `at`.
fn set(bytes: &mut [MaskedByte], at: usize, value: &[u8], bits: usize) {
    for (place, (byte, octet)) in bytes.iter_mut().skip(at).zip(value).enumerate() {
        let wanted = bits.saturating_sub(8 * place).min(8);
        let mask = !(0xff_u16 >> wanted) as u8;
        *byte = MaskedByte { value: octet & mask, mask };
    }
}

/// Returns whether IPv4-mapped addresses have these first `bits` bits.
fn is_mapped(octets: &[u8; 16], bits: usize) -> bool {
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
    let mut wanted = [MaskedByte::default(); 12];
    set(&mut wanted, 0, octets, bits);
    wanted.iter().zip(mapped).all(|(byte, mapped)| mapped & byte.mask == byte.value)
}

impl fmt::Display for Pattern {
    /// Writes the bytes in hex, and `..` for those that may be any. Of a byte that matters in part, the first and the last
    /// value are written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.bytes.iter().enumerate() {
            let space = if place > 0 { " " } else { "" };
            match byte.mask {
                0xff => write!(f, "{space}{:02x}", byte.value)?,
                0 => write!(f, "{space}..")?,
                mask => write!(f, "{space}{:02x}-{:02x}", byte.value, byte.value | !mask)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(rule: &str, kind: u8, length: u8) -> String {
        let pattern = Pattern::new(&rule.parse().unwrap(), kind, length);
        pattern.map_or_else(|| "none".to_owned(), |pattern| pattern.to_string())
    }

    #[test]
    fn every_layout_has_its_bytes() {
        for (rule, kind, length, expected) in [
            ("203.0.113.9:54321", 254, 8, "fe 08 d4 31 cb 00 71 09"),
            ("203.0.113.9", 254, 8, "fe 08 .. .. cb 00 71 09"),
            ("203.0.113.0/24", 254, 8, "fe 08 .. .. cb 00 71 .."),
            ("203.0.112.0/20:80", 200, 8, "c8 08 00 50 cb 00 70-7f .."),
            (":80", 253, 8, "fd 08 00 50 .. .. .. .."),
            ("any", 254, 8, "fe 08 .. .. .. .. .. .."),
            ("2001:db8::7", 254, 8, "none"),
            ("2001:db8::/32", 254, 8, "none"),
            ("::/0", 254, 8, "fe 08 .. .. .. .. .. .."),
            ("0.0.0.0/0", 254, 8, "fe 08 .. .. .. .. .. .."),
            ("2001:db8::7", 28, 18, "1c 12 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 07"),
            ("203.0.113.9", 28, 18, "1c 12 00 00 00 00 00 00 00 00 00 00 ff ff cb 00 71 09"),
            ("203.0.113.9", 28, 6, "1c 06 cb 00 71 09"),
            ("203.0.113.9", 28, 7, "1c 07 01 cb 00 71 09"),
            ("203.0.113.9:80", 28, 7, "none"),
            ("any", 252, 20, "fc 14 .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. .. .."),
            ("203.0.113.9", 252, 20, "fc 14 .. .. cb 00 71 09 .. .. .. .. .. .. .. .. .. .. .. .."),
        ] {
            assert_eq!(hex(rule, kind, length), expected, "{rule} {kind}:{length}");
        }
        assert!(hex("2001:db8::/32", 254, 24).starts_with("fe 18 .. .. .. .. .. .. 20 01 0d b8 .. "));
        assert!(
            Pattern::new(&Rule::Port(0), 254, 8).unwrap().bytes[2..4].iter().all(|byte| byte.mask == 0xff)
        );
    }
}
