//! With `--any-flow`, every connection to the chosen ports or from the chosen balancers is followed, whether or not
//! anything names its client.
#![cfg(feature = "kernel")]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use toa_tests::{
    lab::{BALANCER, Lab, marker::Habit, mounts, nginx_address},
    peers::{
        client::{Bound, Connection, Request},
        nginx::PROXY_PORT,
        wrk::{self, Load, Requests},
    },
    process::Signal,
    tool::{
        commands::{objects, succeed},
        toa_tc::{Output, ToaTc},
    },
    wait,
};

/// A host that reaches the server without the balancer.
const DIRECT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 9, 0, 77));

/// Requests on each connection.
const REQUESTS: usize = 3;

fn client(number: u16) -> SocketAddr {
    ([203, 0, 113, 9], 50_000 + number).into()
}

/// A lab with connections of all sorts, and the requests that were sent while the tool was attached, by their ids, with
/// the client that is to be printed.
struct Site {
    lab: Lab,
    /// The open connections, each with its real client if a TOA names it.
    open: Vec<(Connection, Option<SocketAddr>)>,
    sent: BTreeMap<String, Option<SocketAddr>>,
}

impl Site {
    /// Builds the lab. Two connections are open already, one of them was marked when it was opened.
    fn new() -> Result<Self> {
        let lab = Lab::new(Habit::SynAndEarly)?;
        lab.balancer.add_address(DIRECT, 24)?;
        Ok(Self { lab, open: Vec::new(), sent: BTreeMap::new() })
    }

    /// Opens two connections before anything is attached. One of them is marked, but not any more when it asks again.
    fn open_early(&mut self) -> Result<()> {
        for marked in [Some(client(0)), None] {
            let mut connection = self.lab.connect(marked)?;
            connection.ask(Request::get("/early"))?;
            self.open.push((connection, None));
        }
        Ok(())
    }

    /// Opens two unmarked connections of the balancer.
    fn open_unmarked(&mut self) -> Result<()> {
        for _ in 0..2 {
            let mut connection = self.lab.connect(None)?;
            connection.ask(Request::get("/unmarked"))?;
            self.open.push((connection, None));
        }
        Ok(())
    }

    /// Opens marked and unmarked connections of the balancer, and some that do not come from it.
    fn open(&mut self) -> Result<()> {
        for number in 1..=3 {
            self.open.push((self.lab.connect(Some(client(number)))?, Some(client(number))));
            self.open.push((self.lab.connect(None)?, None));
            self.open.push((self.direct()?.connect(nginx_address())?, None));
        }
        Ok(())
    }

    fn direct(&self) -> Result<Bound> {
        Bound::new(&self.lab.balancer.namespace, SocketAddr::new(DIRECT, 0))
    }

    /// Sends requests on all connections in turn.
    fn ask(&mut self) -> Result<()> {
        for round in 0..REQUESTS {
            for (number, (connection, client)) in self.open.iter_mut().enumerate() {
                let id = format!("{round}-{number}");
                connection.ask(Request::get("/late").field("x-request-id", &id))?;
                self.sent.insert(id, *client);
            }
        }
        Ok(())
    }

    /// Runs the tool while connections of all sorts are open and send requests.
    fn run(&mut self, arguments: &[&str]) -> Result<Output> {
        let _nginx = self.lab.nginx()?;
        self.open_early()?;
        let tool = ToaTc::attach(&self.lab.server, &[&["-o", "json", "--any-flow"], arguments].concat())?;
        self.open()?;
        self.ask()?;
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        output.ledger()?.check()?;
        Ok(output)
    }

    /// Returns the ids of the requests of the connections from `local`.
    fn of(&self, local: IpAddr) -> BTreeSet<String> {
        let of = |number: usize| (0..REQUESTS).map(move |round| format!("{round}-{number}"));
        let connections = self.open.iter().enumerate();
        connections
            .filter(|(_, (it, _))| it.local().ip() == local)
            .flat_map(|(number, _)| of(number))
            .collect()
    }
}

