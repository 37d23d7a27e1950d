//! The decision whether to follow a connection. The caller does all lookups and writes: it passes in what it knows, and
//! carries out the decision.
//!
//! Balancers mark different packets: only the SYN, the SYN and early ACKs, only early ACKs, only the handshake ACK, or
//! only the first data. Any SYN, ACK or data of a client can therefore name it. A TOA in a SYN is provisional: if the
//! balancer does not mark SYNs, the client wrote it.

use crate::{flow::Flow, seq::Seq, tcp_packet::SegmentKind, wire::toa::Toa};

/// What to do with a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Nothing: its connection is not followed.
    Ignore,
    /// Handle it as a packet of a followed connection.
    Follow,
    /// Begin to follow its connection, then handle it as with [`Self::Follow`]. A flow with the same 4-tuple is
    /// overwritten.
    Learn,
    /// Replace the provisional client of its connection by another watched client, then handle it as with
    /// [`Self::Follow`].
    Replace,
    /// Stop following its connection: remove the flow.
    End,
}

/// The decision on one packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// The TOA named a client other than the connection's. The caller counts this.
    pub conflict: bool,
    /// The TOA confirmed the provisional client. [`Self::apply`] records this.
    pub confirmed: bool,
}

impl Decision {
    /// Records in `flow` the parts of the decision other than the action.
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

/// Returns whether a SYN with sequence number `syn` is a retransmission or duplicate of the SYN that opened `flow`. In
/// that case the packet that first named the client has this number or the next one. A new connection has another
/// initial sequence number (RFC 6528).
#[inline(always)]
fn began_with(flow: &Flow, syn: Seq) -> bool {
    matches!(Seq(flow.first_seq).distance(syn), 0 | 1)
}

/// Decides on a packet of kind `segment` with sequence number `seq` and TOA `toa`. `known` is the flow with the
/// packet's 4-tuple, if there is one. Calls `is_watched` at most once, and only if the result matters.
#[inline(always)]
pub fn decide(
    segment: SegmentKind,
    seq: Seq,
    known: Option<&Flow>,
    toa: &Toa,
    is_watched: impl FnOnce(&Toa) -> bool,
) -> Decision {
    let names = toa.is_some() && segment.names_client();
    // A SYN that is not a duplicate opens a new connection, so a known flow belongs to an older one.
    let current = known.filter(|flow| segment != SegmentKind::Syn || began_with(flow, seq));
    let is_same = current.is_some_and(|flow| flow.attribution.client() == toa.client);
    let is_open = current.is_none_or(|flow| flow.attribution.is_provisional() && !is_same);
    // Called in one place only, so that the compiler does not emit a function for it.
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
