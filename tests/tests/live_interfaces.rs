//! A run reads all of its interfaces, reports what happens to them, and reads those that appear later or come back.
#![cfg(feature = "kernel")]

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{
        Lab,
        marker::Habit,
        mounts,
        netns::Namespace,
        nginx_address,
        veth::{self, Device},
    },
    peers::{
        client::{Bound, Connection, Request},
        nginx,
    },
    process::Signal,
    tool::{
        attached,
        commands::{object, succeed},
        toa_tc::{Output, ToaTc},
    },
    wait,
};

const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);
/// The addresses of the second veth pair.
const SECOND: [[u8; 4]; 2] = [[10, 9, 1, 1], [10, 9, 1, 2]];

/// Adds a second veth pair between balancer and server, and returns the server's device.
fn second_cable(lab: &Lab) -> Result<Device> {
    let (near, far) = veth::pair((&lab.balancer.namespace, "lb1"), (&lab.server.namespace, "web1"), 1500)?;
    for (device, address) in [&near, &far].into_iter().zip(SECOND) {
        device.add_address(address.into(), 24)?;
    }
    Ok(far)
}

/// Opens a marked connection over the second veth pair.
fn connect_over_second(lab: &mut Lab) -> Result<Connection> {
    let [near, far] = SECOND;
    let bound = Bound::new(&lab.balancer.namespace, (near, 0).into())?;
    lab.marker.assign(bound.local(), &toa_option(CLIENT.into()))?;
    bound.connect((far, nginx::PORT).into())
}

fn remove(device: &Device) -> Result<()> {
    device.namespace.ip(&["link", "delete", &device.name]).map(drop)
}

fn wait_for_line(tool: &ToaTc, line: &str) -> Result<()> {
    wait::until(line, || Ok(tool.stderr()?.lines().any(|said| said == line).then_some(())))
}

fn asked(output: &Output) -> Result<Vec<(SocketAddr, String)>> {
    Ok(output.requests()?.into_iter().map(|request| (request.server, request.target)).collect())
}

#[test]
fn all_interfaces_of_a_run_are_read_and_one_that_goes_is_said() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let second = second_cable(&lab)?;
    let _nginx = lab.nginx()?;
    let tool = ToaTc::attach(&lab.server, &["web1", "--any"])?;
    assert_eq!((attached::on(&lab.server)?.len(), attached::on(&second)?.len()), (1, 1));
    lab.connect(Some(CLIENT.into()))?.ask(Request::get("/first"))?;
    connect_over_second(&mut lab)?.ask(Request::get("/second"))?;
    wait::until("both requests", || Ok((tool.stdout()?.matches(" GET /").count() == 2).then_some(())))?;

    remove(&second)?;
    wait_for_line(&tool, "toa-tc: web1 is gone")?;
    lab.connect(Some(CLIENT.into()))?.ask(Request::get("/third"))?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let interfaces: Vec<_> = output.requests()?.into_iter().filter_map(|request| request.interface).collect();
    assert_eq!(interfaces, ["web0", "web1", "web0"], "{}", output.stdout);
    let mut found = asked(&output)?;
    found.sort();
    let second: SocketAddr = (SECOND[1], nginx::PORT).into();
    let first = nginx_address();
    let row = |server: SocketAddr, target: &str| (server, target.to_owned());
    assert_eq!(found, [row(first, "/first"), row(first, "/third"), row(second, "/second")]);
    assert_eq!(output.stderr.matches(" is gone").count(), 1, "{}", output.stderr);
    output.ledger()?.check()
}