/// Returns the requests among JSON Lines.
fn requests(output: &Output) -> Result<Vec<Value>> {
    let lines = output.stdout.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    Ok(lines.into_iter().filter(|line| line.get("event").is_some_and(|event| event == "request")).collect())
}

/// Returns the ids of the printed requests and their clients. Fails if one is printed twice, or names a client without
/// saying how it is known.
fn printed(output: &Output) -> Result<BTreeMap<String, Option<SocketAddr>>> {
    let mut printed = BTreeMap::new();
    for request in requests(output)? {
        let id = request.pointer("/http/request/header/x-request-id/0").and_then(Value::as_str);
        let id = id.with_context(|| format!("no id: {request}"))?.to_owned();
        let client = request.get("client").filter(|client| !client.is_null()).map(address).transpose()?;
        // A client that nothing names is the sender, if a rule names that.
        let peer = address(request.pointer("/network/peer").context("no peer")?)?;
        let is_named = client.is_some_and(|client| client != peer);
        ensure!(request.get("toa").is_some_and(|toa| toa.is_null() != is_named), "{request}");
        ensure!(printed.insert(id, client).is_none(), "printed twice: {request}");
    }
    Ok(printed)
}

fn address(object: &Value) -> Result<SocketAddr> {
    let ip = object.get("address").and_then(Value::as_str).context("no address")?.parse()?;
    let port = object.get("port").and_then(Value::as_u64).context("no port")?;
    Ok(SocketAddr::new(ip, port.try_into()?))
}

#[test]
fn every_request_to_the_port_is_printed_once_with_its_client_or_none() -> Result<()> {
    let mut site = Site::new()?;
    let output = site.run(&["--server-port", "80"])?;
    assert_eq!(printed(&output)?, site.sent, "{}", output.stderr);
    let unnamed = site.open.iter().filter(|(_, client)| client.is_none()).count();
    let told =
        format!("toa-tc: {unnamed} connections without TOA or PROXY header: nothing names the client (for");
    assert!(output.stderr.contains(&told), "{}", output.stderr);
    assert!(output.stderr.contains("(tcx, first), 0 rules, with or without TOA\n"), "{}", output.stderr);
    println!("{} requests on {} connections, {unnamed} without a name", site.sent.len(), site.open.len());
    Ok(())
}

#[test]
fn every_request_of_a_balancer_is_printed_and_no_other() -> Result<()> {
    let mut site = Site::new()?;
    let output = site.run(&["--lb", &BALANCER.to_string()])?;
    let mut expected = site.sent.clone();
    let direct = site.of(DIRECT);
    expected.retain(|id, _| !direct.contains(id));
    assert_eq!(printed(&output)?, expected, "{}", output.stderr);
    Ok(())
}

#[test]
fn rules_are_compared_with_the_named_client_or_else_with_the_sender() -> Result<()> {
    let mut site = Site::new()?;
    let rule = client(2).to_string();
    let output = site.run(&["--server-port", "80", "--ip", &rule])?;
    let mut expected = site.sent.clone();
    expected.retain(|_, named| *named == Some(client(2)));
    assert_eq!(printed(&output)?, expected, "{}", output.stderr);
    assert!(output.stderr.contains("8 connections without TOA or PROXY header"), "{}", output.stderr);
    assert!(output.stderr.contains("10 connections not printed: no rule matches"), "{}", output.stderr);
    // Of those who come directly, or by a balancer without full NAT, the sender is the client.
    let mut site = Site::new()?;
    let output = site.run(&["--server-port", "80", "--ip", &DIRECT.to_string()])?;
    let printed = printed(&output)?;
    assert!(printed.values().all(|client| client.is_some_and(|client| client.ip() == DIRECT)), "{printed:?}");
    assert_eq!(printed.into_keys().collect::<BTreeSet<_>>(), site.of(DIRECT), "{}", output.stderr);
    Ok(())
}

