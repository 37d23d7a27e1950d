//! Responsible for the map of followed connections as user space sees it. Not responsible for following.

use std::{collections::HashMap as Table, net::SocketAddr};

use aya::maps::{HashMap, Map, MapData, MapError};
use toa_common::{
    address::Client, attribution::Attribution, counters::Counter, flow::Flow, flow_key::FlowKey,
};

use crate::{
    address::{ClientAddress, to_ip},
    ledger::counters::Snapshot,
    live::maps::watch::{NO_EXIST, is_absent, is_present},
};

/// Steps of one walk through the map, at most, for each connection that it has room for. A key that goes while it is
/// walked over begins the walk anew.
const MAX_STEPS: usize = 8;

/// The followed connections.
pub struct Flows {
    map: HashMap<MapData, FlowKey, Flow>,
    max_steps: usize,
}

/// What a sweep has seen and done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SweepResult {
    /// Connections that have not ended.
    pub open: u64,
    /// Connections that had ended and are remembered no more.
    pub removed: u64,
}

/// A followed connection.
#[derive(Clone, Copy, Debug)]
pub struct FollowedFlow {
    /// Its 4-tuple.
    pub key: FlowKey,
    /// What is known of it.
    pub flow: Flow,
}

impl Flows {
    /// The connections in the map `FLOWS`.
    pub fn new(map: Map) -> Result<Self, MapError> {
        let room = match &map {
            Map::LruHashMap(data) | Map::HashMap(data) => data.info()?.max_entries(),
            _ => 0,
        };
        let map = map.try_into()?;
        Ok(Self { map, max_steps: MAX_STEPS.saturating_mul(room as usize) })
    }

    /// All of them, the oldest first.
    pub fn read(&self) -> Result<Vec<FollowedFlow>, MapError> {
        let mut found = Table::new();
        for entry in self.map.iter().take(self.max_steps) {
            let (key, flow) = entry?;
            found.insert(key, flow);
        }
        let mut flows: Vec<_> = found.into_iter().map(|(key, flow)| FollowedFlow { key, flow }).collect();
        flows.sort_unstable_by_key(|followed| (followed.flow.generation, followed.key.ports));
        Ok(flows)
    }

    /// Those whose client, with a port or without, `is_watched` says no to.
    pub fn unwatched<E: From<MapError>>(
        &self,
        mut is_watched: impl FnMut(&Client, bool) -> Result<bool, E>,
    ) -> Result<Vec<FollowedFlow>, E> {
        let mut unwatched = Vec::new();
        for followed in self.read()? {
            if !ask(&followed.flow, &mut is_watched)? {
                unwatched.push(followed);
            }
        }
        Ok(unwatched)
    }

    /// Ends the following of those of `unwatched` that still are, and returns how many there were. The kernel has no way
    /// to remove one only if it is still the same: what becomes another between the second look and the removal, two
    /// system calls apart, is ended too.
    pub fn end<E: From<MapError>>(
        &mut self,
        unwatched: &[FollowedFlow],
        mut is_watched: impl FnMut(&Client, bool) -> Result<bool, E>,
    ) -> Result<usize, E> {
        let mut ended = 0;
        for FollowedFlow { key, .. } in unwatched {
            // Since they were read, which takes long if they are many, another connection may have taken its place.
            match self.map.get(key, 0) {
                Ok(flow) if ask(&flow, &mut is_watched)? => continue,
                Ok(_) => {}
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(error.into()),
            }
            match self.map.remove(key) {
                Ok(()) => ended += 1,
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(ended)
    }

    /// Begins to follow a connection of which the server's socket has said who the client is, unless it is followed.
    /// Returns whether that is new.
    pub fn begin(&mut self, key: &FlowKey, client: &Client, now_ns: u64) -> Result<bool, MapError> {
        // Looked for first: to insert, the map evicts others before it sees that there is one.
        match self.map.get(key, 0) {
            Err(error) if is_absent(&error) => {}
            found => return found.map(|_| false),
        }
        match self.map.insert(
            key,
            Flow {
                generation: now_ns,
                last_ns: now_ns,
                attribution: Attribution::from_socket(client),
                ..Flow::EMPTY
            },
            NO_EXIST,
        ) {
            Ok(()) => Ok(true),
            Err(error) if is_present(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a connection is still the one that was begun with at this time.
    pub fn is_begun(&self, key: &FlowKey, begun_ns: u64) -> Result<bool, MapError> {
        match self.map.get(key, 0) {
            Err(error) if is_absent(&error) => Ok(false),
            found => found.map(|flow| flow.generation == begun_ns),
        }
    }

    /// Forgets a connection that was begun with at this time, if it still is that one.
    pub fn take_back(&mut self, key: &FlowKey, begun_ns: u64) -> Result<(), MapError> {
        if !self.is_begun(key, begun_ns)? {
            return Ok(());
        }
        match self.map.remove(key) {
            Err(error) if !is_absent(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes the connections that had ended more than [`toa_common::limits::LINGER_NS`] before `now_ns`, so that they take no room from
    /// open ones, which the map evicts when it is full.
    pub fn sweep(&mut self, now_ns: u64) -> Result<SweepResult, MapError> {
        let mut swept = SweepResult::default();
        for followed in self.read()? {
            if followed.is_current(now_ns) {
                swept.open += u64::from(followed.flow.ended_ns == 0);
                continue;
            }
            // Another connection may have taken its place since it was read.
            let is_same = |flow: &Flow| flow.generation == followed.flow.generation;
            match self.map.get(&followed.key, 0) {
                Ok(flow) if is_same(&flow) => {}
                Ok(_) => continue,
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(error),
            }
            match self.map.remove(&followed.key) {
                Ok(()) => swept.removed += 1,
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(swept)
    }
}

/// How many open connections the map evicted, at least: those whose following began and did not end in any other way,
/// by the counters `before` the map was read, and are not among the `open` ones. `begun` and `removed` are how many of
/// them user space has begun to follow and removed.
pub fn evicted(before: &Snapshot, after: &Snapshot, open: u64, begun: u64, removed: u64) -> u64 {
    before
        .get(Counter::Learned)
        .saturating_add(begun)
        .saturating_sub(after.get(Counter::Closed))
        .saturating_sub(after.get(Counter::ReplacedOpen))
        .saturating_sub(removed)
        .saturating_sub(open)
}

/// Asks for the client of a connection, as rules see it.
fn ask<E>(flow: &Flow, is_watched: &mut impl FnMut(&Client, bool) -> Result<bool, E>) -> Result<bool, E> {
    is_watched(&flow.attribution.client(), flow.attribution.has_port())
}

impl FollowedFlow {
    /// Whether it is followed at this time of `CLOCK_MONOTONIC`, and not only remembered.
    pub fn is_current(&self, now_ns: u64) -> bool {
        !self.flow.has_lingered(|| now_ns)
    }

    /// The real client.
    pub fn client(&self) -> ClientAddress {
        ClientAddress::new(&self.flow.attribution)
    }

    /// The balancer's side.
    pub fn peer(&self) -> SocketAddr {
        SocketAddr::new(to_ip(self.key.source), self.key.source_port())
    }

    /// This host's side.
    pub fn server(&self) -> SocketAddr {
        SocketAddr::new(to_ip(self.key.destination), self.key.destination_port())
    }
}
