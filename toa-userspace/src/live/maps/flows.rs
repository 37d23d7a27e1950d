//! The kernel's table of followed connections, the map `FLOWS`.

use std::{collections::HashMap as Table, net::SocketAddr};

use aya::maps::{Array, HashMap, Map, MapData, MapError};
use toa_common::{
    address::Client,
    attribution::Attribution,
    counters::Counter,
    flow::Flow,
    flow_changes::BY_USER_SPACE,
    flow_key::FlowKey,
    limits::{LINGER_NS, SHORT_LINGER_NS},
};

use crate::{
    address::{ClientAddress, to_ip},
    ledger::counters::Snapshot,
    live::maps::watch::{NO_EXIST, is_absent, is_present},
};

/// Upper bound for the steps of one iteration, per entry that the map can hold: deleting the current key restarts the
/// iteration.
const MAX_STEPS: usize = 8;

/// The followed connections.
pub struct Flows {
    map: HashMap<MapData, FlowKey, Flow>,
    changes: Option<Array<MapData, u64>>,
    room: usize,
}

/// The result of a sweep.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SweepResult {
    /// Connections that have not ended.
    pub open: u64,
    /// Ended connections that were removed.
    pub removed: u64,
}

/// A followed connection.
#[derive(Clone, Copy, Debug)]
pub struct FollowedFlow {
    /// The 4-tuple.
    pub key: FlowKey,
    /// The kernel's entry.
    pub flow: Flow,
}

impl Flows {
    /// Wraps the map `FLOWS`.
    pub fn new(map: Map) -> Result<Self, MapError> {
        let room = match &map {
            Map::LruHashMap(data) | Map::HashMap(data) => data.info()?.max_entries(),
            _ => 0,
        };
        let map = map.try_into()?;
        Ok(Self { map, changes: None, room: room as usize })
    }

    /// Also records in the map [`toa_common::flow_changes`] that connections were inserted.
    pub fn recording(self, changes: Map) -> Result<Self, MapError> {
        Ok(Self { changes: Some(changes.try_into()?), ..self })
    }

    /// Returns all entries, oldest first.
    pub fn read(&self) -> Result<Vec<FollowedFlow>, MapError> {
        let mut found = Table::new();
        for entry in self.map.iter().take(self.room.saturating_mul(MAX_STEPS)) {
            let (key, flow) = entry?;
            found.insert(key, flow);
        }
        let mut flows: Vec<_> = found.into_iter().map(|(key, flow)| FollowedFlow { key, flow }).collect();
        flows.sort_unstable_by_key(|followed| (followed.flow.generation, followed.key.ports));
        Ok(flows)
    }

    /// Returns the connections whose client is not watched. `is_watched` takes the client and whether its port is
    /// known.
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

    /// Removes those of `unwatched` that are still unwatched, and returns how many were removed. The kernel cannot
    /// remove an entry on condition that it is unchanged: if another connection takes its place between the second
    /// check and the removal, a few system calls apart, that one is removed as well.
    pub fn end<E: From<MapError>>(
        &mut self,
        unwatched: &[FollowedFlow],
        mut is_watched: impl FnMut(&Client, bool) -> Result<bool, E>,
    ) -> Result<usize, E> {
        let mut ended = 0;
        for FollowedFlow { key, .. } in unwatched {
            // Another connection may have taken its place since the map was read, which takes long if there are many.
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

    /// Begins to follow a connection that was open before, unless it is followed already. Returns whether it was added.
    pub fn begin(&mut self, key: &FlowKey, attribution: &Attribution, now_ns: u64) -> Result<bool, MapError> {
        // Look it up first: an insertion into the map evicts other entries before it finds that the key exists.
        match self.map.get(key, 0) {
            Err(error) if is_absent(&error) => {}
            found => return found.map(|_| false),
        }
        match self.map.insert(
            key,
            Flow {
                generation: now_ns,
                last_ns: now_ns,
                attribution: *attribution,
                ports: key.ports,
                ..Flow::EMPTY
            },
            NO_EXIST,
        ) {
            Ok(()) => self.record().map(|()| true),
            Err(error) if is_present(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Tells the plaintext programs that a connection was inserted.
    fn record(&mut self) -> Result<(), MapError> {
        let Some(changes) = &mut self.changes else { return Ok(()) };
        let count = changes.get(&BY_USER_SPACE, 0)?;
        changes.set(BY_USER_SPACE, count.wrapping_add(1), 0)
    }

    /// Returns whether the entry of `key` is still the one that was begun at `begun_ns`.
    pub fn is_begun(&self, key: &FlowKey, begun_ns: u64) -> Result<bool, MapError> {
        match self.map.get(key, 0) {
            Err(error) if is_absent(&error) => Ok(false),
            found => found.map(|flow| flow.generation == begun_ns),
        }
    }

    /// Removes the entry of `key`, if it is still the one that was begun at `begun_ns`.
    pub fn take_back(&mut self, key: &FlowKey, begun_ns: u64) -> Result<(), MapError> {
        if !self.is_begun(key, begun_ns)? {
            return Ok(());
        }
        match self.map.remove(key) {
            Err(error) if !is_absent(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes connections that ended and have been silent for [`LINGER_NS`] at `now_ns`, or for [`SHORT_LINGER_NS`] if
    /// half the map is in use. Otherwise they would take space from open ones, which the map evicts when it is full.
    pub fn sweep(&mut self, now_ns: u64) -> Result<SweepResult, MapError> {
        let mut swept = SweepResult::default();
        let flows = self.read()?;
        let linger_ns = if flows.len() > self.room / 2 { SHORT_LINGER_NS } else { LINGER_NS };
        for followed in flows {
            if !followed.flow.has_lingered(now_ns, linger_ns) {
                swept.open += u64::from(followed.flow.ended_ns == 0);
                continue;
            }
            // Another connection may have taken its place since the map was read.
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

/// Returns a lower bound for the number of open connections that the map evicted: those that began to be followed, did
/// not end in another way, and are not among the `open` ones. `before` and `after` are the counters before and after
/// the map was read. `begun` and `removed` count the connections that user space began to follow and removed.
pub fn evicted(before: &Snapshot, after: &Snapshot, open: u64, begun: u64, removed: u64) -> u64 {
    before
        .get(Counter::Learned)
        .saturating_add(begun)
        .saturating_add(before.get(Counter::Reopened))
        .saturating_sub(after.get(Counter::Closed))
        .saturating_sub(after.get(Counter::ReplacedOpen))
        .saturating_sub(removed)
        .saturating_sub(open)
}

/// Passes a flow's client to `is_watched`, and whether its port is known.
fn ask<E>(flow: &Flow, is_watched: &mut impl FnMut(&Client, bool) -> Result<bool, E>) -> Result<bool, E> {
    is_watched(&flow.attribution.client(), flow.attribution.has_port())
}

impl FollowedFlow {
    /// Returns the real client, if anything names it.
    pub fn client(&self) -> Option<ClientAddress> {
        ClientAddress::named(&self.flow.attribution)
    }

    /// Returns the balancer's side.
    pub fn peer(&self) -> SocketAddr {
        SocketAddr::new(to_ip(self.key.source), self.key.source_port())
    }

    /// Returns this host's side.
    pub fn server(&self) -> SocketAddr {
        SocketAddr::new(to_ip(self.key.destination), self.key.destination_port())
    }
}
