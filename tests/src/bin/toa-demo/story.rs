//! What the demo shows. It compares what the clients sent, what nginx logged and what toa-tc printed.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use toa_tests::{
    lab::{
        BALANCER,
        balancer::{Balancer, SERVICE},
        marker::Habit,
        nginx_address,
    },
    peers::{
        client::{Connection, Request},
        nginx::Nginx,
    },
    process::Signal,
    tool::{
        expected_rows::Log,
        printed::{self, Printed, Row},
        toa_tc::ToaTc,
    },
    wait,
};
use toa_userspace::print::table::table;

/// Timeout for nginx to log and for toa-tc to print. nginx flushes its log once per second.
const PATIENCE: Duration = Duration::from_secs(4);

/// A client: its address, its team, and the targets that it requests.
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    pub(crate) team: &'static str,
    targets: [&'static str; 2],
}

const fn client(address: [u8; 4], team: &'static str, targets: [&'static str; 2]) -> Client {
    let [a, b, c, d] = address;
    Client { address: IpAddr::V4(std::net::Ipv4Addr::new(a, b, c, d)), team, targets }
}

/// Watched from the start.
pub(crate) const FIRST: Client = client([120, 120, 111, 111], "payments", ["/orders?id=7", "/orders?id=8"]);
/// Watched after the change.
pub(crate) const SECOND: Client = client([120, 120, 111, 112], "search", ["/items?q=tea", "/items?q=mug"]);
/// All clients.
const CLIENTS: [Client; 4] = [
    FIRST,
    SECOND,
    client([203, 0, 113, 7], "billing", ["/invoices/31", "/invoices/32"]),
    client([203, 0, 113, 8], "mobile", ["/login", "/home"]),
];

/// The lab with nginx.
pub(crate) struct Stage {
    pub(crate) lab: Balancer,
    nginx: Nginx,
}

impl Stage {
    pub(crate) fn new() -> Result<Self> {
        let addresses: Vec<IpAddr> = CLIENTS.iter().map(|client| client.address).collect();
        let lab = Balancer::new(Habit::SynAndEarly, &addresses).context("building the lab")?;
        let nginx = lab.nginx().context("starting nginx")?;
        Ok(Self { lab, nginx })
    }
}

/// Runs the whole demo. Fails if the outputs differ.
pub(crate) fn tell(stage: &Stage) -> Result<()> {
    let device = &stage.lab.server.name;
    let clients = CLIENTS.len();
    println!("\nWho calls this server? {clients} clients reach nginx through a full-NAT load balancer:\n");
    println!("  {:34}{:31}server", "clients", "balancer");
    for (number, Client { address, team, .. }) in CLIENTS.iter().enumerate() {
        let way = match number {
            0 => format!("--> {SERVICE}, {BALANCER} --> {}, {device}", nginx_address()),
            _ => String::new(),
        };
        println!("  {:15}  team {team:8} --+{way}", address.to_string());
    }
    println!(
        "\nThe balancer ends their connections and opens its own. For whom is only in a TCP option (TOA, kind 254)\n\
         of each connection's first packets.\n"
    );

    println!("1. toa-tc watches one client on the server's interface, and every client sends requests:\n");
    println!("   # toa-tc attach {device} --ip {}\n", FIRST.address);
    let tool = ToaTc::attach(&stage.lab.server, &["--ip", &FIRST.address.to_string()])?;
    let mut all = Round::default();
    all.extend(round(stage, &tool, 1, &FIRST)?);
    println!("\n   The first of them in toa-tc's own words:\n\n   {}", first_printed(&tool.stdout()?));

    println!("\n2. Another process changes what is watched, and every client sends requests again:\n");
    for (change, client) in [("add", &SECOND), ("remove", &FIRST)] {
        let rule = client.address.to_string();
        println!("   # toa-tc watch {change} {rule}");
        tool.watch(change, &rule)?;
    }
    println!();
    all.extend(round(stage, &tool, 2, &SECOND)?);

    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let requests = output.requests()?;
    compare(&requests, &all.expected)?;
    let ledger = output.ledger()?;
    ledger.check()?;
    ensure!(ledger.bytes("lost")? == 0, "toa-tc lost bytes: {}", output.stderr);
    println!(
        "\nCompared with what the clients sent: {} requests of {clients} clients. nginx logged all of them under one\n\
         address, {BALANCER}. toa-tc printed {}, under the address and port of the client's own socket: every\n\
         one of the clients that were watched, and no other.",
        all.asked,
        requests.len(),
    );
    Ok(())
}

/// The requests that were sent, and those that must be printed.
#[derive(Default)]
struct Round {
    asked: usize,
    expected: BTreeSet<Row>,
}

