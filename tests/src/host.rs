//! Responsible for the smallest host of the shared code: a map of connections, in user space. Not responsible
//! for expectations; the kernel is compared with it.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use toa_common::{
    config::Config,
    flow_key::{Address, FlowKey},
    follow::{Action, Decision, Known, SegmentKind, decide},
    inspect::{Inspected, inspect},
    packet::{Captured, Link},
    skip_reason::SkipReason,
    wire::toa::{Client, Toa},
};

/// A client as the shared code writes it.
#[must_use]
pub fn client_of(client: SocketAddr) -> Client {
    Client { address: address_of(client.ip()), port_be: client.port().to_be() }
}

/// An address as the shared code writes it.
#[must_use]
pub fn address_of(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(address) => Address::from_ipv4(&address.octets()),
        IpAddr::V6(address) => Address::from_ipv6(&address.octets()),
    }
}

/// A whole frame as the shared code reads it.
#[must_use]
pub fn captured(frame: &[u8]) -> Captured<'_> {
    Captured { bytes: frame, wire_len: u32::try_from(frame.len()).unwrap_or(u32::MAX) }
}

/// Whom a host watches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Watch {
    /// Nobody.
    Nobody,
    /// Everybody.
    Any,
    /// One address.
    Address(IpAddr),
}

/// What was decided on a packet, or why it was skipped.
pub type Taken = Result<(Inspected, Decision), SkipReason>;

/// Connections and whom they belong to.
#[derive(Clone, Debug)]
pub struct Host {
    watch: Watch,
    flows: HashMap<FlowKey, Known>,
}

impl Host {
    /// Knows no connection yet.
    #[must_use]
    pub fn new(watch: Watch) -> Self {
        Self { watch, flows: HashMap::new() }
    }

    /// Takes a packet.
    pub fn take(&mut self, frame: &[u8]) -> Taken {
        let inspected = inspect(&captured(frame), Link::Ethernet, &Config::DEFAULT)?;
        let Inspected { tcp, toa, .. } = inspected;
        let segment = inspected.segment_kind();
        let watch = self.watch;
        let is_watched = |toa: &Toa| match watch {
            Watch::Nobody => false,
            Watch::Any => true,
            Watch::Address(address) => toa.client.address == address_of(address),
        };
        let decision = decide(segment, tcp.seq, self.flows.get(&tcp.key).copied(), &toa, is_watched);
        match decision.action {
            Action::Learn | Action::Replace => {
                let first_seq = match decision.action {
                    Action::Learn => tcp.seq,
                    _ => self.flows.get(&tcp.key).map_or(tcp.seq, |known| known.first_seq),
                };
                let provisional = segment == SegmentKind::Syn;
                self.flows.insert(tcp.key, Known { client: toa.client, provisional, first_seq });
            }
            Action::End => {
                self.flows.remove(&tcp.key);
            }
            Action::Ignore | Action::Follow => {}
        }
        if let (true, Some(known)) = (decision.confirmed, self.flows.get_mut(&tcp.key)) {
            known.provisional = false;
        }
        Ok((inspected, decision))
    }

    /// As whose the connection of a packet is followed.
    #[must_use]
    pub fn client(&self, packet: &Inspected) -> Option<Client> {
        self.flows.get(&packet.tcp.key).map(|known| known.client)
    }
}
