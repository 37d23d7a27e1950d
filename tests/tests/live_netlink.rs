//! A run that is attached as a netlink filter, which nothing in the kernel ties to its process, leaves nothing behind,
//! and removes nothing of others.
#![cfg(feature = "kernel")]

use anyhow::Result;
use serde_json::json;
use toa_tests::{
    lab::{Lab, marker::Habit, mounts},
    peers::client::Request,
    process::Signal,
    tool::{
        attached::{self, PROGRAM},
        commands::{object, succeed},
        toa_tc::{ToaTc, binary},
    },
    wait::{self, PATIENCE},
};

const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);
const ARGUMENTS: [&str; 2] = ["--any", "--netlink"];
const REMOVED: &str = "toa-tc: somebody has removed our filter from web0: nothing is read there";

/// Returns how many filters of toa-tc are on the server's device.
fn filters(lab: &Lab) -> Result<usize> {
    Ok(attached::filters_on(&lab.server)?.lines().filter(|line| line.contains(PROGRAM)).count())
}

fn tc(lab: &Lab, arguments: &[&str]) -> Result<String> {
    lab.server.namespace.output("tc", arguments)
}

/// Removes all filters of the server's device, as network managers do, and lets others be added.
fn replace_qdisc(lab: &Lab) -> Result<()> {
    tc(lab, &["qdisc", "del", "dev", "web0", "clsact"])?;
    tc(lab, &["qdisc", "add", "dev", "web0", "clsact"]).map(drop)
}

/// Adds a filter at our priority that matches nothing.
fn add_foreign(lab: &Lab, protocol: &str) -> Result<()> {
    let filter = ["filter", "add", "dev", "web0", "ingress", "protocol", protocol, "prio", "7"];
    tc(lab, &[&filter[..], &["bpf", "bytecode", "1,6 0 0 0,"]].concat()).map(drop)
}

fn wait_for_line(tool: &ToaTc, line: &str) -> Result<()> {
    wait::until(line, || Ok(tool.stderr()?.lines().any(|said| said == line).then_some(())))
}

#[test]
fn a_run_by_netlink_prints_and_leaves_nothing() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let tool = ToaTc::attach(&lab.server, &ARGUMENTS)?;
        assert_eq!((attached::on(&lab.server)?.len(), filters(&lab)?), (0, 1));
        let status = object(&lab.server.namespace, &["status", "-o", "json"])?;
        assert_eq!(status["runs"][0]["interfaces"][0]["mode"], "netlink");
        assert_eq!(status["left_filters"], json!([]));
        lab.connect(Some(CLIENT.into()))?.ask(Request::get("/"))?;
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        assert_eq!(output.requests()?.len(), 1, "{}", output.stderr);
        assert!(output.stderr.contains("attached to web0 (netlink), "), "{}", output.stderr);
        assert!(!output.stderr.contains(REMOVED), "{}", output.stderr);
        assert_eq!(attached::filters_on(&lab.server)?, "");
        output.ledger()?.check()
    })
}

#[test]
fn filters_of_killed_runs_are_told_by_status_and_removed_by_attach() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let namespace = &lab.server.namespace;
        for _ in 0..3 {
            ToaTc::attach(&lab.server, &ARGUMENTS)?.stop(Signal::Kill)?;
            assert_eq!(filters(&lab)?, 1);
            let doctor = succeed(namespace, &["doctor"])?;
            assert!(
                doctor.contains("warn  killed runs: left by them: 1 filter on web0, the pins of 1 run ("),
                "{doctor}"
            );
        }
        let tool = ToaTc::attach(&lab.server, &ARGUMENTS)?;
        wait_for_line(&tool, "toa-tc: removed 1 filter of killed runs from web0")?;
        assert_eq!(filters(&lab)?, 1);
        // A run that lives is no leftover.
        let doctor = succeed(namespace, &["doctor"])?;
        assert!(doctor.contains("ok    killed runs: nothing left by them"), "{doctor}");
        tool.stop(Signal::Kill)?;
        // Commands that only show something change nothing in the path of packets.
        for _ in 0..2 {
            let status = object(namespace, &["status", "-o", "json"])?;
            let left = &status["left_filters"];
            assert_eq!((left.as_array().map(Vec::len), &status["runs"]), (Some(1), &json!([])));
            assert_eq!((&left[0]["interface"], &left[0]["priority"]), (&json!("web0"), &json!(7)));
            assert_eq!(filters(&lab)?, 1);
        }
        Ok(())
    })
}

#[test]
fn a_run_that_lives_keeps_its_filter_even_if_its_pins_cannot_be_seen() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let hidden = ToaTc::attach(&lab.server, &ARGUMENTS)?;
        mounts::with_bpf_file_system(|| {
            let namespace = &lab.server.namespace;
            assert_eq!(object(namespace, &["status", "-o", "json"])?["left_filters"], json!([]));
            let other = ToaTc::attach(&lab.server, &ARGUMENTS)?;
            assert_eq!(filters(&lab)?, 2);
            other.stop(Signal::Interrupt)?.succeeded()?;
            assert_eq!(filters(&lab)?, 1);
            Ok(())
        })?;
        lab.connect(Some(CLIENT.into()))?.ask(Request::get("/"))?;
        assert_eq!(hidden.stop(Signal::Interrupt)?.succeeded()?.requests()?.len(), 1);
        Ok(())
    })
}

