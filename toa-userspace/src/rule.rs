//! Rules as the user writes them: `IP`, `IP:PORT`, `[IPv6]:PORT`, `CIDR`, `CIDR:PORT`, `:PORT` and `any`.

pub mod balancers;
mod error;
pub mod list;
pub mod matcher;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use ipnet::IpNet;
use toa_common::{
    address::Client,
    rule::{PrefixKey, RuleKey, shape},
};

pub use error::{RuleError, parse_port};
use error::{explain, explain_prefix, port_in_address};

use crate::address::{canonical, net_bits, to_address, to_ip, to_net};

/// A rule. Addresses and ports are those of the real client, as the TOA carries them.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Rule {
    /// An address, any port.
    Address(IpAddr),
    /// An address and a port.
    AddressPort(SocketAddr),
    /// A prefix of addresses, any port. It is shorter than an address, and no bits are set after its length.
    Prefix(IpNet),
    /// A prefix of addresses, and a port.
    PrefixPort(IpNet, u16),
    /// A port, any address.
    Port(u16),
    /// Every client.
    Any,
}

/// A rule as a key of one of the kernel's maps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Key {
    /// A key of `WATCH`.
    Exact(RuleKey),
    /// A key of `PREFIXES`, with its length in bits.
    Prefix(u32, PrefixKey),
}

impl Key {
    /// Returns the shape of the rule.
    pub fn shape(&self) -> u32 {
        match self {
            Self::Exact(key) => key.shape,
            Self::Prefix(_, key) if key.port == 0 => shape::PREFIX,
            Self::Prefix(..) => shape::PREFIX_PORT,
        }
    }
}

impl Rule {
    /// Returns the rule's key.
    pub fn key(&self) -> Key {
        Key::Exact(match self {
            Self::Address(address) => RuleKey::address(to_address(*address)),
            Self::AddressPort(address) => RuleKey::address_port(Client {
                address: to_address(address.ip()),
                port_be: address.port().to_be(),
            }),
            Self::Prefix(net) => return prefix_key(net, 0),
            Self::PrefixPort(net, port) => {
                return prefix_key(net, u32::from(port.to_be()) | PrefixKey::HAS_PORT);
            }
            Self::Port(port) => RuleKey::port(port.to_be()),
            Self::Any => RuleKey::ANY,
        })
    }

    /// Returns the rule of a key, or `None` if the key is invalid.
    pub fn from_key(key: &Key) -> Option<Self> {
        let key = match key {
            Key::Exact(key) => key,
            Key::Prefix(bits, key) => {
                let net = to_net(key.address, bits.checked_sub(PrefixKey::PORT_BITS)?)?;
                let port = u16::from_be(u16::try_from(key.port & !PrefixKey::HAS_PORT).ok()?);
                return Some(if key.port == 0 { Self::Prefix(net) } else { Self::PrefixPort(net, port) });
            }
        };
        let port = u16::from_be(u16::try_from(key.port_be).ok()?);
        match key.shape {
            shape::ADDRESS => Some(Self::Address(to_ip(key.address))),
            shape::ADDRESS_PORT => Some(Self::AddressPort(SocketAddr::new(to_ip(key.address), port))),
            shape::PORT => Some(Self::Port(port)),
            shape::ANY => Some(Self::Any),
            _ => None,
        }
    }

    /// Returns the address and port that were probably meant, if the rule is an address such as `::1:80`.
    pub fn port_in_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Address(IpAddr::V6(address)) => port_in_address(*address),
            _ => None,
        }
    }

    /// Returns every combination of `addresses`, which may be rules of any form, and `ports`. If one of the two is
    /// empty, the other is used alone. Combinations that no client can match are left out, possibly all of them.
    pub fn combine(addresses: &[Self], ports: &[u16]) -> Vec<Self> {
        if ports.is_empty() {
            return addresses.to_vec();
        }
        if addresses.is_empty() {
            return ports.iter().copied().map(Self::Port).collect();
        }
        let mut rules = Vec::new();
        for address in addresses {
            match address {
                Self::Address(ip) => {
                    rules.extend(ports.iter().map(|port| Self::AddressPort(SocketAddr::new(*ip, *port))));
                }
                Self::Prefix(net) => rules.extend(ports.iter().map(|port| Self::PrefixPort(*net, *port))),
                Self::Any => rules.extend(ports.iter().copied().map(Self::Port)),
                Self::AddressPort(address) => {
                    rules.extend(ports.contains(&address.port()).then_some(Self::AddressPort(*address)));
                }
                Self::PrefixPort(net, port) => {
                    rules.extend(ports.contains(port).then_some(Self::PrefixPort(*net, *port)));
                }
                Self::Port(port) => rules.extend(ports.contains(port).then_some(Self::Port(*port))),
            }
        }
        rules
    }
}

/// Returns the key in the trie for a prefix and the word that encodes the port.
fn prefix_key(net: &IpNet, port: u32) -> Key {
    let bits = PrefixKey::PORT_BITS + net_bits(net);
    Key::Prefix(bits, PrefixKey { port, address: to_address(net.network()) })
}

/// Reads a prefix.
pub fn parse_prefix(text: &str) -> Result<IpNet, RuleError> {
    let net = text.parse::<IpNet>().map_err(|_| explain_prefix(text))?;
    let meant = net.trunc();
    if meant == net { Ok(canonical(net)) } else { Err(RuleError::HostBits { text: text.to_owned(), meant }) }
}

