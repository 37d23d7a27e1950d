//! What runs before our program at the ingress hook, and can keep packets from it, is said when it comes.
#![cfg(feature = "kernel")]

use anyhow::Result;
use serde_json::json;
use toa_tests::{
    lab::{Lab, chain_end::ChainEnd, marker::Habit, mounts},
    peers::client::Request,
    process::Signal,
    tool::{commands::object, toa_tc::ToaTc},
    wait,
};

const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);

/// Adds a filter of this priority that matches nothing.
fn add_filter(lab: &Lab, priority: &str) -> Result<()> {
    let filter = ["filter", "add", "dev", "web0", "ingress", "protocol", "all", "prio", priority];
    let filter = [&filter[..], &["bpf", "bytecode", "1,6 0 0 0,"]].concat();
    lab.server.namespace.output("tc", &filter).map(drop)
}

fn count(tool: &ToaTc, line: &str) -> Result<usize> {
    Ok(tool.stderr()?.lines().filter(|said| *said == line).count())
}

fn wait_for_line(tool: &ToaTc, line: &str) -> Result<()> {
    wait::until(line, || Ok((count(tool, line)? > 0).then_some(())))
}

/// Lets the tool look at its interfaces again.
fn let_it_look(lab: &Lab, tool: &ToaTc, name: &str) -> Result<()> {
    lab.server.namespace.ip(&["link", "add", name, "type", "veth", "peer", "name", "other"])?;
    wait_for_line(tool, &format!("toa-tc: attached to {name} (tcx, first)"))?;
    lab.server.namespace.ip(&["link", "delete", name])?;
    wait_for_line(tool, &format!("toa-tc: {name} is gone"))
}

#[test]
fn a_program_that_goes_before_ours_is_said_once() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let nginx = lab.nginx()?;
    let tool = ToaTc::attach(&lab.server, &["again*", "--any"])?;
    lab.connect(Some(CLIENT.into()))?.ask(Request::get("/before"))?;
    wait::until("the request", || Ok(tool.stdout()?.contains(" GET /before ").then_some(())))?;

    let stranger = ChainEnd::attach(&lab.server)?;
    let line = |stranger: &ChainEnd| {
        format!(
            "toa-tc: on web0, the program with id {} runs before our program: packets that it does not pass on are \
             not seen",
            stranger.id
        )
    };
    let first = line(&stranger);
    wait_for_line(&tool, &first)?;
    lab.connect(Some(CLIENT.into()))?.ask(Request::get("/during"))?;
    let_it_look(&lab, &tool, "again1")?;
    stranger.detach(&lab.server)?;
    lab.connect(Some(CLIENT.into()))?.ask(Request::get("/after"))?;
    let_it_look(&lab, &tool, "again2")?;
    assert_eq!(count(&tool, &first)?, 1);
    // Another one is another.
    let stranger = ChainEnd::attach(&lab.server)?;
    wait_for_line(&tool, &line(&stranger))?;
    stranger.detach(&lab.server)?;

    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let targets: Vec<_> = output.requests()?.into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/before", "/after"]);
    assert_eq!(output.stderr.matches("runs before our program").count(), 2, "{}", output.stderr);
    assert_eq!(nginx.stop()?.len(), 3);
    output.ledger()?.check()
}

#[test]
fn filters_of_smaller_priority_are_said_at_the_start_and_later() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        lab.server.namespace.output("tc", &["qdisc", "add", "dev", "web0", "clsact"])?;
        add_filter(&lab, "2")?;
        let tool = ToaTc::attach(&lab.server, &["--any", "--netlink"])?;
        let line = |priority: &str| {
            format!(
                "toa-tc: on web0, a netlink filter of priority {priority} (bpf) runs before our program: packets that it \
                 does not pass on are not seen"
            )
        };
        wait_for_line(&tool, &line("2"))?;
        add_filter(&lab, "9")?;
        add_filter(&lab, "1")?;
        wait_for_line(&tool, &line("1"))?;
        let status = object(&lab.server.namespace, &["status", "-o", "json"])?;
        let interface = &status["runs"][0]["interfaces"][0];
        assert_eq!((&interface["mode"], &interface["position"]), (&json!("netlink"), &json!(3)));
        assert_eq!(interface["chain"][0], json!({"id": null, "name": "bpf (priority 1)"}));
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        assert_eq!(output.stderr.matches("runs before our program").count(), 2, "{}", output.stderr);
        Ok(())
    })
}

#[test]
fn another_run_of_ours_is_not_said() -> Result<()> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let first = ToaTc::attach(&lab.server, &["again*", "--any"])?;
    let second = ToaTc::attach(&lab.server, &["--any"])?;
    let_it_look(&lab, &first, "again1")?;
    second.stop(Signal::Interrupt)?.succeeded()?;
    let output = first.stop(Signal::Interrupt)?.succeeded()?;
    assert!(!output.stderr.contains("runs before"), "{}", output.stderr);
    Ok(())
}
