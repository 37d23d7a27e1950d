//! Whether a run lives is the same from every PID, time and mount namespace: a killed one is cleared away from here, and a
//! living one is found and never touched.
#![cfg(feature = "kernel")]

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::json;
use toa_tests::{
    lab::{Lab, marker::Habit, mounts},
    peers::client::Request,
    process::{Signal, children},
    tool::{
        attached,
        commands::{find_nothing, object, succeed},
        toa_tc::{Start, ToaTc, binary},
    },
    wait,
};

const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);

/// Runs a command in a PID namespace of its own, with its own `/proc`.
const PID: &[&str] = &["unshare", "-pf", "--kill-child", "--mount-proc"];
/// The same, but with the `/proc` of the outer one.
const PID_WITH_OUTER_PROC: &[&str] = &["unshare", "-pf", "--kill-child"];
/// Runs a command in a time namespace that has been up for longer.
const TIME: &[&str] = &["unshare", "-T", "--boottime", "1000", "--fork", "--kill-child"];
/// Runs a command without `/proc`.
const NO_PROC: &[&str] =
    &["unshare", "-m", "--propagation", "private", "sh", "-c", "umount -l /proc; exec \"$@\"", "sh"];

const NAMESPACES: [&[&str]; 4] = [PID, PID_WITH_OUTER_PROC, TIME, NO_PROC];

fn attach(lab: &Lab, wrapper: &'static [&'static str], arguments: &[&str]) -> Result<ToaTc> {
    ToaTc::attach_as(&lab.server, arguments, Start { wrapper, ..Start::default() })
        .with_context(|| wrapper.join(" "))
}

/// Checks that each command finds one run from a namespace, and that nothing of it was removed.
fn check_found(lab: &Lab, wrapper: &[&str], attached: &str) -> Result<()> {
    let before = mounts::pins()?;
    let commands: [&[&str]; 6] = [
        &["watch", "list"],
        &["watch", "add", "203.0.113.10"],
        &["flows"],
        &["status"],
        &["detach"],
        &["watch", "remove", "203.0.113.10"],
    ];
    for command in commands {
        let output = ToaTc::run_through(&lab.server.namespace, wrapper, &binary()?, command)?
            .worked()
            .with_context(|| format!("{wrapper:?} {command:?} for a run {attached}"))?;
        assert!(!output.stderr.contains("killed run") || command == ["detach"], "{}", output.stderr);
    }
    assert_eq!(mounts::pins()?, before);
    Ok(())
}

#[test]
fn a_run_that_lives_in_another_namespace_is_found_and_never_touched() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        for outer in [&[][..], PID, PID_WITH_OUTER_PROC, TIME, NO_PROC] {
            let tool = attach(&lab, outer, &["--ip", "203.0.113.9", "--netlink", "-c", "1"])?;
            for inner in [&[][..]].into_iter().chain(NAMESPACES) {
                check_found(&lab, inner, &outer.join(" "))?;
            }
            assert!(attached::filters_on(&lab.server)?.contains(attached::PROGRAM), "{outer:?}");
            lab.connect(Some(CLIENT.into()))?.ask(Request::get("/"))?;
            let output = tool.wait(wait::PATIENCE)?.succeeded()?;
            assert_eq!(output.requests()?.len(), 1, "{}", output.stderr);
            assert_eq!(mounts::pins()?, Vec::<PathBuf>::new());
        }
        Ok(())
    })
}

#[test]
fn a_run_that_was_killed_in_another_namespace_is_cleared_away_from_here() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let namespace = &lab.server.namespace;
        for wrapper in NAMESPACES {
            for arguments in [&["--any"][..], &["--any", "--netlink"]] {
                let tool = attach(&lab, wrapper, arguments)?;
                let child = children(tool.id())?.first().copied();
                tool.stop(Signal::Kill)?;
                if let Some(child) = child {
                    wait::until("the end of the run", || Ok((!is_running(child)).then_some(())))?;
                }
                let output = find_nothing(namespace, &["watch", "add", "203.0.113.9"])?;
                assert!(output.stderr.contains("no toa-tc is attached"), "{}", output.stderr);
                let status = object(namespace, &["status", "-o", "json"])?;
                assert_eq!(status["runs"], json!([]), "{wrapper:?}");
                succeed(namespace, &["detach"])?;
                assert_eq!(mounts::pins()?, Vec::<PathBuf>::new(), "{wrapper:?}");
                assert_eq!(attached::filters_on(&lab.server)?, "", "{wrapper:?}");
            }
        }
        Ok(())
    })
}

fn is_running(id: u32) -> bool {
    std::path::Path::new("/proc").join(id.to_string()).exists()
}
