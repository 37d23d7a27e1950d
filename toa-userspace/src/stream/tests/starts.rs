//! Where a stream starts.

use super::*;

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
