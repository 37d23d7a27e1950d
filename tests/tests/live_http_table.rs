//! Whatever clients send: what nginx serves is printed as it was sent, what nginx refuses is printed with a mark or counted
//! by name, and nothing else is printed.
#![cfg(feature = "kernel")]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    net::{IpAddr, Shutdown, SocketAddr},
};

use anyhow::{Context, Result, ensure};
use toa_packets::toa_option::toa_option;
use toa_tests::{
    http_rows::{PHANTOM, Row, rows, sent_head::SentHead},
    lab::{BALANCER, Lab, SERVER, marker::Habit},
    peers::{
        client::Bound,
        nginx::{Also, LENIENT_PORT, Nginx, STRICT_PORT, Setup},
        request_lines::LoggedLine,
    },
    process::Signal,
    tool::{
        json_lines::{JsonConnection, JsonLines, JsonRequest},
        toa_tc::ToaTc,
    },
};

const ARGUMENTS: [&str; 4] = ["--any", "-o", "json", "--show-secrets"];
/// The balancer's port of the first row.
const FIRST_PORT: u16 = 10_000;

/// Rows that nginx refuses although nothing marks them: RFC 9110 and RFC 9112 allow them and other servers take them, the
/// fault is in the body, or one side of the connection does not show it.
const UNJUDGED: [&str; 9] = [
    "line: get /a HTTP/1.1",
    "line: G1T /a HTTP/1.1",
    r"line: !#$%&\'*+-.^_`|~ /a HTTP/1.1",
    "line: GET /../../a HTTP/1.1",
    "line: OPTIONS * HTTP/1.1",
    r"length: POST /a HTTP/1.1 Content-Length:  \t # \r\n",
    r"chunked: POST /a HTTP/1.1 Transfer-Encoding: chunked\r\n7fffffffffffffff\r\n ... \r\n0\r\n\r\n",
    r"chunked: POST /a HTTP/1.1 Transfer-Encoding: chunked\r\nffffffffffffffff\r\n ... \r\n0\r\n\r\n",
    "stream: more bytes than the length says",
];

/// Statuses of requests that are correct, but not to this server's taste.
const POLICIES: [u16; 6] = [405, 413, 414, 417, 494, 501];

