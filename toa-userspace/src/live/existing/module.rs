//! The TOA kernel module, which tells servers who their real clients are.

use std::{fs, path::Path};

/// The state of the module at one time. Querying a socket changes its counters.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Module {
    /// Whether a module named `toa`, as LVS, DPVS and Huawei call it, is loaded.
    pub is_loaded: bool,
    /// Connections with TOA since it was loaded (`syn_recv_sock_toa`), if it reports them.
    pub with_toa: Option<u64>,
    /// Connections without TOA since it was loaded (`syn_recv_sock_no_toa`), if it reports them.
    pub without_toa: Option<u64>,
    /// Whether it counts IPv6 addresses, if it reports counts. Builds for IPv4 listeners only do not.
    pub counts_ipv6: Option<bool>,
}

impl Module {
    /// Reads the state. A module that cannot be seen counts as not loaded.
    pub fn now() -> Self {
        // The module's table exists in the initial network namespace only.
        let stats = fs::read_to_string("/proc/1/net/toa_stats").ok();
        let is_loaded = stats.is_some() || Path::new("/sys/module/toa").exists();
        stats.map_or(Self { is_loaded, ..Self::default() }, |stats| Self::reporting(&stats))
    }

    /// Reads the module's table.
    fn reporting(stats: &str) -> Self {
        Self {
            is_loaded: true,
            with_toa: sum(stats, "syn_recv_sock_toa"),
            without_toa: sum(stats, "syn_recv_sock_no_toa"),
            counts_ipv6: Some(sum(stats, "ip6_address_alloc").is_some()),
        }
    }
}

/// Returns the sum over all CPUs of one line of the module's table: `name : number number …`.
fn sum(table: &str, name: &str) -> Option<u64> {
    let line = table.lines().find_map(|line| {
        let (found, numbers) = line.split_once(':')?;
        (found.trim() == name).then_some(numbers)
    })?;
    line.split_ascii_whitespace().map(|number| number.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
                                  CPU0       CPU1
syn_recv_sock_toa                  :         12          3
syn_recv_sock_no_toa               :          1          0
getname_toa_ok                     :          0          0
";

    #[test]
    fn the_table_of_the_module_is_read() {
        let module = Module::reporting(TABLE);
        assert_eq!((module.with_toa, module.without_toa), (Some(15), Some(1)));
        assert_eq!(module.counts_ipv6, Some(false));
        let with_ipv6 = format!("{TABLE}ip6_address_alloc  :  0   0\n");
        assert_eq!(Module::reporting(&with_ipv6).counts_ipv6, Some(true));
        assert_eq!(sum(TABLE, "syn_recv_sock"), None);
        assert_eq!(sum("syn_recv_sock_toa : x", "syn_recv_sock_toa"), None);
    }
}
