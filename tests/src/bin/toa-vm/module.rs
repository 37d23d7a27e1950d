//! Connections whose clients are in the memory of a TOA module, for which a module of our own stands in
//! (`tests/toa-module`).

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{BALANCER, BALANCER_IPV6, Lab, SERVER, SERVER_IPV6, marker::Habit, netns::Namespace},
    peers::client::{Bound, Connection, Request},
    process::Signal,
    tool::{commands::objects, toa_tc::ToaTc},
    wait,
};

/// Where the VM has the module.
const FILE: &str = "/toa.ko";

/// Where the module takes its orders.
const ORDERS: &str = "/proc/toa_orders";

const IPV4_PORT: u16 = 80;
const BOTH_PORT: u16 = 8080;
const QUEUE_PORT: u16 = 81;

/// Where the module keeps an option (`enum place` of the module).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Place {
    Nowhere = 0,
    Inline = 1,
    Entry = 2,
    ForeignEntry = 3,
    TaggedEntry = 4,
}

/// What the module keeps for the connection between two ends.
pub(crate) struct Order {
    pub(crate) peer: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) place: Place,
    pub(crate) option: Vec<u8>,
}

impl Order {
    /// Returns the form that the module reads (`struct order`).
    fn bytes(&self) -> Vec<u8> {
        let octets = |address: IpAddr| match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        };
        let mut bytes = vec![self.place as u8, u8::from(self.peer.is_ipv6())];
        bytes.extend([self.peer, self.server].iter().flat_map(|end| end.port().to_be_bytes()));
        bytes.extend([0; 2]);
        bytes.extend([self.peer, self.server].iter().flat_map(|end| octets(end.ip())));
        bytes.extend(&self.option);
        bytes.resize(60, 0);
        bytes
    }
}

/// Gives orders for connections of `namespace`.
pub(crate) fn give(namespace: &Namespace, orders: impl IntoIterator<Item = Order> + Send) -> Result<()> {
    namespace.run(|| {
        let mut file = File::options().write(true).open(ORDERS)?;
        orders.into_iter().try_for_each(|order| {
            let given = file.write_all(&order.bytes());
            given.with_context(|| format!("ordering {:?} for {}", order.place, order.peer))
        })
    })
}

/// The balancer's end of a connection, what the module keeps for it, and the client that the tool should find.
struct Case {
    connection: Connection,
    place: Place,
    option: Vec<u8>,
    client: Option<SocketAddr>,
}

impl Case {
    fn order(&self, place: Place) -> Order {
        let (peer, server) = (self.connection.local(), self.connection.server());
        Order { peer, server, place, option: self.option.clone() }
    }
}

fn ipv4_client() -> SocketAddr {
    ([203, 0, 113, 9], 54321).into()
}

fn ipv6_client() -> SocketAddr {
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7), 40_000).into()
}

/// Returns the option as the module keeps it for an IPv6 listener: that of an IPv4 client with a mapped address.
fn mapped(client: SocketAddr) -> Vec<u8> {
    let IpAddr::V4(address) = client.ip() else { return toa_option(client) };
    toa_option((address.to_ipv6_mapped(), client.port()).into())
}

/// Listeners, the connections to them, and the accepted ends.
struct Server {
    lab: Lab,
    listeners: [TcpListener; 3],
    accepted: Vec<TcpStream>,
}

impl Server {
    fn new() -> Result<Self> {
        let lab = Lab::new(Habit::Early)?;
        let listen = |at: SocketAddr| lab.server.namespace.run(|| Ok(TcpListener::bind(at)?));
        let listeners = [
            listen((SERVER, IPV4_PORT).into())?,
            listen((Ipv6Addr::UNSPECIFIED, BOTH_PORT).into())?,
            listen((SERVER, QUEUE_PORT).into())?,
        ];
        Ok(Self { lab, listeners, accepted: Vec::new() })
    }