impl Round {
    fn extend(&mut self, other: Self) {
        self.asked += other.asked;
        self.expected.extend(other.expected);
    }
}

/// Lets every client send its requests, prints both views and compares them.
fn round(stage: &Stage, tool: &ToaTc, number: u32, watched: &Client) -> Result<Round> {
    let mut connections = Vec::new();
    for client in &CLIENTS {
        let mut connection = stage.lab.connect(client.address)?;
        for target in client.targets {
            let id = format!("{}-{number}-{}", client.team, connection.sent().len());
            let request = Request::get(target).field("x-team", client.team).field("x-request-id", &id);
            connection.ask(request)?;
        }
        connections.push(connection);
    }
    let asked: Vec<(&Connection, &Request)> = connections
        .iter()
        .flat_map(|connection| connection.sent().iter().map(move |request| (connection, request)))
        .collect();
    let id = |request: &Request| request.value("x-request-id").unwrap_or_default().to_owned();

    let logged = wait::within(PATIENCE, "the server's log", || {
        let logged = stage.nginx.log()?;
        let has = |wanted: &str| logged.iter().any(|logged| logged.request_id == wanted);
        Ok(asked.iter().all(|(_, request)| has(&id(request))).then_some(logged))
    })?;
    let log = Log::new(&logged)?;
    let of_watched = connections.iter().filter(|connection| connection.local().ip() == watched.address);
    let round = Round { asked: asked.len(), expected: log.rows(of_watched)? };
    for (connection, request) in &asked {
        log.row(connection, request)?;
    }

    let printed = printed_so_far(tool, &round.expected)?;
    let by_id: HashMap<_, _> =
        printed.iter().map(|printed| (printed.field("x-request-id").unwrap_or_default(), printed)).collect();
    let mut rows = Vec::new();
    for (connection, request) in &asked {
        let logged = log.row(connection, request)?.1;
        let left = format!("{logged}  {} {}", request.method, request.target);
        let right = by_id.get(id(request).as_str()).map(|printed| {
            let team = printed.field("x-team").unwrap_or("(none)");
            format!("{}  {} {}  x-team: {team}", printed.client, printed.method, printed.target)
        });
        rows.push([left, right.unwrap_or_default()]);
    }
    let mut text = String::new();
    table(&mut text, "  ", &["what nginx logged", "what toa-tc printed"], rows);
    print!("{text}");

    let ids: BTreeSet<String> = asked.iter().map(|(_, request)| id(request)).collect();
    let of_round: Vec<Printed> = printed
        .iter()
        .filter(|printed| ids.contains(printed.field("x-request-id").unwrap_or_default()))
        .cloned()
        .collect();
    compare(&of_round, &round.expected)?;
    Ok(round)
}

/// Returns what the tool has printed once all expected rows are there, or when the time is up.
fn printed_so_far(tool: &ToaTc, expected: &BTreeSet<Row>) -> Result<Vec<Printed>> {
    let wait = wait::within(PATIENCE, "toa-tc to print", || {
        // The last line may still be incomplete.
        let printed = printed::parse(&tool.stdout()?).unwrap_or_default();
        let rows: BTreeSet<Row> = printed.iter().map(Printed::row).collect();
        Ok(expected.is_subset(&rows).then_some(()))
    });
    // If rows are missing, the comparison reports which.
    drop(wait);
    printed::parse(&tool.stdout()?)
}

/// Returns the first request of an output, as it was printed.
fn first_printed(output: &str) -> String {
    let mut lines = output.lines();
    let first = lines.next().into_iter();
    let lines = first.chain(lines.take_while(|line| line.starts_with(' ')));
    lines.collect::<Vec<_>>().join("\n   ")
}

/// Fails with the differences unless exactly the expected rows were printed, each once.
fn compare(printed: &[Printed], expected: &BTreeSet<Row>) -> Result<()> {
    let rows: BTreeSet<Row> = printed.iter().map(Printed::row).collect();
    let list = |rows: Vec<&Row>| {
        let lines = rows.into_iter().map(|(client, via, server, method, target, _, team)| {
            format!("\n    {client} > {server} (via {via}) {method} {target}  x-team: {team}")
        });
        lines.collect::<String>()
    };
    let missing = list(expected.difference(&rows).collect());
    let foreign = list(rows.difference(expected).collect());
    if !missing.is_empty() {
        bail!("toa-tc did not print what a watched client asked:{missing}");
    }
    if !foreign.is_empty() {
        bail!("toa-tc printed what no watched client asked:{foreign}");
    }
    ensure!(rows.len() == printed.len(), "toa-tc printed something twice");
    ensure!(printed.iter().all(|request| request.marks.is_empty()), "toa-tc doubts a request a request");
    Ok(())
}