#[test]
fn a_run_whose_interfaces_are_all_gone_waits_for_them() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let second = second_cable(&lab)?;
        let _nginx = lab.nginx()?;
        let tool = ToaTc::attach(&lab.server, &["web1", "--any"])?;
        let programs = attached::on(&lab.server)?;
        lab.connect(Some(CLIENT.into()))?.ask(Request::get("/"))?;
        remove(&second)?;
        remove(&lab.server)?;
        wait_for_line(&tool, "toa-tc: attached to no interface now: waiting for web0, web1")?;
        let namespace = &lab.server.namespace;
        assert_eq!(object(namespace, &["status", "-o", "json"])?["runs"][0]["interfaces"], json!([]));

        // One comes back under its name, and is read again.
        let second = second_cable(&lab)?;
        wait_for_line(&tool, "toa-tc: attached to web1 (tcx, first)")?;
        connect_over_second(&mut lab)?.ask(Request::get("/again"))?;
        wait::until("the request", || Ok(tool.stdout()?.contains(" GET /again ").then_some(())))?;
        let now = attached::on(&second)?;
        assert_eq!(now, programs, "loaded again");

        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        for line in ["toa-tc: web0 is gone", "toa-tc: web1 is gone", "toa-tc: attached to web1 (tcx, first)"]
        {
            assert_eq!(output.stderr.lines().filter(|said| *said == line).count(), 1, "{}", output.stderr);
        }
        let second: SocketAddr = (SECOND[1], nginx::PORT).into();
        assert_eq!(asked(&output)?, [(nginx_address(), "/".to_owned()), (second, "/again".to_owned())]);
        output.ledger()?.check()?;
        assert_eq!(mounts::pins()?, Vec::<std::path::PathBuf>::new());
        attached::wait_until_gone(&programs)
    })
}

#[test]
fn an_interface_that_is_named_twice_is_one() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let _nginx = lab.nginx()?;
    let tool = ToaTc::attach(&lab.server, &["web0", "--any"])?;
    assert_eq!(attached::on(&lab.server)?.len(), 1);
    lab.connect(Some(CLIENT.into()))?.ask(Request::get("/once"))?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    assert_eq!(asked(&output)?, [(nginx_address(), "/once".to_owned())]);
    Ok(())
}

#[test]
fn an_interface_that_is_renamed_is_followed_under_its_new_name() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let _nginx = lab.nginx()?;
        let tool = ToaTc::attach(&lab.server, &["--any", "-o", "json"])?;
        let namespace = &lab.server.namespace.clone();
        lab.connect(Some(CLIENT.into()))?.ask(Request::get("/before"))?;
        wait::until("a request", || Ok(tool.stdout()?.contains("/before").then_some(())))?;
        // Before Linux 6.2, a device must be down to be renamed.
        for change in [&["web0", "down"][..], &["web0", "name", "other0"], &["other0", "up"]] {
            namespace.ip(&[&["link", "set"], change].concat())?;
        }
        wait_for_line(&tool, "toa-tc: web0 is called other0 now")?;
        wait::until("status to know the new name", || {
            let status = object(namespace, &["status", "-o", "json"])?;
            Ok((status["runs"][0]["interfaces"][0]["name"] == "other0").then_some(()))
        })?;
        // The run is found by its new name.
        succeed(namespace, &["watch", "list", "--iface", "other0"])?;
        let old = ToaTc::run(namespace, &["watch", "list", "--iface", "web0"])?;
        assert_eq!(old.stderr, "toa-tc: no toa-tc is attached to web0, but to other0\n");
        lab.connect(Some(CLIENT.into()))?.ask(Request::get("/after"))?;
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        let requests: Vec<Value> = output
            .stdout
            .lines()
            .map(serde_json::from_str)
            .filter(|line: &Result<Value, _>| line.as_ref().map_or(true, |line| line["event"] == "request"))
            .collect::<Result<_, _>>()?;
        let found: Vec<_> = requests
            .iter()
            .map(|line| (line["url"]["path"].as_str(), line["network"]["interface"]["name"].as_str()))
            .collect();
        assert_eq!(found, [(Some("/before"), Some("web0")), (Some("/after"), Some("other0"))]);
        assert!(!output.stderr.contains("is gone"), "{}", output.stderr);
        Ok(())
    })
}

