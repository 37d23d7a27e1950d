//! The command `flows --existing`: shows every established connection with its real client, without attaching.

use std::{collections::HashMap, fs};

use anyhow::{Error, Result};
use toa_common::config::Config;
use toa_userspace::{
    address::ClientAddress,
    live::{
        existing::{
            Counts, RealClient, ScannedConnection, Scanner, Select, UnknownReason, module::Module,
            other_namespaces, owners, rights, sockets::SocketsError,
        },
        host::workload,
    },
    print::{
        count::plural,
        escape::Escaped,
        existing::{
            Tally, describe, describe_marked, describe_other_namespaces, describe_without_memory,
            explain_unknown,
        },
        json::value::PeerNetwork,
        table::table,
    },
    rule::{Rule, balancers::Balancers, matcher::Matcher},
};

use super::row::{self, Executable, Process, Row};
use crate::{cli::run::ReportFormat, error::NothingFound, format::span, printer::print, stderr};

impl Row {
    /// Returns the row of a connection that a scan has found.
    fn scanned(found: &ScannedConnection<'_>, process: Option<Process>) -> Self {
        let ScannedConnection { connection, client, traits, .. } = found;
        let named = client.ok();
        Self {
            client: named.map(|named| ClientAddress {
                address: named.address.ip(),
                port: named.has_port().then(|| named.address.port()),
            }),
            named_by: named.map(|named| named.named_by.name()),
            reason: client.err().map(UnknownReason::name),
            explanation: client.err().map(describe),
            network: PeerNetwork { peer: connection.peer().into() },
            server: connection.server().into(),
            saw_unknown: traits.saw_unknown.then_some(true),
            process,
            inode: connection.inode,
            idle_ns: connection.silent_for.and_then(|silence| u64::try_from(silence.as_nanos()).ok()),
        }
    }

    /// Returns whether its client has a name for which no process had to be found.
    fn lacks_process(&self) -> bool {
        self.client.is_some() && self.process.is_none() && self.inode != 0
    }
}

/// Runs the command. Exit code 3 if it shows no connection.
pub(super) fn run(rules: &[Rule], force: bool, format: ReportFormat) -> Result<()> {
    rights::check(force)?;
    // Before the scan, which changes the module's counters.
    let module = Module::now();
    let watched = Matcher::new(rules);
    let is_wanted = |client: &Result<RealClient, UnknownReason>| {
        rules.is_empty() || client.is_ok_and(|client| watched.contains(&client.client(), client.has_port()))
    };
    let (mut rows, mut processes) = (Vec::new(), HashMap::new());
    let select = Select { config: &Config::DEFAULT, balancers: &Balancers::default() };
    let mut scanner = Scanner::new()?;
    let counts = scanner.scan(&select, true, |found| {
        if is_wanted(&found.client) {
            rows.push(Row::scanned(found, found.pid.map(|pid| process(pid, &mut processes))));
        }
    })?;
    let inodes = rows.iter().filter(|row| row.lacks_process()).map(|row| row.inode);
    // Without permission to see the owners, the rows have none.
    let owners = owners(inodes).unwrap_or_default();
    for row in rows.iter_mut().filter(|row| row.lacks_process()) {
        row.process = owners.get(&row.inode).map(|pid| process(*pid, &mut processes));
    }
    rows.sort_by_cached_key(Row::order);
    let text = match format {
        ReportFormat::Json => row::json_lines(&rows)?,
        ReportFormat::Text => lines(&rows),
    };
    print(&text)?;
    if let Some(error) = scanner.take_unreadable() {
        let error = Error::new(error);
        stderr::warning(format_args!("cannot read the clients that toa-tc remember has noted: {error:#}"));
    }
    report(&counts, &module, scanner.without_memory());
    Ok(NothingFound::check(rows.is_empty())?)
}

/// Reports the counts of the scan on stderr.
fn report(counts: &Counts, module: &Module, without_memory: Option<&SocketsError>) {
    let total = plural(counts.total(), "established connection");
    stderr::info(format_args!("{total}: {}", Tally(counts)));
    let marked = without_memory.map_or_else(|| describe_marked(counts), describe_without_memory);
    stderr::info(format_args!("{marked}"));
    // Without permission to see them, there is nothing to report.
    let others = other_namespaces().unwrap_or_default();
    let hints = [describe_other_namespaces(&others), explain_unknown(counts, module)];
    hints.into_iter().flatten().for_each(|hint| stderr::info(format_args!("{hint}")));
}

fn lines(rows: &[Row]) -> String {
    let mut text = String::new();
    if rows.is_empty() {
        return text;
    }
    let head = ["client", "balancer", "server", "process", "runs in", "idle", "marked", "named by"];
    let cells = rows.iter().map(|row| {
        let process = row.process.as_ref().map_or_else(
            || "-".to_owned(),
            |process| format!("{} ({})", process.executable.name, process.pid),
        );
        let workload = row.process.as_ref().and_then(|process| process.workload.as_ref());
        [
            row.client.map_or_else(|| "-".to_owned(), |client| client.to_string()),
            row.network.peer.address().to_string(),
            row.server.address().to_string(),
            process,
            workload.map_or_else(|| "-".to_owned(), |it| Escaped(it.name().as_bytes()).to_string()),
            row.idle_ns.map_or_else(|| "-".to_owned(), span),
            if row.saw_unknown == Some(true) { "yes" } else { "-" }.to_owned(),
            row.named_by.or(row.explanation).unwrap_or_default().to_owned(),
        ]
    });
    table(&mut text, "", &head, cells);
    text
}

/// Returns a process with its name and workload, which are read once per process.
fn process(pid: u32, known: &mut HashMap<u32, Process>) -> Process {
    let process = known.entry(pid).or_insert_with(|| {
        let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
        let name = Escaped(name.strip_suffix(b"\n").unwrap_or(&name)).to_string();
        Process { pid, executable: Executable { name }, workload: workload::of_process(pid) }
    });
    process.clone()
}
