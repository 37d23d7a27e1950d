//! The selections that a run can be configured with.

use ipnet::IpNet;
use toa_common::config::Config;
use toa_userspace::capture::classifier::Selection;

/// Returns a selection with this configuration that watches no client and trusts any source.
pub fn with_config(config: Config) -> Selection {
    Selection { config, rules: Vec::new(), balancers: Vec::new(), max_flows: 65_536 }
}

/// Returns one with the usual TOA options.
pub fn usual() -> Selection {
    with_config(Config::DEFAULT)
}

/// Returns one that trusts only these sources.
pub fn with_balancers(balancers: &[IpNet]) -> Selection {
    let selection = with_config(Config::DEFAULT.with_balancers());
    Selection { balancers: balancers.to_vec(), ..selection }
}
