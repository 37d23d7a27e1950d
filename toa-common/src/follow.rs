//! Decides which connections are followed. Lookups and writes are the host's: it passes in what it knows and does what
//! the decision says.
//!
//! Balancers mark different packets: only the SYN, the SYN and early ACKs, only early ACKs, only the first data. So any
//! packet from a client can name it. What a SYN says is provisional: behind a balancer that does not mark SYNs, it is the
//! client's own claim.

use crate::{flow::Flow, seq::Seq, tcp_packet::SegmentKind, wire::toa::Toa};

/// What a host is to do with a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Nothing: nobody watches it.
    Ignore,
    /// Stream it: its connection is followed.
    Follow,
    /// Begin to follow its connection, then stream it. A binding of the same 4-tuple is overwritten.
    Learn,
    /// Its connection belongs to another client than its SYN said, also a watched one. Write that down, then
    /// stream it.
    Replace,
    /// Its connection is not followed any more: forget the binding.
    End,
}

/// A decision on one packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// A TOA named another client than the one that the connection belongs to: to be counted.
    pub conflict: bool,
    /// The client that a SYN named is now certain: to be written down.
    pub confirmed: bool,
}

impl Decision {
    /// Records in `flow` what was decided besides the action.
    #[inline(always)]
    pub fn apply(self, flow: &mut Flow) {
        if self.conflict {
            flow.attribution.conflict();
        }
        if self.confirmed {
            flow.attribution.confirm();
        }
    }
}

impl From<Action> for Decision {
    #[inline(always)]
    fn from(action: Action) -> Self {
        Self { action, conflict: false, confirmed: false }
    }
}

/// Whether a SYN with this number began the connection that is known as `flow`, and was sent or delivered again: then
/// the packet that named the client was that SYN, or the next one. A new connection begins elsewhere (RFC 6528).
#[inline(always)]
fn began_with(flow: &Flow, syn: Seq) -> bool {
    matches!(Seq(flow.first_seq).distance(syn), 0 | 1)
}