    /// Opens a connection, which is accepted unless its port is that of the queue.
    fn connect(&mut self, is_ipv6: bool, port: u16) -> Result<Connection> {
        let (from, to): (IpAddr, IpAddr) = if is_ipv6 {
            (BALANCER_IPV6.into(), SERVER_IPV6.into())
        } else {
            (BALANCER.into(), SERVER.into())
        };
        let bound = Bound::new(&self.lab.balancer.namespace, (from, 0).into())?;
        let connection = bound.connect((to, port).into())?;
        let [ipv4, both, _] = &self.listeners;
        match port {
            IPV4_PORT => self.accepted.push(ipv4.accept()?.0),
            BOTH_PORT => self.accepted.push(both.accept()?.0),
            _ => {}
        }
        Ok(connection)
    }

    fn namespace(&self) -> &Namespace {
        &self.lab.server.namespace
    }

    /// Returns the rows of `flows --existing` by the balancer's port.
    fn rows(&self) -> Result<BTreeMap<u16, Value>> {
        let rows = objects(self.namespace(), &["flows", "--existing", "-o", "json"])?;
        let port = |row: &Value| row.pointer("/network/peer/port")?.as_u64()?.try_into().ok();
        rows.into_iter().map(|row| Ok((port(&row).context("no port")?, row))).collect()
    }
}

fn client_of(row: &Value) -> Option<SocketAddr> {
    let client = row.get("client")?;
    let port = client.get("port")?.as_u64()?.try_into().ok()?;
    Some(SocketAddr::new(client.get("address")?.as_str()?.parse().ok()?, port))
}

/// Returns what a module keeps, and what others keep in the same place.
fn cases(server: &mut Server) -> Result<Vec<Case>> {
    use Place::{Entry, ForeignEntry, Inline, Nowhere, TaggedEntry};
    let (ipv4, ipv6) = (ipv4_client(), ipv6_client());
    let with = |option: Vec<u8>, place: usize, value: u8| {
        let mut option = option;
        if let Some(byte) = option.get_mut(place) {
            *byte = value;
        }
        option
    };
    let named: Vec<(bool, u16, Place, Vec<u8>, SocketAddr)> = vec![
        (false, IPV4_PORT, Inline, toa_option(ipv4), ipv4),
        (false, QUEUE_PORT, Inline, toa_option(ipv4), ipv4),
        (true, BOTH_PORT, Entry, toa_option(ipv6), ipv6),
        (true, BOTH_PORT, Entry, mapped(ipv4), ipv4),
        (false, BOTH_PORT, Entry, mapped(ipv4), ipv4),
        // NAT64.
        (false, IPV4_PORT, Entry, toa_option(ipv6), ipv6),
    ];
    let others: Vec<(bool, u16, Place, Vec<u8>)> = vec![
        (false, IPV4_PORT, Nowhere, vec![]),
        (false, QUEUE_PORT, Nowhere, vec![]),
        (false, IPV4_PORT, Inline, with(toa_option(ipv4), 0, 253)),
        (false, IPV4_PORT, Inline, with(toa_option(ipv4), 1, 7)),
        (false, IPV4_PORT, Inline, with(toa_option(ipv4), 1, 20)),
        (false, IPV4_PORT, Inline, toa_option(([203, 0, 113, 9], 0).into())),
        // It could be a kernel address.
        (false, IPV4_PORT, Inline, toa_option(([203, 0, 113, 255], 54321).into())),
        (true, BOTH_PORT, Entry, with(toa_option(ipv6), 0, 253)),
        (true, BOTH_PORT, Entry, with(toa_option(ipv6), 1, 8)),
        (true, BOTH_PORT, ForeignEntry, toa_option(ipv6)),
        (true, BOTH_PORT, TaggedEntry, toa_option(ipv6)),
    ];
    let named = named
        .into_iter()
        .map(|(is_ipv6, port, place, option, client)| (is_ipv6, port, place, option, Some(client)));
    let others =
        others.into_iter().map(|(is_ipv6, port, place, option)| (is_ipv6, port, place, option, None));
    let mut cases = Vec::new();
    for (is_ipv6, port, place, option, client) in named.chain(others) {
        cases.push(Case { connection: server.connect(is_ipv6, port)?, place, option, client });
    }
    Ok(cases)
}

