//! The command `flows --connections`: shows every established connection with the client that the balancer's table
//! names.

use std::net::SocketAddr;

use anyhow::Result;
use toa_common::address::Client;
use toa_userspace::{
    address::{ClientAddress, to_address},
    connection_table::matching::Unnamed,
    live::host::sock_diag::{Established, SockDiag},
    print::{count::plural, json::value::PeerNetwork, table::table},
    rule::{Rule, matcher::Matcher},
};

use super::{
    super::balancer_table::BalancerTable,
    row::{self, Row},
};
use crate::{cli::run::ReportFormat, error::NothingFound, format::span, printer::print, stderr};

impl Row {
    /// Returns the row of a connection. Neither the kernel's memory nor processes are looked at.
    fn in_table(connection: &Established, client: Result<SocketAddr, Unnamed>) -> Self {
        Self {
            client: client.ok().map(|it| ClientAddress { address: it.ip(), port: Some(it.port()) }),
            named_by: client.ok().map(|_| "table"),
            reason: client.err().map(Unnamed::name),
            explanation: client.err().map(Unnamed::describe),
            network: PeerNetwork { peer: connection.peer().into() },
            server: connection.server().into(),
            saw_unknown: None,
            process: None,
            inode: connection.inode,
            idle_ns: connection.silent_for.and_then(|silence| u64::try_from(silence.as_nanos()).ok()),
        }
    }
}

/// Runs the command. Exit code 3 if it shows no connection.
pub(super) fn run(rules: &[Rule], balancer: BalancerTable, format: ReportFormat) -> Result<()> {
    let watched = Matcher::new(rules);
    let is_wanted = |client: Result<SocketAddr, Unnamed>| {
        let is_watched = |client: SocketAddr| {
            let client = Client { address: to_address(client.ip()), port_be: client.port().to_be() };
            watched.contains(&client, true)
        };
        rules.is_empty() || client.is_ok_and(is_watched)
    };
    let found = balancer.name_connections(&mut SockDiag::new()?, true, |_| true)?;
    let wanted = found.iter().filter(|(_, client)| is_wanted(*client));
    let mut rows: Vec<Row> = wanted.map(|(connection, client)| Row::in_table(connection, client)).collect();
    rows.sort_by_cached_key(Row::order);
    let text = match format {
        ReportFormat::Json => row::json_lines(&rows)?,
        ReportFormat::Text => lines(&rows),
    };
    print(&text)?;
    stderr::info(format_args!("{}: {}", plural(found.len(), "established connection"), found.tally()));
    found.report();
    Ok(NothingFound::check(rows.is_empty())?)
}

fn lines(rows: &[Row]) -> String {
    let mut text = String::new();
    if rows.is_empty() {
        return text;
    }
    let head = ["client", "balancer", "server", "idle", "named by"];
    let cells = rows.iter().map(|row| {
        [
            row.client.map_or_else(|| "-".to_owned(), |client| client.to_string()),
            row.network.peer.address().to_string(),
            row.server.address().to_string(),
            row.idle_ns.map_or_else(|| "-".to_owned(), span),
            row.named_by.or(row.explanation).unwrap_or_default().to_owned(),
        ]
    });
    table(&mut text, "", &head, cells);
    text
}
