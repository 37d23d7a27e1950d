use super::*;
use crate::{
    address::Address,
    follow::{Action, decide},
    wire::tcp::{ACK, URG},
};

const START: u32 = u32::MAX - 5;

fn packet(flags: u8, offset: i32, payload_len: u32) -> Inspected {
    let nobody = Address([0; 4]);
    Inspected::plain(TcpPacket {
        key: FlowKey { source: nobody, destination: nobody, ports: 1 },
        seq: Seq(START) + offset.cast_unsigned(),
        flags,
        network_offset: 0,
        transport_offset: 20,
        options_len: 0,
        payload_len,
    })
}

fn flow() -> Flow {
    let mut flow = Flow::EMPTY;
    flow.begin(&packet(ACK, 0, 0), None, 1);
    flow
}

const NOTHING: Change = Change { ended: false, reopened: false, is_stray: false, is_after_end: false };
const ENDED: Change = Change { ended: true, ..NOTHING };
const REOPENED: Change = Change { reopened: true, ..NOTHING };
const STRAY: Change = Change { is_stray: true, ..NOTHING };
const AFTER_END: Change = Change { is_after_end: true, ..NOTHING };

/// Tracks packets, each with its offset from the start of the stream and the length of its payload.
fn track<const N: usize>(flow: &mut Flow, packets: [(u8, i32, u32); N]) -> [Change; N] {
    packets.map(|(flags, offset, len)| flow.track(&packet(flags, offset, len).tcp, 7))
}

#[test]
fn a_start_is_known_unless_data_named_the_client() {
    let begun = |packet: &Inspected, handshake: Option<&Handshake>| {
        let mut flow = Flow::EMPTY;
        flow.begin(packet, handshake, 1);
        (flow.start_seq.wrapping_sub(START), flow.flags & !flags::NEXT_KNOWN)
    };
    let handshake = Handshake { attribution: Attribution::EMPTY, syn_seq: START.wrapping_sub(1), used: 0 };
    assert_eq!(begun(&packet(ACK, 0, 0), None), (0, flags::START_KNOWN));
    assert_eq!(begun(&packet(ACK, 9, 5), None), (9, flags::START_DATA));
    assert_eq!(begun(&packet(ACK, 9, 5), Some(&handshake)), (0, flags::START_KNOWN));
    assert_eq!(begun(&packet(SYN, -1, 5), None), (0, flags::START_KNOWN));
}

#[test]
fn only_a_reset_at_the_next_byte_ends_a_connection() {
    let mut flow = flow();
    let changes = track(&mut flow, [(ACK, 0, 10), (RST, 9, 0), (RST, 11, 0), (RST, 0, 0), (RST, 10, 0)]);
    assert_eq!(changes, [NOTHING, STRAY, STRAY, STRAY, ENDED]);
}

#[test]
fn only_a_fin_in_sequence_ends_a_connection() {
    let mut flow = flow();
    let changes = track(&mut flow, [(FIN | ACK, 10, 0), (ACK, 5, 5), (ACK, 0, 5), (FIN | ACK, 10, 0)]);
    assert_eq!(changes, [NOTHING, ENDED, NOTHING, NOTHING], "once the highest byte is seen");
    let mut taken_back = self::flow();
    let changes = track(&mut taken_back, [(FIN | ACK, 10, 0), (ACK, 0, 20), (RST, 10, 0)]);
    assert_eq!(changes, [NOTHING, NOTHING, STRAY], "payload where the FIN was");
}

#[test]
fn a_fin_before_the_next_byte_ends_nothing() {
    let mut flow = flow();
    let changes = track(&mut flow, [(ACK, 0, 10), (FIN | ACK, 4, 0), (FIN | ACK, 0, 9), (FIN | ACK, 5, 5)]);
    assert_eq!(changes, [NOTHING, STRAY, STRAY, ENDED]);
}

#[test]
fn payload_that_continues_the_stream_takes_the_end_back() {
    for end in [RST, FIN | ACK] {
        let mut flow = flow();
        let changes = track(
            &mut flow,
            [(ACK, 0, 10), (end, 10, 0), (ACK, 5, 5), (ACK, 11, 5), (ACK, 10, 5), (end, 15, 0)],
        );
        assert_eq!(changes, [NOTHING, ENDED, NOTHING, AFTER_END, REOPENED, ENDED]);
    }
}

