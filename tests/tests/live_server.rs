//! The server's socket shows what the client's packets do not: that the server has closed its side, or had read from the
//! connection before.
#![cfg(feature = "kernel")]

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::SocketAddr,
};

use anyhow::{Result, ensure};
use toa_tests::{
    lab::{Lab, marker::Habit},
    peers::client::{Connection, Request},
    process::Signal,
    tool::{json_lines::JsonLines, toa_tc::ToaTc},
    wait,
};

const CLIENT: &str = "203.0.113.9:54321";

/// Asks for something on a connection that the server then closes, and waits for that.
fn ask_last(lab: &mut Lab) -> Result<Connection> {
    let mut connection = lab.connect(Some(CLIENT.parse()?))?;
    connection.ask(Request::get("/last").field("connection", "close"))?;
    let read = connection.stream().read(&mut [0; 1]);
    ensure!(matches!(read, Ok(0)), "not closed: {read:?}");
    Ok(connection)
}

#[test]
fn a_connection_that_the_server_closes_first_is_closed() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let nginx = lab.nginx()?;
    let tool = ToaTc::attach(&lab.server, &["--any", "-o", "json"])?;
    drop(ask_last(&mut lab)?);
    let is_closed = |line: &str| line.contains(r#""state":"closed","reason":"fin""#);
    wait::until("the end of the connection", || Ok(tool.stdout()?.lines().any(is_closed).then_some(())))?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let lines = JsonLines::parse(&output.stdout)?;
    ensure!(!lines.remarks.contains_key("server_closed"), "{:?}", lines.remarks);
    assert_eq!(nginx.stop()?.len(), 1);
    Ok(())
}

#[test]
fn what_comes_after_the_server_has_closed_is_counted_and_not_printed() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let nginx = lab.nginx()?;
    let tool = ToaTc::attach(&lab.server, &["--any", "-o", "json"])?;
    let mut connection = ask_last(&mut lab)?;
    connection.stream().write_all(&Request::get("/too-late").bytes())?;
    // The server resets the connection.
    let read = connection.stream().read(&mut [0; 1]);
    ensure!(
        matches!(&read, Ok(0)) || read.as_ref().is_err_and(|it| it.kind() == ErrorKind::ConnectionReset),
        "{read:?}"
    );
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let lines = JsonLines::parse(&output.stdout)?;
    assert_eq!(lines.remarks.get("server_closed"), Some(&1), "{:?}", lines.remarks);
    ensure!(!output.stdout.contains("too-late"), "{}", output.stdout);
    assert_eq!(nginx.stop()?.len(), 1);
    Ok(())
}

/// What looks like a request, and is a field's value or part of a body.
const FORGED: &str = "GET /forged HTTP/1.1\r\nHost: x\r\n\r\n";

/// Attaches in the middle of a request's head, of which the rest looks like requests, as does the body, a segment each. The
/// balancer marks all segments until it has an answer. Returns what is printed, with a request that follows.
fn join_upload(options: &[&str], client: Option<SocketAddr>, is_chunked: bool) -> Result<JsonLines> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let nginx = lab.nginx()?;
    let mut connection = lab.connect(client)?;
    let body = FORGED.repeat(40);
    let (framing, size, end) = if is_chunked {
        ("Transfer-Encoding: chunked".to_owned(), format!("{:x}\r\n", body.len()), "\r\n0\r\n\r\n")
    } else {
        (format!("Content-Length: {}", body.len()), String::new(), "")
    };
    let mut send = |text: &str| {
        connection.stream().write_all(text.as_bytes())?;
        connection.wait_for_acknowledgment()
    };
    send(&format!("POST /upload HTTP/1.1\r\n{framing}\r\nX: "))?;
    let tool = ToaTc::attach(&lab.server, &[options, &["-o", "json"]].concat())?;
    for text in [FORGED, &size].into_iter().chain([FORGED; 40]).chain([end]) {
        send(text)?;
    }
    connection.read_answers(1)?;
    connection.stream().write_all(&Request::get("/after").bytes())?;
    connection.read_answers(2)?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    output.ledger()?.check()?;
    assert_eq!(nginx.stop()?.len(), 2);
    JsonLines::parse(&output.stdout)
}

#[test]
fn nothing_is_believed_of_a_connection_that_is_joined_within_a_request() -> Result<()> {
    let client = Some(CLIENT.parse()?);
    let any_flow = &["--any-flow", "--server-port", "80"][..];
    for is_chunked in [false, true] {
        for (options, client) in [(&["--any"][..], client), (any_flow, None), (any_flow, client)] {
            let lines = join_upload(options, client, is_chunked)?;
            let requests: Vec<_> = lines.connections.values().flat_map(|it| &it.requests).collect();
            ensure!(requests.iter().any(|it| it.target == b"/after"), "{options:?}: {requests:?}");
            let unmarked = requests.iter().find(|it| !it.marks.contains(&"resynchronized"));
            assert_eq!(unmarked, None, "{options:?} {client:?}");
        }
    }
    Ok(())
}
