//! The program's maps, one file each.

pub mod balancers;
pub mod bypass;
pub mod clients;
pub mod counters;
pub mod flows;
pub mod watch;

use aya::maps::{Map, MapError};
use thiserror::Error;
use toa_common::{
    flow_changes,
    maps::{COUNTERS, FLOWS, PREFIXES, SHAPES, WATCH},
};

use super::program::load::{LoadError, Loaded};
use balancers::{BalancersMap, Untrusted};
use bypass::BypassMap;
use clients::Clients;
use counters::Counters;
use flows::Flows;
use watch::Watch;

/// The maps of a loaded program that user space reads or writes.
pub struct Maps {
    /// The watched set.
    pub watch: Watch,
    /// The followed connections.
    pub flows: Flows,
    /// The program's counters.
    pub counters: Counters,
    /// The windows of connections that are not copied.
    pub bypass: BypassMap,
    /// The sources whose TOA is trusted.
    pub balancers: BalancersMap,
    /// The sources whose TOA was not trusted.
    pub untrusted: Untrusted,
    /// Examples of the clients that TOA named.
    pub clients: Clients,
}

/// Why a program's maps cannot be used.
#[derive(Debug, Error)]
pub enum MapsError {
    /// The object has no such map.
    #[error(transparent)]
    Missing(#[from] LoadError),
    /// The map has an unexpected type.
    #[error("the map {name} has an unexpected type")]
    Type {
        /// The map's name.
        name: &'static str,
        /// The underlying error.
        #[source]
        source: MapError,
    },
}

impl Maps {
    /// Takes the maps out of `loaded`, whose programs must be loaded already.
    pub fn take(loaded: &mut Loaded) -> Result<Self, MapsError> {
        Ok(Self {
            watch: take(loaded, WATCH.name, |rules, loaded| {
                let prefixes = loaded.take_map(PREFIXES.name)?;
                let shapes = loaded.take_map(SHAPES.name)?;
                Ok(Watch::new(rules, prefixes, shapes))
            })?,
            flows: take(loaded, FLOWS.name, |map, loaded| {
                let changes = loaded.take_map(flow_changes::NAME)?;
                Ok(Flows::new(map).and_then(|flows| flows.recording(changes)))
            })?,
            counters: take(loaded, COUNTERS.name, |map, _| Ok(Counters::new(map)))?,
            bypass: take(loaded, "BYPASS", |map, loaded| {
                Ok(BypassMap::new(map, loaded.take_map("PLAINTEXT_BYPASS")?))
            })?,
            balancers: take(loaded, "BALANCERS", |map, _| Ok(BalancersMap::new(map)))?,
            untrusted: take(loaded, "UNTRUSTED", |map, _| Ok(Untrusted::new(map)))?,
            clients: take(loaded, "CLIENTS", |map, _| Ok(Clients::new(map)))?,
        })
    }
}

fn take<T>(
    loaded: &mut Loaded,
    name: &'static str,
    make: impl FnOnce(Map, &mut Loaded) -> Result<Result<T, MapError>, LoadError>,
) -> Result<T, MapsError> {
    let map = loaded.take_map(name)?;
    make(map, loaded)?.map_err(|source| MapsError::Type { name, source })
}
