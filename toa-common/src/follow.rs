//! The decision whether to follow a connection. The caller does all lookups and writes: it passes in what it knows, and
//! carries out the decision.
//!
//! Balancers mark different packets: only the SYN, the SYN and early ACKs, only early ACKs, only the handshake ACK, or
//! only the first data. Any SYN, ACK or data of a client can therefore name it. A TOA in a SYN is provisional: if the
//! balancer does not mark SYNs, the client wrote it.
//!
//! A run may also follow connections whose client nothing names. Their client is provisional, too: a TOA may follow.
//!
//! A SYN alone changes nothing: it is remembered as a [`Handshake`] until a packet completes it. A TOA that names
//! another client belongs to a new connection if its segment does not continue the stream of the known one.

use crate::{flow::Flow, handshake::Handshake, inspect::Inspected, tcp_packet::SegmentKind, wire::toa::Toa};

/// What to do with a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Nothing: its connection is not followed.
    Ignore,
    /// Nothing: a server discards it.
    Reject,
    /// Nothing: a server ignores it on the connection, which is followed.
    Stray,
    /// Handle it as a packet of a followed connection.
    Follow,
    /// Begin to follow its connection, then handle it as with [`Self::Follow`]. A flow with the same 4-tuple is
    /// overwritten. If the packet completed a handshake, that was used.
    Learn,
    /// Remember its SYN: as a watched client's if its TOA names one. A flow with the same 4-tuple is challenged.
    Remember,
    /// Replace the provisional client of its connection by another watched client, then handle it as with
    /// [`Self::Follow`].
    Replace,
    /// Stop following its connection: remove the flow.
    End,
}

/// The decision on one packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// The packet completed the handshake.
    pub completed: bool,
    /// The TOA named a client other than the connection's. The caller counts this.
    pub conflict: bool,
    /// The TOA confirmed the provisional client. [`Self::apply`] records this.
    pub confirmed: bool,
    /// A rule watches the client that the packet's TOA or its handshake names. Known only if it was needed.
    pub watched: bool,
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
        Self { action, completed: false, conflict: false, confirmed: false, watched: false }
    }
}

/// Decides on a packet. `known` is the flow with its 4-tuple, if there is one; `handshake` is the remembered SYN with its
/// 4-tuple, if the caller looked for it. `any` is whether to follow its connection even if nothing names the client. Calls
/// `is_watched` at most once, and only if the result matters.
#[inline(always)]
pub fn decide(
    inspected: &Inspected,
    known: Option<&Flow>,
    handshake: Option<&Handshake>,
    any: bool,
    is_watched: impl FnOnce(&Toa) -> bool,
) -> Decision {
    let Inspected { tcp, toa, walk } = inspected;
    if walk.is_signed() {
        let concerns_us = known.is_some() || toa.is_some();
        return if concerns_us { Action::Reject } else { Action::Ignore }.into();
    }
    let segment = inspected.segment_kind();
    if segment == SegmentKind::SynAck && known.is_some() {
        return Action::Stray.into();
    }
    let names = toa.is_some() && segment.names_client();
    let is_near = known.is_some_and(|flow| flow.is_near(tcp.seq));
    // What continues a known connection does not complete a handshake, even if a SYN has the number before it. Nor does
    // what comes after a SYN right at the next byte: no new connection begins there by chance.
    let continues = known.is_some_and(|flow| {
        flow.is_continued_by(tcp.seq) || handshake.is_some_and(|handshake| flow.expects(handshake.start()))
    });
    let is_ambiguous = known.is_some_and(|flow| flow.may_contain(tcp.seq));
    let completed =
        handshake.filter(|handshake| !continues && handshake.is_completed_by(tcp, segment, is_ambiguous));
    let opens = segment == SegmentKind::Syn && !known.is_some_and(|flow| flow.began_with(tcp.seq));
    // After an end, the same client may come back.
    let is_same = known.is_some_and(|flow| {
        flow.attribution.is_named()
            && flow.attribution.client() == toa.client
            && (flow.ended_ns == 0 || is_ambiguous)
    });
    let is_other = opens
        || completed.is_some()
        || (segment == SegmentKind::Data && names && known.is_some() && !is_same && !is_near);
    // The flow of the packet's own connection.
    let current = known.filter(|_| !is_other);
    // A bare ACK can be anywhere, so it names the client only where the handshake's is.
    let may_rename = names
        && !is_same
        && is_near
        && current.is_some_and(|flow| {
            flow.attribution.is_provisional() && (segment == SegmentKind::Data || flow.start_seq == tcp.seq.0)
        });
    let candidate = match completed {
        Some(handshake) if !names && handshake.is_watched() => handshake.toa(),
        _ if names => *toa,
        _ => Toa::none(),
    };
    // Called in one place only, so that the compiler does not emit a function for it.
    let watched = candidate.is_some() && (current.is_none() || may_rename) && is_watched(&candidate);
    // A bare ACK shows which side is the client only after that side's SYN.
    let is_followed =
        watched || (any && (completed.is_some() || matches!(segment, SegmentKind::Syn | SegmentKind::Data)));
    let action = match current {
        // A SYN with payload is TCP Fast Open (RFC 7413): its payload may be all that the client sends.
        None if opens && !(is_followed && known.is_none() && tcp.payload_len != 0 && walk.is_fast_open()) => {
            if is_followed || known.is_some() {
                Action::Remember
            } else {
                Action::Ignore
            }
        }
        None if is_followed => Action::Learn,
        None if known.is_some() => Action::End,
        None => Action::Ignore,
        Some(_) if watched => Action::Replace,
        Some(_) if may_rename => Action::End,
        Some(_) => Action::Follow,
    };
    let handshake_differs =
        completed.is_some_and(|it| it.is_watched() && it.attribution.client() != toa.client);
    Decision {
        action,
        completed: completed.is_some(),
        // A TOA does not contradict the sender that stood in for the client.
        conflict: names
            && ((current.is_some_and(|flow| flow.attribution.is_named()) && !is_same && is_near)
                || handshake_differs),
        confirmed: names && is_same && current.is_some_and(|flow| flow.attribution.is_provisional()),
        watched,
    }
}

#[cfg(test)]
mod tests;
