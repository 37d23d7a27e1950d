use super::*;
use crate::{
    address::{Address, Client},
    attribution::{Attribution, flags as learned},
    config::Config,
    flow::flags,
    flow_key::FlowKey,
    seq::Seq,
    tcp_packet::TcpPacket,
    wire::{
        tcp::{ACK, FIN, RST, SYN},
        tcp_option::{self, Walk},
        view::Captured,
    },
};

const START: u32 = 1000;
const WATCHED: u32 = 9;
const OTHER: u32 = 8;

const fn client(last: u32) -> Client {
    Client { address: Address([0, 0, 0, last]), port_be: 1 }
}

/// Returns a packet, whose TOA names the client `toa` unless that is 0.
fn packet(flags: u8, seq: u32, payload_len: u32, toa: u32) -> Inspected {
    let nobody = Address([0; 4]);
    let tcp = TcpPacket {
        key: FlowKey { source: nobody, destination: nobody, ports: 1 },
        seq: Seq(seq),
        flags,
        network_offset: 0,
        transport_offset: 20,
        options_len: 0,
        payload_len,
    };
    let toa = if toa == 0 { Toa::none() } else { Toa { client: client(toa), kind: 254, length: 8 } };
    Inspected { toa, ..Inspected::plain(tcp) }
}

fn walk(options: &[u8]) -> Walk {
    let len = u32::try_from(options.len()).unwrap();
    let view = Captured { bytes: options, wire_len: len };
    tcp_option::walk(&view, 0, len, |kind, length| Config::DEFAULT.class_of(kind, length))
}

fn syn(seq: u32, toa: u32) -> Inspected {
    packet(SYN, seq, 0, toa)
}

fn ack(seq: u32, toa: u32) -> Inspected {
    packet(ACK, seq, 0, toa)
}

fn data(seq: u32, toa: u32) -> Inspected {
    packet(ACK, seq, 10, toa)
}

fn is_watched(toa: &Toa) -> bool {
    toa.client == client(WATCHED)
}

/// Returns the flow of the watched client, whose first byte is at `START`.
fn flow(learned: u8) -> Flow {
    let mut flow = Flow::EMPTY;
    flow.begin(&ack(START, WATCHED), None, 1);
    flow.attribution.flags = learned;
    flow
}

/// Returns the handshake of a SYN whose first byte is at `start`, which named the client `toa` unless that is 0.
fn handshake(start: u32, toa: u32) -> Handshake {
    let syn = syn(start.wrapping_sub(1), toa);
    let mut attribution = Attribution::EMPTY;
    if toa != 0 {
        syn.name(&mut attribution);
    }
    Handshake { attribution, syn_seq: syn.tcp.seq.0, used: 0 }
}

/// Decides for a run that follows only whom a rule watches.
fn decide(
    inspected: &Inspected,
    known: Option<&Flow>,
    handshake: Option<&Handshake>,
    is_watched: impl FnOnce(&Toa) -> bool,
) -> Decision {
    super::decide(inspected, known, handshake, false, is_watched)
}

/// Returns the action without knowledge of the connection.
fn first(inspected: &Inspected) -> Action {
    decide(inspected, None, None, is_watched).action
}

#[test]
fn any_client_packet_names_the_client() {
    assert_eq!(first(&syn(7, WATCHED)), Action::Remember);
    assert_eq!(first(&ack(7, WATCHED)), Action::Learn);
    assert_eq!(first(&data(7, WATCHED)), Action::Learn);
    assert_eq!(first(&packet(ACK | FIN, 7, 0, WATCHED)), Action::Learn);
    for other in [syn(7, OTHER), ack(7, OTHER), data(7, OTHER)] {
        assert_eq!(first(&other), Action::Ignore);
    }
}

#[test]
fn a_syn_with_another_flag_opens_nothing() {
    for (flags, expected) in [
        (SYN | FIN, Action::Stray),
        (SYN | ACK, Action::Stray),
        (SYN | RST, Action::Follow),
        (SYN | FIN | RST, Action::Follow),
    ] {
        assert_eq!(first(&packet(flags, 7, 0, WATCHED)), Action::Ignore);
        let known = decide(&packet(flags, START + 7, 0, WATCHED), Some(&flow(0)), None, is_watched);
        assert_eq!(known, expected.into(), "{flags}");
    }
}

