//! Connections whose 4-tuple was used before, and what only seems to begin one.

use toa_common::wire::tcp::RST;

use super::*;
use crate::capture::LinkType;

const SECOND: u64 = 1_000_000_000;
const TOA: [u8; 8] = [254, 8, 0, 1, 192, 0, 2, 1];

/// A replay with what it has found.
struct Rig {
    replay: Replay,
    kept: RecordingSink,
    now_ns: u64,
}

impl Rig {
    fn new() -> Self {
        Self { replay: replay(), kept: RecordingSink::default(), now_ns: SECOND }
    }

    fn packet(&mut self, seq: u32, flags: u8, options: &[u8], payload: &[u8]) {
        let bytes = ip_packet(([10, 9, 0, 1], 7), ([10, 9, 0, 2], 80), seq, flags, options, payload);
        let wire_len = u32::try_from(bytes.len()).unwrap();
        let (time_ns, link) = (self.now_ns, LinkType::Ip);
        let packet = Packet { time_ns, interface: 0, link, bytes: &bytes, wire_len, comment: None };
        self.replay.packet(packet, &mut self.kept);
        self.now_ns += SECOND / 1000;
    }

    /// Sends a request for `target`. Returns the next sequence number.
    fn get(&mut self, seq: u32, options: &[u8], target: &str) -> u32 {
        let request = format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
        self.packet(seq, ACK, options, request.as_bytes());
        seq.wrapping_add(u32::try_from(request.len()).unwrap())
    }

    fn open(&mut self, isn: u32) -> u32 {
        self.packet(isn, SYN, &[], b"");
        self.packet(isn.wrapping_add(1), ACK, &[], b"");
        isn.wrapping_add(1)
    }

    /// Returns the targets in the order of the requests, and how many bytes fitted in no connection.
    fn finish(mut self) -> (Vec<String>, u64) {
        self.replay.finish(&mut self.kept);
        let stream = self.replay.ledger().stream;
        (self.kept.0, stream.after_end_bytes + stream.out_of_window_bytes)
    }
}

/// Sends twenty connections without SYN, with two requests each, and with `end` after them.
fn reused(options: &[u8], end: Option<u8>, seconds: u64) -> (Vec<String>, u64) {
    let mut rig = Rig::new();
    for number in 0..20u32 {
        let next = rig.get(number.wrapping_mul(0x5bd1_e995), options, "/a");
        let next = rig.get(next, &[], "/b");
        if let Some(flags) = end {
            rig.packet(next, flags, &[], b"");
        }
        rig.now_ns += seconds * SECOND;
    }
    rig.finish()
}

#[test]
fn a_request_after_silence_or_an_end_begins_another_connection() {
    for options in [&[][..], &TOA] {
        for (end, seconds) in
            [(None, 60), (None, 400), (Some(FIN | ACK), 1), (Some(FIN | ACK), 400), (Some(RST), 1)]
        {
            let (found, discarded) = reused(options, end, seconds);
            assert_eq!((found.len(), discarded), (40, 0), "{options:?} {end:?} {seconds}");
        }
    }
}

#[test]
fn what_is_not_far_before_may_be_sent_again_after_silence() {
    for (back, expected) in [(60_000, &["/1"][..]), (1 << 20, &["/1", "/2"])] {
        let mut rig = Rig::new();
        let next = rig.open(1 << 24);
        let next = rig.get(next, &[], "/1");
        rig.now_ns += 40 * SECOND;
        rig.get(next - back, &[], "/2");
        assert_eq!(rig.finish().0, expected, "{back}");
    }
}

#[test]
fn other_data_begins_nothing() {
    for end in [true, false] {
        let mut rig = Rig::new();
        let next = rig.open(9);
        let next = rig.get(next, &[], "/1");
        if end {
            rig.packet(next, FIN | ACK, &[], b"");
        }
        rig.now_ns += 400 * SECOND;
        rig.packet(1 << 30, ACK, &[], b"\x00\x01GET");
        assert_eq!(rig.finish(), (vec!["/1".to_owned()], 5));
    }
}

#[test]
fn a_stray_request_changes_nothing_in_an_active_connection() {
    let mut rig = Rig::new();
    let next = rig.open(9);
    let next = rig.get(next, &[], "/1");
    rig.get(1 << 30, &[], "/forged");
    rig.get(next, &[], "/2");
    assert_eq!(rig.finish().0, ["/1", "/2"]);
}

#[test]
fn a_retransmission_after_the_end_begins_nothing() {
    let mut rig = Rig::new();
    let next = rig.open(9);
    let last = rig.get(next, &TOA, "/1");
    rig.packet(last, FIN | ACK, &[], b"");
    rig.get(next, &TOA, "/1");
    // Nor does one that comes when another connection has the ports.
    rig.get(1 << 30, &[], "/2");
    rig.get(next, &TOA, "/1");
    assert_eq!(rig.finish(), (vec!["/1".to_owned(), "/2".to_owned()], 0));
}

#[test]
fn what_continues_the_stream_takes_back_that_another_began() {
    for ahead in [1 << 20, 1 << 24, 1 << 25, 1 << 30, 0x8000_0000, 0u32.wrapping_sub(1 << 25)] {
        for options in [&[][..], &TOA] {
            let mut rig = Rig::new();
            let next = rig.open(9);
            let next = rig.get(next, &TOA, "/1");
            let next = rig.get(next, &[], "/2");
            // A server answers both with an ACK and goes on.
            rig.packet(next.wrapping_add(ahead).wrapping_sub(1), SYN, &[], b"");
            rig.packet(next.wrapping_add(ahead), ACK, options, b"");
            let next = rig.get(next, &[], "/3");
            rig.get(next, &[], "/4");
            assert_eq!(rig.finish().0, ["/1", "/2", "/3", "/4"], "{ahead}");
        }
    }
}

#[test]
fn a_forged_connection_after_silence_does_not_hide_the_true_one() {
    let mut rig = Rig::new();
    let next = rig.open(9);
    let next = rig.get(next, &[], "/1");
    rig.now_ns += 60 * SECOND;
    let forged = rig.get(1 << 30, &[], "/forged");
    let next = rig.get(next, &[], "/2");
    rig.get(forged, &[], "/forged");
    rig.get(next, &[], "/3");
    let (mut found, discarded) = rig.finish();
    found.sort();
    assert_eq!(found, ["/1", "/2", "/3", "/forged", "/forged"]);
    assert_eq!(discarded, 0);
}
