//! The TCP sockets of our network namespace, as the kernel lists them (`sock_diag(7)`).
//!
//! [`crate::live::existing`] finds the processes that own them.

use std::{
    collections::HashSet,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use netlink_packet_core::{
    DecodeError, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, Nla as _,
};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, IPPROTO_TCP},
    inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags, nlas::Nla},
};
use netlink_sys::{Socket, protocols::NETLINK_SOCK_DIAG};
use thiserror::Error;
use toa_common::flow_key::FlowKey;

use crate::address::to_address;

/// Bytes of one part of an answer: the most that the kernel puts into one.
const PART_BYTES: usize = 32 << 10;

/// `INET_DIAG_CGROUP_ID` of `linux/inet_diag.h`.
const CGROUP_ID: u16 = 21;

/// Position of `tcpi_last_data_recv`, in milliseconds, in `struct tcp_info` of `linux/tcp.h`.
const LAST_DATA_RECEIVED: std::ops::Range<usize> = 52..56;

/// Why the kernel's sockets cannot be listed.
#[derive(Debug, Error)]
pub enum SockDiagError {
    /// The netlink socket failed.
    #[error("cannot list TCP sockets: {call}")]
    Socket {
        /// The system call.
        call: &'static str,
        /// The underlying error.
        #[source]
        source: io::Error,
    },
    /// The kernel refused the request.
    #[error("this kernel cannot list TCP sockets (CONFIG_INET_TCP_DIAG)")]
    Refused(#[source] io::Error),
    /// An answer could not be decoded.
    #[error("malformed list of TCP sockets from the kernel")]
    Answer(#[source] DecodeError),
}

/// An established connection in the kernel's socket table. Its remote side is the balancer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Established {
    family: u8,
    id: SocketId,
    /// The socket's inode, or 0 if it has no descriptor yet.
    pub inode: u32,
    /// Time since the socket last received data, if requested.
    pub silent_for: Option<Duration>,
}

impl Established {
    /// Returns the remote side.
    pub fn peer(&self) -> SocketAddr {
        SocketAddr::new(self.id.destination_address.to_canonical(), self.id.destination_port)
    }

    /// Returns this host's side.
    pub fn server(&self) -> SocketAddr {
        SocketAddr::new(self.id.source_address.to_canonical(), self.id.source_port)
    }

    /// Returns whether the socket is an IPv6 one. Its addresses may be IPv4-mapped.
    pub fn is_ipv6(&self) -> bool {
        self.family == AF_INET6
    }

    /// Returns the socket's cookie (`SO_COOKIE`), which is unique until the next boot.
    pub fn cookie(&self) -> u64 {
        // Two words in host byte order, the lower one first (`sock_diag_save_cookie`).
        let (low, high) = self.id.cookie.split_at(4);
        let word = |bytes: &[u8]| u64::from(bytes.try_into().map_or(0, u32::from_ne_bytes));
        word(low) | word(high) << 32
    }

    /// Returns the 4-tuple of the packets that the socket receives.
    pub fn key(&self) -> FlowKey {
        let (peer, server) = (self.peer(), self.server());
        let ([a, b], [c, d]) = (peer.port().to_be_bytes(), server.port().to_be_bytes());
        FlowKey {
            source: to_address(peer.ip()),
            destination: to_address(server.ip()),
            ports: u32::from_ne_bytes([a, b, c, d]),
        }
    }
}

/// A listening socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Listener {
    /// The local address, which may be unspecified.
    pub address: IpAddr,
    /// The local port.
    pub port: u16,
    /// The socket's inode.
    pub inode: u32,
    /// The identifier of its cgroup (version 2), since Linux 5.9.
    pub cgroup: Option<u64>,
}

/// The kernel's table of TCP sockets.
pub struct SockDiag {
    socket: Socket,
    part: Vec<u8>,
}

impl SockDiag {
    /// Opens the table of this thread's network namespace.
    pub fn new() -> Result<Self, SockDiagError> {
        Ok(Self { socket: connect()?, part: Vec::with_capacity(PART_BYTES) })
    }

    /// Returns all established connections, each once. Those that begin or end during the dump may be missing.
    /// `with_times` fills [`Established::silent_for`].
    pub fn established(&mut self, with_times: bool) -> Result<Vec<Established>, SockDiagError> {
        let extensions = if with_times { ExtensionFlags::INFO } else { ExtensionFlags::empty() };
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        self.dump(&StateFlags::ESTABLISHED, &extensions, |response| {
            let silent_for = response.nlas.iter().find_map(|attribute| match attribute {
                Nla::TcpInfo(info) => silent_for(info),
                _ => None,
            });
            let header = response.header;
            let (family, id, inode) = (header.family, header.socket_id, header.inode);
            // The kernel may list a socket twice if others come or go during the dump.
            if seen.insert(id.cookie) {
                found.push(Established { family, id, inode, silent_for });
            }
        })?;
        Ok(found)
    }