/// Sends a row on a connection of its own from `port`, in this many pieces, and waits until the server closes it.
fn send(lab: &mut Lab, row: &Row, port: u16, server_port: u16, pieces: usize) -> Result<()> {
    let bound = Bound::new(&lab.balancer.namespace, SocketAddr::new(BALANCER.into(), port))?;
    lab.marker.assign(bound.local(), &toa_option(SocketAddr::from(([203, 0, 113, 9], port))))?;
    let mut connection = bound.connect(SocketAddr::new(SERVER.into(), server_port))?;
    let stream = connection.stream();
    let bytes = row.bytes();
    for piece in bytes.chunks(bytes.len().div_ceil(pieces).max(1)) {
        // A server that has refused the row takes no more of it.
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    // Fails if the server has reset the connection.
    let _ = stream.shutdown(Shutdown::Write);
    // A reset ends the answers as well.
    let _ = stream.read_to_end(&mut Vec::new());
    Ok(())
}

fn port_of(index: usize) -> Result<u16> {
    Ok(FIRST_PORT + u16::try_from(index)?)
}

fn check(habit: Habit) -> Result<()> {
    let mut lab = Lab::new(habit)?;
    let setup = Setup { also: Also::Rows, ..Setup::default() };
    let nginx = Nginx::start_with(&lab.server.namespace, setup)?;
    let rows = rows();
    // Each server gets every row, one of them in pieces.
    let sent = || {
        [(LENIENT_PORT, 1), (STRICT_PORT, 3)].into_iter().flat_map(|to| rows.iter().map(move |row| (row, to)))
    };
    let tool = ToaTc::attach(&lab.server, &ARGUMENTS)?;
    for (index, (row, (server_port, pieces))) in sent().enumerate() {
        send(&mut lab, row, port_of(index)?, server_port, pieces).with_context(|| row.name.clone())?;
    }
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    output.ledger()?.check()?;
    let printed = JsonLines::parse(&output.stdout)?;

    let mut logged: BTreeMap<u16, Vec<LoggedLine>> = BTreeMap::new();
    for line in nginx.stop_for_lines()? {
        ensure!(line.peer.ip() == IpAddr::from(BALANCER), "{line:?}");
        logged.entry(line.peer.port()).or_default().push(line);
    }

    let (mut faults, mut served, mut refused, mut unjudged) = (Vec::new(), 0, 0, BTreeSet::new());
    for (index, (row, (server_port, pieces))) in sent().enumerate() {
        let port = port_of(index)?;
        let none = JsonConnection::default();
        let connection = printed.connections.get(&port).unwrap_or(&none);
        let logged = logged.get(&port).map_or(&[][..], Vec::as_slice);
        served += logged.iter().filter(|line| is_served(line)).count();
        refused += logged.iter().filter(|line| !is_served(line)).count();
        let fault = match check_row(row, connection, logged) {
            Ok(()) => continue,
            Err(Fault::Silent(_)) if UNJUDGED.contains(&row.name.as_str()) => {
                unjudged.insert(row.name.as_str());
                continue;
            }
            Err(Fault::Silent(_)) if is_counted(&mut lab, row, port + 5000, (server_port, pieces))? => {
                continue;
            }
            Err(Fault::Silent(fault) | Fault::Wrong(fault)) => fault,
        };
        faults.push(format!("{} (port {server_port})\n    {fault}", row.name));
    }
    println!("{habit:?}: {} rows, {served} requests served, {refused} refused", rows.len());
    // The table shows nothing if nginx refuses it all.
    ensure!(served > rows.len() && refused > rows.len() / 2, "{served} served, {refused} refused");
    ensure!(faults.is_empty(), "{habit:?}: {} faults\n{}", faults.len(), faults.join("\n"));
    assert_eq!(unjudged, BTreeSet::from(UNJUDGED), "{habit:?}");
    Ok(())
}

/// The counts of the ledger that tell of what no server takes.
const COUNTS: [&str; 7] = [
    "not_http",
    "malformed_requests",
    "faulty_framings",
    "oversized_heads",
    "unfinished_heads",
    "resync_bytes",
    // A row in pieces, which the server refused before the last.
    "server_closed",
];

/// Sends a row once more and returns whether the ledger counts something of it by a name. Nothing else is counted in this
/// run.
fn is_counted(lab: &mut Lab, row: &Row, port: u16, (server_port, pieces): (u16, usize)) -> Result<bool> {
    let _nginx = Nginx::start_with(&lab.server.namespace, Setup { also: Also::Rows, ..Setup::default() })?;
    let tool = ToaTc::attach(&lab.server, &ARGUMENTS)?;
    send(lab, row, port, server_port, pieces)?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    Ok(JsonLines::parse(&output.stdout)?.remarks.keys().any(|name| COUNTS.contains(&name.as_str())))
}

fn is_served(line: &LoggedLine) -> bool {
    line.status < 400
}

/// What is wrong with a row.
enum Fault {
    /// Something was refused, and neither printed with a mark nor shown as another protocol.
    Silent(String),
    /// Something else.
    Wrong(String),
}

fn check_row(row: &Row, connection: &JsonConnection, logged: &[LoggedLine]) -> Result<(), Fault> {
    let heads = row.heads();
    let shown = shown_of(connection);
    let mut printed: Vec<&JsonRequest> = connection.requests.iter().collect();
    let mut take = |is_it: &dyn Fn(&JsonRequest) -> bool| {
        printed.iter().position(|request| is_it(request)).map(|at| printed.remove(at))
    };
    for (number, line) in logged.iter().enumerate() {
        let head = heads.get(number);
        let answer = format!("{} {}: {shown}", line.status, line.line.escape_ascii());
        match head {
            Some(head) if is_served(line) => {
                if line.line.trim_ascii_end() != head.line {
                    return Err(Fault::Wrong(format!("the table has another line: {answer}")));
                }
                if take(&|request| is_as_sent(request, head)).is_none() {
                    return Err(Fault::Wrong(format!("not printed: {answer}")));
                }
            }
            None if is_served(line) => return Err(Fault::Wrong(format!("the table has no head: {answer}"))),
            _ => {
                let is_policy = POLICIES.contains(&line.status);
                let is_said = !connection.others.is_empty()
                    || take(&|request| !request.is_unmarked()).is_some()
                    || (is_policy && head.is_some_and(|head| take(&|it| is_as_sent(it, head)).is_some()));
                if !is_said {
                    return Err(Fault::Silent(format!("silent or unmarked: {answer}")));
                }
            }
        }
    }
    let phantom = SentHead::read(PHANTOM);
    for request in &connection.requests {
        let is_found = request.marks.contains(&"resynchronized");
        let is_sent = || heads.iter().any(|head| is_as_sent(request, head));
        if request.is_unmarked() && !is_sent() {
            return Err(Fault::Wrong(format!("nobody sent one of {shown}")));
        }
        if request.target == phantom.target && !is_found && !heads.contains(&phantom) {
            return Err(Fault::Wrong(format!("a body is believed: {shown}")));
        }
    }
    let is_silent = connection.requests.is_empty() && connection.others.is_empty();
    if is_silent { Err(Fault::Silent("silent".to_owned())) } else { Ok(()) }
}

/// Returns the requests of a connection for a message.
fn shown_of(connection: &JsonConnection) -> String {
    let shown = |request: &JsonRequest| {
        let JsonRequest { method, target, incomplete, marks, fields, .. } = request;
        let (method, target, fields) = (method.escape_ascii(), target.escape_ascii(), fields.len());
        format!("{method} {target:.40}, {fields} fields {incomplete:?} {marks:?}")
    };
    connection.requests.iter().map(shown).collect::<Vec<_>>().join("; ")
}

/// Returns whether a printed request says all that a head says. What exceeds the limits may be left out, with a mark.
fn is_as_sent(request: &JsonRequest, head: &SentHead) -> bool {
    let version = match (&head.version, &request.version) {
        // HTTP/0.9 has no version to send.
        (None, version) => version.as_deref().is_none_or(|version| version == b"0.9"),
        (sent, printed) => sent == printed,
    };
    let is_part = |part: &[Vec<u8>], whole: &[Vec<u8>]| whole.starts_with(part);
    let fields = match request.incomplete.as_deref() {
        None => {
            request.fields.len() == head.fields.len()
                && head.fields.iter().all(|(name, values)| {
                    request.fields.get(name).is_some_and(|printed| unspaced(printed) == unspaced(values))
                })
        }
        Some("length") => request
            .fields
            .iter()
            .all(|(name, values)| head.fields.get(name).is_some_and(|sent| is_part(values, sent))),
        Some(_) => false,
    };
    let is_cut = request.fields.is_empty() && request.incomplete.as_deref() == Some("length");
    let target = request.target == head.target || (is_cut && head.target.starts_with(&request.target));
    request.method == head.method && target && (version || is_cut) && fields
}

/// Returns values with one space for each run of spaces, because a fold may become several.
fn unspaced(values: &[Vec<u8>]) -> Vec<Vec<&[u8]>> {
    values
        .iter()
        .map(|value| value.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).collect())
        .collect()
}

#[test]
fn behind_a_balancer_that_marks_the_syn() -> Result<()> {
    check(Habit::Syn)
}

#[test]
fn behind_a_balancer_that_marks_the_syn_and_early_packets() -> Result<()> {
    check(Habit::SynAndEarly)
}

#[test]
fn behind_a_balancer_that_marks_early_packets() -> Result<()> {
    check(Habit::Early)
}

#[test]
fn behind_a_balancer_that_marks_the_handshake_ack() -> Result<()> {
    check(Habit::HandshakeAck)
}

#[test]
fn behind_a_balancer_that_marks_the_first_data() -> Result<()> {
    check(Habit::FirstData)
}
