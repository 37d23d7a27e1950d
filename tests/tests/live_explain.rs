//! If nothing has matched, one line says what was seen. Otherwise there is no such line.
#![cfg(feature = "kernel")]

use std::{thread, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use toa_packets::{
    builder::flags::FIN,
    oracle::Segment,
    toa_option::{port_address_option, toa_option},
};
use toa_tests::{
    lab::{Lab, marker::Habit, nginx_address},
    peers::{client::Request, tcpdump::Capture},
    process::Signal,
    tool::toa_tc::ToaTc,
};

const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);

/// How the line continues after the number of TCP packets.
const TIME: &str = " TCP packets in 10 s";

/// Long enough for the line, and for a second one, which must not appear.
const RUN: &str = "11s";
const PATIENCE: Duration = Duration::from_secs(25);

/// The options of a case's clients, what the tool watches, and what it must report.
struct Case {
    name: &'static str,
    watch: &'static [&'static str],
    /// The options of its connections; a connection with `None` is not marked.
    options: Vec<Option<Vec<u8>>>,
    /// How the line continues after the number and time; `None` if there must be no line.
    says: Option<String>,
}

const NO_TOA: &str = ", 0 with TOA 254:8 254:20 253:20 (only the first packets of a connection carry it)";

const UNWATCHED: &str =
    ", 1 with TOA 254:8 254:20 253:20, none of a watched client (for example 203.0.113.9)";

fn cases() -> Vec<Case> {
    let toa = || Some(toa_option(CLIENT.into()));
    let other = || Some(port_address_option(200, CLIENT.into()));
    vec![
        Case {
            name: "no connection",
            watch: &["--any"],
            options: Vec::new(),
            says: Some(" on web0".to_owned()),
        },
        Case { name: "no TOA", watch: &["--any"], options: vec![None], says: Some(NO_TOA.to_owned()) },
        Case {
            name: "an option that is not read",
            watch: &["--any"],
            options: vec![None, other(), other()],
            says: Some(format!("{NO_TOA}; 2 with option 200:8 (")),
        },
        Case {
            name: "other clients",
            watch: &["--ip", "203.0.113.10"],
            options: vec![None, toa()],
            says: Some(format!("{UNWATCHED}\n")),
        },
        Case {
            name: "other clients, and nobody watched",
            watch: &[],
            options: vec![toa(), other()],
            says: Some(format!("{UNWATCHED}; 1 with option 200:8 (")),
        },
        Case { name: "a watched client", watch: &["--any"], options: vec![None, toa()], says: None },
    ]
}

/// Opens the connections of a case, sends requests, and returns the number of incoming TCP packets that
/// tcpdump saw.
fn ask(lab: &mut Lab, options: &[Option<Vec<u8>>]) -> Result<u64> {
    let capture = Capture::start(&lab.server, "tcp")?;
    let mut ports = Vec::new();
    for option in options {
        let bound = lab.bind()?;
        if let Some(option) = option {
            lab.marker.assign(bound.local(), option)?;
        }
        ports.push(bound.local().port());
        bound.connect(nginx_address())?.ask(Request::get("/"))?;
    }
    // A client's last packet acknowledges the server's FIN. It follows the client's own FIN.
    let is_over = |frames: &[Vec<u8>], port: u16| {
        let mut flags = frames
            .iter()
            .filter_map(|frame| Segment::of(frame))
            .filter(|segment| segment.source.port() == port)
            .map(|segment| segment.flags());
        flags.any(|flags| flags & FIN != 0) && flags.next().is_some()
    };
    let frames = capture.stop_when(|frames| ports.iter().all(|port| is_over(frames, *port)))?;
    Ok(u64::try_from(frames.len())?)
}

fn check(case: &Case) -> Result<()> {
    let mut lab = Lab::new(Habit::Syn)?;
    let _nginx = lab.nginx()?;
    let tool = ToaTc::attach(&lab.server, &[case.watch, &["--duration", RUN]].concat())?;
    let packets = if case.options.is_empty() { 0 } else { ask(&mut lab, &case.options)? };
    let output = tool.wait(PATIENCE)?.succeeded()?;
    let lines: Vec<_> = output.stderr.lines().filter(|line| line.contains(" TCP packets in ")).collect();
    match &case.says {
        Some(says) => {
            let [line] = lines[..] else { bail!("not one line: {}", output.stderr) };
            let expected = format!("toa-tc: {packets}{TIME}{says}");
            ensure!(format!("{line}\n").starts_with(&expected), "not {expected:?}: {line}");
            let others = line.matches("option ").count();
            ensure!(others == says.matches("option ").count(), "more options: {line}");
        }
        None => ensure!(lines.is_empty(), "something matched: {}", output.stderr),
    }
    Ok(())
}

/// All cases run concurrently, because each takes as long as the line does to appear.
#[test]
fn one_line_says_why_nothing_matches() -> Result<()> {
    let cases = cases();
    thread::scope(|scope| {
        let running: Vec<_> = cases.iter().map(|case| (case.name, scope.spawn(|| check(case)))).collect();
        for (name, case) in running {
            case.join().map_err(|_| anyhow::anyhow!("{name}: panicked"))?.context(name)?;
        }
        Ok(())
    })
}

#[test]
fn a_short_run_explains_nothing() -> Result<()> {
    let lab = Lab::new(Habit::Syn)?;
    let tool = ToaTc::attach(&lab.server, &["--any"])?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    assert!(!output.stderr.contains(" TCP packets in "), "{}", output.stderr);
    Ok(())
}
