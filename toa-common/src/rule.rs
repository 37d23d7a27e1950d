//! Rules by which clients are watched: their shapes, their keys in the maps, and which of them match a client.

use crate::{
    address::{Address, Client},
    verifier::black_box,
};

/// A rule without a prefix, as a key of the map `WATCH`. It contains its shape, so zero is a value and not a wildcard.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(C)]
pub struct RuleKey {
    /// The real client's address, or zeros for the shapes without one.
    pub address: Address,
    /// The real client's port in network order, or 0 for the shapes without one.
    pub port_be: u32,
    /// One of [`shape`].
    pub shape: u32,
}

const _: () = assert!(size_of::<RuleKey>() == 24);

/// A rule with a prefix, as a key of the trie `PREFIXES`: the bits of a port, or of no port, followed by those of an
/// address. The prefix length counts both.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(C)]
pub struct PrefixKey {
    /// The real client's port in network order with [`Self::HAS_PORT`], or 0 for any port. All its bits must match.
    pub port: u32,
    /// The real client's address.
    pub address: Address,
}

const _: () = assert!(size_of::<PrefixKey>() == 20);

impl PrefixKey {
    /// Length of a key, in bits.
    pub const BITS: u32 = 160;
    /// Length of the part of a key before the address, in bits.
    pub const PORT_BITS: u32 = 32;
    /// Marks a rule with a port, so that port 0 differs from any port.
    pub const HAS_PORT: u32 = 1 << 16;
}

/// The shapes of rules, one bit each. One word holds the bits of all shapes that occur among the rules, so that a shape
/// without rules costs no lookup.
pub mod shape {
    /// An address, any port.
    pub const ADDRESS: u32 = 1;
    /// An address and a port.
    pub const ADDRESS_PORT: u32 = 1 << 1;
    /// A port, any address.
    pub const PORT: u32 = 1 << 2;
    /// Every client.
    pub const ANY: u32 = 1 << 3;
    /// A prefix of addresses, any port.
    pub const PREFIX: u32 = 1 << 4;
    /// A prefix of addresses and a port.
    pub const PREFIX_PORT: u32 = 1 << 5;
    /// The shapes with a port. A client without a port matches none of them.
    pub const WITH_PORT: u32 = ADDRESS_PORT | PORT | PREFIX_PORT;
}

impl RuleKey {
    /// The rule for every client.
    pub const ANY: Self = Self { address: Address([0; 4]), port_be: 0, shape: shape::ANY };

    /// Returns the rule for `address` on any port.
    #[inline(always)]
    pub const fn address(address: Address) -> Self {
        Self { address, port_be: 0, shape: shape::ADDRESS }
    }

    /// Returns the rule for exactly `client`.
    #[inline(always)]
    pub const fn address_port(client: Client) -> Self {
        Self { address: client.address, port_be: client.port_be as u32, shape: shape::ADDRESS_PORT }
    }

    /// Returns the rule for `port_be` of any address.
    #[inline(always)]
    pub const fn port(port_be: u16) -> Self {
        Self { address: Address([0; 4]), port_be: port_be as u32, shape: shape::PORT }
    }
}

/// Returns whether a rule watches `client`. `has_port` is whether its port is known. Looks up one key for each shape in
/// `shapes`: with `covers` for shapes with a prefix, with `contains` for the others.
#[inline(always)]
pub fn is_watched(
    shapes: u32,
    client: &Client,
    has_port: bool,
    contains: impl Fn(&RuleKey) -> bool,
    covers: impl Fn(&PrefixKey) -> bool,
) -> bool {
    let shapes = if has_port { shapes } else { shapes & !shape::WITH_PORT };
    // One key of each type, changed in place: the kernel's stack has no room for one per shape.
    let mut key = RuleKey::address(client.address);
    if shapes & shape::ANY != 0 || (shapes & shape::ADDRESS != 0 && contains(&key)) {
        return true;
    }
    key.port_be = u32::from(client.port_be);
    key.shape = shape::ADDRESS_PORT;
    if shapes & shape::ADDRESS_PORT != 0 && contains(&key) {
        return true;
    }
    // Zeros that are unknown to the compiler, or it would call `memset`, which writes byte by byte.
    key.address = Address([black_box(0) as u32; 4]);
    key.shape = shape::PORT;
    if shapes & shape::PORT != 0 && contains(&key) {
        return true;
    }
    if shapes & (shape::PREFIX | shape::PREFIX_PORT) == 0 {
        return false;
    }
    let mut prefix = PrefixKey { port: 0, address: client.address };
    if shapes & shape::PREFIX != 0 && covers(&prefix) {
        return true;
    }
    prefix.port = u32::from(client.port_be) | PrefixKey::HAS_PORT;
    shapes & shape::PREFIX_PORT != 0 && covers(&prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: Client = Client { address: Address([0, 0, 0, 9]), port_be: 0 };
    const HASHED: u32 = shape::ADDRESS | shape::ADDRESS_PORT | shape::PORT;
    const PREFIXES: u32 = shape::PREFIX | shape::PREFIX_PORT;

    #[test]
    fn zero_is_a_value_and_no_wildcard() {
        let matches = |rule: RuleKey, client: &Client| {
            is_watched(HASHED, client, true, |key| *key == rule, |_| unreachable!())
        };
        let other = Client { port_be: 7, ..CLIENT };
        assert!(matches(RuleKey::port(0), &CLIENT));
        assert!(!matches(RuleKey::port(0), &other));
        assert!(matches(RuleKey::address_port(CLIENT), &CLIENT));
        assert!(!matches(RuleKey::address_port(CLIENT), &other));
        assert!(matches(RuleKey::address(CLIENT.address), &other));
    }

    #[test]
    fn a_prefix_is_asked_for_with_and_without_the_port() {
        let any_port = PrefixKey { port: 0, address: CLIENT.address };
        let port_zero = PrefixKey { port: PrefixKey::HAS_PORT, ..any_port };
        for wanted in [any_port, port_zero] {
            assert!(is_watched(PREFIXES, &CLIENT, true, |_| unreachable!(), |key| *key == wanted));
        }
        assert!(!is_watched(shape::PREFIX, &CLIENT, true, |_| unreachable!(), |key| *key == port_zero));
    }

    #[test]
    fn a_client_without_a_port_matches_no_rule_with_one() {
        let asked_with_port = |key: &RuleKey| key.shape & shape::WITH_PORT != 0;
        assert!(!is_watched(HASHED | PREFIXES, &CLIENT, false, asked_with_port, |key| key.port != 0));
        assert!(is_watched(HASHED, &CLIENT, false, |key| key.shape == shape::ADDRESS, |_| unreachable!()));
    }

    #[test]
    fn absent_shapes_are_not_asked_for() {
        assert!(is_watched(shape::ANY, &CLIENT, true, |_| unreachable!(), |_| unreachable!()));
        assert!(!is_watched(0, &CLIENT, true, |_| unreachable!(), |_| unreachable!()));
        assert!(!is_watched(shape::PORT, &CLIENT, true, |key| key.shape != shape::PORT, |_| unreachable!()));
    }
}