#[test]
fn a_reset_may_follow_a_fin() {
    let mut flow = flow();
    assert_eq!(track(&mut flow, [(FIN | ACK, 0, 0), (RST, 1, 0), (RST, 2, 0)]), [ENDED, NOTHING, STRAY]);
}

#[test]
fn one_segment_far_away_moves_nothing() {
    let far = i32::try_from(WINDOW_BYTES).unwrap() + 11;
    let mut flow = flow();
    let changes = track(&mut flow, [(ACK, 0, 10), (ACK, far, 5), (ACK, -far, 5), (ACK, 10, 5)]);
    assert_eq!(changes, [NOTHING, STRAY, STRAY, NOTHING]);
    assert_eq!(flow.next_seq, START.wrapping_add(15));
}

#[test]
fn one_segment_far_ahead_moves_nothing() {
    let mut flow = flow();
    let changes =
        track(&mut flow, [(ACK, 0, 10), (ACK, 5_000_000, 5), (FIN | ACK, 9_000_000, 5), (RST, 10, 0)]);
    assert_eq!(changes, [NOTHING, NOTHING, NOTHING, ENDED]);
}

#[test]
fn a_stream_that_went_on_far_ahead_is_found_again() {
    let mut flow = flow();
    let ahead = |segment: i32| (ACK, 70_000 + 5 * segment, 5);
    assert_eq!(
        track(&mut flow, [ahead(0), ahead(1), ahead(2), ahead(3), (RST, 70_020, 0)]).last(),
        Some(&ENDED)
    );
}

#[test]
fn a_stream_that_went_on_unseen_is_found_again() {
    let far = i32::try_from(WINDOW_BYTES).unwrap() + 11;
    let mut flow = flow();
    for segment in 0..MAX_STRAYS.cast_signed() {
        let [change] = track(&mut flow, [(ACK, far + 5 * segment, 5)]);
        assert_eq!(change.is_stray, segment + 1 < MAX_STRAYS.cast_signed());
    }
    assert_eq!(track(&mut flow, [(RST, far + 5 * MAX_STRAYS.cast_signed(), 0)]), [ENDED]);
}

#[test]
fn an_ended_flow_lingers_from_its_last_packet() {
    let mut flow = flow();
    flow.track(&packet(RST, 0, 0).tcp, 100);
    flow.track(&packet(ACK, 0, 0).tcp, 200);
    assert!(!flow.has_lingered(250, 50));
    assert!(flow.has_lingered(251, 50));
}

#[test]
fn what_just_continues_a_connection_is_followed_and_only_moves_it_on() {
    let (mut just, mut others) = (0, 0);
    for (set, ended_ns, strays) in (0..1 << 7).flat_map(|set| [(set, 0, 0), (set, 5, 0), (set, 0, 3)]) {
        let mut flow = flow();
        (flow.flags, flow.ended_ns, flow.strays) = (set, ended_ns, strays);
        (flow.fin_seq, flow.stray_seq) = (START.wrapping_add(9), START);
        for (offset, len) in
            [-1, 0, 1, 70_000, 20 << 20].into_iter().flat_map(|offset| [(offset, 0), (offset, 9)])
        {
            for tcp_flags in [ACK, ACK | URG, ACK | FIN, ACK | RST, SYN, SYN | ACK] {
                let packet = packet(tcp_flags, offset, len);
                if !flow.is_just_continued_by(&packet.tcp) {
                    others += 1;
                    continue;
                }
                just += 1;
                let decision = decide(&packet, Some(&flow), None, true, |_| unreachable!());
                assert_eq!(decision, Action::Follow.into());
                let (mut tracked, mut moved) = (flow, flow);
                assert_eq!(tracked.track(&packet.tcp, 7), NOTHING);
                moved.move_on(&packet.tcp, 7);
                assert_eq!(moved, tracked);
                assert!(!Flow { ports: 2, ..flow }.is_just_continued_by(&packet.tcp));
            }
        }
    }
    // Of the flags, three decide. Open, with and without strays; with payload at the next byte; with ACK, with and without URG.
    assert_eq!((just, just + others), (16 * 2 * 2, 128 * 3 * 5 * 2 * 6));
}
