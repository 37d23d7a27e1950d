//! Examples of the clients that TOA named lately, watched or not.

use std::net::IpAddr;

use aya::maps::{Map, MapData, MapError, PerCpuArray};
use toa_common::{address::Address, limits::CLIENT_EXAMPLES};

use crate::{address::to_ip, ledger::examples::MAX_EXAMPLES};

/// The examples of a run.
pub struct Clients(PerCpuArray<MapData, Address>);

impl Clients {
    /// Wraps the map `CLIENTS`.
    pub fn new(map: Map) -> Result<Self, MapError> {
        map.try_into().map(Self)
    }

    /// Returns some clients, sorted.
    pub fn read(&self) -> Result<Vec<IpAddr>, MapError> {
        // The program may change an entry while it is read, which could mix two addresses.
        let (first, second) = (self.entries()?, self.entries()?);
        let same = first.into_iter().zip(second).filter(|(first, second)| first == second);
        let mut clients: Vec<_> = same.map(|(client, _)| client).filter(is_set).map(to_ip).collect();
        clients.sort_unstable();
        clients.dedup();
        clients.truncate(MAX_EXAMPLES);
        Ok(clients)
    }

    fn entries(&self) -> Result<Vec<Address>, MapError> {
        let mut entries = Vec::new();
        for index in 0..CLIENT_EXAMPLES {
            entries.extend(self.0.get(&index, 0)?.iter());
        }
        Ok(entries)
    }
}

/// Returns whether the program has written an entry.
fn is_set(client: &Address) -> bool {
    client.0 != [0; 4]
}
