//! However a run ends, it exits successfully and leaves nothing behind.
#![cfg(feature = "kernel")]

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use toa_tests::{
    lab::{Lab, marker::Habit, mounts},
    peers::client::{Connection, Request},
    process::Signal,
    tool::{
        attached::{self, PROGRAM},
        toa_tc::{Output, ToaTc},
    },
    wait::PATIENCE,
};

/// Where a run writes its results.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Results {
    File,
    Pipe,
}

/// Attaches with `arguments`, lets `end` end the run, and checks that nothing remains.
fn check(
    arguments: &[&str],
    results: Results,
    end: impl FnOnce(ToaTc, &mut Connection) -> Result<Output> + Send,
) -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let arguments = [&["--any"], arguments].concat();
        let tool = match results {
            Results::File => ToaTc::attach(&lab.server, &arguments)?,
            Results::Pipe => ToaTc::attach_piped(&lab.server, &arguments)?,
        };
        let programs = attached::on(&lab.server)?;
        let names: Vec<_> = programs.iter().map(|program| program.name.as_str()).collect();
        assert_eq!(names, [PROGRAM]);

        let mut connection = lab.connect(Some(SocketAddr::from(([203, 0, 113, 9], 54321))))?;
        let output = end(tool, &mut connection)?;
        assert_eq!(output.status.code(), Some(0), "{}", output.stderr);

        assert_eq!(attached::on(&lab.server)?, []);
        assert_eq!(attached::filters_on(&lab.server)?, "");
        assert_eq!(mounts::pins()?, Vec::<std::path::PathBuf>::new());
        attached::wait_until_gone(&programs)
    })
}

fn ask(connection: &mut Connection) -> Result<()> {
    connection.ask(Request::get("/").field("x-team", "cleanup"))
}

#[test]
fn an_interrupt_ends_a_run() -> Result<()> {
    check(&[], Results::File, |tool, connection| {
        ask(connection)?;
        tool.stop(Signal::Interrupt)
    })
}

#[test]
fn a_hangup_ends_a_run_without_files() -> Result<()> {
    check(&[], Results::File, |tool, connection| {
        ask(connection)?;
        tool.stop(Signal::Hangup)
    })
}

#[test]
fn a_termination_ends_a_run() -> Result<()> {
    check(&[], Results::File, |tool, connection| {
        ask(connection)?;
        tool.stop(Signal::Terminate)
    })
}

#[test]
fn a_count_ends_a_run() -> Result<()> {
    check(&["-c", "3"], Results::File, |tool, connection| {
        for _ in 0..5 {
            ask(connection)?;
        }
        let output = tool.wait(PATIENCE)?;
        assert_eq!(output.requests()?.len(), 3);
        Ok(output)
    })
}

#[test]
fn a_duration_ends_a_run() -> Result<()> {
    let begin = Instant::now();
    check(&["--duration", "2s"], Results::File, |tool, connection| {
        ask(connection)?;
        let output = tool.wait(PATIENCE)?;
        assert_eq!(output.requests()?.len(), 1);
        Ok(output)
    })?;
    assert!(begin.elapsed() >= Duration::from_secs(2));
    Ok(())
}

#[test]
fn a_reader_that_goes_ends_a_run() -> Result<()> {
    check(&[], Results::Pipe, |mut tool, connection| {
        let pipe = tool.process().child().stdout.take().context("no pipe")?;
        ask(connection)?;
        let mut line = String::new();
        let mut reader = BufReader::new(pipe);
        reader.read_line(&mut line)?;
        assert!(line.contains(" GET / HTTP/1.1"), "{line}");
        drop(reader);
        // Without further requests.
        tool.wait(PATIENCE)
    })
}

#[test]
fn a_kill_leaves_no_program_behind() -> Result<()> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let tool = ToaTc::attach(&lab.server, &["--any"])?;
    let programs = attached::on(&lab.server)?;
    assert_eq!(programs.len(), 1);
    tool.stop(Signal::Kill)?;
    attached::wait_until_gone(&programs)?;
    assert_eq!(attached::on(&lab.server)?, []);
    Ok(())
}
