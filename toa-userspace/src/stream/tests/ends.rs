//! Where a stream ends.

use super::*;

#[test]
fn a_fin_before_its_data_waits() {
    let mut rig = Rig::new();
    rig.flags(0, b"", SYN);
    rig.flags(4, b"de", FIN);
    assert_eq!(rig.ended(), None);
    rig.data(1, b"abc");
    assert_eq!(rig.ended(), Some(EndKind::Fin));
    rig.data(7, b"f");
    assert_eq!(rig.got, [Got::Start(true), data(b"abcde")]);
    assert_eq!(rig.ledger.after_end_bytes, 1);
}

#[test]
fn payload_that_continues_the_stream_takes_an_end_back() {
    for flag in [FIN, RST] {
        let mut rig = Rig::new();
        rig.flags(0, b"abc", SYN);
        rig.flags(4, b"", flag);
        rig.data(2, b"bcde");
        assert_eq!(rig.got, [Got::Start(true), data(b"abc"), Got::Reopened, data(b"de")]);
        assert_eq!((rig.ended(), rig.ledger.after_end_bytes), (None, 0));
    }
}

#[test]
fn a_fin_in_the_middle_of_data_was_none() {
    let mut rig = Rig::new();
    rig.flags(0, b"", SYN);
    rig.flags(4, b"", FIN);
    rig.data(1, b"abcdef");
    assert_eq!(rig.got, [Got::Start(true), data(b"abcdef")]);
    assert_eq!(rig.ended(), None);
}

#[test]
fn a_fin_whose_data_is_lost_times_out() {
    let mut rig = Rig::new();
    rig.flags(0, b"", SYN);
    rig.flags(4, b"", FIN);
    rig.expire(60_000 * MS);
    assert_eq!(rig.got, [Got::Start(true), Got::Gap(3)]);
    assert_eq!(rig.ended(), Some(EndKind::Fin));
}

#[test]
fn only_a_reset_at_the_next_byte_ends_a_connection() {
    let mut rig = Rig::new();
    rig.flags(0, b"abc", SYN);
    rig.flags(2, b"", RST);
    rig.flags(5, b"", RST);
    assert_eq!((rig.ended(), rig.ledger.stray_resets), (None, 2));
    rig.flags(4, b"by the way", RST);
    assert_eq!(rig.ended(), Some(EndKind::Rst));
    assert_eq!(rig.ledger.after_end_bytes, 10);
}