#[test]
fn a_filter_that_somebody_removes_ends_the_run_with_a_line_and_exit_code_1() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let tool = ToaTc::attach(&lab.server, &ARGUMENTS)?;
    lab.connect(Some(CLIENT.into()))?.ask(Request::get("/"))?;
    wait::until("the request", || Ok(tool.stdout()?.contains(" GET / ").then_some(())))?;
    tc(&lab, &["qdisc", "del", "dev", "web0", "clsact"])?;
    let output = tool.wait(PATIENCE)?;
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
    for line in [REMOVED, "toa-tc: no interface is left"] {
        assert_eq!(output.stderr.lines().filter(|said| *said == line).count(), 1, "{}", output.stderr);
    }
    output.ledger()?.check()
}

#[test]
fn a_run_whose_filter_is_gone_removes_none_of_others() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    // A stranger's filter in the place of ours.
    let tool = ToaTc::attach(&lab.server, &ARGUMENTS)?;
    replace_qdisc(&lab)?;
    add_foreign(&lab, "all")?;
    let foreign = attached::filters_on(&lab.server)?;
    assert!(foreign.contains("pref 7"), "{foreign}");
    wait_for_line(&tool, REMOVED)?;
    assert_eq!(tool.wait(PATIENCE)?.status.code(), Some(1));
    assert_eq!(attached::filters_on(&lab.server)?, foreign);

    // Another run's.
    replace_qdisc(&lab)?;
    let first = ToaTc::attach(&lab.server, &ARGUMENTS)?;
    replace_qdisc(&lab)?;
    let second = ToaTc::attach(&lab.server, &ARGUMENTS)?;
    assert_eq!(first.wait(PATIENCE)?.status.code(), Some(1));
    lab.connect(Some(CLIENT.into()))?.ask(Request::get("/"))?;
    let output = second.stop(Signal::Interrupt)?.succeeded()?;
    assert_eq!(output.requests()?.len(), 1, "{}", output.stderr);
    Ok(())
}

#[test]
fn what_keeps_a_filter_from_being_added_is_one_clear_line() -> Result<()> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let arguments = [&["attach", "web0"][..], &ARGUMENTS].concat();
    tc(&lab, &["qdisc", "add", "dev", "web0", "clsact"])?;
    add_foreign(&lab, "ip")?;
    let foreign = attached::filters_on(&lab.server)?;
    let output = ToaTc::run(&lab.server.namespace, &arguments)?;
    let line = "toa-tc: cannot attach to web0: priority 7 of its ingress filters is taken by one that ours cannot stand \
                beside: bpf, protocol 0x0800 (see tc filter show dev web0 ingress)";
    assert_eq!((output.status.code(), output.stderr.lines().last()), (Some(1), Some(line)));
    assert_eq!(attached::filters_on(&lab.server)?, foreign);

    tc(&lab, &["qdisc", "del", "dev", "web0", "clsact"])?;
    tc(&lab, &["qdisc", "add", "dev", "web0", "ingress_block", "7", "clsact"])?;
    let output = ToaTc::run(&lab.server.namespace, &arguments)?;
    assert_eq!(output.status.code(), Some(1));
    let said = output.stderr.lines().last().unwrap_or_default();
    assert!(said.contains("web0: it shares its ingress filters with other interfaces"), "{said}");
    Ok(())
}

#[test]
fn filters_of_the_same_priority_for_all_packets_stay_side_by_side() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    tc(&lab, &["qdisc", "add", "dev", "web0", "clsact"])?;
    add_foreign(&lab, "all")?;
    let foreign = attached::filters_on(&lab.server)?;
    let tool = ToaTc::attach(&lab.server, &ARGUMENTS)?;
    lab.connect(Some(CLIENT.into()))?.ask(Request::get("/"))?;
    assert_eq!(tool.stop(Signal::Interrupt)?.succeeded()?.requests()?.len(), 1);
    assert_eq!(attached::filters_on(&lab.server)?, foreign);
    Ok(())
}

#[test]
fn doctor_lists_filters_that_come_before_ours() -> Result<()> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    tc(&lab, &["qdisc", "add", "dev", "web0", "clsact"])?;
    add_foreign(&lab, "all")?;
    let filter = ["filter", "add", "dev", "web0", "ingress", "protocol", "all", "prio", "1"];
    tc(&lab, &[&filter[..], &["bpf", "bytecode", "1,6 0 0 0,"]].concat())?;
    let line = "ingress filters: web0: before a netlink filter of toa-tc: bpf (priority 1) (";
    let doctor = succeed(&lab.server.namespace, &["doctor"])?;
    assert!(doctor.contains(&format!("ok    {line}only attach --netlink")), "{doctor}");
    assert_eq!(doctor.matches("ingress filters").count(), 1, "{doctor}");
    // Without TCX, they hide packets from every run.
    let old = ["setarch", "--uname-2.6"];
    let doctor = ToaTc::run_through(&lab.server.namespace, &old, &binary()?, &["doctor"])?.stdout;
    assert!(doctor.contains("no TCX, so no chain"), "{doctor}");
    assert!(doctor.contains(&format!("warn  {line}packets that they drop, accept or redirect")), "{doctor}");
    Ok(())
}
