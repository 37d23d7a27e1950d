//! The sources whose TOA is trusted, and those whose TOA was not.

use aya::maps::{
    HashMap, Map, MapData, MapError,
    lpm_trie::{Key, LpmTrie},
};
use ipnet::IpNet;
use thiserror::Error;
use toa_common::{address::Address, limits::MAX_BALANCERS};

use crate::address::{net_bits, to_address, to_ip};

/// Why the balancers could not be written.
#[derive(Debug, Error)]
pub enum BalancersError {
    /// There are more prefixes than the map holds.
    #[error("too many --lb prefixes: {count}, but at most {MAX_BALANCERS}")]
    TooMany {
        /// How many were given.
        count: usize,
    },
    /// The map could not be written.
    #[error("cannot write the map of balancers")]
    Map(#[from] MapError),
}

/// The sources whose TOA is trusted.
pub struct BalancersMap(LpmTrie<MapData, Address, u32>);

impl BalancersMap {
    /// Wraps the map `BALANCERS`.
    pub fn new(map: Map) -> Result<Self, MapError> {
        map.try_into().map(Self)
    }

    /// Adds the balancers' prefixes.
    pub fn add(&mut self, balancers: &[IpNet]) -> Result<(), BalancersError> {
        if balancers.len() > MAX_BALANCERS as usize {
            return Err(BalancersError::TooMany { count: balancers.len() });
        }
        for net in balancers {
            self.0.insert(&Key::new(net_bits(net), to_address(net.network())), 0, 0)?;
        }
        Ok(())
    }
}

/// The sources whose TOA was not trusted.
pub struct Untrusted(HashMap<MapData, Address, u32>);

impl Untrusted {
    /// Wraps the map `UNTRUSTED`.
    pub fn new(map: Map) -> Result<Self, MapError> {
        map.try_into().map(Self)
    }

    /// Returns the sources' addresses, sorted. The kernel keeps only the latest ones.
    pub fn read(&self) -> Result<Vec<std::net::IpAddr>, MapError> {
        let mut sources = self.0.keys().map(|key| key.map(to_ip)).collect::<Result<Vec<_>, _>>()?;
        sources.sort_unstable();
        sources.dedup();
        Ok(sources)
    }
}
