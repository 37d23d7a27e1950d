//! Responsible for deciding which connections are followed. Not responsible for lookups or writes: a host
//! passes in what it knows and does what the decision says.
//!
//! Balancers mark different packets: only the SYN, SYN and early ACKs, only early ACKs, only the first data.
//! So any packet of a client teaches. What a SYN says is provisional, since behind balancers that do not mark
//! SYNs it is the client's own claim.

use crate::wire::{
    tcp::{ACK, FIN, RST, SYN},
    toa::{Client, Toa},
};

/// Which packet taught that a connection belongs to a client. Zero is no value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum LearnedFrom {
    /// Its SYN.
    Syn = 1,
    /// A packet without payload.
    Ack = 2,
    /// A packet with payload.
    Data = 3,
}

impl LearnedFrom {
    /// The meaning of a byte from a record or map.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Syn),
            2 => Some(Self::Ack),
            3 => Some(Self::Data),
            _ => None,
        }
    }
}

/// What a packet is to the decision.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SegmentKind {
    /// A SYN without ACK: a connection begins.
    Syn,
    /// A SYN with ACK: this host is the client, so nothing is learned.
    SynAck,
    /// A reset.
    Rst,
    /// Anything else without payload, FIN included.
    Ack,
    /// Anything else with payload.
    Data,
}

impl SegmentKind {
    /// Reads TCP flags.
    #[inline(always)]
    #[must_use]
    pub fn new(flags: u8, has_payload: bool) -> Self {
        if flags & SYN != 0 {
            if flags & ACK == 0 { Self::Syn } else { Self::SynAck }
        } else if flags & RST != 0 {
            Self::Rst
        } else if has_payload {
            Self::Data
        } else {
            Self::Ack
        }
    }

    #[inline(always)]
    fn teaches(self) -> Option<LearnedFrom> {
        match self {
            Self::Syn => Some(LearnedFrom::Syn),
            Self::Ack => Some(LearnedFrom::Ack),
            Self::Data => Some(LearnedFrom::Data),
            Self::SynAck | Self::Rst => None,
        }
    }
}

/// Whether a packet with these flags says that its connection ends.
#[inline(always)]
#[must_use]
pub fn is_last(flags: u8) -> bool {
    flags & (FIN | RST) != 0
}

/// What a host knows of a followed connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Known {
    /// The client it belongs to.
    pub client: Client,
    /// Whether only a SYN has said so yet.
    pub provisional: bool,
}

/// What a host is to do with a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Nothing: nobody watches it.
    Ignore,
    /// Stream it: its connection is followed.
    Follow,
    /// Begin to follow its connection, then stream it. A binding of the same 4-tuple is overwritten.
    Learn(LearnedFrom),
    /// Its connection belongs to another client than its SYN said, also a watched one. Write that down, then
    /// stream it.
    Replace(LearnedFrom),
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
    #[inline(always)]
    const fn plain(action: Action) -> Self {
        Self { action, conflict: false, confirmed: false }
    }
}

