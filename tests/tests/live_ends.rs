//! How a run ends: on which signals, with full rings, and if its outputs have no reader.
#![cfg(feature = "kernel")]

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pipe::fcntl_setpipe_size,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    thread::{CpuSet, sched_getaffinity},
};
use serde_json::Value;
use toa_tests::{
    lab::{Lab, marker::Habit},
    peers::client::{Connection, Request},
    process::{Process, Signal},
    tool::{
        attached,
        toa_tc::{Output, Start, ToaTc},
    },
    wait::{self, PATIENCE},
};

const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);

/// Size of the smallest pipe, in bytes.
const SMALL: usize = 4096;

/// Within this time, a run must have ended whatever happens to its outputs.
const BOUND: Duration = Duration::from_secs(10);

/// How long a write may stand still at the end.
const LONGEST_WRITE: Duration = Duration::from_secs(2);

/// The beginning of the line that says that results are missing.
const BLOCKED: &str = "toa-tc: stdout is blocked: gave up, so some results were ";

fn connect(lab: &mut Lab) -> Result<Connection> {
    lab.connect(Some(CLIENT.into()))
}

/// Sends `count` requests of about a kilobyte.
fn ask(connection: &mut Connection, count: usize) -> Result<()> {
    let note = "x".repeat(900);
    (0..count)
        .try_for_each(|number| connection.ask(Request::get(&format!("/{number}")).field("x-note", &note)))
}

/// Returns the targets of [`ask`].
fn targets(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("/{number}")).collect()
}

fn printed(output: &Output) -> Result<Vec<String>> {
    Ok(output.requests()?.into_iter().map(|request| request.target).collect())
}

/// Returns the targets that were printed as JSON. The last line must be the ledger.
fn printed_objects(output: &Output) -> Result<Vec<String>> {
    let lines: Vec<Value> = output.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let last = lines.last().and_then(|line| line.get("event"));
    ensure!(last.and_then(Value::as_str) == Some("ledger"), "the last line is no ledger: {last:?}");
    let targets = lines.iter().filter_map(|line| line.pointer("/url/original")?.as_str());
    Ok(targets.map(str::to_owned).collect())
}

/// A pipe that holds little, and whose reader does not read.
fn small_pipe() -> Result<(io::PipeReader, io::PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    fcntl_setpipe_size(&writer, SMALL)?;
    Ok((reader, writer))
}

/// Waits until nothing more can be written.
fn wait_until_full(output: impl AsFd) -> Result<()> {
    wait::until("a full output", || {
        let mut descriptors = [PollFd::new(&output, PollFlags::OUT)];
        poll(&mut descriptors, Some(&Timespec::default()))?;
        Ok(descriptors[0].revents().is_empty().then_some(()))
    })
}

/// Fills what is left of a full pipe, in which short lines would still find room.
fn fill(pipe: &impl AsRawFd) -> Result<()> {
    // Opened anew, because whether a write blocks is shared by all copies of a descriptor.
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    let mut rest = File::options().write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    loop {
        match rest.write_all(b".") {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            written => written?,
        }
    }
}

/// Waits for the end within [`BOUND`]. Nothing must be attached then.
fn ends(lab: &Lab, tool: ToaTc) -> Result<Output> {
    let output = tool.wait(BOUND)?;
    assert_eq!(attached::on(&lab.server)?, []);
    Ok(output)
}

/// Returns whether a set of signals in `/proc/PID/status` has this one.
fn has(status: &str, set: &str, signal: i32) -> Result<bool> {
    let line = status.lines().find_map(|line| line.strip_prefix(set)).context("no such set")?;
    Ok(u64::from_str_radix(line.trim_start_matches(':').trim(), 16)? >> (signal - 1) & 1 == 1)
}

