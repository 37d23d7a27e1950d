//! Responsible for the map of followed connections as another process sees it. Not responsible for following.

use std::{collections::HashMap as Table, net::SocketAddr};

use aya::maps::{HashMap, Map, MapData, MapError};
use toa_common::{
    flow_key::FlowKey,
    follow::LearnedFrom,
    limits::{LINGER_NS, MAX_FLOWS},
    segment::{Flow, flags},
    wire::toa::{Client, has_port},
};

use super::watch::is_absent;
use crate::rule::to_ip;

/// Steps of one walk through the map, at most. A key that goes while it is walked over begins the walk anew.
const MAX_STEPS: usize = 8 * MAX_FLOWS as usize;

/// The followed connections.
pub struct Flows(HashMap<MapData, FlowKey, Flow>);

/// A followed connection.
#[derive(Clone, Copy, Debug)]
pub struct Followed {
    /// Its 4-tuple.
    pub key: FlowKey,
    /// What is known of it.
    pub flow: Flow,
}

impl Flows {
    /// The connections in the map `FLOWS`.
    pub fn new(map: Map) -> Result<Self, MapError> {
        HashMap::try_from(map).map(Self)
    }

    /// All of them, the oldest first.
    pub fn read(&self) -> Result<Vec<Followed>, MapError> {
        let mut found = Table::new();
        for entry in self.0.iter().take(MAX_STEPS) {
            let (key, flow) = entry?;
            found.insert(key, flow);
        }
        let mut flows: Vec<_> = found.into_iter().map(|(key, flow)| Followed { key, flow }).collect();
        flows.sort_unstable_by_key(|followed| (followed.flow.generation, followed.key.ports));
        Ok(flows)
    }

    /// Ends the following of those whose client, with a port or without, `is_watched` says no to, and returns how many
    /// there were. The kernel has no way to remove one only if it is still the same: what becomes another between the
    /// second look and the removal, two system calls apart, is ended too.
    pub fn end<E: From<MapError>>(
        &mut self,
        mut is_watched: impl FnMut(&Client, bool) -> Result<bool, E>,
    ) -> Result<usize, E> {
        let mut ended = 0;
        for Followed { key, flow } in self.read()? {
            if is_watched(&flow_client(&flow), has_port(flow.toa_kind, flow.toa_length))? {
                continue;
            }
            // Since they were read, which takes long if they are many, another connection may have taken its place.
            match self.0.get(&key, 0) {
                Ok(flow) if is_watched(&flow_client(&flow), has_port(flow.toa_kind, flow.toa_length))? => {
                    continue;
                }
                Ok(_) => {}
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(error.into()),
            }
            match self.0.remove(&key) {
                Ok(()) => ended += 1,
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(ended)
    }
}

/// The client of a connection, as rules see it.
fn flow_client(flow: &Flow) -> Client {
    Client { address: flow.client_address, port_be: flow.client_port_be }
}

impl Followed {
    /// Whether it is followed at this time of `CLOCK_MONOTONIC`, and not only remembered.
    #[must_use]
    pub fn is_current(&self, now_ns: u64) -> bool {
        self.flow.ended_ns == 0 || now_ns.saturating_sub(self.flow.ended_ns) <= LINGER_NS
    }

    /// The real client. Without a port if its TOA carries none.
    #[must_use]
    pub fn client(&self) -> SocketAddr {
        SocketAddr::new(to_ip(self.flow.client_address), u16::from_be(self.flow.client_port_be))
    }

    /// The balancer's side.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        SocketAddr::new(to_ip(self.key.source), self.key.source_port())
    }

    /// This host's side.
    #[must_use]
    pub fn server(&self) -> SocketAddr {
        SocketAddr::new(to_ip(self.key.destination), self.key.destination_port())
    }

    /// Which packet taught who the client is.
    #[must_use]
    pub fn learned_from(&self) -> &'static str {
        match LearnedFrom::from_byte(self.flow.learned_from) {
            Some(LearnedFrom::Syn) => "syn",
            Some(LearnedFrom::Ack) => "ack",
            Some(LearnedFrom::Data) => "data",
            None => "unknown",
        }
    }

    /// Whether its TOA could be another protocol's option.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        self.flow.flags & flags::AMBIGUOUS != 0
    }
}
