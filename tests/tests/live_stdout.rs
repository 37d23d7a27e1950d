//! How the tool behaves if its results cannot be written.
#![cfg(feature = "kernel")]

use std::{
    fs::{File, OpenOptions},
    io,
    process::Stdio,
};

use anyhow::{Context, Result};
use toa_tests::{
    lab::{Lab, marker::Habit, mounts},
    peers::client::Request,
    process::Process,
    tool::{
        attached,
        toa_tc::{self, ToaTc},
    },
    wait,
};

const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);

/// Opens a file to which every write fails.
fn full() -> Result<File> {
    OpenOptions::new().write(true).open("/dev/full").context("/dev/full")
}

/// Returns a pipe whose reader is closed.
fn closed() -> Result<io::PipeWriter> {
    Ok(io::pipe()?.1)
}

#[test]
fn commands_whose_reader_is_gone_succeed_and_whose_disk_is_full_fail() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let _tool = ToaTc::attach(&lab.server, &["--any"])?;
        let mut connection = lab.connect(Some(CLIENT.into()))?;
        connection.ask(Request::get("/"))?;
        let commands =
            [&["status"][..], &["status", "-o", "json"], &["flows"], &["watch", "list"], &["doctor"]];
        for arguments in commands {
            let run = |stdout: Stdio| -> Result<_> {
                let mut command = lab.server.namespace.command(toa_tc::binary()?);
                Ok(command.args(arguments).stdin(Stdio::null()).stdout(stdout).output()?)
            };
            let output = run(closed()?.into())?;
            assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
            let output = run(full()?.into())?;
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
            let said = String::from_utf8_lossy(&output.stderr);
            let expected = "cannot write to stdout: No space left on device (os error 28)";
            assert!(said.contains(expected) && said.lines().count() == 1, "{arguments:?}: {said}");
        }
        Ok(())
    })
}

/// Runs the tool by a command, whose arguments go before the tool's, until it cannot write any more, and checks what it says.
fn check_end(command: &[&str], arguments: &[&str], stdout: impl Into<Stdio>, reason: &str) -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let directory = tempfile::tempdir()?;
    let (ready_file, stderr) = (directory.path().join("ready"), directory.path().join("stderr"));
    let mut tool = lab.server.namespace.command("env");
    tool.args(command).arg(toa_tc::binary()?).args(["attach", "web0", "--any"]).args(arguments);
    tool.arg("--ready-file").arg(&ready_file);
    tool.stdin(Stdio::null()).stdout(stdout).stderr(File::create(&stderr)?);
    let mut process = Process::new("toa-tc", tool.spawn()?);
    wait::until("toa-tc to attach", || Ok(ready_file.exists().then_some(())))?;
    let mut connection = lab.connect(Some(CLIENT.into()))?;
    let status = wait::until("the end of toa-tc", || {
        connection.ask(Request::get("/"))?;
        process.status()
    })?;
    let said = std::fs::read_to_string(&stderr)?;
    assert_eq!(status.code(), Some(1), "{status}: {said}");
    let sentence = said.lines().find(|line| line.contains(" of 1 client on 1 connection, "));
    assert!(sentence.is_some_and(|line| line.contains(", not all results were written")), "{said}");
    let reason = format!("cannot write to stdout: {reason}");
    assert!(said.lines().last().is_some_and(|line| line.contains(&reason)), "{said}");
    assert_eq!(attached::on(&lab.server)?, []);
    Ok(())
}

#[test]
fn a_run_whose_disk_is_full_ends_with_its_ledger_and_exit_code_1() -> Result<()> {
    ["text", "json"].into_iter().try_for_each(|format| {
        check_end(&[], &["-o", format], full()?, "No space left on device (os error 28)")
    })
}

#[test]
fn a_run_whose_file_may_not_grow_ends_with_its_ledger_and_exit_code_1() -> Result<()> {
    let file = tempfile::tempfile()?;
    check_end(&["prlimit", "--fsize=4096"], &[], file.try_clone()?, "File too large (os error 27)")?;
    assert_eq!(file.metadata()?.len(), 4096);
    Ok(())
}
