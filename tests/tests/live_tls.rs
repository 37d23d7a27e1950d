//! `attach --tls` through a balancer: exactly the watched clients' requests inside TLS are printed, each once and with its
//! client, whatever their size and however they are sent, also on connections that were open before, and after the server
//! has reloaded.
#![cfg(feature = "kernel")]
#![expect(clippy::indexing_slicing, reason = "an element that a JSON value does not have is null")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use toa_tests::{
    lab::{Lab, balancer::Balancer, marker::Habit, tls_address, toa_module::ToaModule},
    peers::{
        client::Request,
        nginx::{Also, Logged, Nginx, Setup},
        tls_client::{SERVER_NAME, TlsConnection},
    },
    process::Signal,
    tool::toa_tc::{Output, ToaTc},
    wait,
};

const CLIENTS: u8 = 4;
const WATCHED: IpAddr = client(2);

const fn client(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(120, 120, 111, 110 + number))
}

/// What identifies a request: client, balancer's side, method, target and request id.
type Row = (SocketAddr, SocketAddr, String, String, String);

/// Balancer and nginx with TLS.
fn lab() -> Result<(Balancer, Nginx)> {
    let clients: Vec<_> = (1..=CLIENTS).map(client).collect();
    let lab = Balancer::to(tls_address(), Habit::SynAndEarly, &clients)?;
    let nginx = nginx(&lab.server.namespace)?;
    Ok((lab, nginx))
}

fn nginx(namespace: &toa_tests::lab::netns::Namespace) -> Result<Nginx> {
    Nginx::start_with(namespace, Setup { also: Also::Tls, ..Setup::default() })
}

fn attach(lab: &Balancer, arguments: &[&str]) -> Result<ToaTc> {
    let watched = WATCHED.to_string();
    ToaTc::attach(&lab.server, &[&["--ip", &watched, "--tls", "-o", "json"], arguments].concat())
}

fn get(id: &str) -> Request {
    let request = Request::get(&format!("/orders/{id}?page=1")).field("x-request-id", id);
    request.field("x-team", "payments").field("authorization", "Bearer hunter2")
}

/// The events of a run, all valid.
struct Events(Vec<Value>);

impl Events {
    fn of(output: &Output) -> Result<Self> {
        let schema = serde_json::from_str(include_str!("../../toa-userspace/schema/toa-tc.schema.json"))?;
        let schema = jsonschema::validator_for(&schema)?;
        let event = |line: &str| {
            let event: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            ensure!(schema.is_valid(&event), "{line}");
            Ok(event)
        };
        Ok(Self(output.stdout.lines().map(event).collect::<Result<_>>()?))
    }

    fn called<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |event| event["event"] == name)
    }

    /// Returns the requests, of which none was printed twice and each is marked as read from TLS.
    fn rows(&self) -> Result<BTreeSet<Row>> {
        let mut rows = BTreeSet::new();
        for event in self.called("request") {
            ensure!(event["tls"] == true, "{event}");
            let text = |pointer: &str| -> Result<String> {
                Ok(event.pointer(pointer).and_then(Value::as_str).context("text")?.to_owned())
            };
            let end = |end: &Value| -> Result<SocketAddr> {
                let port = end["port"].as_u64().context("port")?;
                Ok((end["address"].as_str().context("address")?.parse::<IpAddr>()?, port.try_into()?).into())
            };
            let row = (
                end(&event["client"])?,
                end(&event["network"]["peer"])?,
                text("/http/request/method")?,
                text("/url/original")?,
                text("/http/request/header/x-request-id/0")?,
            );
            ensure!(rows.insert(row), "printed twice: {event}");
        }
        Ok(rows)
    }

    /// Checks that everything that was read is accounted for, and nothing was lost. Returns the bytes of plaintext.
    fn plaintext_bytes(&self) -> Result<u64> {
        let ledger = self.called("ledger").next().context("no ledger")?;
        let mut matched = 0;
        for what in ["reads", "bytes"] {
            let account = &ledger["plaintext"][what];
            let count = |name: &str| account[name].as_u64().unwrap_or(0);
            let lost: u64 = ["ring_full", "no_reader", "other"]
                .into_iter()
                .filter_map(|cause| account["lost"][cause].as_u64())
                .sum();
            ensure!(lost == 0 && count("cut") == 0, "{account}");
            matched = count("matched");
            ensure!(matched == count("delivered") + count("bypassed"), "{account}");
        }
        ensure!(ledger["gaps"]["count"] == 0, "{ledger}");
        Ok(matched)
    }
}

/// Returns what must be printed of these connections, by what nginx has logged.
fn expected<'a>(
    connections: impl IntoIterator<Item = &'a TlsConnection>,
    logged: &[Logged],
) -> Result<BTreeSet<Row>> {
    let by_id: BTreeMap<_, _> = logged.iter().map(|logged| (logged.request_id.as_str(), logged)).collect();
    let mut rows = BTreeSet::new();
    for connection in connections {
        for request in connection.sent() {
            let id = request.value("x-request-id").context("id")?;
            let logged = by_id.get(id).with_context(|| format!("the server did not log {id}"))?;
            ensure!(
                logged.request == format!("{} {} HTTP/1.1", request.method, request.target),
                "{logged:?}"
            );
            let (method, target) = (request.method.clone(), request.target.clone());
            rows.insert((connection.local(), logged.peer, method, target, id.to_owned()));
        }
    }
    Ok(rows)
}

