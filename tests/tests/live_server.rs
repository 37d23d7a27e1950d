//! The server's socket shows what the client's packets do not: that the server has closed its side.
#![cfg(feature = "kernel")]

use std::io::{ErrorKind, Read as _, Write as _};

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
