//! Responsible for very many connections to nginx that are open and idle, more than a process may have descriptors. Not
//! responsible for their clients' names.
//!
//! Each of some threads holds its share in a table of descriptors of its own. So they go with this process, and who looks
//! into it finds none of them.

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

/// The port that the first connection of each address comes from.
pub const FIRST_PORT: u16 = 10_000;

/// How long opening a connection, and then an answer, may take.
const ANSWER: Duration = Duration::from_secs(20);

const REQUEST: &[u8] = b"GET /idle HTTP/1.1\r\nhost: lab\r\n\r\n";

/// Open connections. Dropping it closes them.
pub struct Idle {
    holders: Vec<Holder>,
}

/// A thread with its share.
struct Holder {
    orders: Sender<()>,
    answers: Receiver<Result<()>>,
}

impl Idle {
    /// Opens `each` connections from each address, which `namespace` must have. Each has asked once and was answered.
    pub fn open(namespace: &Namespace, addresses: &[IpAddr], each: u16, server: SocketAddr) -> Result<Self> {
        let holders = addresses.iter().map(|address| {
            let (orders, taken) = channel();
            let (given, answers) = channel();
            let (namespace, address) = (namespace.clone(), *address);
            thread::spawn(move || {
                let failed = given.clone();
                let work = move || Share::open(address, each, server)?.serve(&taken, &given);
                if let Err(error) = namespace.run(work) {
                    // Nobody waits for it when this is dropped already.
                    let _ = failed.send(Err(error));
                }
            });
            Holder { orders, answers }
        });
        let idle = Self { holders: holders.collect() };
        idle.wait()?;
        Ok(idle)
    }

    /// Lets each connection ask once more. All must be answered.
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

/// Lets this process, and those that it starts from now on, have as many descriptors as it may.
pub fn raise_descriptors(least: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    ensure!(limit.maximum.is_none_or(|most| most >= least), "{least} descriptors are needed: {limit:?}");
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).context("RLIMIT_NOFILE")
}

/// One thread's connections.
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

    /// Says that all are open, then asks for each order.
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
