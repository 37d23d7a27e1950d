//! What killed runs leave behind is removed, and nothing of others: in 50 rounds each by TCX and by netlink, at random moments
//! under traffic that loses no request.
#![cfg(feature = "kernel")]

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;
use toa_tests::{
    lab::{Lab, marker::Habit, mounts, strangers::Strangers},
    peers::steady,
    process::Signal,
    tool::{
        attached,
        commands::{object, succeed},
        killed::Rounds,
        toa_tc::ToaTc,
    },
};

/// How often a run is killed.
const ROUNDS: u32 = 50;

fn check_rounds(arguments: &[&str]) -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let nginx = lab.nginx()?;
        let device = lab.server.clone();
        let strangers = Strangers::attach(&device, true)?;
        let rounds = Rounds { device: &device, arguments, count: ROUNDS };
        let mut left = 0;
        let answered = steady::during(&mut lab, |progress| {
            left = rounds.run(&strangers, progress)?;
            Ok(())
        })?;
        println!("{left} of {ROUNDS} killed runs had pinned something; {answered} requests were answered");
        assert!(left >= ROUNDS / 2 - 1, "{left} runs were killed after they had begun");
        let served = nginx.stop()?.iter().filter(|logged| logged.status == 200).count();
        assert_eq!(served as u64, answered);
        Ok(())
    })
}

#[test]
fn runs_that_are_killed_at_random_leave_nothing_after_the_next_command_by_tcx() -> Result<()> {
    check_rounds(&["--any"])
}

#[test]
fn runs_that_are_killed_at_random_leave_nothing_after_the_next_command_by_netlink() -> Result<()> {
    check_rounds(&["--any", "--netlink"])
}

#[test]
fn detach_says_what_it_removes_and_leaves_living_runs_alone() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let namespace = &lab.server.namespace;
        let detach = |arguments: &[&str]| -> Result<String> {
            let output = ToaTc::run(namespace, &[&["detach"], arguments].concat())?.succeeded()?;
            assert_eq!(output.stdout, "");
            Ok(output.stderr)
        };
        let nothing = "toa-tc: nothing left by killed runs\n";
        assert_eq!(detach(&[])?, nothing);

        ToaTc::attach(&lab.server, &["--any", "--netlink"])?.stop(Signal::Kill)?;
        // It removes what it finds: the pins, but not the filter, which is in another network namespace.
        let living = ToaTc::attach(&lab.balancer, &["--any", "--netlink"])?;
        let status = object(namespace, &["status", "-o", "json"])?;
        assert_eq!((&status["left_filters"][0]["interface"], &status["swept"]), (&json!("web0"), &json!(0)));
        let text = succeed(namespace, &["status"])?;
        assert!(text.contains("\n1 filter on web0 left by killed runs (toa-tc detach)\n"), "{text}");
        assert_eq!(detach(&["lo"])?, nothing);
        assert_eq!(detach(&["lo", "web0"])?, "toa-tc: removed 1 filter of killed runs from web0\n");
        assert_eq!(attached::filters_on(&lab.server)?, "");
        assert_eq!(detach(&[])?, nothing);

        // What a living run has stays, even where its pins cannot be seen.
        let detach_beside = || -> Result<()> {
            let output = ToaTc::run(&lab.balancer.namespace, &["detach"])?.succeeded()?;
            assert_eq!(output.stderr, nothing);
            assert!(attached::filters_on(&lab.balancer)?.contains(attached::PROGRAM));
            Ok(())
        };
        detach_beside()?;
        mounts::with_bpf_file_system(detach_beside)?;
        succeed(namespace, &["watch", "list"])?;
        living.stop(Signal::Interrupt)?.succeeded()?;
        assert_eq!(attached::filters_on(&lab.balancer)?, "");
        Ok(())
    })
}

#[test]
fn detach_removes_pins_and_says_so() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let namespace = &lab.server.namespace;
        ToaTc::attach(&lab.server, &["--any"])?.stop(Signal::Kill)?;
        let doctor = succeed(namespace, &["doctor"])?;
        assert!(doctor.contains("warn  killed runs: left by them: the pins of 1 run ("), "{doctor}");
        // What a person has put there stays, and is reported.
        let left = mounts::pins()?.into_iter().find(|pin| pin.ends_with("INFO")).context("no pins")?;
        let foreign = left.with_file_name("foreign");
        fs::create_dir(&foreign)?;
        let output = ToaTc::run(namespace, &["detach"])?;
        assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
        assert!(output.stderr.contains("Directory not empty"), "{}", output.stderr);
        assert!(foreign.exists() && !left.exists());
        fs::remove_dir(foreign)?;
        let output = ToaTc::run(namespace, &["detach"])?.succeeded()?;
        assert_eq!(output.stderr, "toa-tc: removed the pins of 1 killed run\n");
        assert_eq!(mounts::pins()?, Vec::<PathBuf>::new());
        Ok(())
    })
}

#[test]
fn detach_from_what_does_not_exist_is_one_line() -> Result<()> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let output = ToaTc::run(&lab.server.namespace, &["detach", "web0", "nosuch0"])?;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        output.stderr.starts_with("toa-tc: no interface nosuch0 in this network namespace (lo, "),
        "{}",
        output.stderr
    );
    Ok(())
}
