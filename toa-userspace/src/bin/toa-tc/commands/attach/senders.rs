//! The senders of open connections, for a run that has seen no TOA.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
};

use toa_common::config::Config;
use toa_userspace::{
    live::host::sock_diag::{SockDiag, SockDiagError},
    print::count::Count,
};

/// How many senders are named.
const MAX_SENDERS: usize = 3;

/// Describes who has connections open to the servers' ports, if anyone. Callers that come directly, or by a balancer
/// without full NAT, are among them.
pub(super) fn describe_senders(config: &Config) -> Option<String> {
    // If sockets cannot be listed, there is nothing to say.
    let senders = senders(config).unwrap_or_default();
    let mut by_count: Vec<_> = senders.iter().collect();
    by_count.sort_by_key(|(sender, count)| (std::cmp::Reverse(**count), **sender));
    let named: Vec<_> = by_count
        .iter()
        .take(MAX_SENDERS)
        .map(|(sender, count)| format!("{sender} ({})", Count(**count)))
        .collect();
    let others = match by_count.len().saturating_sub(MAX_SENDERS) {
        0 => String::new(),
        others => format!(" and {others} others"),
    };
    (!named.is_empty()).then(|| {
        format!(
            "open connections without TOA now: from {}{others}; if these are the clients, give --any-flow \
             --server-port PORT, with --ip for some of them",
            named.join(", ")
        )
    })
}

/// Returns how many connections each sender has open to ports that this host listens on.
fn senders(config: &Config) -> Result<BTreeMap<IpAddr, u64>, SockDiagError> {
    let mut table = SockDiag::new()?;
    let ports: HashSet<u16> = table.listeners()?.iter().map(|listener| listener.port).collect();
    let mut senders = BTreeMap::new();
    for connection in table.established(false)? {
        let port = connection.server().port();
        if ports.contains(&port) && config.serves(port.to_be()) {
            let count: &mut u64 = senders.entry(connection.peer().ip()).or_default();
            *count = count.saturating_add(1);
        }
    }
    Ok(senders)
}
