//! The names of interfaces.

use std::sync::Arc;

use super::value::json;

/// A function that finds the name of an interface by its index. It is called for every line, because interfaces are renamed.
pub type InterfaceName = Box<dyn FnMut(u32) -> Option<Arc<str>> + Send>;

/// The name of an interface, as it was found last.
struct Known {
    index: u32,
    name: Option<Arc<str>>,
    /// As a string of JSON or `null`.
    json: Vec<u8>,
}

/// A cache of the names of interfaces. There are few, so a linear search is enough.
pub(super) struct Interfaces {
    lookup: InterfaceName,
    known: Vec<Known>,
}

/// Maximum number of names in the cache. A host has few interfaces; if they come and go, names are looked up again.
const MAX_NAMES: usize = 256;

impl Interfaces {
    /// Creates a cache that is empty.
    pub(super) fn new(lookup: InterfaceName) -> Self {
        Self { lookup, known: Vec::new() }
    }

    /// Returns the name of an interface as a string of JSON, or `null`, and whether that interface has been renamed since the
    /// last call.
    pub(super) fn name(&mut self, index: u32) -> (&[u8], bool) {
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
                let json = json(&name.as_deref());
                self.known.push(Known { index, name, json });
                (self.known.len().saturating_sub(1), found.is_some())
            }
        };
        (self.known.get(position).map(|known| &*known.json).unwrap_or_default(), is_renamed)
    }
}
