//! A run reads all of its interfaces and reports when one disappears. It ends properly when none is left.
#![cfg(feature = "kernel")]

use std::net::SocketAddr;

use anyhow::{Context, Result};
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
        toa_tc::{Output, ToaTc},
    },
    wait::{self, PATIENCE},
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
fn a_run_whose_last_interface_goes_ends_with_its_ledger_and_exit_code_1() -> Result<()> {
    mounts::with_bpf_file_system(|| {
        let mut lab = Lab::new(Habit::SynAndEarly)?;
        let second = second_cable(&lab)?;
        let _nginx = lab.nginx()?;
        let tool = ToaTc::attach(&lab.server, &["web1", "--any"])?;
        let programs = attached::on(&lab.server)?;
        lab.connect(Some(CLIENT.into()))?.ask(Request::get("/"))?;
        remove(&second)?;
        remove(&lab.server)?;
        let output = tool.wait(PATIENCE)?;
        assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
        for line in ["toa-tc: web0 is gone", "toa-tc: web1 is gone"] {
            assert_eq!(output.stderr.lines().filter(|said| *said == line).count(), 1, "{}", output.stderr);
        }
        assert_eq!(output.stderr.lines().last(), Some("toa-tc: no interface is left"));
        assert_eq!(asked(&output)?, [(nginx_address(), "/".to_owned())]);
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
fn an_interface_that_is_renamed_is_not_gone() -> Result<()> {
    let mut lab = Lab::new(Habit::SynAndEarly)?;
    let second = second_cable(&lab)?;
    let _nginx = lab.nginx()?;
    let tool = ToaTc::attach(&lab.server, &["web1", "--any"])?;
    // Before Linux 6.2, a device must be down to be renamed.
    for change in [&["web0", "down"][..], &["web0", "name", "other0"], &["other0", "up"]] {
        lab.server.namespace.ip(&[&["link", "set"], change].concat())?;
    }
    // Once this is reported, both interfaces have been checked.
    remove(&second)?;
    wait_for_line(&tool, "toa-tc: web1 is gone")?;
    lab.connect(Some(CLIENT.into()))?.ask(Request::get("/renamed"))?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    assert_eq!(asked(&output)?, [(nginx_address(), "/renamed".to_owned())]);
    assert!(!output.stderr.contains("web0 is gone"), "{}", output.stderr);
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
    tool.stop(Signal::Interrupt)?.succeeded().map(drop)
}
