//! Responsible for what can be seen of a TOA module of the kernel, which servers have their real clients from. Not
//! responsible for its answers.

use std::{fs, path::Path};

use crate::print::count::Count;

/// What can be seen of a module, at one time. Every question to a socket moves its counters.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Module {
    /// Whether it is loaded, under the name that LVS, DPVS and Huawei give it.
    pub is_loaded: bool,
    /// Connections that came with a TOA since then (`syn_recv_sock_toa`), where it says so.
    pub with_toa: Option<u64>,
}

impl Module {
    /// Looks. What cannot be seen is not there.
    #[must_use]
    pub fn now() -> Self {
        // The module's table is in the first network namespace only.
        let stats = fs::read_to_string("/proc/1/net/toa_stats").ok();
        let is_loaded = stats.is_some() || Path::new("/sys/module/toa").exists();
        Self { is_loaded, with_toa: stats.and_then(|stats| sum(&stats, "syn_recv_sock_toa")) }
    }

    /// What it can mean that no socket names another client than the kernel's table does.
    #[must_use]
    pub fn explain(&self) -> String {
        match (self.is_loaded, self.with_toa) {
            (false, _) => "no socket names a real client: no module named toa is loaded, so servers here see the \
                           balancer, and open connections can be told by no one (new ones are, by their TOA); or all \
                           clients came directly"
                .to_owned(),
            (true, Some(0)) => "no socket names a real client: the module toa is loaded, but has seen no TOA: it expects \
                                another option, or all clients came directly"
                .to_owned(),
            (true, with_toa) => {
                let seen = with_toa.map_or_else(String::new, |count| format!(" and has seen {} TOA", Count(count)));
                format!(
                    "no socket names a real client: the module toa is loaded{seen}, so these connections are older than \
                     the module, or their clients came directly"
                )
            }
        }
    }
}

/// The sum over all CPUs of one line of the module's table: `name : number number …`.
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

    #[test]
    fn every_reason_is_explained() {
        let loaded = Module { is_loaded: true, with_toa: Some(15) };
        assert!(loaded.explain().contains("has seen 15 TOA, so these connections are older"));
        assert!(Module { with_toa: Some(0), ..loaded }.explain().contains("has seen no TOA"));
        assert!(Module { with_toa: None, ..loaded }.explain().contains("loaded, so these"));
        assert!(Module::default().explain().contains("no module named toa is loaded"));
    }
}
