//! A set of rules with the same lookups as the kernel's maps.

use std::collections::HashSet;

use toa_common::{
    address::{Address, Client},
    attribution::Attribution,
    rule::{PrefixKey, RuleKey, is_watched, shape},
};

use crate::rule::{Key, Rule};

/// A set of rules to look up.
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    shapes: u32,
    exact: HashSet<RuleKey>,
    /// Each prefix with its length in bits, and no bits set after that.
    prefixes: HashSet<(u32, PrefixKey)>,
    /// The distinct lengths of the prefixes.
    lengths: Vec<u32>,
}

impl Matcher {
    /// Creates the set of `rules`.
    pub fn new(rules: &[Rule]) -> Self {
        let mut watched = Self::default();
        for key in rules.iter().map(Rule::key) {
            watched.shapes |= key.shape();
            match key {
                Key::Exact(key) => {
                    watched.exact.insert(key);
                }
                Key::Prefix(bits, key) => {
                    watched.prefixes.insert((bits, first_bits(&key, bits)));
                    watched.lengths.push(bits);
                }
            }
        }
        watched.lengths.sort_unstable();
        watched.lengths.dedup();
        watched
    }

    /// Returns whether the client of a connection is watched.
    pub fn watches(&self, attribution: &Attribution) -> bool {
        self.contains(&attribution.client(), attribution.has_port())
    }

    /// Returns whether a rule with an address or a port matches the client of a connection.
    pub fn names(&self, attribution: &Attribution) -> bool {
        self.matches(self.shapes & !shape::ANY, &attribution.client(), attribution.has_port())
    }

    /// Returns whether a rule matches `client`. `has_port` says whether the client's port is known.
    pub fn contains(&self, client: &Client, has_port: bool) -> bool {
        self.matches(self.shapes, client, has_port)
    }

    fn matches(&self, shapes: u32, client: &Client, has_port: bool) -> bool {
        is_watched(
            shapes,
            client,
            has_port,
            |key| self.exact.contains(key),
            |key| self.lengths.iter().any(|bits| self.prefixes.contains(&(*bits, first_bits(key, *bits)))),
        )
    }
}

/// Returns `key` with all address bits after its first `bits` cleared. The bits of the port always remain.
fn first_bits(key: &PrefixKey, bits: u32) -> PrefixKey {
    let behind = PrefixKey::BITS.saturating_sub(bits);
    let mask = u128::MAX.checked_shl(behind).unwrap_or(0);
    let address = u128::from_be_bytes(key.address.octets()) & mask;
    PrefixKey { address: Address::from_ipv6(&address.to_be_bytes()), ..*key }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::address::to_address;

    fn is_watched(rules: &[&str], client: &str) -> bool {
        let rules: Vec<Rule> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        let client: SocketAddr = client.parse().unwrap();
        let client = Client { address: to_address(client.ip()), port_be: client.port().to_be() };
        Matcher::new(&rules).contains(&client, true)
    }

    #[test]
    fn every_form_of_a_rule_watches_whom_it_names() {
        for (rule, client, other) in [
            ("192.0.2.1", "192.0.2.1:7", "192.0.2.2:7"),
            ("192.0.2.1:7", "192.0.2.1:7", "192.0.2.1:8"),
            (":7", "192.0.2.1:7", "192.0.2.1:8"),
            ("192.0.2.0/31", "192.0.2.1:7", "192.0.2.2:7"),
            ("192.0.2.0/31:7", "192.0.2.0:7", "192.0.2.0:8"),
            ("0.0.0.0/0", "192.0.2.1:7", "[2001:db8::1]:7"),
            ("2001:db8::/33", "[2001:db8:7fff::1]:7", "[2001:db8:8000::1]:7"),
            ("[2001:db8::1]:7", "[2001:db8::1]:7", "[2001:db8::1]:8"),
        ] {
            assert!(is_watched(&[rule], client), "{rule} {client}");
            assert!(!is_watched(&[rule], other), "{rule} {other}");
        }
        assert!(is_watched(&["any"], "192.0.2.1:7") && !is_watched(&[], "192.0.2.1:7"));
        assert!(is_watched(&["::/0", "198.51.100.0/24"], "192.0.2.1:7"));
    }
}