#[test]
fn nohup_outlives_its_terminal() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let start = Start { wrapper: &["nohup"], ..Start::default() };
    let mut tool = ToaTc::attach_as(&lab.server, &["--any"], start)?;
    let status = fs::read_to_string(format!("/proc/{}/status", tool.id()))?;
    assert!(has(&status, "SigIgn", libc::SIGHUP)? && !has(&status, "SigCgt", libc::SIGHUP)?, "{status}");
    tool.process().signal(Signal::Hangup)?;
    connect(&mut lab)?.ask(Request::get("/after"))?;
    wait::until("the request to be printed", || {
        ensure!(tool.process().status()?.is_none(), "it ended: {}", tool.stderr()?);
        Ok(tool.stdout()?.contains("GET /after").then_some(()))
    })?;
    let output = tool.stop(Signal::Terminate)?.succeeded()?;
    output.ledger()?.check()?;
    assert_eq!(printed(&output)?, ["/after"]);
    Ok(())
}

#[test]
fn a_background_command_of_a_script_ends_on_an_interrupt() -> Result<()> {
    // Shells let such commands ignore SIGINT.
    let lab = Lab::new(Habit::SynAndEarly)?;
    let wrapper = &["sh", "-c", "trap '' INT; exec \"$0\" \"$@\""];
    let tool = ToaTc::attach_as(&lab.server, &["--any"], Start { wrapper, ..Start::default() })?;
    tool.stop(Signal::Interrupt)?.succeeded()?.ledger()?.check()
}

/// Fills the rings of a run that is stopped, sends it the signals, and passes it to `end`, which must let it continue.
fn end_with_full_rings(
    arguments: &[&str],
    signals: &[Signal],
    count: usize,
    end: impl FnOnce(&mut Process) -> Result<()>,
) -> Result<Output> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let mut tool = ToaTc::attach(&lab.server, &[&["--any"], arguments].concat())?;
    tool.process().signal(Signal::Stop)?;
    ask(&mut connect(&mut lab)?, count)?;
    for signal in signals {
        tool.process().signal(*signal)?;
    }
    end(tool.process())?;
    let output = tool.wait(PATIENCE)?.succeeded()?;
    output.ledger()?.check()?;
    Ok(output)
}

#[test]
fn two_signals_at_once_lose_nothing() -> Result<()> {
    let count = 2000;
    let signals = [Signal::Interrupt, Signal::Terminate];
    let output = end_with_full_rings(&[], &signals, count, |process| process.signal(Signal::Continue))?;
    assert_eq!(printed(&output)?, targets(count), "{}", output.stderr);
    Ok(())
}

#[test]
fn the_signal_of_timeout_which_comes_twice_loses_nothing() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    // It signals its child, and then the process group of both. On one CPU, the tool interrupts it in between.
    let cpus = sched_getaffinity(None)?;
    let cpu = (0..CpuSet::MAX_CPU).find(|cpu| cpus.is_set(*cpu)).context("no CPU")?.to_string();
    let timeout = ["timeout", "--preserve-status", "-s", "INT", "1h"];
    let wrapper = [&["taskset", "-c", &cpu][..], &timeout, &["chrt", "--fifo", "1"]].concat();
    let start = Start { wrapper: &wrapper, ..Start::default() };
    let mut tool = ToaTc::attach_as(&lab.server, &["--any", "-o", "json"], start)?;
    let count = 200;
    ask(&mut connect(&mut lab)?, count)?;
    tool.process().signal(Signal::Alarm)?;
    let output = ends(&lab, tool)?.succeeded()?;
    output.ledger()?.check()?;
    assert_eq!(printed_objects(&output)?, targets(count), "{}", output.stderr);
    Ok(())
}

