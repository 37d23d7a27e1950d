mod bypass;

use proptest::prelude::*;
use toa_common::wire::tcp::ACK;

use super::*;
use crate::{ledger::StreamLedger, limits::Limits, segment::tests::segment};

#[derive(Clone, Debug, Eq, PartialEq)]
enum Got {
    Start(bool),
    Data(Vec<u8>),
    Gap(u64),
    Bypassed(u64),
}

/// A stream with its context and everything that it has handed on.
struct Rig {
    stream: Option<Stream>,
    limits: Limits,
    ledger: StreamLedger,
    got: Vec<Got>,
}

impl Rig {
    fn new() -> Self {
        Self { stream: None, limits: Limits::default(), ledger: StreamLedger::default(), got: Vec::new() }
    }

    fn run(&mut self, step: impl FnOnce(&mut Stream, &mut Context<'_>)) {
        let Self { stream, limits, ledger, got } = self;
        let deliver = &mut |event: StreamEvent<'_>| match event {
            StreamEvent::Start { from_syn } => got.push(Got::Start(from_syn)),
            StreamEvent::Gap { bytes } => got.push(Got::Gap(bytes)),
            StreamEvent::Bypassed { bytes } => got.push(Got::Bypassed(bytes)),
            StreamEvent::Data { bytes, .. } => match got.last_mut() {
                Some(Got::Data(data)) => data.extend(bytes),
                _ => got.push(Got::Data(bytes.to_vec())),
            },
        };
        step(stream.as_mut().unwrap(), &mut Context { limits, ledger, deliver });
    }

    fn feed(&mut self, segment: &Segment<'_>) {
        self.ledger.deliver(segment);
        self.stream.get_or_insert_with(|| Stream::new(segment));
        self.run(|stream, cx| stream.accept(segment, cx));
        self.check();
    }

    /// Feeds a segment of plain data.
    fn data(&mut self, seq: u32, payload: &[u8]) {
        self.feed(&segment(1, seq, payload));
    }

    fn flags(&mut self, seq: u32, payload: &[u8], flags: u8) {
        self.feed(&Segment { flags: flags | ACK, ..segment(1, seq, payload) });
    }

    fn expire(&mut self, now_ns: u64) {
        self.run(|stream, cx| stream.expire(now_ns, |bytes| bytes.starts_with(b"POST "), cx));
        self.check();
    }

    fn flush(&mut self) {
        self.run(Stream::flush);
        self.check();
        assert_eq!(self.ledger.held_bytes, 0);
    }

    fn bypass(&mut self, bytes: u64) {
        self.run(|stream, cx| stream.bypass(bytes, cx));
        self.check();
    }

    fn check(&self) {
        let ledger = &self.ledger;
        let sum = ledger.used_bytes + ledger.duplicate_bytes + ledger.discarded_bytes() + ledger.held_bytes;
        assert_eq!(sum, ledger.delivered_bytes, "{ledger:?}");
    }

    fn ended(&self) -> Option<EndKind> {
        self.stream.as_ref().unwrap().ended()
    }
}

fn data(bytes: &[u8]) -> Got {
    Got::Data(bytes.to_vec())
}

const MS: u64 = 1_000_000;

#[test]
fn segments_are_ordered_by_number_across_the_wrap() {
    let mut rig = Rig::new();
    let isn = u32::MAX - 2;
    rig.flags(isn, b"", SYN);
    rig.data(3, b"fgh");
    rig.data(0, b"cde");
    assert_eq!(rig.got, [Got::Start(true)]);
    rig.data(isn + 1, b"ab");
    assert_eq!(rig.got, [Got::Start(true), data(b"abcdefgh")]);
}

#[test]
fn a_syn_may_carry_payload() {
    let mut rig = Rig::new();
    rig.flags(9, b"ab", SYN);
    rig.data(12, b"c");
    assert_eq!(rig.got, [Got::Start(true), data(b"abc")]);
}

#[test]
fn the_first_bytes_of_an_overlap_win() {
    // 12345678901  positions
    //     CCCCCCC  read first: waits
    // AA           in order
    //  BBBBBB      one old byte (A), two in order, three old ones (C)
    let mut rig = Rig::new();
    rig.flags(0, b"", SYN);
    rig.data(5, b"CCCCCCC");
    rig.data(1, b"AA");
    rig.data(2, b"BBBBBB");
    assert_eq!(rig.got, [Got::Start(true), data(b"AABBCCCCCCC")]);
    assert_eq!(rig.ledger.duplicate_bytes, 1 + 3);
    rig.data(1, b"XXXX");
    assert_eq!(rig.ledger.duplicate_bytes, 8);
    assert_eq!(rig.got.len(), 2);
}

