//! What must be printed of connections through the balancer, according to what their clients sent and what
//! the server logged, independently of the tool.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, Result, ensure};

use crate::{
    lab::{BALANCER, nginx_address},
    peers::{
        client::{Connection, Request},
        nginx::Logged,
    },
    tool::printed::Row,
};

/// A server's log by request id.
#[derive(Clone, Debug)]
pub struct Log<'a> {
    by_id: HashMap<&'a str, &'a Logged>,
}

impl<'a> Log<'a> {
    /// Checks that every request was logged once, was answered, and came from the balancer's address.
    pub fn new(logged: &'a [Logged]) -> Result<Self> {
        let mut by_id = HashMap::new();
        for logged in logged {
            ensure!(logged.peer.ip() == BALANCER, "not from the balancer: {logged:?}");
            ensure!(logged.status == 200, "not answered: {logged:?}");
            ensure!(by_id.insert(logged.request_id.as_str(), logged).is_none(), "logged twice: {logged:?}");
        }
        Ok(Self { by_id })
    }

    /// Returns what must be printed of these connections if their clients are watched.
    pub fn rows<'c>(&self, connections: impl IntoIterator<Item = &'c Connection>) -> Result<BTreeSet<Row>> {
        let mut rows = BTreeSet::new();
        for connection in connections {
            for request in connection.sent() {
                rows.insert(self.row(connection, request)?);
            }
        }
        Ok(rows)
    }

    /// Returns what must be printed of a request: the client according to its own socket, and the balancer's
    /// side as the server logged it.
    pub fn row(&self, connection: &Connection, request: &Request) -> Result<Row> {
        let value = |name| request.value(name).unwrap_or_default().to_owned();
        let (id, team) = (value("x-request-id"), value("x-team"));
        let logged = self.by_id.get(id.as_str()).with_context(|| format!("the server did not log {id}"))?;
        let (method, target) = (request.method.clone(), request.target.clone());
        ensure!(logged.request == format!("{method} {target} HTTP/1.1"), "{request:?}, but {logged:?}");
        ensure!(logged.team == team, "{request:?}, but {logged:?}");
        Ok((connection.local(), logged.peer, nginx_address(), method, target, id, team))
    }
}