#[test]
fn full_rings_are_printed_to_a_file_whole_however_long_that_takes() -> Result<()> {
    // Where both CPUs are busy, a turn is longer than it should be, and few must not suffice. One ring may have to hold all.
    let (count, mut end) = (40_000, None);
    let arguments = ["-o", "json", "--ring-size", "64M"];
    let output = end_with_full_rings(&arguments, &[Signal::Interrupt], count, |process| {
        // As on a machine that is busy with other work, so that the end takes longer than a write may stand still.
        let begin = Instant::now();
        while process.status()?.is_none() && begin.elapsed() < 2 * LONGEST_WRITE {
            process.signal(Signal::Continue)?;
            thread::sleep(Duration::from_millis(1));
            process.signal(Signal::Stop)?;
            thread::sleep(Duration::from_millis(250));
        }
        end = Some(begin.elapsed());
        process.signal(Signal::Continue)
    })?;
    ensure!(end > Some(LONGEST_WRITE), "the test shows nothing: it ended after {end:?}");
    assert_eq!(printed_objects(&output)?, targets(count), "{}", output.stderr);
    Ok(())
}

#[test]
fn a_slow_reader_gets_everything() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let (mut reader, writer) = small_pipe()?;
    let full = writer.try_clone()?;
    let mut tool =
        ToaTc::attach_as(&lab.server, &["--any"], Start { stdout: Some(writer.into()), ..Start::default() })?;
    let count = 300;
    ask(&mut connect(&mut lab)?, count)?;
    wait_until_full(&full)?;
    drop(full);
    tool.process().signal(Signal::Interrupt)?;
    // The whole takes several times as long as a write may stand still.
    let mut stdout = Vec::new();
    let mut piece = [0; SMALL];
    loop {
        let len = reader.read(&mut piece)?;
        if len == 0 {
            break;
        }
        stdout.extend(piece.get(..len).context("too much")?);
        thread::sleep(Duration::from_millis(50));
    }
    let output = ends(&lab, tool)?.succeeded()?;
    output.ledger()?.check()?;
    let output = Output { stdout: String::from_utf8(stdout)?, ..output };
    assert_eq!(printed(&output)?, targets(count), "{}", output.stderr);
    Ok(())
}

#[test]
fn a_blocked_pipe_is_given_up_and_everything_is_counted() -> Result<()> {
    for format in ["text", "json"] {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let (mut reader, writer) = small_pipe()?;
        let full = writer.try_clone()?;
        let start = Start { stdout: Some(writer.into()), ..Start::default() };
        let mut tool = ToaTc::attach_as(&lab.server, &["--any", "-o", format], start)?;
        ask(&mut connect(&mut lab)?, 200)?;
        wait_until_full(&full)?;
        drop(full);
        tool.process().signal(Signal::Interrupt)?;
        let output = ends(&lab, tool)?;
        assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
        output.ledger()?.check()?;
        let sentence = "toa-tc: 200 requests of 1 client on 1 connection, not all results were written\n";
        assert!(output.stderr.contains(sentence), "{}", output.stderr);
        let last = output.stderr.lines().last().context("no line")?;
        assert_eq!(last, format!("{BLOCKED}not printed"));
        // Lines are written whole.
        let mut stdout = String::new();
        reader.read_to_string(&mut stdout)?;
        assert!(stdout.ends_with('\n'), "{stdout}");
    }
    Ok(())
}

#[test]
fn a_blocked_terminal_is_given_up_with_the_kernels_half_of_the_ledger() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?.into_string()?;
    let terminal = File::options().read(true).write(true).open(name)?;
    let full = terminal.try_clone()?;
    let start = Start { stdout: Some(terminal.into()), ..Start::default() };
    let mut tool = ToaTc::attach_as(&lab.server, &["--any"], start)?;
    ask(&mut connect(&mut lab)?, 400)?;
    wait_until_full(&full)?;
    tool.process().signal(Signal::Interrupt)?;
    let output = ends(&lab, tool)?;
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
    assert!(output.stderr.contains("\ntoa-tc: packets (after GRO): "), "{}", output.stderr);
    let lines: Vec<_> = output.stderr.lines().rev().take(2).collect();
    let missing = "toa-tc: the counts of requests, connections and gaps are missing";
    assert_eq!(lines, [format!("{BLOCKED}neither printed nor counted"), missing.to_owned()]);
    Ok(())
}

