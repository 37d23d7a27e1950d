//! A device without a link header: packets begin with the IP header.
#![cfg(feature = "kernel")]

use std::net::SocketAddr;

use anyhow::Result;
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{Lab, marker::Habit, tun},
    peers::client::Request,
    process::Signal,
    tool::{
        attached,
        printed::{Printed, rows_of},
        toa_tc::ToaTc,
    },
};

#[test]
fn connections_over_tun_are_followed() -> Result<()> {
    let client: SocketAddr = "203.0.113.9:54321".parse()?;
    for habit in [Habit::SynAndEarly, Habit::Early] {
        for is_ipv6 in [false, true] {
            let what = format!("{habit:?}, IPv6 {is_ipv6}");
            let mut lab = Lab::over_tun(habit)?;
            let nginx = lab.nginx()?;
            let tool = ToaTc::attach(&lab.server, &["--ip", "203.0.113.9"])?;
            let names: Vec<_> = attached::on(&lab.server)?.into_iter().map(|program| program.name).collect();
            assert_eq!(names, ["toa_ingress_ip"], "{what}");
            let mut watched = lab.connect_over(is_ipv6, &toa_option(client))?;
            let mut other = lab.connect_over(is_ipv6, &toa_option("203.0.113.8:54321".parse()?))?;
            for number in 0..5 {
                for connection in [&mut watched, &mut other] {
                    let id = format!("{number}-{}", connection.local().port());
                    connection.ask(Request::get("/tun").field("x-request-id", &id))?;
                }
            }
            watched.ask(Request::post("/upload", 1 << 20).field("x-request-id", "upload"))?;
            // nginx answers before it has the whole body, but answers the next request only after it.
            watched.ask(Request::get("/after").field("x-request-id", "after"))?;
            let rows = rows_of(client, &watched);
            let output = tool.stop(Signal::Interrupt)?.succeeded()?;
            assert_eq!(nginx.stop()?.len(), 12, "{what}");
            let printed: Vec<_> = output.requests()?.iter().map(Printed::row).collect();
            assert_eq!(printed, rows, "{what}: {}", output.stderr);
            let ledger = output.ledger()?;
            ledger.check()?;
            assert_eq!(
                ledger.bytes_once()?,
                u64::try_from(watched.sent_bytes())?,
                "{what}: {}",
                output.stderr
            );
            assert_eq!((ledger.bytes("lost")?, ledger.bytes("cut")?), (0, 0), "{what}");
        }
    }
    Ok(())
}

#[test]
fn a_gre_tunnel_over_ipv6_is_attached_to() -> Result<()> {
    /// `ARPHRD_IP6GRE`.
    const IP6GRE: u16 = 823;
    let mut lab = Lab::over_tun_of_type(Habit::SynAndEarly, IP6GRE)?;
    let _nginx = lab.nginx()?;
    let tool = ToaTc::attach(&lab.server, &["--any"])?;
    lab.connect(Some("203.0.113.9:54321".parse()?))?.ask(Request::get("/gre"))?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    assert_eq!(output.requests()?.len(), 1, "{}", output.stderr);
    output.ledger()?.check()
}

#[test]
fn an_unsupported_device_keeps_no_other_from_being_attached_to() -> Result<()> {
    const INFINIBAND: u16 = libc::ARPHRD_INFINIBAND;
    let lab = Lab::new(Habit::SynAndEarly)?;
    let namespace = &lab.server.namespace;
    let _device = tun::open_of_type((namespace, "odd0"), INFINIBAND)?;
    let refusal = "toa-tc: unsupported link type 32 of odd0: neither Ethernet nor raw IP";
    let alone = ToaTc::run(namespace, &["attach", "odd0", "--any"])?;
    assert_eq!((alone.status.code(), alone.stderr.trim_end()), (Some(1), refusal));

    let tool = ToaTc::attach(&lab.server, &["odd0", "--any"])?;
    assert_eq!(attached::on(&lab.server)?.len(), 1);
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    let said = format!("{refusal}: not attached there");
    assert_eq!(output.stderr.lines().filter(|line| *line == said).count(), 1, "{}", output.stderr);
    Ok(())
}
