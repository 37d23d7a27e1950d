//! The sources whose TOA is trusted (`--lb`).

use ipnet::IpNet;
use toa_common::address::Address;

use crate::address::{net_bits, to_address};

/// The prefixes of trusted balancers. If there are none, every source is trusted.
#[derive(Clone, Debug, Default)]
pub struct Balancers(Vec<(u32, u128)>);

impl Balancers {
    /// Trusts only `nets`, or every source if `nets` is empty. As in the kernel's map, an IPv6 prefix short enough to
    /// cover the mapped addresses also covers IPv4.
    pub fn new(nets: &[IpNet]) -> Self {
        Self(nets.iter().map(|net| (net_bits(net), bits(to_address(net.network())))).collect())
    }

    /// Returns whether a TOA from `source` is trusted.
    pub fn trusts(&self, source: Address) -> bool {
        let covers = |(length, prefix): &(u32, u128)| {
            (bits(source) ^ prefix).checked_shr(Address::BITS.saturating_sub(*length)).unwrap_or(0) == 0
        };
        self.0.is_empty() || self.0.iter().any(covers)
    }
}

fn bits(address: Address) -> u128 {
    u128::from_be_bytes(address.octets())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_trusted_as_in_the_kernels_map() {
        let trusts = |nets: &[&str], source: &str| {
            let nets: Vec<IpNet> = nets.iter().map(|net| net.parse().unwrap()).collect();
            Balancers::new(&nets).trusts(to_address(source.parse().unwrap()))
        };
        for (nets, source, expected) in [
            (&[][..], "10.9.0.1", true),
            (&["10.9.0.0/24"][..], "10.9.0.1", true),
            (&["10.9.0.0/24"], "10.9.1.1", false),
            (&["10.9.0.1/32", "fd00:9::/64"], "fd00:9::1", true),
            (&["10.9.0.1/32"], "::ffff:10.9.0.1", true),
            (&["0.0.0.0/0"], "fd00:9::1", false),
            // It covers the mapped IPv4 addresses.
            (&["::/0"], "10.9.0.1", true),
            (&["::/64"], "10.9.0.1", true),
            (&["::ffff:0:0/96"], "10.9.0.1", true),
            (&["fd00:9::/64"], "10.9.0.1", false),
        ] {
            assert_eq!(trusts(nets, source), expected, "{nets:?}, {source}");
        }
    }
}
