//! A server and stations without a kernel: their segments are written by hand, and nothing but the test answers the
//! server.

use std::{
    collections::HashMap,
    fs, io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result, ensure};
use toa_packets::builder::{PacketBuilder, SOURCE_STATION};

use crate::{
    lab::{SERVER, injector::Injector, netns::Namespace, veth},
    peers::nginx,
};

/// The router that the server knows, which no one has: its MAC address is that of the near device.
const ROUTER: &str = "10.9.0.1";
/// The network of the stations.
const STATIONS: &str = "10.9.1.0/24";
/// Bytes that may wait to be read.
const BUFFER: libc::c_int = 64 << 20;
/// How often the reader looks whether it should end, in microseconds.
const LOOK: libc::suseconds_t = 50_000;

/// A server, and the device that stations send from.
pub struct RawLab {
    /// The server's device.
    pub server: veth::Device,
    /// The stations' device, which has no address: its kernel answers nothing.
    pub stations: veth::Device,
    reader: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

/// A segment from the server.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The station's port.
    pub port: u16,
    /// The TCP flags.
    pub flags: u8,
    /// The sequence number.
    pub seq: u32,
    /// The acknowledgment number.
    pub ack: u32,
    /// The payload.
    pub payload: Vec<u8>,
}

/// A host without a kernel.
#[derive(Debug)]
pub struct Station {
    address: Ipv4Addr,
    injector: Injector,
    inbox: mpsc::Receiver<Answer>,
}

impl RawLab {
    /// Builds the devices.
    pub fn new() -> Result<Self> {
        let ends = (Namespace::new()?, Namespace::new()?);
        let (stations, server) = veth::pair((&ends.0, "lb0"), (&ends.1, "web0"), 1500)?;
        server.add_address(SERVER.into(), 24)?;
        let station = SOURCE_STATION.map(|byte| format!("{byte:02x}")).join(":");
        server.namespace.ip(&["neigh", "add", ROUTER, "lladdr", &station, "dev", &server.name])?;
        server.namespace.ip(&["route", "add", STATIONS, "via", ROUTER])?;
        // A challenge is answered at once, however many there are (RFC 5961 section 7).
        let limit = "/proc/sys/net/ipv4/tcp_invalid_ratelimit";
        server.namespace.run(|| fs::write(limit, "0").context(limit))?;
        Ok(Self { server, stations, reader: None })
    }

    /// Creates `count` stations, at most 250. May be called once.
    pub fn stations(&mut self, count: u8) -> Result<Vec<Station>> {
        ensure!(self.reader.is_none(), "there are stations already");
        let socket = listen(&self.stations)?;
        let (mut inboxes, mut stations) = (HashMap::new(), Vec::new());
        for number in 0..count.min(250) {
            let address = Ipv4Addr::new(10, 9, 1, number + 1);
            let (sender, inbox) = mpsc::channel();
            inboxes.insert(address, sender);
            stations.push(Station { address, injector: Injector::new(&self.stations)?, inbox });
        }
        let is_over = Arc::new(AtomicBool::new(false));
        let is_over_too = Arc::clone(&is_over);
        let read = move || {
            let mut frame = vec![0; 1 << 16];
            while !is_over_too.load(Ordering::Relaxed) {
                let answer = receive(&socket, &mut frame).and_then(parse);
                if let Some((address, answer)) = answer
                    && let Some(inbox) = inboxes.get(&address)
                {
                    // Fails if the station is gone.
                    let _ = inbox.send(answer);
                }
            }
        };
        self.reader = Some((is_over, thread::spawn(read)));
        Ok(stations)
    }
}

impl Drop for RawLab {
    fn drop(&mut self) {
        if let Some((is_over, thread)) = self.reader.take() {
            is_over.store(true, Ordering::Relaxed);
            // A panic has already been printed.
            let _ = thread.join();
        }
    }
}

impl Station {
    /// Returns the address of a port.
    pub fn local(&self, port: u16) -> SocketAddr {
        SocketAddrV4::new(self.address, port).into()
    }

    /// Starts a packet from a port to nginx.
    pub fn packet(&self, port: u16) -> PacketBuilder {
        PacketBuilder::new(self.local(port), SocketAddrV4::new(SERVER, nginx::PORT).into())
    }

    /// Sends a packet.
    pub fn send(&self, packet: &PacketBuilder) -> Result<()> {
        self.injector.send(&packet.build())
    }

    /// Returns where the server's segments arrive.
    pub fn inbox(&self) -> &mpsc::Receiver<Answer> {
        &self.inbox
    }
}

/// Opens a socket that receives IPv4 frames.
fn listen(device: &veth::Device) -> Result<OwnedFd> {
    device.namespace.run(|| {
        let protocol = u16::try_from(libc::ETH_P_IP)?.to_be();
        // SAFETY: the call takes only integers.
        let socket = unsafe {
            libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::c_int::from(protocol))
        };
        ensure!(socket >= 0, "packet socket: {}", io::Error::last_os_error());
        // SAFETY: the descriptor is new, and nothing else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        set_option(&socket, libc::SO_RCVBUFFORCE, &BUFFER).context("the buffer of a packet socket")?;
        let look = libc::timeval { tv_sec: 0, tv_usec: LOOK };
        set_option(&socket, libc::SO_RCVTIMEO, &look).context("the time-out of a packet socket")?;
        Ok(socket)
    })
}

fn set_option<T>(socket: &OwnedFd, option: libc::c_int, value: &T) -> Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>())?;
    // SAFETY: the pointer refers to a value of the given size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            core::ptr::from_ref(value).cast(),
            length,
        )
    };
    ensure!(result == 0, "{}", io::Error::last_os_error());
    Ok(())
}

/// Returns the next frame, if one arrives in time.
fn receive<'a>(socket: &OwnedFd, frame: &'a mut [u8]) -> Option<&'a [u8]> {
    // SAFETY: the pointer refers to as many bytes as are given.
    let received = unsafe { libc::recv(socket.as_raw_fd(), frame.as_mut_ptr().cast(), frame.len(), 0) };
    frame.get(..usize::try_from(received).ok()?)
}

/// Parses a segment and the address that it is for.
fn parse(frame: &[u8]) -> Option<(Ipv4Addr, Answer)> {
    let packet = frame.get(14..)?;
    let header_len = usize::from(packet.first()? & 15) * 4;
    let total_len = usize::from(u16::from_be_bytes(*packet.get(2..)?.first_chunk()?));
    let address = Ipv4Addr::from(*packet.get(16..)?.first_chunk::<4>()?);
    if packet.get(9) != Some(&6) {
        return None;
    }
    let tcp = packet.get(header_len..total_len)?;
    let word = |at: usize| tcp.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
    let offset = usize::from(tcp.get(12)? >> 4) * 4;
    let port = u16::from_be_bytes(*tcp.get(2..)?.first_chunk()?);
    let payload = tcp.get(offset..)?.to_vec();
    Some((address, Answer { port, flags: *tcp.get(13)?, seq: word(4)?, ack: word(8)?, payload }))
}
