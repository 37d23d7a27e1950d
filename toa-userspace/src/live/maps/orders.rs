//! Responsible for the orders in the kernel. Not responsible for when to give one.

use aya::maps::{HashMap, Map, MapData, MapError};
use toa_common::{flow_key::FlowKey, order::Order};

/// The map `ORDERS`. Only one writes it.
pub struct Orders(HashMap<MapData, FlowKey, Order>);

impl Orders {
    /// The orders in the map `ORDERS`.
    pub fn new(map: Map) -> Result<Self, MapError> {
        map.try_into().map(Self)
    }

    /// Gives an order, in place of the connection's earlier one. `false` if there is no room: then everything is copied.
    pub fn give(&mut self, key: &FlowKey, order: &Order) -> bool {
        self.0.insert(key, order, 0).is_ok()
    }

    /// Withdraws the order of the connection with this generation. One of another connection of the same 4-tuple stays.
    pub fn withdraw(&mut self, key: &FlowKey, generation: u64) {
        if self.0.get(key, 0).is_ok_and(|order| order.generation == generation) {
            // If it stays, its generation hits nothing any more.
            let _ = self.0.remove(key);
        }
    }
}
