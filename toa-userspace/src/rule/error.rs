//! Why a text is not a rule, and what was probably meant.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use ipnet::IpNet;
use thiserror::Error;

/// Why a text is not a rule.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum RuleError {
    /// Neither an address nor one of the other forms.
    #[error("{text:?} is not a rule: IP, CIDR, IP:PORT, [IPv6]:PORT, :PORT or any")]
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
    /// A port above 65535, or something else that is not a number.
    #[error("{port} is not a port: 0 to 65535")]
    Port {
        /// What was typed.
        port: String,
    },
    /// No port after a colon.
    #[error("{text:?} has no port after its colon")]
    NoPort {
        /// What was typed.
        text: String,
    },
    /// An invalid prefix.
    #[error("{text:?} is not a prefix: an IPv4 address and /0 to /32, or an IPv6 address and /0 to /128")]
    Prefix {
        /// What was typed.
        text: String,
    },
    /// A prefix with bits set after its length: either the length or the address may be wrong.
    #[error("{text:?} has bits set after its prefix: did you mean {meant}?")]
    HostBits {
        /// What was typed.
        text: String,
        /// The prefix without those bits.
        meant: IpNet,
    },
    /// An address and a netmask.
    #[error("{text:?} has a netmask: did you mean {meant}?")]
    Netmask {
        /// What was typed.
        text: String,
        /// The same as a prefix.
        meant: IpNet,
    },
    /// Several rules in one.
    #[error(
        "{text:?} is a list: give each rule separately (--ip {first} --ip ..., or watch add {first} ...)"
    )]
    List {
        /// What was typed.
        text: String,
        /// The first rule of the list.
        first: String,
    },
    /// An IPv6 address with a zone, which is of one host only.
    #[error("{text:?} has a zone, which TOA does not carry: did you mean {meant}?")]
    Zone {
        /// What was typed.
        text: String,
        /// The address.
        meant: Ipv6Addr,
    },
    /// An address in brackets, without a port.
    #[error("{text:?} has brackets, but no port: did you mean {meant}?")]
    Brackets {
        /// What was typed.
        text: String,
        /// The address.
        meant: IpAddr,
    },
    /// An IPv6 address and a port without brackets, or an IPv4 address with brackets.
    #[error("{text:?} is not an address and a port: did you mean {meant}?")]
    Endpoint {
        /// What was typed.
        text: String,
        /// The usual form.
        meant: SocketAddr,
    },
}

/// Returns why `text`, which is no rule of any form, and has neither a slash nor a colon in front, is none.
pub(super) fn explain(text: &str) -> RuleError {
    let typed = text.to_owned();
    if let Some((first, _)) = text.split_once(',') {
        return RuleError::List { text: typed, first: first.to_owned() };
    }
    if let Some((address, _)) = text.trim_matches(['[', ']']).split_once('%')
        && let Ok(meant) = address.parse()
    {
        return RuleError::Zone { text: typed, meant };
    }
    if let Some(meant) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')?.parse().ok()) {
        return RuleError::Brackets { text: typed, meant };
    }
    let (host, port) = text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    if let Some(port) = port
        && let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>()
    {
        return match parse_port(port) {
            Ok(port) => RuleError::Endpoint { text: typed, meant: SocketAddr::new(ip, port) },
            Err(RuleError::NoPort { .. }) => RuleError::NoPort { text: typed },
            Err(error) => error,
        };
    }
    if is_host_name(host) {
        RuleError::HostName { name: host.to_owned() }
    } else {
        RuleError::Syntax { text: typed }
    }
}

/// Returns why `text` is no prefix.
pub(super) fn explain_prefix(text: &str) -> RuleError {
    let typed = text.to_owned();
    if let Some((first, _)) = text.split_once(',') {
        return RuleError::List { text: typed, first: first.to_owned() };
    }
    let with_netmask = text.split_once('/').and_then(|(address, mask)| {
        let (address, mask) = (address.parse::<Ipv4Addr>().ok()?, mask.parse::<Ipv4Addr>().ok()?);
        IpNet::with_netmask(address.into(), mask.into()).ok()
    });
    match with_netmask {
        Some(net) => RuleError::Netmask { text: typed, meant: net.trunc() },
        None => RuleError::Prefix { text: typed },
    }
}

/// Reads a port. The error names the text.
pub fn parse_port(text: &str) -> Result<u16, RuleError> {
    text.parse().map_err(|_| match text {
        "" => RuleError::NoPort { text: ":".to_owned() },
        _ => RuleError::Port { port: text.to_owned() },
    })
}

/// Returns the address and port that were probably meant by an address such as `::1:80`, which is an address of its own.
pub(super) fn port_in_address(address: Ipv6Addr) -> Option<SocketAddr> {
    let text = address.to_string();
    let (before, last) = text.rsplit_once(':')?;
    // Without the port, it must be an address.
    Some(SocketAddrV6::new(before.parse().ok()?, last.parse().ok()?, 0, 0).into())
}

/// Returns whether `text` could be a host name (RFC 1123 section 2.1): letters, digits, hyphens, underscores and dots,
/// with a last label that is not a number. A number as the last label indicates a mistyped address.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let mut labels = text.trim_end_matches('.').split('.');
    labels.clone().all(is_label)
        && labels.next_back().is_some_and(|label| !label.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::{super::Rule, *};

    #[test]
    fn what_was_meant_is_said() {
        let message = |text: &str| text.parse::<Rule>().unwrap_err().to_string();
        for (text, end) in [
            ("198.51.100.0/255.255.255.0", "did you mean 198.51.100.0/24?"),
            ("198.51.100.7/255.255.255.0", "did you mean 198.51.100.0/24?"),
            ("192.0.2.1,192.0.2.2", "(--ip 192.0.2.1 --ip ..., or watch add 192.0.2.1 ...)"),
            ("192.0.2.0/24,192.0.2.2", "(--ip 192.0.2.0/24 --ip ..., or watch add 192.0.2.0/24 ...)"),
            ("fe80::1%web0", "did you mean fe80::1?"),
            ("[fe80::1%web0]:80", "has a zone, which TOA does not carry: did you mean fe80::1?"),
            ("[::1]", "has brackets, but no port: did you mean ::1?"),
            ("[::1]:", "\"[::1]:\" has no port after its colon"),
            ("192.0.2.1:", "\"192.0.2.1:\" has no port after its colon"),
            (":", "\":\" has no port after its colon"),
            ("[192.0.2.1]:80", "did you mean 192.0.2.1:80?"),
            ("2001:db8:0:0:0:0:0:1:80", "did you mean [2001:db8::1]:80?"),
            ("[::1]:http", "http is not a port: 0 to 65535"),
            ("198.51.100.0/255.0.255.0", "or an IPv6 address and /0 to /128"),
        ] {
            assert!(message(text).ends_with(end), "{text}: {}", message(text));
        }
    }

    #[test]
    fn an_address_that_looks_like_one_with_a_port_is_noticed() {
        let meant = |text: &str| port_in_address(text.parse().unwrap()).map(|meant| meant.to_string());
        assert_eq!(meant("::1:80").as_deref(), Some("[::1]:80"));
        assert_eq!(meant("2001:db8::7:443").as_deref(), Some("[2001:db8::7]:443"));
        for address in ["::1", "2001:db8::7", "2001:db8::1:a0", "2001:db8:1:2:3:4:5:6"] {
            assert_eq!(meant(address), None, "{address}");
        }
    }
}
