mod bypass;
mod ends;
mod rejected;
mod starts;

use proptest::prelude::*;
use toa_common::wire::tcp::ACK;

use super::*;
use crate::{
    ledger::StreamLedger,
    limits::Limits,
    segment::{details::Details, tests::segment},
};

#[derive(Clone, Debug, Eq, PartialEq)]
enum Got {
    Start(bool),
    Data(Vec<u8>),
    Gap(u64),
    Bypassed(u64),
    Conflict(u64),
    Reopened,
}

/// A stream with its context and everything that it has handed on.
struct Rig {
    stream: Option<Stream>,
    limits: Limits,
    ledger: StreamLedger,
    lost_ns: Option<u64>,
    got: Vec<Got>,
}

impl Rig {
    fn new() -> Self {
        Self {
            stream: None,
            limits: Limits::default(),
            ledger: StreamLedger::default(),
            lost_ns: None,
            got: Vec::new(),
        }
    }

    fn run(&mut self, step: impl FnOnce(&mut Stream, &mut Context<'_>)) {
        let Self { stream, limits, ledger, lost_ns, got } = self;
        let deliver = &mut |event: StreamEvent<'_>| match event {
            StreamEvent::Start { is_known } => got.push(Got::Start(is_known)),
            StreamEvent::Conflict { bytes } => got.push(Got::Conflict(bytes)),
            StreamEvent::Reopened => got.push(Got::Reopened),
            StreamEvent::Gap { bytes } => got.push(Got::Gap(bytes)),
            StreamEvent::Bypassed { bytes } => got.push(Got::Bypassed(bytes)),
            StreamEvent::Data { bytes, .. } => match got.last_mut() {
                Some(Got::Data(data)) => data.extend(bytes),
                _ => got.push(Got::Data(bytes.to_vec())),
            },
        };
        step(stream.as_mut().unwrap(), &mut Context { limits, ledger, lost_ns: *lost_ns, deliver });
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
        let ack = if flags & SYN == 0 { ACK } else { 0 };
        self.feed(&Segment { flags: flags | ack, ..segment(1, seq, payload) });
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
        let sum = ledger.used_bytes
            + ledger.duplicate_bytes
            + ledger.conflicting_bytes
            + ledger.discarded_bytes()
            + ledger.held_bytes;
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
fn those_bytes_of_an_overlap_win_that_linux_delivers() {
    // 12345678901  positions
    //     CCCCCCC  read first: waits
    // AA           in order
    //  BBBBBB      one old byte (A), five in order, of which three are there already (C)
    let mut rig = Rig::new();
    rig.flags(0, b"", SYN);
    rig.data(5, b"CCCCCCC");
    rig.data(1, b"AA");
    rig.data(2, b"BBBBBB");
    let expected = [Got::Start(true), data(b"AA"), Got::Conflict(1), Got::Conflict(3), data(b"BBBBBCCCC")];
    assert_eq!(rig.got, expected);
    assert_eq!((rig.ledger.duplicate_bytes, rig.ledger.conflicting_bytes), (0, 4));
    rig.data(8, b"CCCC");
    assert_eq!((rig.ledger.duplicate_bytes, rig.ledger.conflicting_bytes), (4, 4));
    rig.data(1, b"AABBBBBXXXX");
    assert!(matches!(rig.got.last(), Some(Got::Conflict(_))));
}

#[test]
fn what_the_server_may_have_discarded_is_reported_before_its_bytes() {
    let doubtful = |seq, payload| Segment { is_doubtful: true, ..segment(1, seq, payload) };
    let mut rig = Rig::new();
    rig.flags(0, b"", SYN);
    rig.feed(&doubtful(1, b"aa"));
    assert_eq!(rig.got, [Got::Start(true), Got::Conflict(2), data(b"aa")]);
    // Also if it waits.
    rig.feed(&doubtful(5, b"cc"));
    rig.data(3, b"bb");
    assert_eq!(rig.got[2..], [data(b"aabb"), Got::Conflict(2), data(b"cc")]);
    assert_eq!(rig.ledger.conflicting_bytes, 0);
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
fn a_hole_without_a_loss_waits_for_a_retransmission() {
    let mut rig = Rig::new();
    rig.flags(0, b"a", SYN);
    rig.data(5, b"c");
    rig.expire(59_999 * MS);
    assert_eq!(rig.got, [Got::Start(true), data(b"a")]);
    rig.data(2, b"bbb");
    assert_eq!(rig.got, [Got::Start(true), data(b"abbbc")]);
    rig.data(15, b"d");
    rig.expire(60_000 * MS);
    assert_eq!(rig.got.last(), Some(&data(b"d")));
}

#[test]
fn a_hole_is_given_up_soon_if_the_rings_lost_something() {
    let mut rig = Rig::new();
    rig.lost_ns = Some(0);
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
fn what_follows_a_first_fragment_is_given_up_soon() {
    let mut rig = Rig::new();
    rig.flags(0, b"", SYN);
    let details = Details { is_fragment: true, ..Details::default() };
    rig.feed(&Segment { details, ..segment(1, 1, b"ab") });
    rig.data(5, b"e");
    rig.expire(2000 * MS);
    assert_eq!(rig.got, [Got::Start(true), data(b"ab"), Got::Gap(2), data(b"e")]);
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
                Got::Conflict(_) | Got::Reopened => prop_assert!(false, "all copies are equal"),
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
