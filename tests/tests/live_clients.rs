//! The table of real clients (`toa-tc clients`, `--summary-by client`) equals what the clients have counted themselves.
#![cfg(feature = "kernel")]

use std::{
    collections::BTreeMap,
    fs::File,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use toa_packets::{
    capture_file::PcapFile,
    toa_option::{port_address_option, toa_option},
};
use toa_tests::{
    lab::{Lab, balancer::Balancer, marker::Habit, nginx_address},
    peers::{client::Request, tcpdump::Capture},
    process::Signal,
    tool::toa_tc::{Output, Start, ToaTc},
};

/// Connections and requests of each client.
type Counts = BTreeMap<IpAddr, (u64, u64)>;

const CLIENTS: u8 = 6;

const fn client(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(120, 120, 111, 110 + number))
}

/// Uses the balancer as several clients, and returns what each has counted.
fn talk(lab: &Balancer) -> Result<Counts> {
    let mut counts = Counts::new();
    for number in 1..=CLIENTS {
        for connection in 0..number {
            let mut open = lab.connect(client(number))?;
            let requests = u64::from(connection % 3) + 1;
            for request in 0..requests {
                open.ask(Request::get(&format!("/{number}/{connection}/{request}")))?;
            }
            let (connections, sum) = counts.entry(client(number)).or_default();
            (*connections, *sum) = (*connections + 1, *sum + requests);
        }
    }
    Ok(counts)
}

/// Returns the table at the end of an output, which must be sorted.
fn table(stdout: &str) -> Result<Counts> {
    let (_, rows) = stdout.split_once("first seen           last seen\n").context("no table")?;
    let mut counts = Counts::new();
    let mut last = u64::MAX;
    for row in rows.lines() {
        // The times have a space.
        let [client, requests, connections, _, _, _, _] =
            row.split_ascii_whitespace().collect::<Vec<_>>()[..]
        else {
            anyhow::bail!("not five columns: {row}");
        };
        let requests = requests.parse()?;
        ensure!(requests <= last, "not sorted: {rows}");
        last = requests;
        ensure!(counts.insert(client.parse()?, (connections.parse()?, requests)).is_none(), "twice: {rows}");
    }
    Ok(counts)
}

/// Returns the same from JSON Lines, whose last line must be the ledger.
fn objects(stdout: &str) -> Result<(Counts, usize)> {
    let schema = serde_json::from_str(include_str!("../../toa-userspace/schema/toa-tc.schema.json"))?;
    let schema = jsonschema::validator_for(&schema)?;
    let (mut counts, mut others, mut last) = (Counts::new(), 0, String::new());
    for line in stdout.lines() {
        let object: Value = serde_json::from_str(line)?;
        ensure!(schema.is_valid(&object), "{line}");
        let at = |path: &str| object.pointer(path).with_context(|| format!("no {path}: {line}"));
        at("/event")?.as_str().context("no text")?.clone_into(&mut last);
        if last != "summary" {
            others += 1;
            continue;
        }
        let number = |path| at(path)?.as_u64().context("no number");
        let client = at("/by/client")?.as_str().context("no text")?.parse()?;
        ensure!(
            counts.insert(client, (number("/connections")?, number("/requests")?)).is_none(),
            "twice: {line}"
        );
    }
    ensure!(last == "ledger", "the last line is {last}");
    Ok((counts, others))
}

/// Runs a command while the clients talk. Returns its output and what they have counted.
fn run(habit: Habit, command: &str, arguments: &[&str]) -> Result<(Output, Counts)> {
    let clients: Vec<IpAddr> = (1..=CLIENTS).map(client).collect();
    let lab = Balancer::new(habit, &clients)?;
    let _nginx = lab.nginx()?;
    let start = Start { command: Some(command), ..Start::default() };
    let tool = ToaTc::attach_as(&lab.server, arguments, start)?;
    let counts = talk(&lab)?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    output.ledger()?.check()?;
    Ok((output, counts))
}

#[test]
fn the_table_equals_the_clients_own_list_whatever_is_marked() -> Result<()> {
    for habit in Habit::ALL {
        let (output, counts) = run(habit, "clients", &[])?;
        assert!(output.stdout.starts_with("client "), "requests are printed: {}", output.stdout);
        assert_eq!(table(&output.stdout)?, counts, "{habit:?}");
    }
    let (output, counts) = run(Habit::Early, "clients", &["-o", "json"])?;
    assert_eq!(objects(&output.stdout)?, (counts, 1));
    Ok(())
}

#[test]
fn rules_restrict_the_table() -> Result<()> {
    let (output, mut counts) = run(Habit::Early, "clients", &["--ip", "120.120.111.112/31"])?;
    counts.retain(|address, _| [client(2), client(3)].contains(address));
    assert_eq!(table(&output.stdout)?, counts);
    Ok(())
}

#[test]
fn a_summary_follows_the_requests() -> Result<()> {
    let (output, counts) = run(Habit::SynAndEarly, "attach", &["--any", "--summary-by", "client"])?;
    let requests: u64 = counts.values().map(|(_, requests)| requests).sum();
    let (before, _) = output.stdout.split_once("client ").context("no table")?;
    let printed = before.lines().filter(|line| line.ends_with(" HTTP/1.1")).count();
    assert_eq!(u64::try_from(printed)?, requests);
    assert_eq!(table(&output.stdout)?, counts);
    let (output, counts) =
        run(Habit::SynAndEarly, "attach", &["--any", "--summary-by", "client", "-o", "json"])?;
    assert_eq!(objects(&output.stdout)?.0, counts);
    Ok(())
}

#[test]
fn a_capture_has_the_same_table_and_names_whom_nobody_watches() -> Result<()> {
    let mut lab = Lab::new(Habit::Early)?;
    let _nginx = lab.nginx()?;
    let capture = Capture::start(&lab.server, "tcp port 80")?;
    let clients: [SocketAddr; 2] = ["203.0.113.9:1".parse()?, "[2001:db8::7]:2".parse()?];
    for client in clients {
        let bound = lab.bind()?;
        lab.marker.assign(bound.local(), &toa_option(client))?;
        let mut connection = bound.connect(nginx_address())?;
        connection.ask(Request::get("/"))?;
    }
    // A kind that is not TOA by default.
    let bound = lab.bind()?;
    lab.marker.assign(bound.local(), &port_address_option(200, "203.0.113.200:1".parse()?))?;
    let last = bound.local().port();
    bound.connect(nginx_address())?.ask(Request::get("/"))?;
    let frames = capture.stop_at_end_of(last)?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("capture.pcap");
    let mut file = PcapFile::new(File::create(&path)?)?;
    frames.iter().try_for_each(|frame| file.write(frame))?;
    file.finish()?;
    let path = path.to_str().context("no text")?;

    let read = |arguments: &[&str]| {
        ToaTc::run(&lab.server.namespace, &[&["read", path], arguments].concat())?.worked()
    };
    let output = read(&["--any", "--summary-by", "client"])?;
    let expected = clients.map(|client| (client.ip(), (1, 1)));
    assert_eq!(table(&output.stdout)?, Counts::from(expected), "{}", output.stderr);
    let output = read(&["--ip", "203.0.113.200"])?;
    let line = "none of a watched client (for example 203.0.113.9, 2001:db8::7); ";
    assert!(output.stderr.contains(line), "{}", output.stderr);
    Ok(())
}
