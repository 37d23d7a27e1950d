//! What cannot work is refused with a clear message and the right exit code, and leaves nothing behind.
#![cfg(feature = "kernel")]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use toa_tests::{
    lab::{Lab, marker::Habit, mounts},
    process::Signal,
    tool::{
        attached, seccomp,
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
    assert_eq!(mounts::pins()?, Vec::<PathBuf>::new());
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

/// Copies the tool to where every user can reach it.
fn copy_for_everybody(directory: &Path) -> Result<PathBuf> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
    let copy = directory.join("toa-tc");
    // Copied by another process: if a child of another test inherited our writable descriptor, the copy could
    // not be run.
    assert!(std::process::Command::new("cp").arg(toa_tc::binary()?).arg(&copy).status()?.success());
    Ok(copy)
}

#[test]
fn a_user_without_rights() -> Result<()> {
    let directory = tempfile::Builder::new().prefix("toa-copy-").tempdir()?;
    let copy = copy_for_everybody(directory.path())?;
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let arguments = ["attach", "web0", "--any"];
        let output = ToaTc::run_through(&lab.server.namespace, &nobody, &copy, &arguments)?;
        check(&lab, &output, FAILED, "CAP_BPF")
    })
}

#[test]
fn capabilities_of_a_user_namespace() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let run = |arguments: &[&str]| {
            let wrapper = ["unshare", "--user", "--map-root-user"];
            ToaTc::run_through(&lab.server.namespace, &wrapper, &toa_tc::binary()?, arguments)
        };
        check(&lab, &run(&["attach", "web0", "--any"])?, FAILED, "this is a user namespace")?;
        let doctor = run(&["doctor"])?.stdout;
        assert!(doctor.contains("fail  capabilities: this is a user namespace"), "{doctor}");
        Ok(())
    })
}

#[test]
fn without_proc_doctor_tries_what_it_cannot_read() -> Result<()> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let script = "mount -t tmpfs none /proc && exec \"$0\" \"$@\"";
    let wrapper = ["unshare", "--mount", "sh", "-c", script];
    let output = ToaTc::run_through(&lab.server.namespace, &wrapper, &toa_tc::binary()?, &["doctor"])?;
    let line = "ok    perf events: can be opened";
    assert!(output.stdout.contains(line), "{}{}", output.stdout, output.stderr);
    // What fails for want of rights is not taken for a kernel without perf events.
    let script = script.replace("exec", "exec setpriv --reuid=65534 --regid=65534 --clear-groups");
    let directory = tempfile::Builder::new().prefix("toa-copy-").tempdir()?;
    let copy = copy_for_everybody(directory.path())?;
    let wrapper = ["unshare", "--mount", "sh", "-c", &script];
    let output = ToaTc::run_through(&lab.server.namespace, &wrapper, &copy, &["doctor"])?;
    assert!(!output.stdout.contains("perf events: not in this kernel"), "{}", output.stdout);
    Ok(())
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

/// Runs the tool as a user with the capabilities that it needs, who may not lock memory.
fn run_without_locked_memory(lab: &Lab, binary: &Path, ring_size: Option<&str>) -> Result<Output> {
    let capabilities = "+bpf,+net_admin,+perfmon";
    let (inheritable, ambient) =
        (format!("--inh-caps={capabilities}"), format!("--ambient-caps={capabilities}"));
    // No other process has this user, whose perf events share one limit.
    let user = ["--reuid=61234", "--regid=61234", "--clear-groups", &inheritable, &ambient];
    let wrapper = [&["setpriv"][..], &user, &["prlimit", "--memlock=0"]].concat();
    let mut arguments = vec!["attach", "web0", "--any", "--duration", "1s"];
    arguments.extend(ring_size.into_iter().flat_map(|size| ["--ring-size", size]));
    ToaTc::run_through(&lab.server.namespace, &wrapper, binary, &arguments)
}

#[test]
fn rings_that_are_too_large_for_a_user_are_refused_with_a_size_that_fits() -> Result<()> {
    let directory = tempfile::Builder::new().prefix("toa-copy-").tempdir()?;
    let copy = copy_for_everybody(directory.path())?;
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let output = run_without_locked_memory(&lab, &copy, Some("4194304"))?;
        assert_eq!((output.status.code(), output.stdout.as_str()), (Some(FAILED), ""), "{}", output.stderr);
        let last = output.stderr.lines().last().context("it says nothing")?;
        let reason =
            "toa-tc: rings of 4194304 bytes are too large for a user without CAP_IPC_LOCK: try --ring-size ";
        let size =
            last.strip_prefix(reason).and_then(|rest| rest.split(':').next()).context(last.to_owned())?;
        assert_eq!(attached::on(&lab.server)?, []);
        let output = run_without_locked_memory(&lab, &copy, Some(size))?;
        assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
        // It is the largest.
        let twice = (size.parse::<usize>()? * 2).to_string();
        let output = run_without_locked_memory(&lab, &copy, Some(&twice))?;
        assert_eq!(output.status.code(), Some(FAILED), "{}", output.stderr);
        Ok(())
    })
}

#[test]
fn a_ready_file_replaces_nothing_and_waits_for_nothing() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = |name: &str| directory.path().join(name);
    fs::write(path("file"), "content")?;
    symlink("target", path("link"))?;
    rustix::fs::mkfifoat(rustix::fs::CWD, path("fifo"), 0o600.into())?;
    for name in ["file", "link", "fifo"] {
        mounts::with_bpf_file_system(|| {
            let lab = Lab::new(Habit::SynAndEarly)?;
            let path = path(name).display().to_string();
            let output =
                ToaTc::run(&lab.server.namespace, &["attach", "web0", "--any", "--ready-file", &path])?;
            assert_eq!(output.status.code(), Some(FAILED), "{name}: {}", output.stderr);
            let reason = format!("toa-tc: cannot create {path}: File exists (os error 17)");
            assert_eq!(output.stderr.lines().last(), Some(reason.as_str()));
            assert_eq!(attached::on(&lab.server)?, []);
            Ok(())
        })?;
    }
    assert_eq!(fs::read_to_string(path("file"))?, "content");
    assert!(!path("target").exists());
    Ok(())
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
        assert_eq!(mounts::pins()?, Vec::<PathBuf>::new());
        Ok(())
    })
}

#[test]
fn perf_events_that_are_denied_are_said_by_attach_and_doctor_alike() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        // As Debian's and Ubuntu's kernels do for a user without CAP_SYS_ADMIN.
        mounts::with_content("/proc/sys/kernel/perf_event_paranoid", "3\n", || {
            for arguments in [&["attach", "web0", "--any"][..], &["doctor"]] {
                let mut command = lab.server.namespace.command(toa_tc::binary()?);
                command.args(arguments);
                seccomp::refuse(&mut command, libc::SYS_perf_event_open, libc::EACCES)?;
                let output = command.output()?;
                let said = [output.stdout, output.stderr].map(String::from_utf8);
                let [said, errors] = said;
                let said = said? + &errors?;
                assert_eq!(output.status.code(), Some(FAILED), "{said}");
                let lines: Vec<_> = said.lines().filter(|line| line.contains("perf events")).collect();
                assert_eq!(lines.len(), 1, "{said}");
                let reason =
                    "kernel.perf_event_paranoid is 3, which asks for CAP_SYS_ADMIN beside CAP_PERFMON";
                assert!(lines[0].contains(reason) && lines[0].contains("Permission denied"), "{said}");
            }
            assert_eq!(attached::on(&lab.server)?, []);
            Ok(())
        })
    })
}