#[test]
fn what_no_rule_matches_is_hardly_copied() -> Result<()> {
    const BODY: usize = 8 << 20;
    let mut site = Site::new()?;
    let _nginx = site.lab.nginx()?;
    let tool = ToaTc::attach(&site.lab.server, &["--any-flow", "--server-port", "80", "--ip", "192.0.2.1"])?;
    let mut upload = site.lab.connect(None)?;
    upload.ask(Request::post("/first", 10))?;
    upload.ask(Request::post("/upload", BODY))?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let ledger = output.ledger()?;
    ledger.check()?;
    assert!(ledger.bytes("bypassed")? > u64::try_from(BODY)? / 2, "{}", output.stderr);
    assert_eq!(output.stdout, "");
    Ok(())
}

#[test]
fn connections_without_toa_are_listed_and_the_rules_stay() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut site = Site::new()?;
        let _nginx = site.lab.nginx()?;
        let tool = ToaTc::attach(&site.lab.server, &["--any-flow", "--server-port", "80"])?;
        site.open()?;
        site.ask()?;
        let namespace = &site.lab.server.namespace;
        let listed = wait::until("the connections to be listed", || {
            let listed = objects(namespace, &["flows", "--without-toa", "-o", "json"])?;
            Ok((listed.len() == 6).then_some(listed))
        })?;
        let unnamed = site.open.iter().filter(|(_, client)| client.is_none());
        let expected: BTreeSet<_> = unnamed.map(|(connection, _)| connection.local()).collect();
        let peer = |flow: &Value| address(flow.pointer("/network/peer").context("no peer")?);
        assert_eq!(listed.iter().map(peer).collect::<Result<BTreeSet<_>>>()?, expected);
        assert!(listed.iter().all(|flow| flow.get("client") == Some(&Value::Null)), "{listed:?}");
        let text = succeed(namespace, &["flows", "--without-toa"])?;
        assert!(text.contains(": 6 followed without TOA\n"), "{text}");
        let refused = ToaTc::run(namespace, &["watch", "add", "192.0.2.1"])?;
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(
            refused.stderr.contains("the rules of a run with --any-flow cannot be changed"),
            "{refused:?}"
        );
        tool.stop(Signal::Interrupt)?.succeeded().map(drop)
    })
}

#[test]
fn a_run_without_toa_names_who_has_connections_open() -> Result<()> {
    let mut site = Site::new()?;
    let _nginx = site.lab.nginx()?;
    let tool = ToaTc::attach(&site.lab.server, &["--any"])?;
    let mut direct = site.direct()?.connect(nginx_address())?;
    direct.ask(Request::get("/direct"))?;
    site.open_unmarked()?;
    let named =
        "open connections without TOA now: from 10.9.0.1 (2), 10.9.0.77 (1); if these are the clients,";
    wait::until("the senders to be named", || Ok(tool.stderr()?.contains(named).then_some(())))?;
    tool.stop(Signal::Interrupt)?.succeeded().map(drop)
}

/// A PROXY header of version 2 for 198.51.100.7:5000, with the extension of an AWS endpoint.
fn proxy_v2() -> Vec<u8> {
    let endpoint = b"vpce-08d2bf15fac5001c9";
    let addresses = [198, 51, 100, 7, 10, 9, 0, 2, 0x13, 0x88, 0, 80];
    let length = u8::try_from(addresses.len() + 4 + endpoint.len()).unwrap_or_default();
    let extension = [0xea, 0, u8::try_from(1 + endpoint.len()).unwrap_or_default(), 1];
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"[..], &[length], &addresses, &extension, endpoint].concat()
}

