//! Frames with VLAN tags: the outermost one is in the packet's metadata, the others are in its bytes.
#![cfg(feature = "kernel")]

use anyhow::Result;
use toa_packets::{
    builder::{PacketBuilder, SERVICE_VLAN, VLAN, flags},
    fixtures::{
        headers::client,
        opening::{self, request},
    },
    toa_option::toa_option,
};
use toa_tests::{
    lab::{Lab, injector::Injector, marker::Habit},
    process::Signal,
    tool::{recorder::Recorder, toa_tc::ToaTc},
    wait::{self, PATIENCE},
};

const FIRST_PORT: u16 = 40_000;

/// Tags from outermost to innermost, the tag in the record, and the offset of the IP header.
type Case = (&'static [(u16, u16)], u16, u8);

const CASES: [Case; 8] = [
    (&[], 0, 14),
    (&[(VLAN, 7)], 7, 14),
    // Priority 5, drop eligible.
    (&[(VLAN, 0xb00f)], 0xb00f, 14),
    // Priority only.
    (&[(VLAN, 0xe000)], 0xe000, 14),
    (&[(SERVICE_VLAN, 4094)], 4094, 14),
    (&[(SERVICE_VLAN, 0x2003), (VLAN, 7)], 0x2003, 18),
    (&[(VLAN, 3), (VLAN, 7)], 3, 18),
    // As many as are supported: one in the metadata, two in the bytes.
    (&[(SERVICE_VLAN, 3), (SERVICE_VLAN, 4), (VLAN, 7)], 3, 22),
];

/// Returns the frames of a connection with these tags, from this port.
fn frames(tags: &[(u16, u16)], port: u16, is_ipv6: bool) -> [Vec<u8>; 2] {
    let packet = if is_ipv6 { PacketBuilder::ipv6() } else { PacketBuilder::ipv4() };
    let packet = tags.iter().fold(packet.source_port(port), |packet, (kind, tag)| packet.vlan(*kind, *tag));
    opening::frames(&packet, &target(port))
}

fn target(port: u16) -> String {
    format!("/tagged/{port}")
}

/// Returns every case over both IP versions, each with its own port.
fn cases() -> impl Iterator<Item = (Case, u16, bool)> {
    let both = CASES.into_iter().flat_map(|case| [(case, false), (case, true)]);
    both.zip(FIRST_PORT..).map(|((case, is_ipv6), port)| (case, port, is_ipv6))
}

#[test]
fn a_record_has_the_outermost_tag_and_the_frame_the_others() -> Result<()> {
    let lab = Lab::new(Habit::Syn)?;
    let injector = Injector::new(&lab.balancer)?;
    let mut recorder = Recorder::attach(&lab.server)?;
    for ((tags, tci, network_offset), port, is_ipv6) in cases() {
        let frames = frames(tags, port, is_ipv6);
        for frame in &frames {
            injector.send(frame)?;
        }
        // The SYN is only remembered.
        let records = recorder.records(1)?;
        assert_eq!(records.len(), 1, "{tags:x?}");
        for ((record, bytes), frame) in records.iter().zip(&frames[1..]) {
            assert_eq!((record.vlan_tci, record.network_offset), (tci, network_offset), "{tags:x?}");
            // The frame as it was sent, without the tag in the metadata.
            let stripped = if tags.is_empty() { 12 } else { 16 };
            let expected = [&frame[..12], &frame[stripped..]].concat();
            assert!(bytes.starts_with(&expected), "{tags:x?}: {bytes:x?}");
            assert_eq!(usize::try_from(record.frame_len)?, expected.len(), "{tags:x?}");
        }
    }
    Ok(())
}

#[test]
fn tagged_connections_are_followed_and_printed() -> Result<()> {
    let lab = Lab::new(Habit::Syn)?;
    let injector = Injector::new(&lab.balancer)?;
    let tool = ToaTc::attach(&lab.server, &["--ip", "203.0.113.9", "-c", "16"])?;
    for ((tags, _, _), port, is_ipv6) in cases() {
        for frame in frames(tags, port, is_ipv6) {
            injector.send(&frame)?;
        }
    }
    let output = tool.wait(PATIENCE)?.succeeded()?;
    let mut printed: Vec<_> = output.requests()?.into_iter().map(|it| (it.client, it.target)).collect();
    printed.sort();
    let expected: Vec<_> = (FIRST_PORT..FIRST_PORT + 16).map(|port| (client(), target(port))).collect();
    assert_eq!(printed, expected);
    let ledger = output.ledger()?;
    ledger.check()?;
    let bytes: usize = (FIRST_PORT..FIRST_PORT + 16).map(|port| request(&target(port)).len()).sum();
    assert_eq!((ledger.packets("matched")?, ledger.bytes("matched")?), (16, u64::try_from(bytes)?));
    Ok(())
}

#[test]
fn four_tags_are_too_many() -> Result<()> {
    let lab = Lab::new(Habit::Syn)?;
    let injector = Injector::new(&lab.balancer)?;
    let tool = ToaTc::attach(&lab.server, &["--any"])?;
    let tags = (0..4).fold(PacketBuilder::ipv4(), |packet, tag| packet.vlan(VLAN, tag));
    injector.send(&tags.flags(flags::SYN).options(&toa_option(client())).build())?;
    // These follow in the same queue, so that the first frame has been processed before them.
    for frame in frames(&[], FIRST_PORT, false) {
        injector.send(&frame)?;
    }
    wait::until("the other one's request", || Ok(tool.stdout()?.contains("/tagged/40000").then_some(())))?;
    let output = tool.stop(Signal::Interrupt)?.succeeded()?;
    assert_eq!(output.ledger()?.packets("matched")?, 1);
    Ok(())
}