#[test]
fn no_rule_is_looked_up_in_vain() {
    let no_rule = |_: &Toa| unreachable!();
    for packet in [packet(SYN | ACK, 7, 0, WATCHED), packet(RST, 7, 0, WATCHED)] {
        assert_eq!(decide(&packet, None, None, no_rule).action, Action::Ignore);
    }
    for packet in [syn(7, 0), ack(7, 0), data(7, 0), packet(RST, 7, 0, 0)] {
        assert_eq!(decide(&packet, None, None, no_rule).action, Action::Ignore);
    }
    let flow = flow(0);
    for packet in [ack(START, 0), data(START, 0), data(START, WATCHED), packet(RST, START, 0, 0)] {
        assert_eq!(decide(&packet, Some(&flow), None, no_rule), Action::Follow.into());
    }
}

#[test]
fn a_signed_packet_is_rejected() {
    let mut signed = data(START, WATCHED);
    signed.walk = walk(&[19, 18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(first(&signed), Action::Reject);
    signed.toa = Toa::none();
    assert_eq!(first(&signed), Action::Ignore);
    assert_eq!(decide(&signed, Some(&flow(0)), None, is_watched).action, Action::Reject);
}

#[test]
fn a_handshake_begins_a_connection_once_it_is_completed() {
    let named = handshake(START, WATCHED);
    for packet in [ack(START, 0), data(START, 0), data(START + 65_535, 0), data(START, WATCHED)] {
        let decision = decide(&packet, None, Some(&named), is_watched);
        assert_eq!((decision.action, decision.completed, decision.conflict), (Action::Learn, true, false));
    }
    for packet in [ack(START - 1, 0), data(START + 65_536, 0), packet(RST, START, 0, 0)] {
        let decision = decide(&packet, None, Some(&named), is_watched);
        assert_eq!((decision.action, decision.completed), (Action::Ignore, false));
    }
}

#[test]
fn the_completing_packet_overrules_the_syn() {
    let other = decide(&ack(START, OTHER), None, Some(&handshake(START, WATCHED)), is_watched);
    assert_eq!((other.action, other.conflict), (Action::Ignore, true));
    let watched = decide(&ack(START, WATCHED), None, Some(&handshake(START, 0)), is_watched);
    assert_eq!((watched.action, watched.conflict), (Action::Learn, false));
}

#[test]
fn a_rule_that_was_removed_since_the_syn_is_not_applied() {
    let decision = decide(&ack(START, 0), None, Some(&handshake(START, WATCHED)), |_| false);
    assert_eq!((decision.action, decision.completed), (Action::Ignore, true));
}

#[test]
fn a_fast_open_syn_begins_a_connection_at_once() {
    let mut syn = packet(SYN, 7, 10, WATCHED);
    assert_eq!(first(&syn), Action::Remember, "without a cookie, a server ignores the payload");
    syn.walk = walk(&[34, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(first(&syn), Action::Learn);
    assert_eq!(decide(&syn, Some(&flow(0)), None, is_watched).action, Action::Remember);
}

#[test]
fn a_syn_does_not_end_a_connection() {
    for toa in [0, WATCHED, OTHER] {
        let decision = decide(&syn(70_000, toa), Some(&flow(0)), None, is_watched);
        assert_eq!((decision.action, decision.watched), (Action::Remember, toa == WATCHED));
    }
    for again in [START - 1, START] {
        let decision = decide(&syn(again, 0), Some(&flow(0)), None, is_watched);
        assert_eq!(decision.action, Action::Follow);
    }
}

#[test]
fn the_packet_after_a_syn_ends_the_old_connection() {
    let flow = flow(0);
    let decide = |packet: &Inspected, toa| {
        decide(packet, Some(&flow), Some(&handshake(70_000, toa)), is_watched).action
    };
    assert_eq!(decide(&ack(70_000, 0), 0), Action::End);
    assert_eq!(decide(&ack(70_000, 0), WATCHED), Action::Learn);
    assert_eq!(decide(&data(70_000, WATCHED), 0), Action::Learn);
    assert_eq!(decide(&ack(70_000, OTHER), 0), Action::End);
    assert_eq!(decide(&data(START, 0), 0), Action::Follow);
}

#[test]
fn a_syn_that_names_nobody_has_no_client_left_from_another() {
    let mut unnamed = handshake(START, WATCHED);
    unnamed.attribution.learned_from = 0;
    let decision = decide(&ack(START, 0), None, Some(&unnamed), is_watched);
    assert_eq!((decision.action, decision.completed, decision.watched), (Action::Ignore, true, false));
}

#[test]
fn of_a_new_connection_the_first_packet_may_come_late() {
    const NEW: u32 = 17 << 20;
    let mut flow = flow(0);
    let decide = |packet: &Inspected, flow: &Flow, start| {
        let decision = decide(packet, Some(flow), Some(&handshake(start, WATCHED)), is_watched);
        (decision.action, decision.completed)
    };
    for packet in [data(NEW + 10, 0), ack(NEW + 10, 0), data(NEW + 65_535, 0)] {
        assert_eq!(decide(&packet, &flow, NEW), (Action::Learn, true));
    }
    for packet in [data(NEW + 65_536, 0), data(NEW - 1, 0)] {
        assert_eq!(decide(&packet, &flow, NEW), (Action::Follow, false));
    }
    // As long as the known connection is open, it may be its own.
    let late = data(70_010, 0);
    assert_eq!(decide(&late, &flow, 70_000), (Action::Follow, false));
    // The end may be taken back, but only near it.
    flow.track(&packet_of_fin(START).tcp, 2);
    assert_eq!(decide(&late, &flow, 70_000), (Action::Learn, true));
    assert_eq!(decide(&data(60_010, 0), &flow, 60_000), (Action::Follow, false));
}

#[test]
fn a_near_syn_that_names_no_one_replaces_no_other() {
    let named = handshake(START, WATCHED);
    for (seq, toa, expected) in [
        (START, 0, true),
        (START - 1, 0, true),
        (START + 65_534, 0, true),
        (START + 65_535, 0, false),
        (START, OTHER, false),
        (START, WATCHED, false),
    ] {
        assert_eq!(named.outlasts(&syn(seq, toa)), expected, "{seq}, {toa}");
    }
    assert!(!Handshake { used: 1, ..named }.outlasts(&syn(START, 0)));
    assert!(handshake(START, 0).outlasts(&syn(START, 0)));
}

#[test]
fn a_syn_with_the_number_before_the_next_byte_ends_nothing() {
    for (sent, toa) in [(0, 0), (10, 0), (10, WATCHED), (11, 0), (12, 0)] {
        let mut flow = flow(0);
        flow.track(&data(START, 0).tcp, 1);
        let packet = data(START + sent, 0);
        let decision = decide(&packet, Some(&flow), Some(&handshake(START + sent, toa)), is_watched);
        assert_eq!(decision, Action::Follow.into(), "{sent}");
        flow.track(&packet_of_fin(START + 10).tcp, 2);
        let after = decide(&packet, Some(&flow), Some(&handshake(START + sent, WATCHED)), is_watched);
        let expected = if matches!(sent, 10 | 11) { Action::Follow } else { Action::Learn };
        assert_eq!(after.action, expected, "{sent} after the end");
    }
}

fn packet_of_fin(seq: u32) -> Inspected {
    packet(ACK | FIN, seq, 0, 0)
}

#[test]
fn another_client_far_away_is_another_connection() {
    let flow = flow(0);
    let far = START + (5 << 20);
    let decide = |packet: &Inspected| {
        let decision = decide(packet, Some(&flow), None, is_watched);
        (decision.action, decision.conflict)
    };
    assert_eq!(decide(&data(far, OTHER)), (Action::End, false));
    assert_eq!(decide(&data(START, OTHER)), (Action::Follow, true));
    assert_eq!(decide(&data(far, WATCHED)), (Action::Follow, false));
    // A bare ACK shows the next byte that is sent, which may be anywhere before data is seen.
    assert_eq!(decide(&ack(far, OTHER)), (Action::Follow, false));
}

#[test]
fn after_an_end_only_the_next_byte_continues() {
    let mut flow = flow(0);
    flow.track(&packet_of_fin(START).tcp, 2);
    let decide = |seq, toa| {
        let decision = decide(&data(seq, toa), Some(&flow), None, is_watched);
        (decision.action, decision.conflict)
    };
    assert_eq!(decide(START, OTHER), (Action::Follow, true));
    assert_eq!(decide(START + 1, OTHER), (Action::End, false));
    assert_eq!(decide(START + 1, WATCHED), (Action::Follow, false));
}

#[test]
fn after_an_end_the_same_client_far_away_is_another_connection() {
    let mut flow = flow(0);
    flow.track(&packet_of_fin(START).tcp, 2);
    let decide = |packet: &Inspected| decide(packet, Some(&flow), None, is_watched).action;
    // The last bytes may be sent again.
    assert_eq!(decide(&data(START + 65_535, WATCHED)), Action::Follow);
    assert_eq!(decide(&data(START + 65_536, WATCHED)), Action::Learn);
    assert_eq!(decide(&data(START.wrapping_sub(5 << 20), WATCHED)), Action::Learn);
    assert_eq!(decide(&data(START + (5 << 20), 0)), Action::Follow);
}

#[test]
fn what_a_syn_said_is_replaced_once() {
    let provisional = flow(learned::PROVISIONAL);
    let decide = |packet: &Inspected, rule: fn(&Toa) -> bool| decide(packet, Some(&provisional), None, rule);
    let same = decide(&ack(START, WATCHED), |_| unreachable!());
    assert_eq!(same, Decision { confirmed: true, ..Action::Follow.into() });
    let other = decide(&data(START, OTHER), |_| true);
    assert_eq!((other.action, other.conflict), (Action::Replace, true));
    assert_eq!(decide(&ack(START, OTHER), is_watched).action, Action::End);
    let later = decide(&ack(START + 1, OTHER), |_| unreachable!());
    assert_eq!((later.action, later.conflict), (Action::Follow, true));
}

#[test]
fn a_challenge_alone_changes_nothing() {
    let mut challenged = flow(0);
    challenged.flags |= flags::CHALLENGED;
    let decision = decide(&data(START, 0), Some(&challenged), Some(&handshake(70_000, WATCHED)), is_watched);
    assert_eq!(decision, Action::Follow.into());
}

/// Decides for a run that follows any connection.
fn any(inspected: &Inspected, known: Option<&Flow>, handshake: Option<&Handshake>) -> Decision {
    super::decide(inspected, known, handshake, true, |_| true)
}

/// Returns the flow of a connection that nothing names, whose first byte is at `START`.
fn unnamed() -> Flow {
    let mut flow = Flow::EMPTY;
    flow.begin(&data(START, 0), None, 1);
    flow
}

#[test]
fn any_connection_begins_with_its_handshake_or_its_first_data() {
    let unmarked = handshake(START, 0);
    assert_eq!(any(&syn(START - 1, 0), None, None).action, Action::Remember);
    assert_eq!(any(&ack(START, 0), None, Some(&unmarked)).action, Action::Learn);
    assert_eq!(any(&data(START, 0), None, Some(&unmarked)).action, Action::Learn);
    assert_eq!(any(&data(START, 0), None, None).action, Action::Learn);
    assert_eq!(any(&data(START, OTHER), None, None).action, Action::Learn);
    for packet in [ack(START, 0), packet(RST, START, 0, 0), packet(SYN | ACK, START, 0, 0)] {
        assert_eq!(any(&packet, None, None).action, Action::Ignore);
    }
    // A new connection takes the 4-tuple of an ended one.
    let completed = any(&data(START + 70_000, 0), Some(&unnamed()), Some(&handshake(START + 70_000, 0)));
    assert_eq!((completed.action, completed.completed), (Action::Learn, true));
}

#[test]
fn what_nothing_names_is_its_senders_until_a_toa_names_another() {
    let flow = unnamed();
    assert!(!flow.attribution.is_named() && flow.attribution.is_provisional());
    assert_eq!(flow.attribution.client(), Client { address: Address([0; 4]), port_be: 1 });
    assert_eq!(any(&data(START, 0), Some(&flow), None), Action::Follow.into());
    let named = any(&data(START, WATCHED), Some(&flow), None);
    assert_eq!((named.action, named.conflict), (Action::Replace, false));
    // The sender itself, in a TOA: it has a name now.
    let mut itself = data(START, WATCHED);
    itself.toa.client = flow.attribution.client();
    assert_eq!(any(&itself, Some(&flow), None).action, Action::Replace);
}
