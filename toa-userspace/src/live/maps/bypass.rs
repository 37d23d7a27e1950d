//! The kernel's table of bypasses.

use aya::maps::{HashMap, Map, MapData, MapError};
use toa_common::{bypass::Bypass, flow_key::FlowKey};

use crate::pipeline::bypass::BypassTable;

/// The map `BYPASS`. Only the attaching process and the kernel program write to it.
pub struct BypassMap(HashMap<MapData, FlowKey, Bypass>);

impl BypassMap {
    /// Wraps the map `BYPASS`.
    pub fn new(map: Map) -> Result<Self, MapError> {
        map.try_into().map(Self)
    }
}

impl BypassTable for BypassMap {
    /// Returns `false` if the map is full: everything is copied then.
    fn set(&mut self, key: &FlowKey, bypass: &Bypass) -> bool {
        self.0.insert(key, bypass, 0).is_ok()
    }

    fn clear(&mut self, key: &FlowKey, bypass: &Bypass) {
        let is_it = |it: Bypass| (it.generation, it.until) == (bypass.generation, bypass.until);
        if self.0.get(key, 0).is_ok_and(is_it) {
            // An entry that remains is harmless: its generation matches no later connection.
            let _ = self.0.remove(key);
        }
    }
}
