//! Responsible for the real clients of connections that were open before anybody looked: what the servers' own sockets
//! say where a TOA module is loaded. Not responsible for following them.
//!
//! A module keeps the TOA of a connection and changes what `getpeername` returns, and nothing else: the kernel's table
//! of sockets goes on to show the balancer. So each connection of the table is looked for among the descriptors of all
//! processes, duplicated (`pidfd_getfd`), asked and closed again, one after the other. Where the answer is another than
//! the table's remote side, it is the real client.
//!
//! # What this does to a server
//! While a duplicate is held, the owner's `close` ends no connection, and its epoll goes on to report the descriptor:
//! so nothing stands between getting, asking and closing, no ordinary thread takes the CPU meanwhile where we have the
//! right to that (`CAP_SYS_NICE`), and no two are ever held. Besides, `pidfd_getfd` writes our own class of the cgroup-v1
//! hierarchies `net_cls` and `net_prio` into the socket, see [`rights`].

use std::{
    collections::{HashMap, hash_map::Entry},
    fs, io,
    net::{Ipv6Addr, SocketAddr, SocketAddrV6},
    ops::{ControlFlow, RangeInclusive},
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use rustix::net::{getpeername, sockopt::socket_cookie};
use thiserror::Error;
use toa_common::config::Config;

use crate::{
    address::to_address,
    live::host::sock_diag::{Established, Listener, SockDiag, SockDiagError},
    rule::balancers::Balancers,
};

pub mod module;
mod proc_fds;
mod real_client;
mod realtime;
pub mod rights;
mod tally;

pub use proc_fds::{Elsewhere, elsewhere};
pub use real_client::{NamedBy, RealClient};
pub use tally::{Counts, Reason};

/// `TOA_SO_GET_LOOKUP` of DPVS's module: asks for the IPv6 client of a connection over IPv4 (NAT64).
const NAT64_CLIENT: libc::c_int = 4096;

/// Why connections cannot be asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExistingError {
    /// The table of sockets.
    #[error(transparent)]
    SockDiag(#[from] SockDiagError),
    /// The list of processes.
    #[error("cannot list the processes in /proc")]
    Processes(#[source] io::Error),
    /// Descriptors cannot be duplicated at all.
    #[error("cannot duplicate a descriptor of another process (pidfd_getfd, Linux 5.6)")]
    Duplicate(#[source] io::Error),
}

/// A connection that was looked at.
#[derive(Debug)]
pub struct Found<'a> {
    /// As the kernel's table has it.
    pub connection: &'a Established,
    /// Its client, or why there is none.
    pub client: Result<RealClient, Reason>,
    /// The process that holds it, if it was asked now.
    pub pid: Option<u32>,
}

/// Which connections are looked at.
#[derive(Clone, Copy, Debug)]
pub struct Select<'a> {
    /// Local ports.
    pub config: &'a Config,
    /// The sources whose TOA is trusted.
    pub balancers: &'a Balancers,
}

impl Select<'_> {
    /// Says why a connection is not to be asked.
    fn refuses(&self, connection: &Established, doors: &Doors) -> Option<Reason> {
        let (peer, server) = (connection.peer(), connection.server());
        if !self.config.serves(server.port().to_be()) {
            Some(Reason::OtherPort)
        } else if !self.balancers.trusts(to_address(peer.ip())) {
            Some(Reason::NoBalancer)
        } else if !doors.accepted(server) {
            Some(Reason::ConnectedOut)
        } else if connection.inode == 0 {
            Some(Reason::Queued)
        } else {
            None
        }
    }
}

/// By what connections that servers have accepted are told from those that this host has opened: no socket says it.
struct Doors {
    listeners: Vec<Listener>,
    /// The ports that the kernel takes for connections out, except those that somebody listens on.
    ephemeral: RangeInclusive<u16>,
}

impl Doors {
    fn now(table: &mut SockDiag) -> Result<Self, SockDiagError> {
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
        let mut ports = range.split_ascii_whitespace().map_while(|port| port.parse().ok());
        let ephemeral = ports.next().unwrap_or(0)..=ports.next().unwrap_or(u16::MAX);
        Ok(Self { listeners: table.listeners()?, ephemeral })
    }

    /// Whether a connection came in by this address and port. Its listener may be closed by now.
    fn accepted(&self, server: SocketAddr) -> bool {
        let is_listener = |it: &Listener| {
            it.port == server.port() && (it.address.is_unspecified() || it.address == server.ip())
        };
        !self.ephemeral.contains(&server.port()) || self.listeners.iter().any(is_listener)
    }
}

/// What is known of all connections. One that has answered is not asked again.
pub struct Survey {
    table: SockDiag,
    /// By the sockets' cookies.
    answers: HashMap<u64, Result<RealClient, Reason>>,
}

impl Survey {
    /// Knows nothing yet.
    pub fn new() -> Result<Self, ExistingError> {
        Ok(Self { table: SockDiag::new()?, answers: HashMap::new() })
    }

