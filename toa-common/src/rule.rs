//! Responsible for what a user watches: the shapes of rules and which keys a client matches. Not responsible
//! for the map that holds them.

use crate::{flow_key::Address, wire::toa::Client};

/// A rule as the key of the map `WATCH`. It carries its shape, so that zero is a value and not a wildcard.
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

/// The shapes of rules, one bit each. One word holds the bits of all shapes that there are rules of, so that
/// a shape without rules costs no lookup.
pub mod shape {
    /// An address, any port.
    pub const ADDRESS: u32 = 1;
    /// An address and a port.
    pub const ADDRESS_PORT: u32 = 1 << 1;
    /// A port, any address.
    pub const PORT: u32 = 1 << 2;
    /// Every client.
    pub const ANY: u32 = 1 << 3;
}

impl RuleKey {
    /// The rule for every client.
    pub const ANY: Self = Self { address: Address([0; 4]), port_be: 0, shape: shape::ANY };

    /// The rule for `address` on any port.
    #[inline(always)]
    #[must_use]
    pub const fn address(address: Address) -> Self {
        Self { address, port_be: 0, shape: shape::ADDRESS }
    }

    /// The rule for exactly `client`.
    #[inline(always)]
    #[must_use]
    pub const fn address_port(client: Client) -> Self {
        Self { address: client.address, port_be: client.port_be as u32, shape: shape::ADDRESS_PORT }
    }

    /// The rule for `port_be` of any address.
    #[inline(always)]
    #[must_use]
    pub const fn port(port_be: u16) -> Self {
        Self { address: Address([0; 4]), port_be: port_be as u32, shape: shape::PORT }
    }
}

/// Whether a rule watches `client`: asks `contains` for one key of each shape in `shapes`.
#[inline(always)]
pub fn is_watched(shapes: u32, client: &Client, contains: impl Fn(&RuleKey) -> bool) -> bool {
    // One key, changed in place: the kernel's stack has no room for one a shape.
    let mut key = RuleKey::address(client.address);
    if shapes & shape::ANY != 0 || (shapes & shape::ADDRESS != 0 && contains(&key)) {
        return true;
    }
    key.port_be = u32::from(client.port_be);
    key.shape = shape::ADDRESS_PORT;
    if shapes & shape::ADDRESS_PORT != 0 && contains(&key) {
        return true;
    }
    key.address = Address([0; 4]);
    key.shape = shape::PORT;
    shapes & shape::PORT != 0 && contains(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: Client = Client { address: Address([0, 0, 0, 9]), port_be: 0 };

    #[test]
    fn zero_is_a_value_and_no_wildcard() {
        let only = |rule: RuleKey| move |key: &RuleKey| *key == rule;
        let all = shape::ADDRESS | shape::ADDRESS_PORT | shape::PORT;
        let other = Client { port_be: 7, ..CLIENT };
        assert!(is_watched(all, &CLIENT, only(RuleKey::port(0))));
        assert!(!is_watched(all, &other, only(RuleKey::port(0))));
        assert!(is_watched(all, &CLIENT, only(RuleKey::address_port(CLIENT))));
        assert!(!is_watched(all, &other, only(RuleKey::address_port(CLIENT))));
        assert!(is_watched(all, &other, only(RuleKey::address(CLIENT.address))));
    }

    #[test]
    fn absent_shapes_are_not_asked_for() {
        assert!(is_watched(shape::ANY, &CLIENT, |_| unreachable!()));
        assert!(!is_watched(0, &CLIENT, |_| unreachable!()));
        assert!(!is_watched(shape::PORT, &CLIENT, |key| key.shape != shape::PORT));
    }
}