/// Sends a request after each version of the header, to a server that requires one, and returns what is printed.
fn print_proxied(arguments: &[&str]) -> Result<Output> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let port = PROXY_PORT.to_string();
    let tool = ToaTc::attach(&lab.server, &[&["--any-flow", "--server-port", &port], arguments].concat())?;
    let v1 = b"PROXY TCP4 203.0.113.9 10.9.0.2 54321 80\r\n".to_vec();
    for (target, header) in [("/v1", v1), ("/v2", proxy_v2())] {
        let mut connection = lab.bind()?.connect(SocketAddr::new(nginx_address().ip(), PROXY_PORT))?;
        connection.stream().write_all(&header)?;
        for _ in 0..REQUESTS {
            connection.ask(Request::get(target))?;
        }
    }
    tool.stop(Signal::Interrupt)?.succeeded()
}

#[test]
fn a_proxy_header_names_the_client() -> Result<()> {
    let output = print_proxied(&["-o", "json"])?;
    let requests = requests(&output)?;
    assert_eq!(requests.len(), 2 * REQUESTS, "{}", output.stderr);
    for request in requests {
        let is_v1 = request.pointer("/url/path").is_some_and(|path| path == "/v1");
        let (client, version, endpoint) = if is_v1 {
            (json!({"address": "203.0.113.9", "port": 54321}), 1, Value::Null)
        } else {
            let endpoint = json!({"provider": "aws", "id": "vpce-08d2bf15fac5001c9"});
            (json!({"address": "198.51.100.7", "port": 5000}), 2, endpoint)
        };
        assert_eq!(request["client"], client);
        assert_eq!(request["proxy"], json!({"version": version, "client": client, "endpoint": endpoint}));
        assert_eq!(request["toa"]["learned_from"], "proxy");
    }
    Ok(())
}

#[test]
fn rules_match_the_client_of_a_proxy_header() -> Result<()> {
    for (rule, line) in [
        ("203.0.113.9", "203.0.113.9:54321 > 10.9.0.2:83 (via 10.9.0.1:"),
        ("198.51.100.0/24:5000", "198.51.100.7:5000 > 10.9.0.2:83 (via 10.9.0.1:"),
    ] {
        let output = print_proxied(&["--ip", rule])?;
        assert_eq!(output.stdout.matches(line).count(), REQUESTS, "{output:?}");
        assert_eq!(output.stdout.matches("GET /").count(), REQUESTS, "{output:?}");
        let marked = output.stdout.matches(" HTTP/1.1 [aws endpoint vpce-08d2bf15fac5001c9]\n").count();
        assert_eq!(marked, if rule.contains('/') { REQUESTS } else { 0 }, "{output:?}");
    }
    // The sender is the balancer.
    assert_eq!(print_proxied(&["--ip", &BALANCER.to_string()])?.stdout, "");
    Ok(())
}

#[test]
fn at_full_rate_what_is_not_printed_is_admitted_as_lost() -> Result<()> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let nginx = lab.nginx()?;
    let tool = ToaTc::attach(&lab.server, &["--any-flow", "--server-port", "80"])?;
    let load = Load { connections: 50, duration: Duration::from_secs(5), requests: Requests::Small };
    let report = wrk::run(&lab.balancer.namespace, nginx_address(), load)?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let logged = nginx.stop()?;
    let ledger = output.ledger()?;
    ledger.check()?;
    let lines = || output.stdout.lines();
    let printed: Vec<_> = lines().filter_map(|line| line.strip_prefix("    x-request-id: ")).collect();
    let distinct: BTreeSet<_> = printed.iter().copied().collect();
    let ids: BTreeSet<_> = logged.iter().map(|logged| logged.request_id.as_str()).collect();
    assert!(distinct.is_subset(&ids) && distinct.len() == printed.len());
    assert_eq!(lines().filter(|line| line.contains(" - > 10.9.0.2:80 (via ")).count(), printed.len());
    let size = logged.first().context("nothing is logged")?.request_length;
    let lost = ledger.bytes("lost")? / size;
    println!(
        "{:.0} requests/s, {} logged = {} printed + {lost} lost",
        report.rate,
        logged.len(),
        printed.len()
    );
    assert_eq!(u64::try_from(printed.len())? + lost, u64::try_from(logged.len())?, "{}", output.stderr);
    Ok(())
}
