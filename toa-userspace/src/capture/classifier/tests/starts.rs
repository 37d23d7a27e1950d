//! Where streams start.

use toa_common::seq::Seq;

use super::*;

#[test]
fn text_shows_no_start() {
    let start = |any_flow: bool, packets: &[Vec<u8>]| {
        let mut classifier = classifier(&["any"], any_flow);
        let take = |bytes: &Vec<u8>| handed_on(&mut classifier, &packet(1, bytes)).map(|it| it.start);
        packets.iter().filter_map(take).last()
    };
    let request = |options: &[u8]| up(1, 10, ACK, options, REQUEST);
    let syn = up(1, 9, SYN, &[], b"");
    assert_eq!(start(true, &[request(&[])]), Some(Start::Unknown));
    assert_eq!(start(true, &[syn, request(&[])]), Some(Start::Known(Seq(10))));
    // Balancers mark the first packets of a connection.
    assert_eq!(start(false, &[request(&TOA)]), Some(Start::Data(Seq(10))));
    assert_eq!(start(true, &[request(&TOA)]), Some(Start::Data(Seq(10))));
    assert_eq!(start(true, &[request(&[]), up(1, 28, ACK, &TOA, REQUEST)]), Some(Start::Unknown));
}

#[test]
fn a_toa_behind_data_shows_no_start() {
    let start = |before: &[Vec<u8>], named: [Vec<u8>; 2]| {
        let mut classifier = classifier(&["any"], false);
        for bytes in before {
            assert_eq!(handed_on(&mut classifier, &packet(1, bytes)), None);
        }
        let take = |bytes: &Vec<u8>| handed_on(&mut classifier, &packet(1, bytes)).map(|it| it.start);
        named.iter().filter_map(take).last()
    };
    let data = |seq| up(1, seq, ACK, &[], b"data");
    let by_data = |seq| [up(1, seq, ACK, &TOA, REQUEST), up(1, seq, ACK, &[], REQUEST)];
    let by_ack = |seq| [up(1, seq, ACK, &TOA, b""), up(1, seq, ACK, &[], REQUEST)];
    for seq in [104, 1_000, 1_000_000] {
        assert_eq!(start(&[data(100)], by_data(seq)), Some(Start::Unknown));
        assert_eq!(start(&[data(100)], by_ack(seq)), Some(Start::Unknown));
        // Sent again.
        assert_eq!(start(&[data(100), data(2_000_000)], by_data(seq)), Some(Start::Unknown));
    }
    // The same connection for 3 GB.
    let long: Vec<_> = (0..300).map(|at| data(100 + at * 10_000_000)).collect();
    assert_eq!(start(&long, by_data(104 + 2_990_000_000)), Some(Start::Unknown));
    // The balancer marks the first data only. It may be overtaken, or be another connection's.
    let named = |seq| Some(Start::Data(Seq(seq)));
    assert_eq!(start(&[up(1, 10, ACK, &[], b"")], by_data(10)), named(10));
    assert_eq!(start(&[data(100)], by_data(10)), named(10));
    assert_eq!(start(&[data(100)], by_data(1_000_000_000)), named(1_000_000_000));
    assert_eq!(start(&[data(100), up(1, 200, SYN, &[], b"")], by_data(201)), named(201));
    assert_eq!(start(&[data(100), up(1, 200, SYN, &TOA, b"")], by_data(201)), Some(Start::Known(Seq(201))));
}

#[test]
fn a_toa_that_may_be_of_a_known_connection_shows_no_start() {
    let start = |any_flow: bool, before: &[Vec<u8>], seq| {
        let mut classifier = classifier(&["any"], any_flow);
        for bytes in before {
            handed_on(&mut classifier, &packet(1, bytes));
        }
        handed_on(&mut classifier, &packet(1, &up(1, seq, ACK, &TOA, REQUEST))).map(|it| it.start)
    };
    let (mine, other) = (|seq| up(1, seq, ACK, &[], REQUEST), |seq| up(1, seq, ACK, &OTHER_TOA, REQUEST));
    let syn = || [up(1, 9, SYN, &[], b""), mine(10)];
    let data = |seq| up(1, seq, ACK, &[], b"data");
    let named = |seq| Some(Start::Data(Seq(seq)));
    // 10 MB are missing, or more, and then data was seen.
    for before in [syn().to_vec(), vec![mine(10)]] {
        assert_eq!(start(true, &before, 10_000_000), Some(Start::Unknown));
        let far = [&before[..], &[data(1_000_000_000)]].concat();
        assert_eq!(start(true, &far, 1_000_000_004), Some(Start::Unknown));
        assert_eq!(start(true, &before, 1_000_000_000), named(1_000_000_000));
    }
    let end = 10 + u32::try_from(REQUEST.len()).unwrap();
    let ended = [mine(10), up(1, end, FIN | ACK, &[], b""), data(end + 1_000)];
    assert_eq!(start(true, &ended, end + 1_004), Some(Start::Unknown));
    let far = [&ended[..2], &[data(10_000_000)]].concat();
    assert_eq!(start(true, &far, 10_000_004), Some(Start::Unknown));
    assert_eq!(start(true, &ended[..2], 1_000_000), named(1_000_000));
    // Data without a TOA has ended the connection before.
    let ended = [other(10), up(1, 1_000_000_000, SYN, &[], b""), data(1_000_000_001)];
    assert_eq!(start(false, &ended, 1_000_000_005), Some(Start::Unknown));
    // The client before was another one.
    assert_eq!(start(false, &[other(10)], 10_000_000), Some(Start::Unknown));
    assert_eq!(start(false, &[other(10)], 1_000_000_000), named(1_000_000_000));
}
