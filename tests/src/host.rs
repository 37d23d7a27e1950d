//! Responsible for the smallest host of the shared code: a map of connections, in user space. Not responsible
//! for expectations; the kernel is compared with it.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
};

use toa_common::{
    address::{Address, Client},
    config::Config,
    flow_key::FlowKey,
    follow::{Action, Decision, Known, LearnedFrom, decide},
    inspect::{Inspected, inspect},
    skip_reason::SkipReason,
    tcp_packet::SegmentKind,
    wire::{
        toa::Toa,
        view::{Captured, Link},
    },
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

/// A prefix of addresses.
pub type Prefix = (IpAddr, u8);

/// What a host is told when it starts.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Options, ports and whether balancers are restricted.
    pub config: Config,
    /// Whose TOA is believed, if the configuration restricts that.
    pub balancers: Vec<Prefix>,
}

impl Choice {
    /// Without restrictions on balancers.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, balancers: Vec::new() }
    }

    /// TOA is believed from these only.
    #[must_use]
    pub fn with_balancers(self, balancers: &[Prefix]) -> Self {
        Self { config: self.config.with_balancers(), balancers: balancers.to_vec() }
    }

    /// Whether a TOA from `source` is believed.
    fn trusts(&self, source: Address) -> bool {
        let source = u128::from_be_bytes(source.octets());
        let covers = |(address, length): &Prefix| {
            let (address, bits) = mapped(*address, *length);
            bits == 0 || (source ^ address) >> (128 - bits) == 0
        };
        !self.config.restricts_balancers() || self.balancers.iter().any(covers)
    }
}

/// An address as a number, IPv4 mapped to IPv6, and the bits of a prefix of it.
fn mapped(address: IpAddr, length: u8) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (address.to_ipv6_mapped().to_bits(), u32::from(length) + 96),
        IpAddr::V6(address) => (address.to_bits(), length.into()),
    }
}

/// The same as the key of a trie of prefixes: its bits and its address.
#[must_use]
pub fn prefix_key((address, length): Prefix) -> (u32, Address) {
    (mapped(address, length).1, address_of(address))
}

/// What a host keeps of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Followed {
    /// What it knows for its decisions.
    pub known: Known,
    /// Which packet named the client.
    pub learned_from: LearnedFrom,
}

/// Connections and whom they belong to.
#[derive(Clone, Debug)]
pub struct Host {
    choice: Choice,
    watch: Watch,
    flows: HashMap<FlowKey, Followed>,
    untrusted: HashSet<Address>,
}

impl Host {
    /// Knows no connection yet.
    #[must_use]
    pub fn new(choice: Choice, watch: Watch) -> Self {
        Self { choice, watch, flows: HashMap::new(), untrusted: HashSet::new() }
    }

    /// Takes a packet.
    pub fn take(&mut self, frame: &[u8]) -> Taken {
        let mut inspected = inspect(&captured(frame), Link::Ethernet, &self.choice.config)?;
        if inspected.toa.is_some() && !self.choice.trusts(inspected.tcp.key.source) {
            self.untrusted.insert(inspected.tcp.key.source);
            inspected.toa = Toa::none();
        }
        let Inspected { tcp, toa, .. } = inspected;
        let segment = inspected.segment_kind();
        let watch = self.watch;
        let known = self.flows.get(&tcp.key).map(|flow| flow.known);
        let is_watched = |toa: &Toa| match watch {
            Watch::Nobody => false,
            Watch::Any => true,
            Watch::Address(address) => toa.client.address == address_of(address),
        };
        let decision = decide(segment, tcp.seq, known, &toa, is_watched);
        match decision.action {
            Action::Learn | Action::Replace => {
                let first_seq = match decision.action {
                    Action::Learn => tcp.seq,
                    _ => known.map_or(tcp.seq, |known| known.first_seq),
                };
                let provisional = segment == SegmentKind::Syn;
                let known = Known { client: toa.client, provisional, first_seq };
                self.flows.insert(tcp.key, Followed { known, learned_from: segment.into() });
            }
            Action::End => {
                self.flows.remove(&tcp.key);
            }
            Action::Ignore | Action::Follow => {}
        }
        if let (true, Some(flow)) = (decision.confirmed, self.flows.get_mut(&tcp.key)) {
            flow.known.provisional = false;
        }
        Ok((inspected, decision))
    }

    /// What is kept of the connection of a packet, if it is followed.
    #[must_use]
    pub fn followed(&self, packet: &Inspected) -> Option<Followed> {
        self.flows.get(&packet.tcp.key).copied()
    }

    /// Sources of which a TOA was not believed.
    #[must_use]
    pub fn untrusted(&self) -> &HashSet<Address> {
        &self.untrusted
    }
}