#[test]
fn a_run_ends_even_if_nobody_reads_any_output() -> Result<()> {
    for arguments in
        [&["--any"][..], &["--any", "-o", "json"], &["--any", "-vv"], &["--any", "-o", "json", "-vv"]]
    {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let (reader, writer) = small_pipe()?;
        let full = writer.try_clone()?;
        let outputs = [writer.try_clone()?, writer].map(Stdio::from);
        let [stdout, stderr] = outputs.map(Some);
        let mut tool =
            ToaTc::attach_as(&lab.server, arguments, Start { stdout, stderr, ..Start::default() })?;
        ask(&mut connect(&mut lab)?, 200)?;
        wait_until_full(&full)?;
        fill(&full)?;
        drop(full);
        tool.process().signal(Signal::Interrupt)?;
        let output = ends(&lab, tool).with_context(|| format!("{arguments:?}"))?;
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        drop(reader);
    }
    Ok(())
}

#[test]
fn a_blocked_stderr_keeps_no_result_back() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let (mut reader, writer) = small_pipe()?;
    let full = writer.try_clone()?;
    let start = Start { stderr: Some(writer.into()), ..Start::default() };
    let mut tool = ToaTc::attach_as(&lab.server, &["--any", "-vv"], start)?;
    // Each connection is worth several lines of diagnostics: more than the pipe holds, and what waits before it.
    for _ in 0..100 {
        connect(&mut lab)?.ask(Request::get("/"))?;
    }
    wait_until_full(&full)?;
    wait::until("all requests to be printed", || {
        Ok((tool.stdout()?.matches("GET / HTTP/1.1").count() == 100).then_some(()))
    })?;
    drop(full);
    tool.process().signal(Signal::Interrupt)?;
    let output = ends(&lab, tool)?;
    assert_eq!((output.status.code(), output.requests()?.len()), (Some(1), 100));
    let mut stderr = String::new();
    reader.read_to_string(&mut stderr)?;
    assert!(stderr.contains("toa-tc: debug: "), "{stderr}");
    Ok(())
}

#[test]
fn a_stderr_that_is_read_late_has_the_ledger_and_how_many_lines_are_missing() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let (mut reader, writer) = small_pipe()?;
    let start = Start { stderr: Some(writer.into()), ..Start::default() };
    let mut tool = ToaTc::attach_as(&lab.server, &["--any", "-vv"], start)?;
    // More diagnostics than wait: a mebibyte.
    let mut connections = Vec::new();
    for _ in 0..6000 {
        let mut connection = connect(&mut lab)?;
        connection.ask(Request::get("/"))?;
        connections.push(connection);
        if connections.len() == 50 {
            connections.clear();
        }
    }
    let late = thread::spawn(move || -> Result<String> {
        let mut stderr = String::new();
        reader.read_to_string(&mut stderr)?;
        Ok(stderr)
    });
    tool.process().signal(Signal::Interrupt)?;
    let output = ends(&lab, tool)?;
    let Ok(stderr) = late.join() else { bail!("the reader panicked") };
    let output = Output { stderr: stderr?, ..output }.succeeded()?;
    output.ledger()?.check()?;
    assert_eq!(output.requests()?.len(), 6000);
    let has_notice = output.stderr.lines().any(|line| line.ends_with(" not written: stderr was blocked"));
    assert!(has_notice, "{}", output.stderr.len());
    Ok(())
}

#[test]
fn a_reader_that_goes_is_noticed_without_traffic() -> Result<()> {
    for format in ["text", "json"] {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let mut tool = ToaTc::attach_piped(&lab.server, &["--any", "-o", format])?;
        let pipe: OwnedFd = tool.process().child().stdout.take().context("no pipe")?.into();
        drop(pipe);
        let output = tool.wait(PATIENCE)?.succeeded()?;
        output.ledger()?.check()?;
        assert_eq!(attached::on(&lab.server)?, []);
    }
    Ok(())
}
