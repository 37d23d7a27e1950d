//! Bytes that a server discards, or may read differently.

use super::*;
use crate::segment::details::Details;

fn stamped(seq: u32, payload: &[u8], timestamp: u32, time_ns: u64) -> Segment<'_> {
    let details = Details { timestamp: Some(timestamp), ..Details::default() };
    Segment { time_ns, details, ..segment(1, seq, payload) }
}

/// A SYN with which the client announces timestamps (RFC 7323 section 3.2).
fn stamped_syn() -> Segment<'static> {
    Segment { flags: SYN, ..stamped(0, b"", 1, 0) }
}

#[test]
fn payload_of_a_syn_needs_a_cookie() {
    let mut rig = Rig::new();
    rig.feed(&Segment { flags: SYN, details: Details::default(), ..segment(1, 0, b"abc") });
    rig.data(1, b"def");
    assert_eq!(rig.got, [Got::Start(true), data(b"def")]);
    assert_eq!(rig.ledger.syn_bytes, 3);
}

#[test]
fn an_old_timestamp_is_rejected() {
    let mut rig = Rig::new();
    rig.feed(&stamped_syn());
    rig.feed(&stamped(1, b"abc", 100, 10));
    rig.feed(&stamped(4, b"XXX", 98, 11));
    rig.feed(&Segment { flags: FIN | ACK, ..stamped(4, b"", 98, 11) });
    rig.feed(&stamped(4, b"def", 100, 12));
    assert_eq!(rig.got, [Got::Start(true), data(b"abcdef")]);
    assert_eq!((rig.ledger.old_timestamp_bytes, rig.ended()), (3, None));
}

#[test]
fn a_timestamp_may_be_older_by_one() {
    let mut rig = Rig::new();
    rig.feed(&stamped_syn());
    rig.feed(&stamped(1, b"abc", 100, 10));
    rig.feed(&stamped(4, b"def", 99, 11));
    // That was the latest one.
    rig.feed(&stamped(7, b"XXX", 97, 12));
    assert_eq!((rig.got, rig.ledger.old_timestamp_bytes), (vec![Got::Start(true), data(b"abcdef")], 3));
}

#[test]
fn timestamps_that_the_client_has_not_announced_do_not_matter() {
    let mut rig = Rig::new();
    rig.flags(0, b"", SYN);
    rig.feed(&stamped(1, b"abc", 100, 10));
    rig.feed(&stamped(4, b"def", 50, 11));
    assert_eq!(rig.got, [Got::Start(true), data(b"abcdef")]);
}

#[test]
fn an_old_timestamp_that_was_read_late_is_not_old() {
    let mut rig = Rig::new();
    rig.feed(&stamped_syn());
    rig.feed(&stamped(1, b"abc", 100, 10));
    rig.feed(&stamped(10, b"jkl", 101, 12));
    // From the ring of another CPU.
    rig.feed(&stamped(4, b"defghi", 100, 11));
    assert_eq!(rig.got, [Got::Start(true), data(b"abcdefghijkl")]);
}

#[test]
fn timestamps_wrap_and_age() {
    let mut rig = Rig::new();
    rig.feed(&stamped_syn());
    rig.feed(&stamped(1, b"a", u32::MAX, 10));
    rig.feed(&stamped(2, b"b", 1, 11));
    rig.feed(&stamped(3, b"c", 0, 12 + TIMESTAMP_LIFETIME_NS));
    assert_eq!(rig.got, [Got::Start(true), data(b"abc")]);
}

#[test]
fn an_urgent_byte_is_not_part_of_the_stream() {
    for (first, offset) in [(&b"abXcd"[..], 2), (b"Xabcd", 0), (b"abcdX", 4)] {
        let mut rig = Rig::new();
        rig.flags(0, b"", SYN);
        let details = Details { urgent: Some(offset), ..Details::default() };
        rig.feed(&Segment { details, ..segment(1, 1, first) });
        rig.data(6, b"ef");
        assert_eq!(rig.got, [Got::Start(true), data(b"abcdef")]);
        assert_eq!(rig.ledger.urgent_bytes, 1);
    }
    let mut rig = Rig::new();
    rig.flags(0, b"", SYN);
    let details = Details { urgent: Some(4), ..Details::default() };
    rig.feed(&Segment { details, ..segment(1, 1, b"ab") });
    rig.data(3, b"cdXe");
    assert_eq!(rig.got, [Got::Start(true), data(b"abcde")], "the pointer may be beyond its segment");
}

