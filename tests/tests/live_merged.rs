//! A merged packet is one record, which has the number of segments and the client.
#![cfg(feature = "kernel")]

use std::net::SocketAddr;

use anyhow::Result;
use toa_packets::{shared::client_of, toa_option::toa_option};
use toa_tests::{
    lab::{Lab, marker::Habit},
    peers::client::Request,
    tool::recorder::Recorder,
};

const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 54321);
const MTU: u32 = 1500;
const UPLOAD: usize = 1 << 20;

/// Returns the bytes of the IP and TCP headers without options.
fn fixed_headers(is_ipv6: bool) -> u32 {
    if is_ipv6 { 40 + 20 } else { 20 + 20 }
}

fn check(is_ipv6: bool, gro: bool, tso: bool) -> Result<()> {
    let what = format!("IPv6 {is_ipv6}, GRO {gro}, TSO {tso}");
    let mut lab = Lab::with_mtu(Habit::SynAndEarly, MTU)?;
    lab.server.set_gro(gro)?;
    lab.balancer.set_tso(tso)?;
    let _nginx = lab.nginx()?;
    let mut recorder = Recorder::attach(&lab.server)?;
    let client = SocketAddr::from(CLIENT);
    let mut connection = lab.connect_over(is_ipv6, &toa_option(client))?;
    // With a head that is too long for the kernel to read, so that it does not leave the body out.
    connection.ask(Request::post("/upload", UPLOAD).field("x-long", &"x".repeat(2000)))?;
    connection.ask(Request::get("/after"))?;
    let sent = u64::try_from(connection.sent_bytes())?;

    // Answered requests have passed the hook, so their records are in the rings.
    let (mut bytes, mut merged, mut merged_with_toa) = (0, 0, 0);
    for (record, frame) in recorder.records(2)? {
        assert_eq!(record.attribution.client(), client_of(client));
        bytes += u64::from(record.payload_len);
        let options = u32::from(record.payload_offset - u16::from(record.transport_offset)) - 20;
        let segment = MTU - fixed_headers(is_ipv6) - options;
        // The kernel leaves the count at 0 if it did not count; then there is one segment.
        let segments = u32::from(record.gso_segments).max(1);
        assert_eq!(segments, record.payload_len.div_ceil(segment).max(1), "{what}: {record:?}");
        if segments > 1 {
            merged += 1;
            let area = usize::from(record.transport_offset) + 20..usize::from(record.payload_offset);
            let options = frame.get(area).unwrap_or_default();
            merged_with_toa += usize::from(options.windows(8).any(|it| it == toa_option(client)));
        }
    }
    // More only if something was retransmitted.
    assert!(bytes >= sent, "{what}: {bytes} of {sent} bytes");
    assert_eq!(merged > 0, gro || tso, "{what}: {merged} merged packets");
    assert_eq!(merged_with_toa > 0, gro || tso, "{what}: {merged_with_toa} merged packets with a TOA");
    Ok(())
}

#[test]
fn a_merged_packet_counts_its_segments() -> Result<()> {
    for is_ipv6 in [false, true] {
        for (gro, tso) in [(false, false), (true, false), (false, true), (true, true)] {
            check(is_ipv6, gro, tso)?;
        }
    }
    Ok(())
}
