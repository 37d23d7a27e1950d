//! Tunnels: packets that carry other packets. The kernel's parser reads none of them, because an attached host has the
//! carried packets on the tunnel's device; a capture of the outer interface, or of a mirror port, has them nowhere else.

mod ip;
mod kind;
mod link;
mod opened;
mod udp;

#[cfg(test)]
mod tests;

pub use kind::Tunnel;

use std::collections::BTreeMap;

use toa_common::wire::{
    ethernet,
    view::{Captured, Link},
};

use super::{link::LinkType, packet::Packet};
use crate::ledger::add;
use opened::Opened;

/// Most tunnels in one another that are opened.
const MAX_DEPTH: usize = 4;

/// The tunnels of a capture.
#[derive(Debug, Default)]
pub struct Tunnels {
    counts: BTreeMap<(Tunnel, bool), u64>,
}

impl Tunnels {
    /// Returns the number of packets by their innermost tunnel and whether the packets inside could be read.
    pub fn counts(&self) -> &BTreeMap<(Tunnel, bool), u64> {
        &self.counts
    }

    /// Returns the packet that `packet` carries, if it is one of a tunnel that can be read, or else itself.
    pub(super) fn open<'a>(&mut self, packet: Packet<'a>) -> Packet<'a> {
        let whole = Captured { bytes: packet.bytes, wire_len: packet.wire_len };
        let Ok(mut inner) = packet.link.enter(whole) else { return packet };
        let mut found = None;
        for _ in 0..MAX_DEPTH {
            let Some(Opened { tunnel, content }) = open(inner.0, inner.1) else { break };
            found = Some((tunnel, content.is_some()));
            let Some(content) = content else { break };
            inner = content;
        }
        let Some(found) = found else { return packet };
        add(self.counts.entry(found).or_default(), 1);
        let (Captured { bytes, wire_len }, link) = inner;
        let link = match link {
            Link::Ethernet => LinkType::Ethernet,
            Link::Ip => LinkType::Ip,
        };
        Packet { link, bytes, wire_len, ..packet }
    }
}

/// Finds the tunnel that a packet is of.
fn open(packet: Captured<'_>, link: Link) -> Option<Opened<'_>> {
    match link {
        Link::Ethernet => {
            let (ether_type, offset) = ethernet::parse(&packet).ok()?;
            link::open(packet, ether_type, offset)
        }
        Link::Ip => ip::open(packet),
    }
}
