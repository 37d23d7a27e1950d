//! The kernel's tables of bypasses.

use aya::maps::{HashMap, Map, MapData, MapError};
use toa_common::{bypass::Bypass, flow_key::FlowKey};

use crate::pipeline::bypass::BypassTable;

/// A map of windows by connection.
struct Windows(HashMap<MapData, FlowKey, Bypass>);

impl Windows {
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

/// The maps `BYPASS` and `PLAINTEXT_BYPASS`. Only the attaching process and the kernel program write to them.
pub struct BypassMap {
    packets: Windows,
    plaintext: Windows,
}

impl BypassMap {
    /// Wraps the map `BYPASS`, and `PLAINTEXT_BYPASS` for plaintext.
    pub fn new(packets: Map, plaintext: Map) -> Result<Self, MapError> {
        Ok(Self { packets: Windows(packets.try_into()?), plaintext: Windows(plaintext.try_into()?) })
    }
}

/// Nothing is set if the map is full: everything is copied then.
impl BypassTable for BypassMap {
    fn set(&mut self, key: &FlowKey, bypass: &Bypass) -> bool {
        self.packets.set(key, bypass)
    }

    fn clear(&mut self, key: &FlowKey, bypass: &Bypass) {
        self.packets.clear(key, bypass);
    }

    fn set_plaintext(&mut self, key: &FlowKey, bypass: &Bypass) -> bool {
        self.plaintext.set(key, bypass)
    }

    fn clear_plaintext(&mut self, key: &FlowKey, bypass: &Bypass) {
        self.plaintext.clear(key, bypass);
    }
}
