//! A device without a link header: packets begin with the IP header.
#![cfg(feature = "kernel")]

use std::net::SocketAddr;

use anyhow::Result;
use toa_packets::toa_option::toa_option;
use toa_tests::{
    lab::{Lab, marker::Habit},
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
