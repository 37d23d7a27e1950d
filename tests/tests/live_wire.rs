//! What the other live tests rely on: how requests are split into packets, and that nginx answers them all.
#![cfg(feature = "kernel")]

use anyhow::Result;
use toa_common::record::MAX_CAPTURED_BYTES;
use toa_packets::oracle::Segment;
use toa_tests::{
    lab::{Lab, marker::Habit, veth::MAX_MTU},
    peers::{
        client::{Connection, Request},
        tcpdump::Capture,
    },
};

/// Returns the payloads that reach the server when `talk` uses a connection.
fn payloads(mtu: u32, gro: bool, talk: impl Fn(&mut Connection) -> Result<()>) -> Result<Vec<Vec<u8>>> {
    let mut lab = Lab::with_mtu(Habit::SynAndEarly, mtu)?;
    lab.server.set_gro(gro)?;
    lab.server.acknowledge_at_once("10.9.0.0/24")?;
    let nginx = lab.nginx()?;
    let capture = Capture::start(&lab.server, "tcp port 80")?;
    let mut connection = lab.connect(Some("203.0.113.9:54321".parse()?))?;
    talk(&mut connection)?;
    let (port, asked) = (connection.local().port(), connection.sent().len());
    drop(connection);
    let frames = capture.stop_at_end_of(port)?;
    assert_eq!(nginx.stop()?.len(), asked);
    let payloads = frames.iter().filter_map(|frame| Some(Segment::of(frame)?.payload()));
    Ok(payloads.filter(|payload| !payload.is_empty()).map(<[u8]>::to_vec).collect())
}

#[test]
fn a_head_in_pieces_has_a_segment_for_each() -> Result<()> {
    for gro in [false, true] {
        let request = Request::get("/").field("x-team", "pieces");
        let payloads = payloads(1500, gro, |connection| connection.ask_in_pieces(request.clone(), 1))?;
        assert_eq!(payloads.concat(), request.head());
        assert!(payloads.iter().all(|payload| payload.len() == 1), "GRO {gro}");
    }
    Ok(())
}

#[test]
fn pipelined_heads_share_a_segment() -> Result<()> {
    let requests = vec![Request::get("/first"), Request::get("/second")];
    let payloads = payloads(1500, true, |connection| connection.pipeline(requests.clone()))?;
    assert_eq!(payloads, [[requests[0].head(), requests[1].head()].concat()]);
    Ok(())
}

#[test]
fn a_wide_cable_carries_frames_beyond_a_record() -> Result<()> {
    let upload = |connection: &mut Connection| {
        connection.ask(Request::post("/upload", 10 * 1024 * 1024))?;
        connection.ask(Request::get("/after"))
    };
    for gro in [false, true] {
        // Ethernet, IPv4, TCP and a timestamp.
        let headers = 14 + 20 + 32;
        let mut longest = 0;
        // The sender chooses the size of packets, nearly always the maximum that the MTU allows.
        for _ in 0..10 {
            let payloads = payloads(MAX_MTU, gro, upload)?;
            longest = payloads.iter().map(Vec::len).max().unwrap() + headers;
            if longest > MAX_CAPTURED_BYTES {
                break;
            }
        }
        assert!((MAX_CAPTURED_BYTES + 1..=65_549).contains(&longest), "GRO {gro}: {longest}");
    }
    Ok(())
}