/// Decides on a packet of kind `segment` and with `toa`, whose connection is `known`. `is_watched` is asked
/// at most once, and only where the answer matters.
#[inline(always)]
pub fn decide(
    segment: SegmentKind,
    known: Option<Known>,
    toa: Option<&Toa>,
    is_watched: impl FnOnce(&Client) -> bool,
) -> Decision {
    // A SYN begins a new connection, whatever is known of an older one with the same 4-tuple.
    let (known, forgotten) = match segment {
        SegmentKind::Syn => (None, if known.is_some() { Action::End } else { Action::Ignore }),
        _ => (known, Action::Ignore),
    };
    let Some(known) = known else {
        return Decision::plain(match (segment.teaches(), toa) {
            (Some(from), Some(toa)) if is_watched(&toa.client) => Action::Learn(from),
            _ => forgotten,
        });
    };
    let (Some(from), Some(toa)) = (segment.teaches(), toa) else {
        return Decision::plain(Action::Follow);
    };
    if toa.client == known.client {
        return Decision { confirmed: known.provisional, ..Decision::plain(Action::Follow) };
    }
    let action = match known.provisional {
        false => Action::Follow,
        true if is_watched(&toa.client) => Action::Replace(from),
        true => Action::End,
    };
    Decision { conflict: true, ..Decision::plain(action) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow_key::Address;

    const fn client(last: u8) -> Client {
        Client { address: Address::from_ipv4([203, 0, 113, last]), port_be: 1 }
    }

    const fn toa(last: u8) -> Toa {
        Toa { client: client(last), kind: 254, length: 8 }
    }

    fn watched(wanted: Client) -> impl FnOnce(&Client) -> bool {
        move |found: &Client| *found == wanted
    }

    const KNOWN: Known = Known { client: client(9), provisional: false };
    const PROVISIONAL: Known = Known { client: client(9), provisional: true };

    #[test]
    fn any_client_packet_teaches() {
        for (segment, from) in [
            (SegmentKind::Syn, LearnedFrom::Syn),
            (SegmentKind::Ack, LearnedFrom::Ack),
            (SegmentKind::Data, LearnedFrom::Data),
        ] {
            let decision = decide(segment, None, Some(&toa(9)), watched(client(9)));
            assert_eq!(decision, Decision::plain(Action::Learn(from)));
            let other = decide(segment, None, Some(&toa(8)), watched(client(9)));
            assert_eq!(other.action, Action::Ignore);
        }
        for segment in [SegmentKind::SynAck, SegmentKind::Rst] {
            let decision = decide(segment, None, Some(&toa(9)), |_| unreachable!());
            assert_eq!(decision.action, Action::Ignore);
        }
    }

    #[test]
    fn a_packet_without_toa_asks_for_no_rule() {
        for segment in [SegmentKind::Syn, SegmentKind::Ack, SegmentKind::Data, SegmentKind::Rst] {
            assert_eq!(decide(segment, None, None, |_| unreachable!()).action, Action::Ignore);
        }
        for segment in [SegmentKind::Ack, SegmentKind::Data, SegmentKind::Rst] {
            let decision = decide(segment, Some(KNOWN), None, |_| unreachable!());
            assert_eq!(decision, Decision::plain(Action::Follow));
        }
    }

    #[test]
    fn a_syn_ends_an_older_binding_before_it_is_read() {
        assert_eq!(decide(SegmentKind::Syn, Some(KNOWN), None, |_| unreachable!()).action, Action::End);
        let again = decide(SegmentKind::Syn, Some(KNOWN), Some(&toa(9)), watched(client(9)));
        assert_eq!(again.action, Action::Learn(LearnedFrom::Syn));
        let other = decide(SegmentKind::Syn, Some(KNOWN), Some(&toa(8)), watched(client(9)));
        assert_eq!(other.action, Action::End);
    }

    #[test]
    fn what_a_syn_said_is_replaced_once() {
        let same = decide(SegmentKind::Ack, Some(PROVISIONAL), Some(&toa(9)), |_| unreachable!());
        assert_eq!(same, Decision { confirmed: true, ..Decision::plain(Action::Follow) });
        let other = decide(SegmentKind::Data, Some(PROVISIONAL), Some(&toa(8)), watched(client(8)));
        assert_eq!(other.action, Action::Replace(LearnedFrom::Data));
        assert!(other.conflict);
        let unwatched = decide(SegmentKind::Ack, Some(PROVISIONAL), Some(&toa(7)), watched(client(9)));
        assert_eq!(unwatched.action, Action::End);
    }

    #[test]
    fn what_an_ack_or_data_said_is_kept() {
        let decision = decide(SegmentKind::Data, Some(KNOWN), Some(&toa(8)), |_| unreachable!());
        assert_eq!(decision, Decision { conflict: true, ..Decision::plain(Action::Follow) });
        let same = decide(SegmentKind::Data, Some(KNOWN), Some(&toa(9)), |_| unreachable!());
        assert_eq!(same, Decision::plain(Action::Follow));
    }
}