fn urgent(seq: u32, payload: &[u8], offset: u16) -> Segment<'_> {
    let details = Details { urgent: Some(offset), ..Details::default() };
    Segment { details, ..segment(1, seq, payload) }
}

#[test]
fn every_urgent_byte_that_a_server_has_read_is_left_out() {
    for is_started in [true, false] {
        let mut rig = Rig::new();
        if is_started {
            rig.flags(0, b"", SYN);
        }
        rig.feed(&urgent(1, b"abXcd", 2));
        rig.feed(&urgent(6, b"Xef", 0));
        rig.data(9, b"gh");
        rig.expire(50 * MS);
        assert_eq!(rig.got, [Got::Start(is_started), data(b"abcdefgh")]);
        assert_eq!(rig.ledger.urgent_bytes, 2);
    }
}

#[test]
fn of_urgent_bytes_that_no_server_has_read_the_last_one_counts() {
    for [first, second] in [[(4, b"dXf", 1), (7, b"gXi", 1)], [(7, b"gXi", 1), (4, b"dXf", 1)]] {
        let mut rig = Rig::new();
        rig.flags(0, b"", SYN);
        for (seq, payload, offset) in [first, second] {
            rig.feed(&urgent(seq, payload, offset));
        }
        rig.data(1, b"abc");
        assert_eq!(rig.got, [Got::Start(true), data(b"abcdXfgi")]);
    }
}

#[test]
fn an_urgent_pointer_to_what_was_read_means_nothing() {
    let mut rig = Rig::new();
    rig.flags(0, b"abc", SYN);
    rig.feed(&urgent(1, b"abcd", 2));
    assert_eq!((rig.got.last(), rig.ledger.urgent_bytes), (Some(&data(b"abcd")), 0));
    // One in a gap is not in what follows.
    rig.feed(&urgent(7, b"g", 1));
    rig.data(9, b"i");
    rig.expire(60_000 * MS);
    rig.feed(&urgent(20, b"t", 0));
    rig.expire(120_000 * MS);
    assert_eq!(rig.ledger.urgent_bytes, 1);
}

#[test]
fn after_a_gap_a_server_may_have_read_what_came_first() {
    let mut rig = Rig::new();
    rig.flags(0, b"", SYN);
    rig.feed(&urgent(4, b"dX", 1));
    rig.feed(&urgent(6, b"eY", 1));
    rig.expire(120_000 * MS);
    let expected = [Got::Gap(3), Got::Conflict(1), data(b"de")];
    assert_eq!(rig.got[1..], expected);
    assert_eq!(rig.ledger.urgent_bytes, 2);
}

#[test]
fn copies_that_differ_are_told() {
    let mut rig = Rig::new();
    rig.flags(0, b"GET /real HTTP/1.1\r\n", SYN);
    rig.data(1, b"GET /fake HTTP/1.1\r\n");
    assert_eq!(rig.got[2..], [Got::Conflict(4)]);
    assert_eq!((rig.ledger.conflicting_bytes, rig.ledger.duplicate_bytes), (4, 16));
    let mut rig = Rig::new();
    rig.flags(0, b"", SYN);
    rig.data(5, b"real");
    rig.data(5, b"fake");
    rig.data(1, b"GET /");
    let expected = [Got::Start(true), Got::Conflict(1), data(b"GET /"), Got::Conflict(4), data(b"eal")];
    assert_eq!(rig.got, expected);
}

