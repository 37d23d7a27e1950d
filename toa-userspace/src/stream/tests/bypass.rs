//! Streams that the kernel partly bypasses.

use toa_common::bypass::Bypass;

use super::*;

/// Returns a stream that has handed on `abc`, with a bypass of the next 100 bytes.
fn bypassed(isn: u32) -> Rig {
    let mut rig = Rig::new();
    rig.flags(isn, b"abc", SYN);
    rig.bypass(100);
    assert_eq!(rig.stream.as_ref().unwrap().bypassed_bytes(), 100);
    rig.got.clear();
    rig
}

fn gaps(rig: &Rig) -> (u64, u64) {
    (rig.ledger.gaps, rig.ledger.bypassed_bytes)
}

#[test]
fn what_was_bypassed_is_no_gap() {
    for isn in [0, u32::MAX - 3, u32::MAX - 50] {
        let mut rig = bypassed(isn);
        rig.data(isn.wrapping_add(104), b"GET");
        assert_eq!(rig.got, [Got::Bypassed(100), data(b"GET")], "{isn}");
        assert_eq!(gaps(&rig), (0, 100));
        assert!(rig.stream.as_ref().unwrap().deadline(0, &rig.limits, |_| true).is_none());
    }
}

#[test]
fn a_bypass_that_comes_late_changes_nothing() {
    let mut rig = bypassed(0);
    rig.data(4, &[b'b'; 40]);
    rig.data(84, &[b'b'; 20]);
    rig.data(104, b"GET");
    let rest = [&[b'b'; 20][..], b"GET"].concat();
    assert_eq!(rig.got, [data(&[b'b'; 40]), Got::Bypassed(40), Got::Data(rest)]);
}

#[test]
fn what_is_partly_in_the_window_comes_whole() {
    let mut rig = bypassed(0);
    rig.data(94, b"0123456789GET");
    assert_eq!(rig.got, [Got::Bypassed(90), data(b"0123456789GET")]);
}

#[test]
fn what_is_missing_after_the_window_is_waited_for() {
    let mut rig = bypassed(0);
    rig.data(110, b"later");
    assert_eq!(rig.got, [Got::Bypassed(100)]);
    rig.data(104, b"head. ");
    assert_eq!(rig.got, [Got::Bypassed(100), data(b"head. later")]);
    let mut rig = bypassed(0);
    rig.data(110, b"later");
    rig.expire(60_000 * MS);
    assert_eq!(rig.got, [Got::Bypassed(100), Got::Gap(6), data(b"later")]);
}

#[test]
fn the_end_says_how_much_less_was_sent() {
    for (kind, flag) in [(EndKind::Fin, FIN), (EndKind::Rst, RST)] {
        let mut rig = bypassed(0);
        rig.flags(44, b"", flag);
        assert_eq!(rig.got, [Got::Bypassed(40)]);
        assert_eq!((rig.ended(), gaps(&rig)), (Some(kind), (0, 40)));
    }
}

#[test]
fn a_reset_that_the_kernel_takes_for_a_stray_ends_nothing() {
    let mut rig = bypassed(0);
    rig.feed(&Segment { flags: RST, is_stray: true, ..segment(1, 44, b"") });
    assert_eq!((rig.ended(), rig.ledger.stray_resets), (None, 1));
    rig.data(104, b"GET");
    assert_eq!(rig.got, [Got::Bypassed(100), data(b"GET")]);
}

#[test]
fn a_hole_that_is_older_than_the_bypass_is_not_waited_for() {
    let mut rig = Rig::new();
    rig.flags(0, b"abc", SYN);
    rig.data(14, b"waits");
    rig.data(119, b"GET");
    assert_eq!(rig.got, [Got::Start(true), data(b"abc")]);
    rig.bypass(115);
    let expected = [Got::Start(true), data(b"abc"), Got::Bypassed(10), data(b"waits"), Got::Bypassed(100)];
    assert_eq!(rig.got[..5], expected);
    assert_eq!(rig.got[5..], [data(b"GET")]);
    // If these bytes still arrive, they are late, not duplicates.
    rig.data(4, b"0123456789");
    assert_eq!((rig.ledger.late_bytes, rig.ledger.duplicate_bytes), (10, 0));
}

#[test]
fn what_the_kernel_cut_in_the_window_is_no_gap() {
    let mut rig = bypassed(0);
    rig.feed(&Segment { payload_len: 90, ..segment(1, 4, b"bbb") });
    rig.data(104, b"GET");
    assert_eq!(rig.got, [data(b"bbb"), Got::Bypassed(87), Got::Bypassed(10), data(b"GET")]);
    assert_eq!(gaps(&rig).0, 0);
}

#[test]
fn a_retransmission_is_a_duplicate_as_ever() {
    let mut rig = bypassed(0);
    rig.data(1, b"abc");
    assert_eq!((rig.ledger.duplicate_bytes, rig.got.len()), (3, 0));
    rig.data(104, b"GET");
    rig.data(104, b"GET");
    assert_eq!(rig.ledger.duplicate_bytes, 6);
}

#[test]
fn windows_follow_each_other_for_any_size() {
    let mut rig = Rig::new();
    rig.flags(7, b"", SYN);
    let mut seq = 8_u32;
    let mut total = 0;
    // More than 2^32 bytes, with a segment after each window, and sometimes a hole before it.
    for late in [0, 5, 1000, 0, 1 << 20, (1 << 24) - 9] {
        rig.bypass(u64::MAX);
        seq = seq.wrapping_add(Bypass::MAX_BYTES).wrapping_add(late);
        rig.data(seq, b"x");
        if late > 0 {
            rig.data(seq.wrapping_sub(late), &[]);
            rig.expire(60_000 * MS);
        }
        seq = seq.wrapping_add(1);
        total += u64::from(Bypass::MAX_BYTES) + u64::from(late) + 1;
    }
    let ledger = &rig.ledger;
    assert_eq!(ledger.out_of_window_bytes, 0);
    assert_eq!(ledger.bypassed_bytes, 6 << 30);
    assert_eq!(ledger.bypassed_bytes + ledger.gap_bytes + ledger.used_bytes, total);
    assert_eq!(rig.stream.as_ref().unwrap().next_seq(), Seq(seq));
}

#[test]
fn a_window_that_was_passed_means_nothing() {
    let mut rig = bypassed(0);
    rig.data(104, b"GET");
    assert_eq!(rig.stream.as_ref().unwrap().bypassed_bytes(), 0);
    rig.data(117, b"x");
    rig.expire(60_000 * MS);
    assert_eq!(rig.got.last(), Some(&data(b"x")));
    assert_eq!((gaps(&rig), rig.ledger.gap_bytes), ((1, 100), 10));
}
