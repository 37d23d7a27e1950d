//! However a request is cut into packets, its head is printed whole.
#![cfg(feature = "kernel")]

use std::net::SocketAddr;

use anyhow::Result;
use toa_tests::{
    lab::{Lab, marker::Habit, veth::MAX_MTU},
    peers::client::{Connection, Request},
    process::Signal,
    tool::{
        ledger::Ledger,
        printed::{Printed, rows_of},
        toa_tc::ToaTc,
    },
};

const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);
const BODY: usize = 10 * 1024 * 1024;

fn request(id: &str) -> Request {
    Request::get(&format!("/{id}")).field("x-request-id", id).field("x-team", "shapes")
}

/// Lets `talk` use one connection and checks that its requests are printed in order, with the whole value of
/// `x-pad`. Returns the ledger.
fn check(mtu: u32, gro: bool, talk: impl Fn(&mut Connection) -> Result<()>) -> Result<Ledger> {
    let mut lab = Lab::with_mtu(Habit::SynAndEarly, mtu)?;
    lab.server.set_gro(gro)?;
    lab.server.acknowledge_at_once("10.9.0.0/24")?;
    let nginx = lab.nginx()?;
    let client = SocketAddr::from(CLIENT);
    // Enough for everything. Another test covers slow readers.
    let tool = ToaTc::attach(&lab.server, &["--ip", &client.to_string(), "--ring-size", "33554432"])?;
    let mut connection = lab.connect(Some(client))?;
    talk(&mut connection)?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;

    let what = format!("MTU {mtu}, GRO {gro}");
    assert_eq!(nginx.stop()?.len(), connection.sent().len(), "{what}");
    let printed = output.requests()?;
    let rows: Vec<_> = printed.iter().map(Printed::row).collect();
    assert_eq!(rows, rows_of(client, &connection), "{what}: {}", output.stderr);
    for (printed, sent) in printed.iter().zip(connection.sent()) {
        assert_eq!(printed.marks, [""; 0], "{what}");
        assert!(printed.field("x-pad") == sent.value("x-pad"), "{what}: x-pad");
    }
    let ledger = output.ledger()?;
    ledger.check()?;
    // Bytes that are cut or bypassed again when they are retransmitted are not recognised as duplicates.
    let (once, sent) = (ledger.bytes_once()?, u64::try_from(connection.sent_bytes())?);
    let is_whole = ledger.bytes("cut")? == 0 && ledger.bytes("bypassed")? == 0;
    assert!(if is_whole { once == sent } else { once >= sent }, "{what}: {}", output.stderr);
    assert_eq!(ledger.bytes("lost")?, 0, "{what}: {}", output.stderr);
    Ok(ledger)
}

/// Does the same with every combination of MTU and GRO.
fn check_everywhere(talk: impl Fn(&mut Connection) -> Result<()>) -> Result<()> {
    for (mtu, gro) in [(1500, false), (1500, true), (MAX_MTU, false), (MAX_MTU, true)] {
        let ledger = check(mtu, gro, &talk)?;
        assert_eq!(ledger.bytes("cut")?, 0, "MTU {mtu}, GRO {gro}");
    }
    Ok(())
}

#[test]
fn a_head_in_segments_of_one_byte() -> Result<()> {
    check_everywhere(|connection| {
        connection.ask_in_pieces(request("first"), 1)?;
        connection.ask_in_pieces(request("second"), 1)?;
        connection.ask(request("third"))
    })
}

#[test]
fn a_head_of_30_000_bytes() -> Result<()> {
    check_everywhere(|connection| {
        connection.ask(request("before"))?;
        connection.ask(request("large").field("x-pad", &"pad-".repeat(7500)))?;
        connection.ask_in_pieces(request("large-in-pieces").field("x-pad", &"pad+".repeat(7500)), 1000)?;
        connection.ask(request("after"))
    })
}

#[test]
fn two_heads_in_one_segment() -> Result<()> {
    check_everywhere(|connection| {
        connection.pipeline(vec![request("first"), request("second")])?;
        connection.pipeline(vec![request("third"), request("fourth"), request("fifth")])
    })
}

#[test]
fn a_body_of_ten_megabytes_and_a_request_behind_it() -> Result<()> {
    let talk = |connection: &mut Connection| {
        let upload = Request::post("/upload", BODY).field("x-request-id", "upload").field("x-team", "shapes");
        connection.ask(request("before"))?;
        connection.ask(upload.clone())?;
        connection.ask(request("between"))?;
        // Also without waiting for the answer.
        connection.pipeline(vec![upload, request("after")])
    };
    for gro in [false, true] {
        let ledger = check(1500, gro, talk)?;
        assert_eq!(ledger.bytes("cut")?, 0, "GRO {gro}");
        // Frames that exceed a record, if they are copied.
        let ledger = check(MAX_MTU, gro, talk)?;
        assert!(ledger.bytes("cut")? + ledger.bytes("bypassed")? > 0, "GRO {gro}");
        println!(
            "MTU {MAX_MTU}, GRO {gro}: {} bytes cut, {} bypassed",
            ledger.bytes("cut")?,
            ledger.bytes("bypassed")?
        );
    }
    Ok(())
}