#[test]
fn a_known_start_needs_no_syn() {
    let mut rig = Rig::new();
    let known = |seq, payload| Segment { start: Start::Known(Seq(10)), ..segment(1, seq, payload) };
    rig.feed(&known(13, b"d"));
    assert_eq!(rig.got, [Got::Start(true)]);
    rig.feed(&known(10, b"abc"));
    assert_eq!(rig.got, [Got::Start(true), data(b"abcd")]);
    rig.feed(&known(8, b"xx"));
    assert_eq!(rig.ledger.before_start_bytes, 2);
}

#[test]
fn a_start_that_data_named_waits_for_an_earlier_segment() {
    let mut rig = Rig::new();
    let first = |seq, payload| Segment { start: Start::Data(Seq(13)), ..segment(1, seq, payload) };
    rig.feed(&first(13, b"d"));
    rig.feed(&first(10, b"abc"));
    assert_eq!(rig.got, []);
    rig.expire(49 * MS);
    assert_eq!(rig.got, []);
    rig.expire(50 * MS);
    assert_eq!(rig.got, [Got::Start(true), data(b"abcd")]);
}

#[test]
fn stray_segments_do_not_start_a_stream() {
    let first = Segment { start: Start::Data(Seq(10)), ..segment(1, 10, b"abc") };
    for (flags, seq) in [
        (SYN | ACK, 900),
        (SYN, 10),
        (FIN | ACK, 4),
        (FIN | ACK, 12),
        (RST | ACK, 4),
        (RST, 11),
        (RST, 14),
        (FIN | ACK, 0u32.wrapping_sub(9000)),
    ] {
        let mut rig = Rig::new();
        rig.feed(&first);
        rig.feed(&Segment { flags, ..segment(1, seq, b"") });
        rig.data(13, b"def");
        rig.expire(50 * MS);
        assert_eq!(rig.got, [Got::Start(true), data(b"abcdef")], "{flags:#x} at {seq}");
        assert_eq!(rig.ended(), None);
    }
    let mut rig = Rig::new();
    rig.feed(&first);
    rig.flags(13, b"", RST);
    rig.expire(50 * MS);
    assert_eq!(
        (rig.got.as_slice(), rig.ended()),
        (&[Got::Start(true), data(b"abc")][..], Some(EndKind::Rst))
    );
}

#[test]
fn before_the_start_the_first_of_two_copies_in_order_wins() {
    let mut rig = Rig::new();
    rig.feed(&Segment { start: Start::Data(Seq(10)), ..segment(1, 10, b"GET /a") });
    rig.data(16, b"bc HTTP/1.1");
    rig.data(12, b"T /xxxxxxxxxx");
    rig.expire(50 * MS);
    assert!(matches!(rig.got[1], Got::Conflict(_)), "{:?}", rig.got);
    let bytes: Vec<u8> = rig
        .got
        .iter()
        .filter_map(|got| if let Got::Data(bytes) = got { Some(&bytes[..]) } else { None })
        .flatten()
        .copied()
        .collect();
    assert_eq!(bytes, b"GET /abc HTTP/1.1");
}

#[test]
fn what_is_far_before_the_data_that_named_the_client_is_not_the_start() {
    let mut rig = Rig::new();
    let named = Segment { start: Start::Data(Seq(4_000_000)), ..segment(1, 4_000_000, b"GET /a") };
    rig.feed(&named);
    rig.feed(&Segment { seq: Seq(4_000_000 - 65_536), payload: b"GET /b", ..named });
    rig.expire(50 * MS);
    assert_eq!(rig.got, [Got::Start(true), data(b"GET /a")]);
    assert_eq!(rig.ledger.before_start_bytes, 6);
}

#[test]
fn what_comes_after_the_data_that_named_the_client_is_not_the_start() {
    let mut rig = Rig::new();
    rig.feed(&Segment { start: Start::Data(Seq(10)), ..segment(1, 13, b"d") });
    rig.expire(50 * MS);
    assert_eq!(rig.got, [Got::Start(true)]);
    rig.flush();
    assert_eq!(rig.got, [Got::Start(true), Got::Gap(3), data(b"d")]);
}
