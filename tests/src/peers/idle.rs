//! Very many open, idle connections to nginx: more than a process may have descriptors.
//!
//! Several threads each hold a share in their own descriptor table. So the connections end with this process,
//! and a program that inspects this process does not find them.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{UnshareFlags, unshare_unsafe},
};
use socket2::{Domain, Socket, Type};

use crate::lab::netns::Namespace;

/// The source port of the first connection from each address.
pub const FIRST_PORT: u16 = 10_000;

/// Timeout of opening a connection, and of an answer.
const ANSWER: Duration = Duration::from_secs(20);

const REQUEST: &[u8] = b"GET /idle HTTP/1.1\r\nhost: lab\r\n\r\n";

/// Open connections. Dropping it closes them.
pub struct Idle {
    holders: Vec<Holder>,
}

/// The handle of a thread with its share of connections.
struct Holder {
    orders: Sender<()>,
    answers: Receiver<Result<()>>,
}

impl Idle {
    /// Opens `each` connections from each address, which `namespace` must have. A first request on each has
    /// been answered.
    pub fn open(namespace: &Namespace, addresses: &[IpAddr], each: u16, server: SocketAddr) -> Result<Self> {
        let holders = addresses.iter().map(|address| {
            let (orders, taken) = channel();
            let (given, answers) = channel();
            let (namespace, address) = (namespace.clone(), *address);
            thread::spawn(move || {
                let failed = given.clone();
                let work = move || Share::open(address, each, server)?.serve(&taken, &given);
                if let Err(error) = namespace.run(work) {
                    // The receiver is gone if this was dropped already.
                    let _ = failed.send(Err(error));
                }
            });
            Holder { orders, answers }
        });
        let idle = Self { holders: holders.collect() };
        idle.wait()?;
        Ok(idle)
    }

    /// Sends another request on each connection. All must be answered.
    pub fn ask(&self) -> Result<()> {
        for holder in &self.holders {
            holder.orders.send(()).context("a thread with connections ended")?;
        }
        self.wait()
    }

    fn wait(&self) -> Result<()> {
        let mut answers = self.holders.iter().map(|holder| holder.answers.recv());
        answers.try_for_each(|answer| answer.context("a thread with connections ended")?)
    }
}

/// Raises the descriptor limit of this process and its future children to the maximum, which must be at least
/// `least`.
pub fn raise_descriptors(least: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    ensure!(limit.maximum.is_none_or(|most| most >= least), "{least} descriptors are needed: {limit:?}");
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).context("RLIMIT_NOFILE")
}

/// The connections of one thread.
struct Share {
    connections: Vec<TcpStream>,
}

impl Share {
    fn open(address: IpAddr, count: u16, server: SocketAddr) -> Result<Self> {
        // SAFETY: from here on, this thread uses only descriptors that it opens itself.
        unsafe { unshare_unsafe(UnshareFlags::FILES) }.context("making a table of descriptors")?;
        let open = |port| -> Result<TcpStream> {
            let local = SocketAddr::new(address, port);
            let socket = Socket::new(Domain::for_address(local), Type::STREAM, None)?;
            socket.bind(&local.into()).with_context(|| format!("binding {local}"))?;
            socket.connect_timeout(&server.into(), ANSWER).with_context(|| format!("connecting {local}"))?;
            let mut connection = TcpStream::from(socket);
            connection.set_read_timeout(Some(ANSWER))?;
            ask(&mut connection).with_context(|| format!("asking from {local}"))?;
            Ok(connection)
        };
        let connections = (FIRST_PORT..).take(count.into()).map(open).collect::<Result<_>>()?;
        Ok(Self { connections })
    }

    /// Reports that all connections are open, then sends one request on each whenever it is told to.
    fn serve(mut self, orders: &Receiver<()>, answers: &Sender<Result<()>>) -> Result<()> {
        answers.send(Ok(()))?;
        while orders.recv().is_ok() {
            self.connections.iter_mut().try_for_each(ask)?;
            answers.send(Ok(()))?;
        }
        Ok(())
    }
}

/// Sends a request and reads its answer.
fn ask(connection: &mut TcpStream) -> Result<()> {
    connection.write_all(REQUEST)?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 1024]);
    while !answer.ends_with(b"\r\n\r\nok\n") {
        let len = connection.read(&mut buffer)?;
        ensure!(len > 0, "the server closed the connection");
        answer.extend(buffer.iter().take(len));
    }
    ensure!(answer.starts_with(b"HTTP/1.1 200 "), "answer: {}", String::from_utf8_lossy(&answer));
    Ok(())
}