fn watched(connections: &[TlsConnection]) -> impl Iterator<Item = &TlsConnection> {
    connections.iter().filter(|connection| connection.local().ip() == WATCHED)
}

#[test]
fn the_watched_clients_requests_are_printed_and_no_others() -> Result<()> {
    let (lab, nginx) = lab()?;
    let tool = attach(&lab, &["--server-port", "443"])?;
    let clients = (1..=CLIENTS).map(client).cycle().take(12);
    let mut connections = clients.map(|client| lab.connect_tls(client)).collect::<Result<Vec<_>>>()?;
    for number in 0..5 {
        for (index, connection) in connections.iter_mut().enumerate() {
            connection.ask(get(&format!("{index}-{number}")))?;
        }
    }
    for (index, connection) in connections.iter_mut().enumerate() {
        connection.pipeline((0..10).map(|number| get(&format!("{index}-p{number}"))).collect())?;
    }
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let logged = nginx.stop()?;

    let events = Events::of(&output)?;
    let expected = expected(watched(&connections), &logged)?;
    assert_eq!(expected.len(), 3 * 15);
    assert_eq!(events.rows()?, expected);
    for event in events.called("request") {
        assert_eq!(event["tls_client"]["server_name"], SERVER_NAME);
        assert_eq!(event["tls_client"]["alpn"][0], "http/1.1");
        assert_eq!(event["resynchronized"], false);
        assert_eq!(event["network"]["protocol"]["version"], "1.1");
    }
    assert!(output.stdout.contains("Bearer •••") && !output.stdout.contains("hunter2"));
    assert_eq!(events.called("tls").count(), 3);
    let sent: usize = watched(&connections).map(TlsConnection::sent_bytes).sum();
    assert_eq!(events.plaintext_bytes()?, u64::try_from(sent)?);
    assert!(output.stderr.contains("toa-tc: reading TLS plaintext of nginx"), "{}", output.stderr);
    Ok(())
}

#[test]
fn requests_of_any_size_are_printed_whole() -> Result<()> {
    let (lab, nginx) = lab()?;
    let tool = attach(&lab, &[])?;
    let mut connection = lab.connect_tls(WATCHED)?;
    let long = "x".repeat(30_000);
    let with_id = |request: Request, id: &str| request.field("x-request-id", id);
    // A head of several TLS records, bodies of less and more than a read, and a bypassed one.
    connection.ask(with_id(Request::get("/long").field("x-long", &long), "head"))?;
    for body in [1, 16_384, 16_385, 100_000, 20_000_000] {
        connection.ask(with_id(Request::post(&format!("/{body}"), body), &format!("body-{body}")))?;
        connection.ask(get(&format!("after-{body}")))?;
    }
    connection.ask(with_id(Request::post("/chunked", 100_000).in_chunks(1000), "chunked"))?;
    connection.ask(get("last"))?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let logged = nginx.stop()?;

    let events = Events::of(&output)?;
    assert_eq!(events.rows()?, expected([&connection], &logged)?);
    let shown = events.called("request").next().context("no request")?;
    assert_eq!(shown.pointer("/http/request/header/x-long/0").and_then(Value::as_str), Some(&*long));
    assert_eq!(events.plaintext_bytes()?, u64::try_from(connection.sent_bytes())?);
    let ledger = events.called("ledger").next().context("no ledger")?;
    let bypassed = ledger["plaintext"]["bytes"]["bypassed"].as_u64().context("bypassed")?;
    ensure!(bypassed > 10_000_000, "{ledger}");
    Ok(())
}

#[test]
fn a_head_in_records_of_one_byte_is_read() -> Result<()> {
    let (lab, nginx) = lab()?;
    let tool = attach(&lab, &[])?;
    let mut connection = lab.connect_tls(WATCHED)?;
    connection.ask_in_records_of_one_byte(get("slow"))?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let logged = nginx.stop()?;
    let events = Events::of(&output)?;
    assert_eq!(events.rows()?, expected([&connection], &logged)?);
    let reads =
        events.called("ledger").next().context("no ledger")?["plaintext"]["reads"]["matched"].as_u64();
    ensure!(reads > Some(10), "not in many reads: {reads:?}");
    events.plaintext_bytes().map(drop)
}

#[test]
fn a_reload_of_the_server_loses_nothing() -> Result<()> {
    let (lab, mut nginx) = lab()?;
    let tool = attach(&lab, &[])?;
    let mut connections = Vec::new();
    for round in 0..4 {
        let mut connection = lab.connect_tls(WATCHED)?;
        for number in 0..3 {
            connection.ask(get(&format!("{round}-{number}")))?;
        }
        connections.push(connection);
        nginx.reload()?;
    }
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let logged = nginx.stop()?;
    let events = Events::of(&output)?;
    assert_eq!(events.rows()?, expected(&connections, &logged)?);
    events.plaintext_bytes().map(drop)
}

