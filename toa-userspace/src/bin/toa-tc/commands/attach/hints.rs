//! Hints at probable mistakes in the command line.

use toa_userspace::{live::host::sock_diag::SockDiag, rule::Rule};

use crate::{cli::select::SelectArgs, commands::hint_at_ports, stderr};

/// Points out probable mistakes.
pub(crate) fn hint(select: &SelectArgs, rules: &[Rule], can_change: bool) {
    if rules.is_empty() && select.any_flow {
        // Everything is printed.
    } else if rules.is_empty() && can_change {
        stderr::note(format_args!("nothing is watched yet: add a client with toa-tc watch add IP"));
    } else if rules.is_empty() {
        stderr::note(format_args!("nothing is watched: give --ip, --port or --any"));
    }
    hint_at_ports(rules);
    if !select.any {
        hint_at_listening(&select.client_ports());
    }
}

/// Points out client ports on which this host listens: a port that clients connect to is rarely one that they connect
/// from.
fn hint_at_listening(ports: &[u16]) {
    // If listeners cannot be listed, there is no hint.
    let listeners =
        if ports.is_empty() { Ok(Vec::new()) } else { SockDiag::new().and_then(|mut it| it.listeners()) };
    let listeners = listeners.unwrap_or_default();
    for port in ports.iter().filter(|port| listeners.iter().any(|listener| listener.port == **port)) {
        stderr::note(format_args!(
            "this host listens on port {port}, but --port means the client's port: for connections to port {port}, use \
             --server-port {port} (and --any for every client)"
        ));
    }
}
