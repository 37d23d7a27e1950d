//! Responsible for rules as people write them: `IP`, `IP:PORT`, `[IPv6]:PORT`, `:PORT` and `any`. Not
//! responsible for the maps that hold them.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use thiserror::Error;
use toa_common::{
    flow_key::Address,
    rule::{RuleKey, shape},
    wire::toa::Client,
};

/// What to watch. Addresses and ports are the real client's, as the TOA carries them.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Rule {
    /// An address, any port.
    Address(IpAddr),
    /// An address and a port.
    AddressPort(SocketAddr),
    /// A port, any address.
    Port(u16),
    /// Every client.
    Any,
}

/// Why a text is not a rule.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum RuleError {
    /// Neither an address nor one of the other forms.
    #[error("{text:?} is not a rule: IP, IP:PORT, [IPv6]:PORT, :PORT or any")]
    Syntax {
        /// What was typed.
        text: String,
    },
    /// A host name.
    #[error("{name:?} is a host name: resolve it first (getent ahosts {name}) and give its addresses")]
    HostName {
        /// What was typed.
        name: String,
    },
    /// A port above 65535.
    #[error("{port} is not a port: 0 to 65535")]
    Port {
        /// What was typed.
        port: String,
    },
    /// A prefix.
    #[error("{text:?} is a prefix, which cannot be watched: give addresses")]
    Prefix {
        /// What was typed.
        text: String,
    },
}

impl Rule {
    /// The key of the map of rules.
    #[must_use]
    pub fn key(&self) -> RuleKey {
        match self {
            Self::Address(address) => RuleKey::address(to_address(*address)),
            Self::AddressPort(address) => RuleKey::address_port(Client {
                address: to_address(address.ip()),
                port_be: address.port().to_be(),
            }),
            Self::Port(port) => RuleKey::port(port.to_be()),
            Self::Any => RuleKey::ANY,
        }
    }

    /// The rule of a key of the map of rules. `None` if it is none.
    #[must_use]
    pub fn from_key(key: &RuleKey) -> Option<Self> {
        let port = u16::from_be(u16::try_from(key.port_be).ok()?);
        match key.shape {
            shape::ADDRESS => Some(Self::Address(to_ip(key.address))),
            shape::ADDRESS_PORT => Some(Self::AddressPort(SocketAddr::new(to_ip(key.address), port))),
            shape::PORT => Some(Self::Port(port)),
            shape::ANY => Some(Self::Any),
            _ => None,
        }
    }

    /// Every combination of `addresses`, which may be any rules, and `ports`; where there is none of one sort, the
    /// other alone. Those that no client can match are left out, which may be all.
    #[must_use]
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
                Self::Any => rules.extend(ports.iter().copied().map(Self::Port)),
                Self::AddressPort(address) => {
                    rules.extend(ports.contains(&address.port()).then_some(Self::AddressPort(*address)));
                }
                Self::Port(port) => rules.extend(ports.contains(port).then_some(Self::Port(*port))),
            }
        }
        rules
    }
}

fn to_address(ip: IpAddr) -> Address {
    match ip {
        IpAddr::V4(ip) => Address::from_ipv4(&ip.octets()),
        IpAddr::V6(ip) => Address::from_ipv6(&ip.octets()),
    }
}

/// An address as people write it: an IPv4 one if it is mapped.
#[must_use]
pub fn to_ip(address: Address) -> IpAddr {
    Ipv6Addr::from(address.octets()).to_canonical()
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        if text == "any" {
            return Ok(Self::Any);
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Address(ip.to_canonical()));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self::AddressPort(SocketAddr::new(address.ip().to_canonical(), address.port())));
        }
        if let Some(port) = text.strip_prefix(':') {
            return parse_port(port).map(Self::Port);
        }
        let syntax = || RuleError::Syntax { text: text.to_owned() };
        if let Some((ip, _)) = text.split_once('/') {
            return Err(match ip.parse::<IpAddr>() {
                Ok(_) => RuleError::Prefix { text: text.to_owned() },
                Err(_) => syntax(),
            });
        }
        let host = match text.rsplit_once(':') {
            Some((host, port)) => {
                if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
                    parse_port(port)?;
                    return Err(syntax());
                }
                host
            }
            None => text,
        };
        Err(if is_host_name(host) { RuleError::HostName { name: host.to_owned() } } else { syntax() })
    }
}

/// Reads a port, with an error that says what was typed.
pub fn parse_port(text: &str) -> Result<u16, RuleError> {
    text.parse().map_err(|_| RuleError::Port { port: text.to_owned() })
}

/// Whether `text` could name a host (RFC 1123 section 2.1): letters, digits, hyphens and dots, and a last label
/// that is no number, which is what tells it from a mistyped address.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let mut labels = text.trim_end_matches('.').split('.');
    labels.clone().all(is_label)
        && labels.next_back().is_some_and(|label| !label.bytes().all(|byte| byte.is_ascii_digit()))
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(ip) => ip.fmt(f),
            Self::AddressPort(address) => address.fmt(f),
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
        for text in ["203.0.113.9", "203.0.113.9:0", "2001:db8::7", "[2001:db8::7]:443", ":80", "any"] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        let mapped: Rule = "::ffff:203.0.113.9".parse().unwrap();
        assert_eq!(mapped, "203.0.113.9".parse().unwrap());
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
        assert!(matches!(error("203.0.113.0/24"), RuleError::Prefix { .. }));
        assert!(matches!(error("x/24"), RuleError::Syntax { .. }));
        assert!(matches!(error(""), RuleError::Syntax { .. }));
        assert!(matches!(error("203.0.113.9 "), RuleError::Syntax { .. }));
    }

    #[test]
    fn addresses_and_ports_must_both_match() {
        let rule = |text: &str| text.parse::<Rule>().unwrap();
        let addresses = [rule("192.0.2.1"), rule("192.0.2.2:80"), rule("192.0.2.3:9")];
        let expected = vec![rule("192.0.2.1:80"), rule("192.0.2.1:443"), rule("192.0.2.2:80")];
        assert_eq!(Rule::combine(&addresses, &[80, 443]), expected);
        assert_eq!(Rule::combine(&[], &[80]), vec![Rule::Port(80)]);
        assert_eq!(Rule::combine(&addresses, &[]), addresses);
        // Whatever is given as a rule: a port narrows it.
        assert_eq!(Rule::combine(&[Rule::Any], &[80, 443]), [Rule::Port(80), Rule::Port(443)]);
        assert_eq!(Rule::combine(&[rule(":80"), rule(":9")], &[80]), [Rule::Port(80)]);
        assert_eq!(Rule::combine(&[rule("192.0.2.3:9"), rule(":9")], &[80]), []);
    }
}
