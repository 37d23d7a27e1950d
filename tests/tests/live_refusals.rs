//! What cannot work is refused with a clear message and the right exit code, and leaves nothing behind.
#![cfg(feature = "kernel")]

use std::{fs, os::unix::fs::PermissionsExt};

use anyhow::{Context, Result};
use toa_tests::{
    lab::{Lab, marker::Habit, mounts},
    process::Signal,
    tool::{
        attached,
        toa_tc::{self, Output, ToaTc},
    },
};

/// Exit code of a failure.
const FAILED: i32 = 1;
/// Exit code of a usage error.
const USAGE: i32 = 2;

/// Checks that `output` is a refusal that names the reason, and that the lab is untouched.
fn check(lab: &Lab, output: &Output, code: i32, reason: &str) -> Result<()> {
    let said = &output.stderr;
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert_eq!(output.stdout, "", "{said}");
    let lines: Vec<_> = said.lines().filter(|line| !line.is_empty()).collect();
    let first = lines.first().context("it says nothing")?;
    assert!(first.contains(reason), "{reason} is missing: {said}");
    assert!(!said.contains("panicked"), "{said}");
    // A usage error also says where to find help.
    assert!(lines.len() == 1 || code == USAGE, "more than one line: {said}");
    assert_eq!(attached::on(&lab.server)?, []);
    assert_eq!(attached::filters_on(&lab.server)?, "");
    assert_eq!(mounts::pins()?, Vec::<std::path::PathBuf>::new());
    Ok(())
}

fn check_arguments(arguments: &[&str], code: i32, reason: &str) -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let output = ToaTc::run(&lab.server.namespace, arguments)?;
        check(&lab, &output, code, reason)
    })
}

#[test]
fn an_unknown_interface() -> Result<()> {
    check_arguments(&["attach", "nosuch0", "--any"], FAILED, "nosuch0")
}

#[test]
fn a_known_and_an_unknown_interface() -> Result<()> {
    check_arguments(&["attach", "web0", "nosuch0", "--any"], FAILED, "nosuch0")
}

#[test]
fn a_wrong_address() -> Result<()> {
    check_arguments(&["attach", "web0", "--ip", "300.1.1.1"], USAGE, "300.1.1.1")
}

#[test]
fn a_host_name() -> Result<()> {
    check_arguments(&["attach", "web0", "--ip", "client.example"], USAGE, "client.example")
}

#[test]
fn a_wrong_port() -> Result<()> {
    check_arguments(&["attach", "web0", "--port", "70000"], USAGE, "70000")
}

#[test]
fn no_interface() -> Result<()> {
    check_arguments(&["attach", "--any"], USAGE, "")
}

#[test]
fn a_user_without_rights() -> Result<()> {
    // A copy where every user can reach it.
    let directory = tempfile::Builder::new().prefix("toa-copy-").tempdir()?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    let copy = directory.path().join("toa-tc");
    // Copied by another process: if a child of another test inherited our writable descriptor, the copy could
    // not be run.
    assert!(std::process::Command::new("cp").arg(toa_tc::binary()?).arg(&copy).status()?.success());
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let arguments = ["attach", "web0", "--any"];
        let output = ToaTc::run_through(&lab.server.namespace, &nobody, &copy, &arguments)?;
        check(&lab, &output, FAILED, "CAP_BPF")
    })
}

#[test]
fn without_a_bpf_file_system_it_works_and_says_what_will_not() -> Result<()> {
    mounts::without_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let tool = ToaTc::attach(&lab.server, &["--any"])?;
        let programs = attached::on(&lab.server)?;
        assert_eq!(programs.len(), 1);
        let mounted = fs::read_to_string(format!("/proc/{}/mounts", tool.id()))?;
        assert!(!mounted.lines().any(|line| line.split(' ').nth(2) == Some("bpf")), "it mounts: {mounted}");
        let output = tool.stop(Signal::Interrupt)?;
        assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
        let lines: Vec<_> = output.stderr.lines().filter(|line| line.contains("BPF file system")).collect();
        assert_eq!(lines.len(), 1, "{}", output.stderr);
        assert!(lines[0].contains("mount -t bpf"), "{}", lines[0]);
        assert_eq!(attached::on(&lab.server)?, []);
        attached::wait_until_gone(&programs)
    })
}

#[test]
fn a_failure_is_printed_with_its_reasons_and_undone() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let arguments = ["attach", "web0", "--any", "--ready-file", "/nonexistent/ready"];
        let output = ToaTc::run(&lab.server.namespace, &arguments)?;
        assert_eq!((output.status.code(), output.stdout.as_str()), (Some(FAILED), ""), "{}", output.stderr);
        let reason = "toa-tc: cannot create /nonexistent/ready: No such file or directory (os error 2)";
        assert_eq!(output.stderr.lines().last(), Some(reason));
        assert_eq!(attached::on(&lab.server)?, []);
        assert_eq!(mounts::pins()?, Vec::<std::path::PathBuf>::new());
        Ok(())
    })
}
