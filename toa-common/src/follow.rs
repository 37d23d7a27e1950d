//! Responsible for deciding which connections are followed. Not responsible for lookups or writes: a host
//! passes in what it knows and does what the decision says.
//!
//! Balancers mark different packets: only the SYN, SYN and early ACKs, only early ACKs, only the first data.
//! So any packet of a client teaches. What a SYN says is provisional, since behind balancers that do not mark
//! SYNs it is the client's own claim.

use crate::{address::Client, seq::Seq, tcp_packet::SegmentKind, wire::toa::Toa};

/// What taught that a connection belongs to a client. Zero is no value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum LearnedFrom {
    /// Its SYN.
    Syn = 1,
    /// A packet without payload.
    Ack = 2,
    /// A packet with payload.
    Data = 3,
    /// No packet: the server's own socket, since the connection was open before.
    Existing = 4,
}

impl LearnedFrom {
    /// The meaning of a byte from a record or map.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Syn),
            2 => Some(Self::Ack),
            3 => Some(Self::Data),
            4 => Some(Self::Existing),
            _ => None,
        }
    }

    /// As results name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Syn => "syn",
            Self::Ack => "ack",
            Self::Data => "data",
            Self::Existing => "existing",
        }
    }
}

impl From<SegmentKind> for LearnedFrom {
    /// What a client is learned from, if from such a packet.
    #[inline(always)]
    fn from(segment: SegmentKind) -> Self {
        match segment {
            SegmentKind::Syn | SegmentKind::SynAck => Self::Syn,
            SegmentKind::Ack | SegmentKind::Rst => Self::Ack,
            SegmentKind::Data => Self::Data,
        }
    }
}

/// What a host knows of a followed connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Known {
    /// The client it belongs to.
    pub client: Client,
    /// Whether only a SYN has said so yet.
    pub provisional: bool,
    /// Sequence number of the packet that taught it.
    pub first_seq: Seq,
}

impl Known {
    /// Whether a SYN with this number is the one that began this connection, sent or delivered again: then the
    /// packet that taught it was the SYN, or the next one. A new connection begins elsewhere (RFC 6528).
    #[inline(always)]
    fn began_with(&self, syn: Seq) -> bool {
        matches!(self.first_seq.distance(syn), 0 | 1)
    }
}

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

impl From<Action> for Decision {
    #[inline(always)]
    fn from(action: Action) -> Self {
        Self { action, conflict: false, confirmed: false }
    }
}

/// Decides on a packet of kind `segment` with sequence number `seq` and `toa`, whose connection is `known`.
/// `is_watched` is asked at most once, and only where the answer matters.
#[inline(always)]
pub fn decide(
    segment: SegmentKind,
    seq: Seq,
    known: Option<Known>,
    toa: &Toa,
    is_watched: impl FnOnce(&Toa) -> bool,
) -> Decision {
    let taught = toa.is_some() && segment.teaches();
    // A SYN begins a new connection, whatever is known of an older one with the same 4-tuple.
    let current = known.filter(|known| segment != SegmentKind::Syn || known.began_with(seq));
    let is_same = current.is_some_and(|current| current.client == toa.client);
    let is_open = current.is_none_or(|current| current.provisional && !is_same);
    // At one place, so that the compiler makes no function of it.
    let is_watched = taught && is_open && is_watched(toa);
    let action = match current {
        None if is_watched => Action::Learn,
        None if known.is_some() => Action::End,
        None => Action::Ignore,
        Some(_) if is_watched => Action::Replace,
        Some(_) if taught && is_open => Action::End,
        Some(_) => Action::Follow,
    };
    Decision {
        action,
        conflict: taught && current.is_some() && !is_same,
        confirmed: taught && is_same && current.is_some_and(|current| current.provisional),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;

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
    const KNOWN: Known = Known { client: client(9), provisional: false, first_seq: Seq(1000) };
    const PROVISIONAL: Known = Known { client: client(9), provisional: true, first_seq: Seq(1000) };

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
            let decision = decide(segment, SEQ, Some(KNOWN), &Toa::none(), |_| unreachable!());
            assert_eq!(decision, Action::Follow.into());
        }
    }

    #[test]
    fn a_syn_ends_an_older_binding_before_it_is_read() {
        assert_eq!(
            decide(SegmentKind::Syn, SEQ, Some(KNOWN), &Toa::none(), |_| unreachable!()).action,
            Action::End
        );
        let again = decide(SegmentKind::Syn, SEQ, Some(KNOWN), &toa(9), watched(client(9)));
        assert_eq!(again.action, Action::Learn);
        let other = decide(SegmentKind::Syn, SEQ, Some(KNOWN), &toa(8), watched(client(9)));
        assert_eq!(other.action, Action::End);
    }

    #[test]
    fn a_syn_that_comes_again_ends_nothing() {
        for known in [KNOWN, PROVISIONAL] {
            for seq in [Seq(999), Seq(1000)] {
                let bare = decide(SegmentKind::Syn, seq, Some(known), &Toa::none(), |_| unreachable!());
                assert_eq!(bare.action, Action::Follow);
                let same = decide(SegmentKind::Syn, seq, Some(known), &toa(9), |_| unreachable!());
                assert_eq!(same.action, Action::Follow);
            }
            for seq in [Seq(998), Seq(1001)] {
                let other = decide(SegmentKind::Syn, seq, Some(known), &Toa::none(), |_| unreachable!());
                assert_eq!(other.action, Action::End);
            }
        }
    }

    #[test]
    fn what_a_syn_said_is_replaced_once() {
        let same = decide(SegmentKind::Ack, SEQ, Some(PROVISIONAL), &toa(9), |_| unreachable!());
        assert_eq!(same, Decision { confirmed: true, ..Action::Follow.into() });
        let other = decide(SegmentKind::Data, SEQ, Some(PROVISIONAL), &toa(8), watched(client(8)));
        assert_eq!(other.action, Action::Replace);
        assert!(other.conflict);
        let unwatched = decide(SegmentKind::Ack, SEQ, Some(PROVISIONAL), &toa(7), watched(client(9)));
        assert_eq!(unwatched.action, Action::End);
    }

    #[test]
    fn what_an_ack_or_data_said_is_kept() {
        let decision = decide(SegmentKind::Data, SEQ, Some(KNOWN), &toa(8), |_| unreachable!());
        assert_eq!(decision, Decision { conflict: true, ..Action::Follow.into() });
        let same = decide(SegmentKind::Data, SEQ, Some(KNOWN), &toa(9), |_| unreachable!());
        assert_eq!(same, Action::Follow.into());
    }
}
