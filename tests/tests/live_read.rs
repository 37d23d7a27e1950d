//! `toa-tc read` finds in a capture what `toa-tc attach` finds on the wire.
#![cfg(feature = "kernel")]

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use toa_tests::{
    lab::{Lab, marker::Habit},
    peers::{client::Request, tcpdump::Capture},
    process::{Process, Signal},
    tool::{
        printed,
        toa_tc::{self, ToaTc},
    },
};

const CLIENT: &str = "203.0.113.9:54321";
const OTHER: &str = "198.51.100.7:1000";

/// Sends requests on connections of both clients and on an unmarked one. Returns the port of the connection
/// that ends last.
fn ask(lab: &mut Lab) -> Result<u16> {
    let mut last = 0;
    for (number, client) in [Some(OTHER), None, Some(CLIENT)].into_iter().enumerate() {
        let mut connection = lab.connect(client.map(str::parse).transpose()?)?;
        for request in 0..3 {
            let target = format!("/{number}/{request}");
            connection.ask(Request::post(&target, 5000 * request).field("x-request-id", &target))?;
        }
        last = connection.local().port();
    }
    Ok(last)
}

#[test]
fn a_capture_has_the_requests_that_attach_prints() -> Result<()> {
    for habit in Habit::ALL {
        let mut lab = Lab::new(habit)?;
        let _nginx = lab.nginx()?;
        for rules in [&["--ip", "203.0.113.9"][..], &["--any"]] {
            let tool = ToaTc::attach(&lab.server, rules)?;
            let capture = Capture::start_both_ways(&lab.server, "tcp")?;
            let port = ask(&mut lab)?;
            let file = capture.file_at_end_of(port)?;
            let attached = tool.stop(Signal::Interrupt)?.succeeded()?;
            let path = file.path().to_str().context("a path that is no text")?;
            let read = ToaTc::run(&lab.server.namespace, &[&["read", path], rules].concat())?.succeeded()?;
            let rows = |output: &toa_tc::Output| -> Result<Vec<_>> {
                Ok(output.requests()?.iter().map(printed::Printed::row).collect())
            };
            // The rings of two CPUs are read in turn, which may reorder the requests of different
            // connections.
            let (mut from_file, mut printed) = (rows(&read)?, rows(&attached)?);
            from_file.sort_unstable();
            printed.sort_unstable();
            ensure!(from_file == printed, "{habit:?}: {} {}", read.stdout, attached.stdout);
            ensure!(rows(&read)?.len() == if rules.len() == 1 { 6 } else { 3 }, "{habit:?}: {}", read.stdout);
            read.ledger()?.check().with_context(|| format!("{habit:?}: {}", read.stderr))?;
        }
    }
    Ok(())
}

#[test]
fn a_request_is_printed_while_tcpdump_goes_on() -> Result<()> {
    // With `FirstData`, nothing before the first data names the client, and the connection's start may be
    // missing.
    for habit in [Habit::Syn, Habit::FirstData] {
        let mut lab = Lab::new(habit)?;
        let _nginx = lab.nginx()?;
        let namespace = &lab.server.namespace;
        let mut tcpdump = namespace.command("tcpdump");
        // Without it, tcpdump itself holds packets back for up to a second.
        tcpdump.args(["--immediate-mode", "-n", "-U", "-Z", "root", "-i", "web0", "-w", "-", "tcp"]);
        tcpdump.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut tcpdump = Process::new("tcpdump", tcpdump.spawn()?);
        let said = BufReader::new(tcpdump.child().stderr.take().context("no stderr")?).lines();
        let mut said = said.map_while(Result::ok);
        ensure!(said.any(|line| line.contains("listening on")), "tcpdump does not listen");
        let mut tool = namespace.command(toa_tc::binary()?);
        tool.args(["read", "-", "--any"]).stdin(tcpdump.child().stdout.take().context("no stdout")?);
        let mut tool = Process::new("toa-tc", tool.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?);
        let mut lines = BufReader::new(tool.child().stdout.take().context("no stdout")?).lines();

        let mut connection = lab.connect(Some(CLIENT.parse()?))?;
        connection.ask(Request::get("/now"))?;
        let line = lines.next().context("the end")??;
        ensure!(line.contains(&format!(" {CLIENT} > ")) && line.ends_with(" GET /now HTTP/1.1"), "{line}");
    }
    Ok(())
}
