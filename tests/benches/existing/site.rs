//! nginx with 50,000 open connections, and the clients that they belong to.

use std::{
    collections::{HashMap, HashSet},
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use toa_tests::{
    lab::{Lab, marker::Habit, nginx_address, toa_module::ToaModule},
    peers::{
        idle::{self, Idle},
        nginx::{Nginx, Setup},
    },
};

/// Number of the balancer's addresses, and of connections from each.
const ADDRESSES: u8 = 4;
const EACH: u16 = 12_500;
/// The product of both, as the tool prints it.
pub(crate) const TOTAL: &str = "50,000";

/// Number of distinct clients.
pub(crate) const CLIENTS: u16 = 250;
/// Number of connections of each client.
pub(crate) const OF_ONE: u16 = 200;

/// Limit of descriptors of an nginx worker and of a thread with connections. A worker's share is not exactly
/// a quarter.
const DESCRIPTORS: u32 = 16_384;

const _: () = assert!(CLIENTS as u32 * OF_ONE as u32 == ADDRESSES as u32 * EACH as u32);

fn addresses() -> impl Iterator<Item = IpAddr> {
    (11..).take(ADDRESSES.into()).map(|last| Ipv4Addr::new(10, 9, 0, last).into())
}

/// Returns every connection: the balancer's side, and its client.
fn connections() -> impl Iterator<Item = (SocketAddr, SocketAddr)> {
    let peers = addresses()
        .flat_map(|address| (idle::FIRST_PORT..).take(EACH.into()).map(move |port| (address, port).into()));
    let clients = (20_000..)
        .flat_map(|port| (1..).take(CLIENTS.into()).map(move |last| ([203, 0, 113, last], port).into()));
    peers.zip(clients)
}

/// nginx with all connections open.
pub(crate) struct Site {
    pub(crate) lab: Lab,
    _module: ToaModule,
    nginx: Nginx,
    idle: Idle,
}

impl Site {
    /// Starts nginx and opens all connections.
    pub(crate) fn new() -> Result<Self> {
        idle::raise_descriptors(u64::from(DESCRIPTORS) + 256)?;
        // The marker is unused: no option is assigned.
        let lab = Lab::new(Habit::Syn)?;
        let addresses: Vec<_> = addresses().collect();
        for address in &addresses {
            lab.balancer.add_address(*address, 24)?;
        }
        let mut module = ToaModule::load(&lab.server.namespace)?;
        for (peer, client) in connections() {
            module.name_client(peer, client)?;
        }
        let setup = Setup {
            workers: 4,
            worker_connections: DESCRIPTORS,
            has_queues: true,
            keepalive: Duration::from_secs(60 * 60),
            logs_requests: false,
            ..Setup::default()
        };
        let nginx = Nginx::start_with(&lab.server.namespace, setup)?;
        let idle = Idle::open(&lab.balancer.namespace, &addresses, EACH, nginx_address())?;
        Ok(Self { lab, _module: module, nginx, idle })
    }

    /// Checks that every connection still works and that nginx logged no errors.
    pub(crate) fn finish(self) -> Result<()> {
        self.idle.ask().context("asking all connections again")?;
        drop(self.idle);
        let errors = self.nginx.stop_for_errors()?;
        let first: Vec<_> = errors.lines().take(20).collect();
        ensure!(errors.is_empty(), "nginx's error log begins:\n{}", first.join("\n"));
        Ok(())
    }
}

/// Checks that the printed connections are exactly the existing ones, each with its client. Returns the
/// number of processes that hold them.
pub(crate) fn check(path: &Path) -> Result<usize> {
    let mut expected: HashMap<SocketAddr, SocketAddr> = connections().collect();
    let mut processes = HashSet::new();
    for line in fs::read_to_string(path)?.lines() {
        let row: Value = serde_json::from_str(line)?;
        let end = |pointer: &str| -> Option<SocketAddr> {
            let end = row.pointer(pointer)?;
            let port = u16::try_from(end.get("port")?.as_u64()?).ok()?;
            Some(SocketAddr::new(end.get("address")?.as_str()?.parse().ok()?, port))
        };
        let client = end("/network/peer").and_then(|peer| expected.remove(&peer));
        ensure!(client.is_some() && client == end("/client"), "not as it is: {line}");
        processes.insert(row.pointer("/process/pid").and_then(Value::as_u64).context("no process")?);
    }
    ensure!(expected.is_empty(), "{} connections are missing", expected.len());
    ensure!(processes.len() > 1, "all connections are one process's");
    Ok(processes.len())
}
