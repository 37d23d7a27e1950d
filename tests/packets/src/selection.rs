//! What a run may choose before it reads a packet.

use ipnet::IpNet;
use toa_common::config::Config;
use toa_userspace::capture::classifier::Selection;

/// A selection that watches nobody, with this configuration and any balancer.
pub fn with_config(config: Config) -> Selection {
    Selection { config, rules: Vec::new(), balancers: Vec::new(), any_flow: false, max_flows: 65_536 }
}

/// The same with the usual TOA options.
pub fn usual() -> Selection {
    with_config(Config::DEFAULT)
}

/// The same, where only these sources are trusted.
pub fn with_balancers(balancers: &[IpNet]) -> Selection {
    let selection = with_config(Config::DEFAULT.with_balancers());
    Selection { balancers: balancers.to_vec(), ..selection }
}