/// Decides on a packet of kind `segment` with sequence number `seq` and `toa`, whose connection is known as `known`.
/// Asks `is_watched` at most once, and only where the answer matters.
#[inline(always)]
pub fn decide(
    segment: SegmentKind,
    seq: Seq,
    known: Option<&Flow>,
    toa: &Toa,
    is_watched: impl FnOnce(&Toa) -> bool,
) -> Decision {
    let names = toa.is_some() && segment.names_client();
    // A SYN begins a new connection, whatever is known of an older one with the same 4-tuple.
    let current = known.filter(|flow| segment != SegmentKind::Syn || began_with(flow, seq));
    let is_same = current.is_some_and(|flow| flow.attribution.client() == toa.client);
    let is_open = current.is_none_or(|flow| flow.attribution.is_provisional() && !is_same);
    // In one place, so that the compiler makes no function of it.
    let is_watched = names && is_open && is_watched(toa);
    let action = match current {
        None if is_watched => Action::Learn,
        None if known.is_some() => Action::End,
        None => Action::Ignore,
        Some(_) if is_watched => Action::Replace,
        Some(_) if names && is_open => Action::End,
        Some(_) => Action::Follow,
    };
    Decision {
        action,
        conflict: names && current.is_some() && !is_same,
        confirmed: names && is_same && current.is_some_and(|flow| flow.attribution.is_provisional()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        address::{Address, Client},
        attribution::{Attribution, LearnedFrom, flags},
    };

    const fn client(last: u32) -> Client {
        Client { address: Address([0, 0, 0, last]), port_be: 1 }
    }

    const fn toa(last: u32) -> Toa {
        Toa { client: client(last), kind: 254, length: 8 }
    }

    fn watched(wanted: Client) -> impl FnOnce(&Toa) -> bool {
        move |found: &Toa| found.client == wanted
    }

    const SEQ: Seq = Seq(7);
    const KNOWN: Flow = flow(0);
    const PROVISIONAL: Flow = flow(flags::PROVISIONAL);

    const fn flow(flags: u8) -> Flow {
        let Client { address, port_be } = client(9);
        let attribution = Attribution { address, port_be, flags, ..Attribution::EMPTY };
        Flow { attribution, first_seq: 1000, ..Flow::EMPTY }
    }

    #[test]
    fn any_client_packet_teaches() {
        for (segment, from) in [
            (SegmentKind::Syn, LearnedFrom::Syn),
            (SegmentKind::Ack, LearnedFrom::Ack),
            (SegmentKind::Data, LearnedFrom::Data),
        ] {
            let decision = decide(segment, SEQ, None, &toa(9), watched(client(9)));
            assert_eq!(decision, Action::Learn.into());
            assert_eq!(LearnedFrom::from(segment), from);
            let other = decide(segment, SEQ, None, &toa(8), watched(client(9)));
            assert_eq!(other.action, Action::Ignore);
        }
        for segment in [SegmentKind::SynAck, SegmentKind::Rst] {
            let decision = decide(segment, SEQ, None, &toa(9), |_| unreachable!());
            assert_eq!(decision.action, Action::Ignore);
        }
    }

    #[test]
    fn a_packet_without_toa_asks_for_no_rule() {
        for segment in [SegmentKind::Syn, SegmentKind::Ack, SegmentKind::Data, SegmentKind::Rst] {
            assert_eq!(decide(segment, SEQ, None, &Toa::none(), |_| unreachable!()).action, Action::Ignore);
        }
        for segment in [SegmentKind::Ack, SegmentKind::Data, SegmentKind::Rst] {
            let decision = decide(segment, SEQ, Some(&KNOWN), &Toa::none(), |_| unreachable!());
            assert_eq!(decision, Action::Follow.into());
        }
    }

    #[test]
    fn a_syn_ends_an_older_binding_before_it_is_read() {
        assert_eq!(
            decide(SegmentKind::Syn, SEQ, Some(&KNOWN), &Toa::none(), |_| unreachable!()).action,
            Action::End
        );
        let again = decide(SegmentKind::Syn, SEQ, Some(&KNOWN), &toa(9), watched(client(9)));
        assert_eq!(again.action, Action::Learn);
        let other = decide(SegmentKind::Syn, SEQ, Some(&KNOWN), &toa(8), watched(client(9)));
        assert_eq!(other.action, Action::End);
    }

    #[test]
    fn a_syn_that_comes_again_ends_nothing() {
        for known in [KNOWN, PROVISIONAL] {
            for seq in [Seq(999), Seq(1000)] {
                let bare = decide(SegmentKind::Syn, seq, Some(&known), &Toa::none(), |_| unreachable!());
                assert_eq!(bare.action, Action::Follow);
                let same = decide(SegmentKind::Syn, seq, Some(&known), &toa(9), |_| unreachable!());
                assert_eq!(same.action, Action::Follow);
            }
            for seq in [Seq(998), Seq(1001)] {
                let other = decide(SegmentKind::Syn, seq, Some(&known), &Toa::none(), |_| unreachable!());
                assert_eq!(other.action, Action::End);
            }
        }
    }

    #[test]
    fn what_a_syn_said_is_replaced_once() {
        let same = decide(SegmentKind::Ack, SEQ, Some(&PROVISIONAL), &toa(9), |_| unreachable!());
        assert_eq!(same, Decision { confirmed: true, ..Action::Follow.into() });
        let other = decide(SegmentKind::Data, SEQ, Some(&PROVISIONAL), &toa(8), watched(client(8)));
        assert_eq!(other.action, Action::Replace);
        assert!(other.conflict);
        let unwatched = decide(SegmentKind::Ack, SEQ, Some(&PROVISIONAL), &toa(7), watched(client(9)));
        assert_eq!(unwatched.action, Action::End);
    }

    #[test]
    fn what_an_ack_or_data_said_is_kept() {
        let decision = decide(SegmentKind::Data, SEQ, Some(&KNOWN), &toa(8), |_| unreachable!());
        assert_eq!(decision, Decision { conflict: true, ..Action::Follow.into() });
        let same = decide(SegmentKind::Data, SEQ, Some(&KNOWN), &toa(9), |_| unreachable!());
        assert_eq!(same, Action::Follow.into());
    }
}
