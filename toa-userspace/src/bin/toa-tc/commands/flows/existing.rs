//! The command `flows --existing`: shows every established connection with its real client, without attaching.

use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, SocketAddr},
};

use anyhow::Result;
use serde::Serialize;
use toa_common::config::Config;
use toa_userspace::{
    address::ClientAddress,
    live::existing::{
        Counts, NamedBy, RealClient, ScannedConnection, Scanner, Select, UnknownReason, module::Module,
        other_namespaces, rights,
    },
    print::{
        count::plural,
        escape::Escaped,
        existing::{Tally, describe, describe_other_namespaces, explain_unknown},
        json::value::{Endpoint, PeerNetwork},
        table::table,
    },
    rule::{Rule, balancers::Balancers, matcher::Matcher},
};

use crate::{
    cli::run::ReportFormat,
    format::{json, span},
    printer::print,
    stderr,
};

/// A connection in the output.
#[derive(Serialize)]
struct Row {
    /// The real client, if it is known.
    client: Option<ClientAddress>,
    /// The query of the server's socket that named the client.
    named_by: Option<&'static str>,
    /// Why the client is not known.
    reason: Option<&'static str>,
    #[serde(skip)]
    description: &'static str,
    network: PeerNetwork,
    server: Endpoint,
    /// The process that owns the socket, if the socket was queried.
    process: Option<Process>,
    /// Time since the client last sent data. The kernel does not record when a connection was opened.
    idle_ns: Option<u64>,
}

#[derive(Clone, Serialize)]
struct Process {
    pid: u32,
    executable: Executable,
}

#[derive(Clone, Serialize)]
struct Executable {
    name: String,
}

impl Row {
    fn new(found: &ScannedConnection<'_>, process: Option<Process>) -> Self {
        let ScannedConnection { connection, client, .. } = found;
        let named = client.ok();
        Self {
            client: named.map(|RealClient { address, .. }| ClientAddress {
                address: address.ip(),
                port: Some(address.port()),
            }),
            named_by: named.map(|named| match named.named_by {
                NamedBy::PeerName => "getpeername",
                NamedBy::Nat64 => "nat64",
            }),
            reason: client.err().map(UnknownReason::name),
            description: client.err().map_or("", describe),
            network: PeerNetwork { peer: connection.peer().into() },
            server: connection.server().into(),
            process,
            idle_ns: connection.silent_for.and_then(|silence| u64::try_from(silence.as_nanos()).ok()),
        }
    }

    /// Returns the sort key: connections of one client are adjacent, those without a known client come last.
    fn order(&self) -> (bool, Option<(IpAddr, Option<u16>)>, SocketAddr, SocketAddr) {
        let client = self.client.map(|client| (client.address, client.port));
        (client.is_none(), client, self.server.address(), self.network.peer.address())
    }
}

/// Runs the command.
pub(super) fn run(rules: &[Rule], force: bool, format: ReportFormat) -> Result<()> {
    rights::check(force)?;
    // Before the scan, which changes the module's counters.
    let module = Module::now();
    let watched = Matcher::new(rules);
    let is_wanted = |client: &Result<RealClient, UnknownReason>| {
        rules.is_empty() || client.is_ok_and(|client| watched.contains(&client.client(), true))
    };
    let (mut rows, mut names) = (Vec::new(), HashMap::new());
    let select = Select { config: &Config::DEFAULT, balancers: &Balancers::default() };
    let counts = Scanner::new()?.scan(&select, true, |found| {
        if is_wanted(&found.client) {
            rows.push(Row::new(found, found.pid.map(|pid| process(pid, &mut names))));
        }
    })?;
    rows.sort_by_cached_key(Row::order);
    let mut text = String::new();
    match format {
        ReportFormat::Json => {
            for row in &rows {
                text.push_str(&json(row)?);
            }
        }
        ReportFormat::Text => lines(&mut text, &rows),
    }
    print(&text)?;
    report(&counts, &module);
    Ok(())
}

/// Reports the counts of the scan on stderr.
fn report(counts: &Counts, module: &Module) {
    let total = plural(counts.total(), "established connection");
    stderr::line(format_args!("{total}: {}", Tally(counts)));
    // Without permission to see them, there is nothing to report.
    let others = other_namespaces().unwrap_or_default();
    let hints = [describe_other_namespaces(&others), explain_unknown(counts, module)];
    hints.into_iter().flatten().for_each(|hint| stderr::line(format_args!("{hint}")));
}

fn lines(text: &mut String, rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    let head = ["client", "balancer", "server", "process", "idle", "named by"];
    let cells = rows.iter().map(|row| {
        let process = row.process.as_ref().map_or_else(
            || "-".to_owned(),
            |process| format!("{} ({})", process.executable.name, process.pid),
        );
        [
            row.client.map_or_else(|| "-".to_owned(), |client| client.to_string()),
            row.network.peer.address().to_string(),
            row.server.address().to_string(),
            process,
            row.idle_ns.map_or_else(|| "-".to_owned(), span),
            row.named_by.unwrap_or(row.description).to_owned(),
        ]
    });
    table(text, "", head, cells);
}

/// Returns a process with its name, which is read once per process.
fn process(pid: u32, names: &mut HashMap<u32, String>) -> Process {
    let name = names.entry(pid).or_insert_with(|| {
        let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
        Escaped(name.strip_suffix(b"\n").unwrap_or(&name)).to_string()
    });
    Process { pid, executable: Executable { name: name.clone() } }
}
