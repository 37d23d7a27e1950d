//! An established connection in the output of `flows`, whatever named its client.

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use serde::Serialize;
use toa_userspace::{
    address::ClientAddress,
    print::json::value::{Endpoint, PeerNetwork},
    workload::Workload,
};

use crate::format::json;

/// A connection in the output.
#[derive(Serialize)]
pub(super) struct Row {
    /// The real client, if it is known.
    pub(super) client: Option<ClientAddress>,
    /// The source that named the client.
    pub(super) named_by: Option<&'static str>,
    /// Why the client is not known.
    pub(super) reason: Option<&'static str>,
    /// The same as a sentence.
    pub(super) explanation: Option<&'static str>,
    pub(super) network: PeerNetwork,
    pub(super) server: Endpoint,
    /// Whether the kernel saw an unknown TCP option, such as a TOA; `None` if that is not known.
    pub(super) saw_unknown: Option<bool>,
    /// The process that owns the socket, if the client was looked for.
    pub(super) process: Option<Process>,
    #[serde(skip)]
    pub(super) inode: u32,
    /// Time since the client last sent data. The kernel does not record when a connection was opened.
    pub(super) idle_ns: Option<u64>,
}

#[derive(Clone, Serialize)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) executable: Executable,
    /// The service, container or pod that it belongs to.
    pub(super) workload: Option<Workload>,
}

#[derive(Clone, Serialize)]
pub(super) struct Executable {
    pub(super) name: String,
}

impl Row {
    /// Returns the sort key: connections of one client are adjacent, those without a known client come last.
    pub(super) fn order(&self) -> (bool, Option<(IpAddr, Option<u16>)>, SocketAddr, SocketAddr) {
        let client = self.client.map(|client| (client.address, client.port));
        (client.is_none(), client, self.server.address(), self.network.peer.address())
    }
}

/// Returns the rows as JSON Lines.
pub(super) fn json_lines(rows: &[Row]) -> Result<String> {
    rows.iter().map(json).collect()
}