/// A connection that the client ends before the server has read its request.
#[test]
fn what_is_read_after_the_clients_end_is_printed() -> Result<()> {
    let (lab, nginx) = lab()?;
    let tool = attach(&lab, &[])?;
    let ids: Vec<_> = (0..20).map(|number| format!("short-{number}")).collect();
    for id in &ids {
        let mut connection = lab.connect_tls(WATCHED)?;
        connection.ask(get(id))?;
        // Incomplete, and at once the end.
        connection.begin(&get("never"), 20)?;
    }
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let logged = nginx.stop()?;
    let events = Events::of(&output)?;
    let printed = events.called("request").filter(|event| event["incomplete"].is_null());
    let printed: BTreeSet<_> =
        printed.filter_map(|event| event.pointer("/http/request/header/x-request-id/0")?.as_str()).collect();
    assert_eq!(printed, ids.iter().map(String::as_str).collect());
    assert!(logged.len() >= ids.len());
    Ok(())
}

#[test]
fn connections_that_were_open_before_are_read_from_their_next_request_on() -> Result<()> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let mut module = ToaModule::load(&lab.server.namespace)?;
    let nginx = nginx(&lab.server.namespace)?;
    let mut connections = Vec::new();
    for number in 1..=6_u8 {
        let bound = lab.bind()?;
        let client = SocketAddr::from(([203, 0, 113, number], 40_000));
        module.name_client(bound.local(), client)?;
        let mut connection = TlsConnection::open(&lab.balancer.namespace, bound, tls_address())?;
        connection.ask(get(&format!("before-{number}")))?;
        connections.push((client, connection));
    }
    let arguments = ["--ip", "203.0.113.3", "--ip", "203.0.113.5", "--tls", "--existing", "-o", "json"];
    let tool = ToaTc::attach(&lab.server, &arguments)?;
    let following = "open connections: following 2 of ";
    wait::until(following, || Ok(tool.stderr()?.contains(following).then_some(())))?;
    for round in 0..3 {
        for (number, (_, connection)) in connections.iter_mut().enumerate() {
            connection.ask(get(&format!("{round}-{number}")))?;
        }
    }
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let logged = nginx.stop()?;

    let events = Events::of(&output)?;
    let mut rows = BTreeSet::new();
    for (client, connection) in [&connections[2], &connections[4]] {
        let sent = expected([connection], &logged)?;
        let later = sent.into_iter().filter(|(.., id)| !id.starts_with("before"));
        // With the module, nginx has logged the client in place of the balancer.
        rows.extend(later.map(|(local, _, method, target, id)| (*client, local, method, target, id)));
    }
    assert_eq!(rows.len(), 6);
    assert_eq!(events.rows()?, rows);
    assert!(events.called("request").all(|event| event["toa"]["learned_from"] == "existing"));
    events.plaintext_bytes().map(drop)
}

#[test]
fn a_library_is_found_by_process_or_path_and_what_has_none_is_refused() -> Result<()> {
    let (lab, nginx) = lab()?;
    let maps = fs::read_to_string(format!("/proc/{}/maps", nginx.id()))?;
    let library =
        maps.lines().find_map(|line| line.split_whitespace().last().filter(|it| it.contains("libssl")));
    let library = library.context("nginx has no libssl")?;
    for value in [nginx.id().to_string(), library.to_owned()] {
        let tool = ToaTc::attach(&lab.server, &["--any", &format!("--tls={value}"), "-o", "json"])?;
        let mut connection = lab.connect_tls(WATCHED)?;
        connection.ask(get("found"))?;
        let events = Events::of(&tool.stop(Signal::Interrupt)?.succeeded()?)?;
        assert_eq!(events.rows()?.len(), 1, "{value}");
    }
    for (arguments, why) in [
        (["--tls=/etc/passwd", "--any"], "/etc/passwd: is no ELF file"),
        (["--tls=/bin/true", "--any"], "no library with SSL_read"),
        (["--tls", "--server-port=9"], "no process listens on the servers' ports"),
        (["--tls=4000000000", "--any"], "process 4000000000: its memory map cannot be read"),
    ] {
        let device = &lab.server;
        let output = ToaTc::run(&device.namespace, &[&["attach", &device.name], &arguments[..]].concat())?;
        assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
        assert!(output.stderr.contains(why), "{}", output.stderr);
    }
    Ok(())
}

#[test]
fn doctor_says_whose_plaintext_can_be_read() -> Result<()> {
    let (lab, nginx) = lab()?;
    let output = ToaTc::run(&lab.server.namespace, &["doctor"])?.stdout;
    let line = output.lines().find(|line| line.contains("tls: nginx")).context(output.clone())?;
    assert!(line.starts_with("ok ") && line.contains(&nginx.id().to_string()), "{line}");
    assert!(line.contains("443") && line.contains(": can be read, in ") && line.contains("libssl"), "{line}");
    Ok(())
}
