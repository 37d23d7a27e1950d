//! The names of interfaces.

use std::sync::Arc;

use serde_json::to_vec;

/// A function that finds the name of an interface by its index. It is called for every line, because interfaces are renamed.
pub type InterfaceName = Box<dyn FnMut(u32) -> Option<Arc<str>> + Send>;

/// The name of an interface, as it was found last.
pub(super) struct Interface {
    index: u32,
    /// `None` if the name is not known.
    pub(super) name: Option<Arc<str>>,
    /// The name as a string of JSON, or `null`.
    pub(super) json: Vec<u8>,
}

/// A cache of the names of interfaces. There are few, so a linear search is enough.
pub(super) struct Interfaces {
    lookup: InterfaceName,
    known: Vec<Interface>,
}

/// Maximum number of names in the cache. A host has few interfaces; if they come and go, names are looked up again.
const MAX_NAMES: usize = 256;

impl Interfaces {
    /// Creates a cache that is empty.
    pub(super) fn new(lookup: InterfaceName) -> Self {
        Self { lookup, known: Vec::new() }
    }

    /// Returns an interface, and whether it has been renamed since the last call.
    pub(super) fn get(&mut self, index: u32) -> (Option<&Interface>, bool) {
        let name = (self.lookup)(index);
        let position = self.known.iter().position(|known| known.index == index);
        let is_current = |at: usize| self.known.get(at).is_some_and(|known| known.name == name);
        let (position, is_renamed) = match position {
            Some(at) if is_current(at) => (at, false),
            found => {
                if let Some(at) = found {
                    self.known.swap_remove(at);
                } else if self.known.len() >= MAX_NAMES {
                    self.known.clear();
                }
                // A string can always be written.
                let json = to_vec(&name.as_deref()).unwrap_or_default();
                self.known.push(Interface { index, name, json });
                (self.known.len().saturating_sub(1), found.is_some())
            }
        };
        (self.known.get(position), is_renamed)
    }
}