#[test]
fn interfaces_of_a_pattern_are_read_whenever_they_appear() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let namespace = &lab.server.namespace.clone();
        let _nginx = lab.nginx()?;
        // `web0` is there, the others appear later.
        let tool = ToaTc::attach(&lab.server, &["web*", "--any"])?;
        let programs = attached::on(&lab.server)?;
        lab.connect(Some(CLIENT.into()))?.ask(Request::get("/first"))?;
        let second = second_cable(&lab)?;
        wait_for_line(&tool, "toa-tc: attached to web1 (tcx, first)")?;
        connect_over_second(&mut lab)?.ask(Request::get("/second"))?;
        wait::until("both requests", || Ok((tool.stdout()?.matches(" GET /").count() == 2).then_some(())))?;
        for number in 10..30 {
            let (web, peer) = (format!("web{number}"), format!("peer{number}"));
            namespace.ip(&["link", "add", &web, "type", "veth", "peer", "name", &peer])?;
        }
        let attached_to = |count: usize| {
            wait::until("the interfaces in status", || {
                let status = object(namespace, &["status", "-o", "json"])?;
                let interfaces = status["runs"][0]["interfaces"].as_array().context("no interfaces")?;
                Ok((interfaces.len() == count).then_some(()))
            })
        };
        attached_to(22)?;
        // A veth that gets a name of the pattern counts, too, and those that are removed do not.
        namespace.ip(&["link", "set", "peer29", "name", "web99"])?;
        wait_for_line(&tool, "toa-tc: attached to web99 (tcx, first)")?;
        for number in 10..29 {
            namespace.ip(&["link", "delete", &format!("web{number}")])?;
        }
        attached_to(4)?;
        assert_eq!(attached::on(&second)?, programs, "loaded again");
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        for number in 10..29 {
            for line in [format!("attached to web{number} (tcx, first)"), format!("web{number} is gone")] {
                let line = format!("toa-tc: {line}");
                assert_eq!(
                    output.stderr.lines().filter(|said| **said == line).count(),
                    1,
                    "{}",
                    output.stderr
                );
            }
        }
        assert!(!output.stderr.contains("attached to peer"), "{}", output.stderr);
        assert_eq!(asked(&output)?.len(), 2);
        output.ledger()?.check()?;
        attached::wait_until_gone(&programs)
    })
}

#[test]
fn a_pattern_of_more_than_64_interfaces_leaves_some_out() -> Result<()> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let namespace = &lab.server.namespace;
    for pair in 0..33 {
        let (one, other) = (format!("e{pair}"), format!("f{pair}"));
        namespace.ip(&["link", "add", &one, "type", "veth", "peer", "name", &other])?;
    }
    let tool = ToaTc::attach(&lab.server, &["[ef]*", "--any"])?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    assert_eq!(output.stderr.matches("attached to ").count(), 64 + 3, "{}", output.stderr);
    let left_out = "at most 64 interfaces are possible";
    assert_eq!(output.stderr.matches(left_out).count(), 3, "{}", output.stderr);
    Ok(())
}

#[test]
fn an_interface_that_moves_to_another_namespace_is_gone() -> Result<()> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let second = second_cable(&lab)?;
    let tool = ToaTc::attach(&lab.server, &["web1", "--any"])?;
    let elsewhere = Namespace::new()?;
    let path = elsewhere.path();
    let path = path.to_str().context("a path that is no text")?;
    second.namespace.ip(&["link", "set", &second.name, "netns", path])?;
    wait_for_line(&tool, "toa-tc: web1 is gone")?;
    // The kernel leaves the program attached to the moved device.
    let moved = Device { namespace: elsewhere, ..second };
    wait::until("toa-tc to detach", || Ok(attached::on(&moved)?.is_empty().then_some(())))?;
    // When it comes back, it is read again.
    let home = lab.server.namespace.path();
    moved.namespace.ip(&["link", "set", &moved.name, "netns", home.to_str().context("no text")?])?;
    wait_for_line(&tool, "toa-tc: attached to web1 (tcx, first)")?;
    tool.stop(Signal::Interrupt)?.succeeded().map(drop)
}

