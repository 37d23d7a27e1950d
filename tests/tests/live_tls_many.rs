//! `attach --tls` with 200 connections of 200 clients through a balancer, half of them HTTP/2, of which 20 are watched: the
//! printed requests are those of the watched clients that nginx has logged, with their clients, hosts and targets, each once
//! and no others. Also while nginx reloads, and on connections that were open before.
#![cfg(feature = "kernel")]
#![expect(clippy::indexing_slicing, reason = "an element that a JSON value does not have is null")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use toa_tests::{
    lab::{Lab, balancer::Balancer, marker::Habit, netns::Namespace, tls_address, toa_module::ToaModule},
    peers::{
        client::{Bound, Request},
        http2_client::Http2Connection,
        nginx::{Also, Logged, Nginx, Setup},
        tls_client::TlsConnection,
    },
    process::Signal,
    tool::toa_tc::{Output, ToaTc},
    wait,
};

/// Keep-alive connections.
const CONNECTIONS: usize = 200;
/// Every tenth is watched.
const WATCHED: usize = 20;
/// Threads that send requests.
const THREADS: usize = 4;
/// Requests on each connection.
const ROUNDS: usize = 8;
/// nginx reloads each time when this many requests have been answered.
const RELOADS: [usize; 2] = [CONNECTIONS * 2, CONNECTIONS * 4];

/// Returns the client of a connection.
fn client(number: usize) -> Result<IpAddr> {
    let last = u8::try_from(number % 100)?;
    Ok(Ipv4Addr::new(120, 120, 111 + u8::try_from(number / 100)?, 1 + last).into())
}

fn is_watched(number: usize) -> bool {
    number % 10 == 3
}

/// Returns whether a connection has HTTP/2: half of the watched ones, and of the others.
fn is_http2(number: usize) -> bool {
    number / 10 % 2 == 1
}

/// Returns the options that watch the clients.
fn rules(client_of: impl Fn(usize) -> Result<IpAddr>) -> Result<Vec<String>> {
    let watched = (0..CONNECTIONS).filter(|number| is_watched(*number));
    watched.map(|number| Ok(format!("--ip={}", client_of(number)?))).collect()
}

fn nginx(namespace: &Namespace) -> Result<Nginx> {
    Nginx::start_with(namespace, Setup { also: Also::Tls, ..Setup::default() })
}

fn attach(device: &toa_tests::lab::veth::Device, rules: &[String], more: &[&str]) -> Result<ToaTc> {
    let mut arguments: Vec<_> = rules.iter().map(String::as_str).collect();
    arguments.extend(["--tls", "-o", "json", "--server-port", "443"]);
    ToaTc::attach(device, &[&arguments, more].concat())
}

/// A connection of either version.
enum Connection {
    Http1(TlsConnection),
    Http2(Http2Connection),
}

impl Connection {
    fn open(namespace: &Namespace, number: usize, bound: Bound, server: SocketAddr) -> Result<Self> {
        Ok(if is_http2(number) {
            Self::Http2(Http2Connection::open(namespace, bound, server)?)
        } else {
            Self::Http1(TlsConnection::open(namespace, bound, server)?)
        })
    }

    fn through(lab: &Balancer, number: usize) -> Result<Self> {
        let client = client(number)?;
        Ok(if is_http2(number) {
            Self::Http2(lab.connect_http2(client)?)
        } else {
            Self::Http1(lab.connect_tls(client)?)
        })
    }

    fn ask(&mut self, request: Request) -> Result<()> {
        match self {
            Self::Http1(connection) => connection.ask(request),
            Self::Http2(connection) => connection.ask(request),
        }
    }

    fn local(&self) -> SocketAddr {
        match self {
            Self::Http1(connection) => connection.local(),
            Self::Http2(connection) => connection.local(),
        }
    }
}

/// Returns a request. Its team is the same for all of a connection.
fn get(number: usize, id: &str) -> Request {
    let team = format!("team-{number}");
    Request::get(&format!("/orders/{id}?page=1")).field("x-request-id", id).field("x-team", &team)
}

/// A request as it is to be printed.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Row {
    client: SocketAddr,
    /// The balancer's side.
    peer: SocketAddr,
    /// Method, target and version, as nginx logs them.
    request: String,
    id: String,
    team: String,
    host: String,
}

/// What was printed of a request beside its row.
struct Printed<'a> {
    row: Row,
    event: &'a Value,
}

fn events(output: &Output) -> Result<Vec<Value>> {
    let lines = output.stdout.lines().map(serde_json::from_str);
    Ok(lines.collect::<Result<_, _>>()?)
}