/// Reads `CIDR`, `CIDR:PORT` or `[CIDR]:PORT`. A prefix of full length becomes an address.
fn parse_prefix_rule(text: &str) -> Result<Rule, RuleError> {
    let (prefix, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        Some((prefix, port)) => (prefix, Some(port)),
        // After the prefix length, a colon cannot belong to an IPv6 address.
        None => match text.rsplit_once(':') {
            Some((prefix, port)) if prefix.contains('/') => (prefix, Some(port)),
            _ => (text, None),
        },
    };
    let net = parse_prefix(prefix)?;
    let port = port.map(parse_port).transpose()?;
    let is_address = net.prefix_len() == net.max_prefix_len();
    Ok(match port {
        Some(port) if is_address => Rule::AddressPort(SocketAddr::new(net.addr(), port)),
        None if is_address => Rule::Address(net.addr()),
        Some(port) => Rule::PrefixPort(net, port),
        None => Rule::Prefix(net),
    })
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        if text.eq_ignore_ascii_case("any") {
            return Ok(Self::Any);
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Address(ip.to_canonical()));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self::AddressPort(SocketAddr::new(address.ip().to_canonical(), address.port())));
        }
        if let Some((ip, _)) = text.trim_start_matches('[').split_once('/') {
            let is_address = ip.parse::<IpAddr>().is_ok();
            return if is_address {
                parse_prefix_rule(text)
            } else {
                Err(RuleError::Syntax { text: text.to_owned() })
            };
        }
        match text.strip_prefix(':') {
            Some(port) => parse_port(port).map(Self::Port),
            None => Err(explain(text)),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(ip) => ip.fmt(f),
            Self::AddressPort(address) => address.fmt(f),
            Self::Prefix(net) => net.fmt(f),
            Self::PrefixPort(net @ IpNet::V4(_), port) => write!(f, "{net}:{port}"),
            Self::PrefixPort(net @ IpNet::V6(_), port) => write!(f, "[{net}]:{port}"),
            Self::Port(port) => write!(f, ":{port}"),
            Self::Any => f.write_str("any"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_written() {
        for text in [
            "203.0.113.9",
            "203.0.113.9:0",
            "2001:db8::7",
            "[2001:db8::7]:443",
            "203.0.113.0/24",
            "203.0.113.0/24:0",
            "0.0.0.0/0",
            "2001:db8::/32",
            "[2001:db8::/32]:443",
            "::/0",
            ":80",
            "any",
        ] {
            let rule = text.parse::<Rule>().unwrap();
            assert_eq!(rule.to_string(), text);
            assert_eq!(Rule::from_key(&rule.key()), Some(rule));
        }
        let rule = |text: &str| text.parse::<Rule>().unwrap();
        assert_eq!(rule("::ffff:203.0.113.9"), rule("203.0.113.9"));
        assert_eq!(rule("::ffff:203.0.113.0/120"), rule("203.0.113.0/24"));
        assert_eq!(rule("203.0.113.9/32"), rule("203.0.113.9"));
        assert_eq!(rule("2001:db8::7/128"), rule("2001:db8::7"));
        assert_eq!(rule("Any"), Rule::Any);
        assert_eq!(rule("[2001:db8::7/128]:443"), rule("[2001:db8::7]:443"));
    }

    #[test]
    fn errors_say_what_was_typed() {
        let error = |text: &str| text.parse::<Rule>().unwrap_err();
        assert!(matches!(error("client.example"), RuleError::HostName { .. }));
        assert!(error("client.example:80").to_string().contains("getent ahosts client.example)"));
        assert!(matches!(error("client.example:80"), RuleError::HostName { .. }));
        assert!(matches!(error("300.1.2.3"), RuleError::Syntax { .. }));
        assert!(matches!(error("203.0.113.9:70000"), RuleError::Port { .. }));
        assert!(matches!(error(":70000"), RuleError::Port { .. }));
        assert!(matches!(error("203.0.113.0/33"), RuleError::Prefix { .. }));
        assert!(matches!(error("203.0.113.0/"), RuleError::Prefix { .. }));
        assert!(matches!(error("2001:db8::/129"), RuleError::Prefix { .. }));
        assert!(matches!(error("203.0.113.0/24:70000"), RuleError::Port { .. }));
        let host_bits = error("203.0.113.9/24").to_string();
        assert!(host_bits.ends_with("did you mean 203.0.113.0/24?"), "{host_bits}");
        assert!(matches!(error("x/24"), RuleError::Syntax { .. }));
        assert!(matches!(error(""), RuleError::Syntax { .. }));
        assert!(matches!(error("203.0.113.9 "), RuleError::Syntax { .. }));
    }

    #[test]
    fn addresses_and_ports_must_both_match() {
        let rule = |text: &str| text.parse::<Rule>().unwrap();
        let addresses = [rule("192.0.2.1"), rule("192.0.2.2:80"), rule("192.0.2.3:9"), rule("10.0.0.0/8")];
        let expected = vec![
            rule("192.0.2.1:80"),
            rule("192.0.2.1:443"),
            rule("192.0.2.2:80"),
            rule("10.0.0.0/8:80"),
            rule("10.0.0.0/8:443"),
        ];
        assert_eq!(Rule::combine(&addresses, &[80, 443]), expected);
        assert_eq!(Rule::combine(&[], &[80]), vec![Rule::Port(80)]);
        assert_eq!(Rule::combine(&addresses, &[]), addresses);
        // A port narrows a rule of any form.
        assert_eq!(Rule::combine(&[Rule::Any], &[80, 443]), [Rule::Port(80), Rule::Port(443)]);
        assert_eq!(Rule::combine(&[rule(":80"), rule(":9")], &[80]), [Rule::Port(80)]);
        assert_eq!(Rule::combine(&[rule("192.0.2.3:9"), rule(":9")], &[80]), []);
    }
}