#[test]
fn a_keep_alive_probe_is_nothing_new() {
    let mut rig = Rig::new();
    rig.flags(0, b"abc", SYN);
    rig.data(3, b"");
    rig.data(3, b"\0");
    rig.data(4, b"d");
    assert_eq!(rig.got, [Got::Start(true), data(b"abcd")]);
    assert_eq!(rig.ledger.duplicate_bytes, 1);
}

#[test]
fn a_hole_that_is_not_filled_in_time_is_a_gap() {
    let mut rig = Rig::new();
    rig.flags(0, b"a", SYN);
    rig.data(5, b"c");
    rig.expire(1999 * MS);
    assert_eq!(rig.got, [Got::Start(true), data(b"a")]);
    rig.expire(2000 * MS);
    assert_eq!(rig.got, [Got::Start(true), data(b"a"), Got::Gap(3), data(b"c")]);
    rig.data(1, b"abbb");
    assert_eq!((rig.ledger.late_bytes, rig.ledger.duplicate_bytes), (3, 1));
    assert_eq!((rig.ledger.gaps, rig.ledger.gap_bytes, rig.ledger.hole_timeouts), (1, 3, 1));
}

#[test]
fn what_the_kernel_cut_is_a_gap_unless_it_came_otherwise() {
    let mut rig = Rig::new();
    rig.flags(0, b"", SYN);
    rig.data(4, b"de");
    rig.feed(&Segment { payload_len: 7, ..segment(1, 1, b"ab") });
    assert_eq!(rig.got, [Got::Start(true), data(b"ab"), Got::Gap(1), data(b"de"), Got::Gap(2)]);
    rig.data(8, b"h");
    assert_eq!(rig.got.last(), Some(&data(b"h")));
}

#[test]
fn a_fin_before_its_data_waits() {
    let mut rig = Rig::new();
    rig.flags(0, b"", SYN);
    rig.flags(4, b"de", FIN);
    assert_eq!(rig.ended(), None);
    rig.data(1, b"abc");
    assert_eq!(rig.ended(), Some(EndKind::Fin));
    rig.data(6, b"f");
    assert_eq!(rig.got, [Got::Start(true), data(b"abcde")]);
    assert_eq!(rig.ledger.after_end_bytes, 1);
}

#[test]
fn a_fin_whose_data_is_lost_times_out() {
    let mut rig = Rig::new();
    rig.flags(0, b"", SYN);
    rig.flags(4, b"", FIN);
    rig.expire(2000 * MS);
    assert_eq!(rig.got, [Got::Start(true), Got::Gap(3)]);
    assert_eq!(rig.ended(), Some(EndKind::Fin));
}

#[test]
fn an_old_reset_ends_nothing() {
    let mut rig = Rig::new();
    rig.flags(0, b"abc", SYN);
    rig.flags(2, b"", RST);
    assert_eq!(rig.ended(), None);
    rig.flags(4, b"by the way", RST);
    assert_eq!(rig.ended(), Some(EndKind::Rst));
    assert_eq!(rig.ledger.after_end_bytes, 10);
}

#[test]
fn a_start_without_syn_waits_for_what_other_rings_hold() {
    let mut rig = Rig::new();
    rig.data(100, b"GET /2 HTTP/1.1\r\n");
    rig.data(90, b"POST /1 HT");
    rig.expire(MS);
    assert_eq!(rig.got, []);
    rig.expire(2 * MS);
    assert_eq!(rig.got, [Got::Start(false), data(b"POST /1 HTGET /2 HTTP/1.1\r\n")]);
    rig.data(88, b"ofPOST");
    assert_eq!((rig.ledger.before_start_bytes, rig.ledger.duplicate_bytes), (2, 4));
}

#[test]
fn a_start_that_looks_like_none_waits_longer() {
    let mut rig = Rig::new();
    rig.data(100, b"x: y\r\n");
    rig.expire(49 * MS);
    assert_eq!(rig.got, []);
    rig.expire(50 * MS);
    assert_eq!(rig.got, [Got::Start(false), data(b"x: y\r\n")]);
}

#[test]
fn an_empty_segment_is_no_start() {
    let mut rig = Rig::new();
    rig.data(90, b"");
    rig.expire(1000 * MS);
    rig.feed(&Segment { time_ns: 2000 * MS, ..segment(1, 100, b"x") });
    rig.expire(2049 * MS);
    assert_eq!(rig.got, []);
    rig.expire(2050 * MS);
    assert_eq!(rig.got, [Got::Start(false), data(b"x")]);
}

#[test]
fn a_syn_that_is_read_late_starts_the_stream() {
    let mut rig = Rig::new();
    rig.data(11, b"b");
    rig.flags(9, b"", SYN);
    assert_eq!(rig.got, [Got::Start(true)]);
    rig.data(10, b"a");
    assert_eq!(rig.got, [Got::Start(true), data(b"ab")]);
}

#[test]
fn what_lies_before_a_late_syn_is_discarded() {
    let mut rig = Rig::new();
    rig.data(8, b"wxyz");
    rig.flags(9, b"", SYN);
    assert_eq!(rig.got, [Got::Start(true), data(b"yz")]);
    assert_eq!(rig.ledger.before_start_bytes, 2);
}