fn printed(event: &Value) -> Result<Printed<'_>> {
    let what = || event.to_string();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let end = |end: &Value| -> Result<SocketAddr> {
        let port = end["port"].as_u64().with_context(what)?;
        Ok((text(&end["address"]).parse::<IpAddr>().with_context(what)?, port.try_into()?).into())
    };
    ensure!(event["tls"] == true && event["incomplete"].is_null(), "{event}");
    for mark in ["malformed", "framing_fault", "conflicting"] {
        ensure!(event[mark].is_null(), "{event}");
    }
    let request = &event["http"]["request"];
    let version = match text(&event["network"]["protocol"]["version"]).as_str() {
        "2" => "2.0".to_owned(),
        other => other.to_owned(),
    };
    let (method, target) = (text(&request["method"]), text(&event["url"]["original"]));
    let header = &request["header"];
    let row = Row {
        client: end(&event["client"])?,
        peer: end(&event["network"]["peer"])?,
        request: format!("{method} {target} HTTP/{version}"),
        id: text(&header["x-request-id"][0]),
        team: text(&header["x-team"][0]),
        host: text(&header["host"][0]),
    };
    Ok(Printed { row, event })
}

/// Returns the printed requests, none of which was printed twice, after checking that no plaintext was lost.
fn requests(events: &[Value]) -> Result<Vec<Printed<'_>>> {
    let ledger = events.iter().find(|event| event["event"] == "ledger").context("no ledger")?;
    for what in ["reads", "bytes"] {
        let account = &ledger["plaintext"][what];
        let count = |name: &str| account[name].as_u64().unwrap_or(0);
        ensure!(count("matched") == count("delivered") + count("bypassed"), "{ledger}");
    }
    let requests = events.iter().filter(|event| event["event"] == "request");
    let requests = requests.map(printed).collect::<Result<Vec<_>>>()?;
    let ids: BTreeSet<_> = requests.iter().map(|printed| printed.row.id.as_str()).collect();
    ensure!(ids.len() == requests.len(), "a request was printed twice");
    Ok(requests)
}

/// What a thread has sent.
#[derive(Default)]
struct Sent {
    /// The client of each request, by its id, whether it was answered or not.
    clients: BTreeMap<String, SocketAddr>,
    /// The ids of those that were answered.
    answered: BTreeSet<String>,
}

/// Sends requests on every connection of a thread. One that nginx closes in a reload is opened again. The last round follows the
/// last reload.
fn send(lab: &Balancer, thread: usize, answers: &AtomicUsize, is_reloaded: &AtomicBool) -> Result<Sent> {
    let mut sent = Sent::default();
    let numbers = || (0..CONNECTIONS).filter(|number| number % THREADS == thread);
    let open = |number| Ok((number, Connection::through(lab, number)?));
    let mut connections = numbers().map(open).collect::<Result<Vec<_>>>()?;
    for round in 0..ROUNDS {
        if round + 1 == ROUNDS {
            wait::until("the last reload", || Ok(is_reloaded.load(Ordering::Relaxed).then_some(())))?;
        }
        for (number, connection) in &mut connections {
            let mut tries = 0;
            loop {
                let id = format!("{number}-{round}-{tries}");
                sent.clients.insert(id.clone(), connection.local());
                match connection.ask(get(*number, &id)) {
                    Ok(()) => {
                        answers.fetch_add(1, Ordering::Relaxed);
                        sent.answered.insert(id);
                        break;
                    }
                    Err(error) => ensure!(tries < 3, "{number}: {error:#}"),
                }
                *connection = Connection::through(lab, *number)?;
                tries += 1;
            }
        }
    }
    Ok(sent)
}

#[test]
fn of_200_connections_those_of_20_clients_are_read_also_while_nginx_reloads() -> Result<()> {
    let clients = (0..CONNECTIONS).map(client).collect::<Result<Vec<_>>>()?;
    let lab = Balancer::to(tls_address(), Habit::SynAndEarly, &clients)?;
    let mut nginx = nginx(&lab.server.namespace)?;
    let tool = attach(&lab.server, &rules(client)?, &[])?;
    let (answers, is_reloaded) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut sent = Sent::default();
    thread::scope(|scope| -> Result<()> {
        let (lab, answers, is_reloaded) = (&lab, &answers, &is_reloaded);
        let threads: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || send(lab, thread, answers, is_reloaded))).collect();
        for reload in RELOADS {
            wait::until("answers", || {
                let is_over = threads.iter().any(thread::ScopedJoinHandle::is_finished);
                Ok((is_over || answers.load(Ordering::Relaxed) >= reload).then_some(()))
            })?;
            nginx.reload()?;
        }
        is_reloaded.store(true, Ordering::Relaxed);
        for thread in threads {
            let of_thread = thread.join().ok().context("a thread panicked")??;
            sent.clients.extend(of_thread.clients);
            sent.answered.extend(of_thread.answered);
        }
        Ok(())
    })?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let logged = nginx.stop()?;

    let watched = (0..CONNECTIONS).filter(|number| is_watched(*number));
    let watched = watched.map(client).collect::<Result<BTreeSet<_>>>()?;
    ensure!(watched.len() == WATCHED, "{watched:?}");
    let expected = expected(&logged, &sent, &watched)?;
    let events = events(&output)?;
    let requests = requests(&events)?;
    println!(
        "{} requests answered, {} logged, {} of them of watched clients, {} printed",
        sent.answered.len(),
        logged.len(),
        expected.len(),
        requests.len()
    );
    ensure!(sent.answered.len() == CONNECTIONS * ROUNDS, "{} were answered", sent.answered.len());
    ensure!(expected.len() >= WATCHED * ROUNDS, "{} are expected", expected.len());
    for Printed { event, .. } in &requests {
        ensure!(event["unknown_fields"].is_null() && event["resynchronized"] == false, "{event}");
        let protocol = &event["tls_client"]["alpn"][0];
        ensure!((protocol == "h2") == (event["network"]["protocol"]["version"] == "2"), "{event}");
    }
    let printed: BTreeSet<_> = requests.into_iter().map(|printed| printed.row).collect();
    assert_eq!(printed, expected);
    Ok(())
}

