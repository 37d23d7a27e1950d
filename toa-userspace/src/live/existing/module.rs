//! The TOA kernel module, which tells servers who their real clients are.

use std::{fs, path::Path};

/// The state of the module at one time. Querying a socket changes its counters.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Module {
    /// Whether a module named `toa`, as LVS, DPVS and Huawei call it, is loaded.
    pub is_loaded: bool,
    /// Connections with TOA since it was loaded (`syn_recv_sock_toa`), if it reports them.
    pub with_toa: Option<u64>,
}

impl Module {
    /// Reads the state. A module that cannot be seen counts as not loaded.
    pub fn now() -> Self {
        // The module's table exists in the initial network namespace only.
        let stats = fs::read_to_string("/proc/1/net/toa_stats").ok();
        let is_loaded = stats.is_some() || Path::new("/sys/module/toa").exists();
        Self { is_loaded, with_toa: stats.and_then(|stats| sum(&stats, "syn_recv_sock_toa")) }
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
        assert_eq!(sum(TABLE, "syn_recv_sock_toa"), Some(15));
        assert_eq!(sum(TABLE, "syn_recv_sock"), None);
        assert_eq!(sum("syn_recv_sock_toa : x", "syn_recv_sock_toa"), None);
    }
}