#[test]
fn a_segment_from_nowhere_is_discarded() {
    let mut rig = Rig::new();
    rig.flags(0, b"", SYN);
    rig.data(2 + (1 << 30), b"far");
    rig.flush();
    assert_eq!(rig.ledger.out_of_window_bytes, 3);
    assert_eq!(rig.got, [Got::Start(true)]);
}

#[test]
fn a_stream_that_has_gone_far_is_found_again() {
    // So much was lost that the stream seems to be a window ahead, half a cycle away, or behind.
    for lost in [3_u32 << 29, 2 << 30, 5 << 29] {
        let mut rig = Rig::new();
        rig.flags(0, b"abc", SYN);
        rig.data(9, b"waits");
        let far = |number: u32| (4 + lost).wrapping_add(number);
        for number in 0..15 {
            rig.data(far(number), b"x");
        }
        // A segment that fits shows that the others were strays.
        rig.data(14, b"fits");
        for number in 0..15 {
            rig.data(far(number), b"x");
        }
        assert_eq!(rig.got, [Got::Start(true), data(b"abc")], "{lost}");
        rig.data(far(15), b"GET");
        let gap = u64::from(lost) + 15 - (18 - 4);
        let found = [Got::Gap(5), data(b"waitsfits"), Got::Gap(gap), data(b"GET")];
        assert_eq!(rig.got[2..], found, "{lost}");
        assert_eq!(rig.ledger.out_of_window_bytes, 30);
        rig.data(far(18), b" /");
        assert_eq!(rig.got.last(), Some(&data(b"GET /")));
    }
}

#[test]
fn too_much_behind_a_hole_gives_it_up() {
    let mut rig = Rig::new();
    rig.limits.connection_bytes = 1000;
    rig.flags(0, b"", SYN);
    rig.data(11, &[b'x'; 800]);
    assert_eq!(rig.got, [Got::Start(true)]);
    rig.data(821, &[b'y'; 100]);
    assert_eq!(rig.got, [Got::Start(true), Got::Gap(10), Got::Data(vec![b'x'; 800])]);
    assert_eq!((rig.ledger.connection_bytes_limits, rig.ledger.held_bytes), (1, 100));
}

#[test]
fn too_many_ranges_give_up_the_first_hole() {
    let mut rig = Rig::new();
    rig.limits.ranges = 2;
    rig.flags(0, b"", SYN);
    for seq in [2, 4, 6] {
        rig.data(seq, b"x");
    }
    assert_eq!(rig.got, [Got::Start(true), Got::Gap(1), data(b"x")]);
    assert_eq!(rig.ledger.range_limits, 1);
}

proptest! {
    #[test]
    fn any_order_gives_the_stream_and_every_byte_is_counted(
        isn in any::<u32>(),
        len in 1_usize..400,
        pieces in prop::collection::vec((0_usize..400, 1_usize..80, 0_usize..20, any::<bool>()), 1..60),
        loss in any::<bool>(),
        syn_at in prop::option::of(0_usize..8),
    ) {
        let stream: Vec<u8> = (0..len).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
        let mut rig = Rig::new();
        rig.limits.ranges = 6;
        rig.limits.connection_bytes = 3000;
        let first = isn.wrapping_add(1);
        for (number, (at, size, cut, resend)) in pieces.into_iter().enumerate() {
            if syn_at == Some(number) {
                rig.flags(isn, b"", SYN);
            }
            let at = at % len;
            let end = (at + size).min(len);
            let captured = end.saturating_sub(if loss { cut } else { 0 }).max(at);
            let seq = first.wrapping_add(u32::try_from(at).unwrap());
            for _ in 0..=u8::from(resend) {
                let payload_len = u32::try_from(end - at).unwrap();
                rig.feed(&Segment { payload_len, ..segment(1, seq, &stream[at..captured]) });
            }
        }
        rig.flush();
        let start = rig.got.iter().position(|got| matches!(got, Got::Start(_)));
        prop_assert!(rig.got.is_empty() || start == Some(0));
        // All data is at its position, which the gaps determine.
        let mut at = None;
        for got in &rig.got {
            match got {
                Got::Start(true) => at = Some(0),
                Got::Start(false) | Got::Bypassed(_) => {}
                Got::Gap(bytes) => at = at.map(|at| at + usize::try_from(*bytes).unwrap()),
                Got::Data(bytes) => {
                    let place = at.unwrap_or_else(|| {
                        (0..len).find(|at| stream[*at..].starts_with(bytes)).expect("bytes of the stream")
                    });
                    // Without a SYN, the position is found modulo the period of the pattern.
                    prop_assert_eq!(&stream[place..place + bytes.len()], &bytes[..]);
                    at = Some(place + bytes.len());
                }
            }
        }
    }
}
