//! Finds the real clients of connections that were open before we attached. `toa-tc remember` has noted them
//! ([`crate::live::remember`]), or a TOA module knows them.
//!
//! A module keeps the TOA of a connection and changes only what `getpeername` returns; the kernel's socket table still
//! shows the balancer. Most modules keep it in the socket, where an iterator reads it ([`sockets`]). For each connection
//! that the iterator does not name, or where there is none, we find the owner's descriptor, duplicate it
//! (`pidfd_getfd`), query the duplicate and close it, one after the other. If the answer differs from the table, it is
//! the real client.
//!
//! # What this does to a server
//! While we hold a duplicate, the owner's `close` does not end the connection, and its epoll keeps reporting the
//! descriptor. So we do nothing else between duplicating, querying and closing, and never hold two duplicates. With
//! `CAP_SYS_NICE`, no ordinary thread takes the CPU in between. `pidfd_getfd` also writes our own class of the
//! cgroup-v1 hierarchies `net_cls` and `net_prio` into the socket, see [`rights`].

use std::{
    collections::{HashMap, hash_map::Entry},
    fs, io,
    net::{Ipv6Addr, SocketAddr, SocketAddrV6},
    ops::{ControlFlow, RangeInclusive},
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use rustix::net::{getpeername, sockopt::socket_cookie};
use thiserror::Error;
use toa_common::{attribution::Attribution, config::Config, socket::SocketRecord};

use crate::{
    address::to_address,
    live::{
        host::sock_diag::{Established, Listener, SockDiag, SockDiagError},
        remember::reader::{self, ReadError},
    },
    rule::balancers::Balancers,
};

use module::Module;
use sockets::{Sockets, SocketsError};

pub mod module;
mod proc_fds;
mod real_client;
mod realtime;
pub mod rights;
pub mod sockets;
mod tally;

pub use proc_fds::{Holders, OtherNamespaces, holders, other_namespaces, owners};
pub use real_client::{NamedBy, RealClient};
pub use tally::{Counts, Marked, Traits, UnknownReason};

/// `TOA_SO_GET_LOOKUP` of DPVS's module: returns the IPv6 client of a connection over IPv4 (NAT64).
const NAT64_CLIENT: libc::c_int = 4096;

/// Why connections cannot be scanned.
#[derive(Debug, Error)]
pub enum ExistingError {
    /// The socket table cannot be read.
    #[error(transparent)]
    SockDiag(#[from] SockDiagError),
    /// The processes cannot be listed.
    #[error("cannot list the processes in /proc")]
    Processes(#[source] io::Error),
    /// Descriptors cannot be duplicated at all.
    #[error("cannot duplicate a descriptor of another process (pidfd_getfd, Linux 5.6)")]
    Duplicate(#[source] io::Error),
}

/// A scanned connection.
#[derive(Debug)]
pub struct ScannedConnection<'a> {
    /// Its entry in the kernel's table.
    pub connection: &'a Established,
    /// Its client, or why the client is not known.
    pub client: Result<RealClient, UnknownReason>,
    /// The process that owns it, if the socket was queried in this scan.
    pub pid: Option<u32>,
    /// What else is known of its socket.
    pub traits: Traits,
}

/// The connections to query.
#[derive(Clone, Copy, Debug)]
pub struct Select<'a> {
    /// The local ports.
    pub config: &'a Config,
    /// The sources whose TOA is trusted.
    pub balancers: &'a Balancers,
}

impl Select<'_> {
    /// Returns why the client of a connection is of no interest, or `None` if it is.
    fn refuses(&self, connection: &Established, accepted_ports: &AcceptedPorts) -> Option<UnknownReason> {
        let (peer, server) = (connection.peer(), connection.server());
        if !self.config.serves(server.port().to_be()) {
            Some(UnknownReason::OtherPort)
        } else if !self.balancers.trusts(to_address(peer.ip())) {
            Some(UnknownReason::NoBalancer)
        } else if !accepted_ports.accepted(server) {
            Some(UnknownReason::ConnectedOut)
        } else {
            None
        }
    }
}

/// Distinguishes inbound from outbound connections; the kernel's table does not.
struct AcceptedPorts {
    listeners: Vec<Listener>,
    /// The kernel's ports for outbound connections. Servers may listen on some of them.
    ephemeral: RangeInclusive<u16>,
}

impl AcceptedPorts {
    fn now(table: &mut SockDiag) -> Result<Self, SockDiagError> {
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
        let mut ports = range.split_ascii_whitespace().map_while(|port| port.parse().ok());
        let ephemeral = ports.next().unwrap_or(0)..=ports.next().unwrap_or(u16::MAX);
        Ok(Self { listeners: table.listeners()?, ephemeral })
    }

    /// Returns whether a connection to this address and port was accepted. Its listener may be closed by now.
    fn accepted(&self, server: SocketAddr) -> bool {
        let is_listener = |it: &Listener| {
            it.port == server.port() && (it.address.is_unspecified() || it.address == server.ip())
        };
        !self.ephemeral.contains(&server.port()) || self.listeners.iter().any(is_listener)
    }
}

/// A connection that is to be queried.
struct Pending {
    connection: Established,
    traits: Traits,
    /// Why its client is not known so far.
    reason: UnknownReason,
}

/// Scans connections, and remembers what their sockets answered, so that none is queried twice.
pub struct Scanner {
    table: SockDiag,
    /// The iterator, or why there is none.
    sockets: Result<Sockets, SocketsError>,
    /// The answers by socket cookie.
    answers: HashMap<u64, Result<RealClient, UnknownReason>>,
    /// Why the remembered clients could not be read.
    unreadable: Option<ReadError>,
}

impl Scanner {
    /// Creates a scanner that knows no answers.
    pub fn new() -> Result<Self, ExistingError> {
        Ok(Self {
            table: SockDiag::new()?,
            sockets: Sockets::new(),
            answers: HashMap::new(),
            unreadable: None,
        })
    }

    /// Returns why the sockets cannot be read from the kernel's memory, if they cannot.
    pub fn without_memory(&self) -> Option<&SocketsError> {
        self.sockets.as_ref().err()
    }

    /// Returns why a scan could not read the remembered clients, if one could not since the last call.
    pub fn take_unreadable(&mut self) -> Option<ReadError> {
        self.unreadable.take()
    }

    /// Reads the remembered clients by socket cookie; none if that is not possible.
    fn remembered(&mut self) -> HashMap<u64, Attribution> {
        match reader::read() {
            Ok(clients) => clients.unwrap_or_default(),
            Err(error) => {
                self.unreadable = Some(error);
                HashMap::new()
            }
        }
    }

    /// Scans all connections that are established now, and passes each to `each` with its client or the reason why that
    /// is not known. `with_times` asks for [`Established::silent_for`].
    pub fn scan(
        &mut self,
        select: &Select<'_>,
        with_times: bool,
        mut each: impl FnMut(&ScannedConnection<'_>),
    ) -> Result<Counts, ExistingError> {
        let mut counts = Counts::default();
        let accepted_ports = AcceptedPorts::now(&mut self.table)?;
        let (mut pending, mut left) = (HashMap::new(), Vec::new());
        let mut known = HashMap::with_capacity(self.answers.len());
        let connections = self.table.established(with_times)?;
        // After the table, which assigns the cookies.
        let (remembered, memory) = (self.remembered(), self.memory());
        // Without the module, the bytes are another owner's, or left over.
        let is_module_loaded = Module::now().is_loaded;
        for connection in connections {
            let cookie = connection.cookie();
            let socket = memory.get(&cookie);
            let traits = Traits {
                is_ipv6: connection.is_ipv6(),
                saw_unknown: socket.is_some_and(SocketRecord::saw_unknown),
            };
            let in_memory = socket.filter(|_| is_module_loaded).and_then(SocketRecord::client);
            let client = if let Some(reason) = select.refuses(&connection, &accepted_ports) {
                Err(reason)
            } else if let Some(noted) = remembered.get(&cookie) {
                Ok(RealClient::remembered(noted))
            } else if let Some(client) = in_memory {
                Ok(RealClient::of_module(&client))
            } else if connection.inode == 0 {
                Err(UnknownReason::Queued)
            } else if let Some(answer) = self.answers.remove(&cookie) {
                known.insert(cookie, answer);
                answer
            } else {
                let inode = connection.inode;
                // Of two connections with one inode, only the last can be found by it.
                let other =
                    pending.insert(inode, Pending { connection, traits, reason: UnknownReason::Unseen });
                left.extend(other);
                continue;
            };
            counts.add(&client, traits);
            each(&ScannedConnection { connection: &connection, client, pid: None, traits });
        }
        self.answers = known;
        if !pending.is_empty() {
            counts.refused_processes = self.ask(&mut pending, |found| {
                counts.add(&found.client, found.traits);
                each(found);
            })?;
        }
        for Pending { connection, traits, reason } in pending.into_values().chain(left) {
            let is_gone = reason == UnknownReason::Closed || !self.table.is_there(&connection)?;
            let client = Err(if is_gone { UnknownReason::Closed } else { reason });
            counts.add(&client, traits);
            each(&ScannedConnection { connection: &connection, client, pid: None, traits });
        }
        Ok(counts)
    }

    /// Counts the accepted connections that are established now, and those of them on which the kernel saw an unknown
    /// TCP option. No socket is queried.
    pub fn marked(&mut self) -> Result<Marked, ExistingError> {
        let accepted_ports = AcceptedPorts::now(&mut self.table)?;
        let connections = self.table.established(false)?;
        // After the table, which assigns the cookies.
        let memory = self.memory();
        let mut counts = Marked::default();
        for connection in connections.iter().filter(|it| accepted_ports.accepted(it.server())) {
            counts.total += 1;
            let socket = memory.get(&connection.cookie());
            counts.marked += u64::from(socket.is_some_and(SocketRecord::saw_unknown));
        }
        Ok(counts)
    }

    /// Reads the sockets by their cookies; none if that is not possible.
    fn memory(&mut self) -> HashMap<u64, SocketRecord> {
        match self.sockets.as_mut().map(Sockets::read) {
            Ok(Ok(memory)) => memory,
            Ok(Err(error)) => {
                self.sockets = Err(error);
                HashMap::new()
            }
            Err(_) => HashMap::new(),
        }
    }

    /// Queries those of `pending` that a process owns, found by inode, and removes them from it. Returns the number of
    /// processes whose descriptors we may not list.
    fn ask(
        &mut self,
        pending: &mut HashMap<u32, Pending>,
        mut each: impl FnMut(&ScannedConnection<'_>),
    ) -> Result<u64, ExistingError> {
        let mut failure = None;
        let walked = proc_fds::walk(|process, inode, descriptor| {
            let Entry::Occupied(mut entry) = pending.entry(inode) else {
                return ControlFlow::Continue(());
            };
            let Pending { connection, reason, .. } = entry.get_mut();
            let answer = process.with_duplicate(descriptor, |duplicate| ask(duplicate, connection));
            match answer {
                Ok(client) => {
                    let Pending { connection, traits, .. } = entry.remove();
                    self.answers.insert(connection.cookie(), client);
                    let pid = Some(process.pid);
                    each(&ScannedConnection { connection: &connection, client, pid, traits });
                }
                Err(error) => match error.raw_os_error() {
                    // The descriptor or inode now belongs to another socket, or the process is gone. Another process
                    // may own it.
                    Some(libc::EBADF | libc::ESRCH | libc::ESTALE | libc::ENOTSOCK) => {}
                    Some(libc::ENOTCONN) => *reason = UnknownReason::Closed,
                    Some(libc::EPERM | libc::EACCES) => *reason = UnknownReason::Denied,
                    _ => {
                        failure = Some(error);
                        return ControlFlow::Break(());
                    }
                },
            }
            if pending.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let refused_processes = walked.map_err(ExistingError::Processes)?;
        failure.map_or(Ok(refused_processes), |error| Err(ExistingError::Duplicate(error)))
    }
}

/// Queries a duplicate of a server's socket for its client. Fails with `ESTALE` if it belongs to another connection.
fn ask(duplicate: &OwnedFd, connection: &Established) -> io::Result<Result<RealClient, UnknownReason>> {
    let other = || io::Error::from_raw_os_error(libc::ESTALE);
    if socket_cookie(duplicate)? != connection.cookie() {
        return Err(other());
    }
    let name = getpeername(duplicate)?.and_then(|name| SocketAddr::try_from(name).ok()).ok_or_else(other)?;
    let address = SocketAddr::new(name.ip().to_canonical(), name.port());
    if address != connection.peer() {
        return Ok(Ok(RealClient { address, named_by: NamedBy::PeerName }));
    }
    if let Some(address) = nat64_client(duplicate).filter(|_| address.is_ipv4()) {
        return Ok(Ok(RealClient { address: address.into(), named_by: NamedBy::Nat64 }));
    }
    Ok(Err(if is_ktls(duplicate) { UnknownReason::KernelTls } else { UnknownReason::Same }))
}

/// Returns the IPv6 client that DPVS's module keeps for a connection over IPv4.
fn nat64_client(socket: &OwnedFd) -> Option<SocketAddrV6> {
    // `struct toa_nat64_peer`: address and port in network order, then padding.
    let mut value = [0; 20];
    let len = socket_option(socket, libc::IPPROTO_IP, NAT64_CLIENT, &mut value)?;
    let (address, rest) = value.get(..len)?.split_first_chunk::<16>()?;
    let port = rest.first_chunk()?;
    let address = Ipv6Addr::from(*address);
    (!address.is_unspecified()).then(|| SocketAddrV6::new(address, u16::from_be_bytes(*port), 0, 0))
}

/// Returns whether the socket uses kTLS: `getpeername` then no longer reaches the module.
fn is_ktls(socket: &OwnedFd) -> bool {
    let mut name = [0; 16];
    let len = socket_option(socket, libc::IPPROTO_TCP, libc::TCP_ULP, &mut name).unwrap_or(0);
    name.get(..len).is_some_and(|name| name.split(|byte| *byte == 0).next() == Some(b"tls"))
}

/// Reads a socket option into `value`, and returns its length in bytes.
fn socket_option(
    socket: &OwnedFd,
    level: libc::c_int,
    option: libc::c_int,
    value: &mut [u8],
) -> Option<usize> {
    let mut len = libc::socklen_t::try_from(value.len()).ok()?;
    // SAFETY: `value` has `len` bytes, and the kernel writes no more than that.
    let result = unsafe {
        libc::getsockopt(socket.as_fd().as_raw_fd(), level, option, value.as_mut_ptr().cast(), &raw mut len)
    };
    (result == 0).then_some(len as usize)
}