/// Checks a table of what is in sockets: what is printed, what is followed, and how the rest is explained.
fn table() -> Result<usize> {
    let mut server = Server::new()?;
    let mut cases = cases(&mut server)?;
    give(server.namespace(), cases.iter().map(|case| case.order(case.place)).collect::<Vec<_>>())?;
    let rows = server.rows()?;
    ensure!(rows.len() == cases.len(), "{} rows", rows.len());
    for case in &cases {
        let row = rows.get(&case.connection.local().port()).context("no row")?;
        let text = |field| row.get(field).and_then(Value::as_str);
        let is_queued = case.connection.server().port() == QUEUE_PORT;
        let reason = if is_queued { "queued" } else { "peer_only" };
        let expected = match case.client {
            Some(_) => (Some("module"), None),
            None => (None, Some(reason)),
        };
        let what = || format!("{:?} {:?}: {row}", case.place, case.option);
        ensure!(client_of(row) == case.client, what());
        ensure!((text("named_by"), text("reason")) == expected, what());
        let has_process = row.get("process").is_some_and(Value::is_object);
        ensure!(has_process != is_queued, what());
    }
    follow(&server, &mut cases)?;
    explain(&server)?;
    let count = cases.len();
    give(server.namespace(), cases.iter().map(|case| case.order(Place::Nowhere)).collect::<Vec<_>>())?;
    Ok(count)
}

/// Attaches, and checks that the next request of each client is printed.
fn follow(server: &Server, cases: &mut [Case]) -> Result<()> {
    let tool = ToaTc::attach(&server.lab.server, &["--existing", "--any"])?;
    let named: Vec<_> = cases.iter_mut().filter(|case| case.client.is_some()).collect();
    let line = format!("open connections: following {} of ", named.len());
    wait::until(&line, || Ok(tool.stderr()?.contains(&line).then_some(())))
        .with_context(|| tool.stderr().unwrap_or_default())?;
    let mut expected: Vec<(String, Option<SocketAddr>)> = Vec::new();
    for (number, case) in named.into_iter().enumerate() {
        let target = format!("/module/{number}");
        case.connection.stream().write_all(&Request::get(&target).head())?;
        expected.push((target, case.client));
    }
    let printed = |text: &str| expected.iter().all(|(target, _)| text.contains(target.as_str()));
    wait::until("the requests", || Ok(printed(&tool.stdout()?).then_some(())))?;
    let requests = tool.stop(Signal::Interrupt)?.succeeded()?.requests()?;
    ensure!(requests.len() == expected.len(), "{requests:?}");
    for request in &requests {
        let client = expected.iter().find(|(target, _)| *target == request.target).map(|(_, client)| *client);
        ensure!(client == Some(Some(request.client)), "{request:?}");
    }
    Ok(())
}

/// Checks that the module's counters decide which cause is given.
fn explain(server: &Server) -> Result<()> {
    let explanation = || -> Result<String> {
        Ok(ToaTc::run(server.namespace(), &["flows", "--existing"])?.succeeded()?.stderr)
    };
    fs::write("/sys/module/toa/parameters/counts_ipv6", "0")?;
    // It has named the clients of IPv6 listeners, whatever its counters.
    let said = explanation()?;
    ensure!(!said.contains("IPv6 listeners"), "{said}");
    let mut other = Server::new()?;
    let _connections = [other.connect(true, BOTH_PORT)?, other.connect(false, BOTH_PORT)?];
    let said = ToaTc::run(other.namespace(), &["flows", "--existing"])?.succeeded()?.stderr;
    let cause =
        "no socket knows a real client: 2 connections of IPv6 listeners, which the module toa does not serve";
    ensure!(said.contains(cause) && !said.contains("older"), "{said}");
    fs::write("/sys/module/toa/parameters/counts_ipv6", "1")?;
    Ok(())
}

/// Loads the module and checks it.
pub(crate) fn check() -> Result<()> {
    let loaded = Command::new("busybox").args(["insmod", FILE]).output()?;
    ensure!(loaded.status.success(), "insmod: {}", String::from_utf8_lossy(&loaded.stderr));
    let count = table()?;
    println!(
        "vm: {count} sockets with bytes of a TOA module and of others: named and not named as they must be"
    );
    Ok(())
}