/// Returns the rows of the watched clients' requests in nginx's log, after checking that it has all that were answered.
fn expected(logged: &[Logged], sent: &Sent, watched: &BTreeSet<IpAddr>) -> Result<BTreeSet<Row>> {
    let ids: BTreeSet<_> = logged.iter().map(|logged| &logged.request_id).collect();
    if let Some(id) = sent.answered.iter().find(|id| !ids.contains(id)) {
        anyhow::bail!("{id} was answered, but not logged");
    }
    let mut rows = BTreeSet::new();
    for logged in logged {
        let client = *sent.clients.get(&logged.request_id).with_context(|| format!("{logged:?}"))?;
        if watched.contains(&client.ip()) {
            rows.insert(Row {
                client,
                peer: logged.peer,
                request: logged.request.clone(),
                id: logged.request_id.clone(),
                team: logged.team.clone(),
                host: "lab".to_owned(),
            });
        }
    }
    Ok(rows)
}

/// What the server's module says of the client of a connection.
fn named(number: usize) -> Result<SocketAddr> {
    Ok(SocketAddr::new(client(number)?, 40_000))
}

#[test]
fn of_200_connections_that_were_open_before_those_of_20_clients_are_read() -> Result<()> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let mut module = ToaModule::load(&lab.server.namespace)?;
    let nginx = nginx(&lab.server.namespace)?;
    let mut connections = Vec::new();
    for number in 0..CONNECTIONS {
        let bound = lab.bind()?;
        module.name_client(bound.local(), named(number)?)?;
        connections.push(Connection::open(&lab.balancer.namespace, number, bound, tls_address())?);
    }
    for (number, connection) in connections.iter_mut().enumerate() {
        connection.ask(get(number, &format!("{number}-before")))?;
    }
    let tool = attach(&lab.server, &rules(client)?, &["--existing"])?;
    let following = format!("open connections: following {WATCHED} of ");
    wait::until(&following, || Ok(tool.stderr()?.contains(&following).then_some(())))?;
    for round in 0..3 {
        for (number, connection) in connections.iter_mut().enumerate() {
            // A field that is sent after the run began, and referred to from then on.
            let request =
                get(number, &format!("{number}-{round}")).field("x-late", &format!("late-{number}"));
            connection.ask(request)?;
        }
    }
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let logged = nginx.stop()?;

    let by_id: BTreeMap<_, _> = logged.iter().map(|logged| (logged.request_id.as_str(), logged)).collect();
    let mut expected = BTreeSet::new();
    for (number, connection) in connections.iter().enumerate().filter(|(number, _)| is_watched(*number)) {
        for round in 0..3 {
            let id = format!("{number}-{round}");
            let logged = by_id.get(id.as_str()).with_context(|| format!("the server did not log {id}"))?;
            // What was sent before and is only referred to is not known.
            let known = |text: String| if is_http2(number) { String::new() } else { text };
            expected.insert(Row {
                client: named(number)?,
                peer: connection.local(),
                request: logged.request.clone(),
                id,
                team: known(format!("team-{number}")),
                host: known("lab".to_owned()),
            });
        }
    }
    let events = events(&output)?;
    let requests = requests(&events)?;
    for Printed { row, event } in &requests {
        let number = row.id.split('-').next().context("no number")?.parse()?;
        let late = &event["http"]["request"]["header"]["x-late"][0];
        ensure!(*late == format!("late-{number}"), "{event}");
        let unknown = event["unknown_fields"].as_u64().unwrap_or(0);
        // The authority and the team.
        ensure!(unknown == if is_http2(number) { 2 } else { 0 }, "{event}");
        ensure!(event["toa"]["learned_from"] == "existing", "{event}");
    }
    let printed: BTreeSet<_> = requests.into_iter().map(|printed| printed.row).collect();
    assert_eq!(expected.len(), WATCHED * 3);
    assert_eq!(printed, expected);
    Ok(())
}