    /// Looks at all connections that are established now, and hands each to `each` as soon as it is known.
    /// `with_times` asks for [`Established::silent_for`].
    pub fn look(
        &mut self,
        select: &Select<'_>,
        with_times: bool,
        mut each: impl FnMut(&Found<'_>),
    ) -> Result<Counts, ExistingError> {
        let mut counts = Counts::default();
        let doors = Doors::now(&mut self.table)?;
        let (mut pending, mut left) = (HashMap::new(), Vec::new());
        let mut known = HashMap::with_capacity(self.answers.len());
        for connection in self.table.established(with_times)? {
            let cookie = connection.cookie();
            let client = match (select.refuses(&connection, &doors), self.answers.remove(&cookie)) {
                (Some(reason), _) => Err(reason),
                (None, Some(answer)) => {
                    known.insert(cookie, answer);
                    answer
                }
                (None, None) => {
                    // Two of one inode cannot be told apart by it.
                    let other = pending.insert(connection.inode, (connection, Reason::Unseen));
                    left.extend(other);
                    continue;
                }
            };
            counts.add(&client);
            each(&Found { connection: &connection, client, pid: None });
        }
        self.answers = known;
        if !pending.is_empty() {
            counts.refused_processes = self.ask(&mut pending, |found| {
                counts.add(&found.client);
                each(found);
            })?;
        }
        for (connection, reason) in pending.into_values().chain(left) {
            let is_gone = reason == Reason::Closed || !self.table.is_there(&connection)?;
            let client = Err(if is_gone { Reason::Closed } else { reason });
            counts.add(&client);
            each(&Found { connection: &connection, client, pid: None });
        }
        Ok(counts)
    }

    /// Asks those of `pending` that a process holds, and takes them out. They are found by their inodes. Returns how many
    /// processes may not be looked into.
    fn ask(
        &mut self,
        pending: &mut HashMap<u32, (Established, Reason)>,
        mut each: impl FnMut(&Found<'_>),
    ) -> Result<u64, ExistingError> {
        let mut failure = None;
        let walked = proc_fds::walk(|holder, inode, descriptor| {
            let Entry::Occupied(mut entry) = pending.entry(inode) else {
                return ControlFlow::Continue(());
            };
            let (connection, reason) = entry.get_mut();
            let answer = holder.with_duplicate(descriptor, |duplicate| ask(duplicate, connection));
            match answer {
                Ok(client) => {
                    let (connection, _) = entry.remove();
                    self.answers.insert(connection.cookie(), client);
                    each(&Found { connection: &connection, client, pid: Some(holder.pid) });
                }
                Err(error) => match error.raw_os_error() {
                    // Its number or its inode is another socket's by now, or the process is gone. Another may hold it.
                    Some(libc::EBADF | libc::ESRCH | libc::ESTALE | libc::ENOTSOCK) => {}
                    Some(libc::ENOTCONN) => *reason = Reason::Closed,
                    Some(libc::EPERM | libc::EACCES) => *reason = Reason::Denied,
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

/// Asks a duplicate of a server's socket for its client. `ESTALE` if it is another connection's.
fn ask(duplicate: &OwnedFd, connection: &Established) -> io::Result<Result<RealClient, Reason>> {
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
    Ok(Err(if is_ktls(duplicate) { Reason::KernelTls } else { Reason::Same }))
}

/// The IPv6 client that DPVS's module knows of a connection over IPv4: an address and a port, both in network order.
fn nat64_client(socket: &OwnedFd) -> Option<SocketAddrV6> {
    // `struct toa_nat64_peer`, with what aligns its end.
    let mut value = [0; 20];
    let len = socket_option(socket, libc::IPPROTO_IP, NAT64_CLIENT, &mut value)?;
    let (address, rest) = value.get(..len)?.split_first_chunk::<16>()?;
    let port = rest.first_chunk()?;
    let address = Ipv6Addr::from(*address);
    (!address.is_unspecified()).then(|| SocketAddrV6::new(address, u16::from_be_bytes(*port), 0, 0))
}

/// Whether the kernel encrypts for this socket: then a module's answer is not given any more.
fn is_ktls(socket: &OwnedFd) -> bool {
    let mut name = [0; 16];
    let len = socket_option(socket, libc::IPPROTO_TCP, libc::TCP_ULP, &mut name).unwrap_or(0);
    name.get(..len).is_some_and(|name| name.split(|byte| *byte == 0).next() == Some(b"tls"))
}

/// Reads an option of a socket, and returns how many bytes of it there are.
fn socket_option(
    socket: &OwnedFd,
    level: libc::c_int,
    option: libc::c_int,
    value: &mut [u8],
) -> Option<usize> {
    let mut len = libc::socklen_t::try_from(value.len()).ok()?;
    // SAFETY: the value has as many bytes as the length says, and the kernel writes no more than these.
    let result = unsafe {
        libc::getsockopt(socket.as_fd().as_raw_fd(), level, option, value.as_mut_ptr().cast(), &raw mut len)
    };
    (result == 0).then_some(len as usize)
}