    /// Returns all listening sockets.
    pub fn listeners(&mut self) -> Result<Vec<Listener>, SockDiagError> {
        let mut found = Vec::new();
        self.dump(&StateFlags::LISTEN, &ExtensionFlags::empty(), |response| {
            let id = response.header.socket_id;
            let (address, port) = (id.source_address.to_canonical(), id.source_port);
            let cgroup = response.nlas.iter().find_map(cgroup);
            found.push(Listener { address, port, inode: response.header.inode, cgroup });
        })?;
        Ok(found)
    }

    /// Returns whether `connection` is still established. Another connection with its 4-tuple does not count.
    pub fn is_there(&mut self, connection: &Established) -> Result<bool, SockDiagError> {
        let mut is_there = false;
        let request = InetRequest {
            family: connection.family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::empty(),
            states: StateFlags::all(),
            socket_id: connection.id.clone(),
        };
        let asked = self.ask(request, NLM_F_REQUEST, |response| {
            is_there = response.header.state == netlink_packet_sock_diag::constants::TCP_ESTABLISHED
                && response.header.socket_id == connection.id;
        });
        match asked {
            // ENOENT: there is no such socket. ESTALE: it is another connection's.
            Err(SockDiagError::Refused(error))
                if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESTALE)) =>
            {
                Ok(false)
            }
            asked => asked.map(|()| is_there),
        }
    }

    /// Dumps IPv4 and IPv6 sockets in these states. A dual-stack socket appears once, as IPv6.
    fn dump(
        &mut self,
        states: &StateFlags,
        extensions: &ExtensionFlags,
        mut each: impl FnMut(InetResponse),
    ) -> Result<(), SockDiagError> {
        for (family, socket_id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
            let (states, extensions) = (states.clone(), extensions.clone());
            let request = InetRequest { family, protocol: IPPROTO_TCP, extensions, states, socket_id };
            self.ask(request, NLM_F_REQUEST | NLM_F_DUMP, &mut each)?;
        }
        Ok(())
    }

    fn ask(
        &mut self,
        request: InetRequest,
        flags: u16,
        each: impl FnMut(InetResponse),
    ) -> Result<(), SockDiagError> {
        let asked = self.exchange(request, flags, each);
        if let Err(SockDiagError::Socket { .. } | SockDiagError::Answer(_)) = asked {
            // The rest of this answer would be taken for the next one.
            self.socket = connect()?;
        }
        asked
    }

    fn exchange(
        &mut self,
        request: InetRequest,
        flags: u16,
        mut each: impl FnMut(InetResponse),
    ) -> Result<(), SockDiagError> {
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map_err(failed("send"))?;
        loop {
            self.part.clear();
            match self.socket.recv(&mut self.part, 0) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed("recv")(error)),
            }
            let mut rest = self.part.as_slice();
            while !rest.is_empty() {
                let message =
                    NetlinkMessage::<SockDiagMessage>::deserialize(rest).map_err(SockDiagError::Answer)?;
                let length = (message.header.length as usize).next_multiple_of(4).max(4);
                rest = rest.get(length..).unwrap_or_default();
                match message.payload {
                    NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                        each(*response);
                        if flags & NLM_F_DUMP == 0 {
                            return Ok(());
                        }
                    }
                    NetlinkPayload::Done(_) => return Ok(()),
                    NetlinkPayload::Error(error) => return Err(SockDiagError::Refused(error.to_io())),
                    _ => {}
                }
            }
        }
    }
}

fn failed(call: &'static str) -> impl Fn(io::Error) -> SockDiagError {
    move |source| SockDiagError::Socket { call, source }
}

fn connect() -> Result<Socket, SockDiagError> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG).map_err(failed("socket"))?;
    socket.bind_auto().map_err(failed("bind"))?;
    socket.connect(&netlink_sys::SocketAddr::new(0, 0)).map_err(failed("connect"))?;
    Ok(socket)
}

/// Reads the identifier of a cgroup, if the attribute is one.
fn cgroup(attribute: &Nla) -> Option<u64> {
    let Nla::Other(attribute) = attribute else { return None };
    let mut value = [0; size_of::<u64>()];
    if attribute.kind() != CGROUP_ID || attribute.value_len() != value.len() {
        return None;
    }
    attribute.emit_value(&mut value);
    Some(u64::from_ne_bytes(value))
}

/// Reads the time since the last data from a `struct tcp_info`.
fn silent_for(info: &[u8]) -> Option<Duration> {
    let bytes = info.get(LAST_DATA_RECEIVED)?.first_chunk()?;
    Some(Duration::from_millis(u32::from_ne_bytes(*bytes).into()))
}