#[test]
fn a_port_and_its_bridge_are_told_apart_and_print_a_request_once() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let namespace = lab.server.namespace.clone();
    for arguments in [
        &["link", "add", "br0", "type", "bridge"][..],
        &["link", "set", "web0", "master", "br0"],
        &["address", "delete", "10.9.0.2/24", "dev", "web0"],
        &["address", "add", "10.9.0.2/24", "dev", "br0"],
        &["link", "set", "br0", "up"],
    ] {
        namespace.ip(arguments)?;
    }
    let _nginx = lab.nginx()?;
    let port = ToaTc::attach(&lab.server, &["--any"])?;
    let both = ToaTc::attach(&lab.server, &["br0", "--any"])?;
    lab.connect(Some(CLIENT.into()))?.ask(Request::get("/"))?;
    wait_for_line(
        &port,
        "toa-tc: web0 is a port of br0: for what arrives on its other ports, attach to br0",
    )?;
    wait_for_line(
        &both,
        "toa-tc: web0 and br0 see the same packets: what passes both is printed once, but counts twice",
    )?;
    for (tool, is_elsewhere) in [(port, false), (both, true)] {
        let output = tool.stop(Signal::Interrupt)?.succeeded()?;
        let elsewhere = " on another interface or VLAN than the connection's first packet";
        assert_eq!(output.stderr.contains(elsewhere), is_elsewhere, "{}", output.stderr);
        assert_eq!(asked(&output)?, [(nginx_address(), "/".to_owned())], "{}", output.stderr);
        output.ledger()?.check()?;
    }
    Ok(())
}

#[test]
fn a_mistyped_interface_is_answered_with_those_that_exist() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let lab = Lab::new(Habit::SynAndEarly)?;
        let namespace = &lab.server.namespace;
        let said = |arguments: &[&str]| ToaTc::run(namespace, arguments).map(|output| output.stderr);
        let there = "in this network namespace (lo, web0): ";
        for (name, answer) in [("wbe0", "did you mean web0?"), ("any", "for every interface, give '*'")] {
            let expected = format!("toa-tc: no interface {name} {there}{answer}\n");
            assert_eq!(said(&["attach", name, "--any"])?, expected);
        }
        let force = said(&["attach", "web0", "--existing", "force", "--any"])?;
        assert!(force.ends_with(": did you mean --existing=force?\n"), "{force}");
        let tool = ToaTc::attach(&lab.server, &["--any"])?;
        let expected = "toa-tc: no toa-tc is attached to wbe0, but to web0: did you mean web0?\n";
        assert_eq!(said(&["watch", "ls", "--iface", "wbe0"])?, expected);
        tool.stop(Signal::Interrupt)?.succeeded()?;
        Ok(())
    })
}

#[test]
fn interfaces_are_listed_with_their_addresses() -> Result<()> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let output = ToaTc::run(&lab.server.namespace, &["attach", "-D"])?.succeeded()?;
    let cells = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let rows: Vec<_> = output.stdout.lines().map(cells).collect();
    let web0 = rows.iter().find(|row| row[0] == "web0").context("no web0")?;
    assert_eq!(web0[..4], ["web0", "up", "veth", "10.9.0.2/24"], "{}", output.stdout);
    assert!(rows.iter().any(|row| row[0] == "lo"), "{}", output.stdout);
    Ok(())
}

#[test]
fn an_address_that_looks_like_one_with_a_port_is_taken_with_a_hint() -> Result<()> {
    let lab = Lab::new(Habit::SynAndEarly)?;
    let tool = ToaTc::attach(&lab.server, &["--ip", "::1:80"])?;
    wait_for_line(&tool, "toa-tc: ::1:80 is an address: for port 80 of ::1, write [::1]:80")?;
    tool.stop(Signal::Interrupt)?.succeeded()?;
    Ok(())
}
