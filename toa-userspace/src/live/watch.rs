//! Responsible for the watched set in the kernel: the rules and the word of their shapes. Not responsible for
//! how rules are written.

use aya::maps::{Array, HashMap, Map, MapData, MapError};
use toa_common::rule::RuleKey;

use crate::rule::Rule;

/// The maps of the watched set.
pub struct Watch {
    rules: HashMap<MapData, RuleKey, u32>,
    shapes: Array<MapData, u32>,
}

impl Watch {
    /// The watched set in the maps `WATCH` and `SHAPES`.
    pub fn new(rules: Map, shapes: Map) -> Result<Self, MapError> {
        Ok(Self { rules: HashMap::try_from(rules)?, shapes: Array::try_from(shapes)? })
    }

    /// Adds `rules`.
    pub fn add(&mut self, rules: &[Rule]) -> Result<(), MapError> {
        let mut shapes = self.shapes.get(&0, 0)?;
        for rule in rules {
            let key = rule.key();
            self.rules.insert(key, 0, 0)?;
            shapes |= key.shape;
        }
        // The rules first: a shape that is asked for too early costs a lookup, one that is missing a connection.
        self.shapes.set(0, shapes, 0)
    }
}
