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

/// A connection, as it is printed.
#[derive(Serialize)]
struct Row {
    /// The real client, if it is known.
    client: Option<ClientAddress>,
    /// Which question to the server's socket named it.
    named_by: Option<&'static str>,
    /// Why it is not known.
    reason: Option<&'static str>,
    #[serde(skip)]
    description: &'static str,
    network: PeerNetwork,
    server: Endpoint,
    /// Whose socket it is, if it was asked.
    process: Option<Process>,
    /// For how long the client has sent nothing. When a connection was opened, no kernel knows.
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

    /// Connections of one client stand together, those without one at the end.
    fn order(&self) -> (bool, Option<(IpAddr, Option<u16>)>, SocketAddr, SocketAddr) {
        let client = self.client.map(|client| (client.address, client.port));
        (client.is_none(), client, self.server.address(), self.network.peer.address())
    }
}

/// Runs the command.
pub(super) fn run(rules: &[Rule], force: bool, format: ReportFormat) -> Result<()> {
    rights::check(force)?;
    // Before sockets are asked, which moves the module's counters.
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

/// Reports what was scanned besides what is printed.
fn report(counts: &Counts, module: &Module) {
    let total = plural(counts.total(), "established connection");
    stderr::line(format_args!("{total}: {}", Tally(counts)));
    // Without the right to see them, there is nothing to report.
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

/// A process by its number, which is asked for its name once.
fn process(pid: u32, names: &mut HashMap<u32, String>) -> Process {
    let name = names.entry(pid).or_insert_with(|| {
        let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
        Escaped(name.strip_suffix(b"\n").unwrap_or(&name)).to_string()
    });
    Process { pid, executable: Executable { name: name.clone() } }
}
