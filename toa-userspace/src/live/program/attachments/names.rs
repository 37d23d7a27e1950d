//! The names of a run's interfaces, for its other tasks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::live::host::interfaces::interface_name;

/// How many names of interfaces that are gone are kept, for their packets that were not printed yet.
const MAX_GONE: usize = 256;

/// The names of a run's interfaces. Clones share the same list.
#[derive(Clone, Debug, Default)]
pub struct InterfaceNames(Arc<Mutex<Vec<Named>>>);

#[derive(Debug)]
struct Named {
    index: u32,
    name: Arc<str>,
    is_attached: bool,
}

impl InterfaceNames {
    /// Returns the name of the interface with this index, or its last one.
    pub fn get(&self, index: u32) -> Option<Arc<str>> {
        let known =
            self.lock().iter().find(|named| named.index == index).map(|named| Arc::clone(&named.name));
        // It was attached to only just now.
        known.or_else(|| interface_name(index).map(Arc::from))
    }

    /// Returns the names of the interfaces that the program is attached to now.
    pub fn attached(&self) -> Vec<Arc<str>> {
        let names = self.lock();
        names.iter().filter(|named| named.is_attached).map(|named| Arc::clone(&named.name)).collect()
    }

    /// Sets the indices and names of the interfaces that the program is attached to.
    pub(super) fn set<'a>(&self, attached: impl Iterator<Item = (u32, &'a str)>) {
        let mut list = self.lock();
        for named in list.iter_mut() {
            named.is_attached = false;
        }
        for (index, name) in attached {
            match list.iter_mut().find(|named| named.index == index) {
                Some(named) => {
                    named.is_attached = true;
                    if *named.name != *name {
                        named.name = Arc::from(name);
                    }
                }
                None => list.push(Named { index, name: Arc::from(name), is_attached: true }),
            }
        }
        // The oldest come first.
        let mut surplus = list.iter().filter(|named| !named.is_attached).count().saturating_sub(MAX_GONE);
        list.retain(|named| {
            let is_surplus = !named.is_attached && surplus > 0;
            surplus -= usize::from(is_surplus);
            !is_surplus
        });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Named>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_change_and_those_of_gone_interfaces_are_kept_for_a_while() {
        let names = InterfaceNames::default();
        let get = |index| names.get(index).map(|name| name.to_string());
        let base = u32::MAX >> 1;
        names.set([(base, "eth0"), (base + 1, "eth1")].into_iter());
        names.set([(base, "ext0")].into_iter());
        assert_eq!((get(base), get(base + 1)), (Some("ext0".to_owned()), Some("eth1".to_owned())));
        assert_eq!(names.attached(), [Arc::from("ext0")]);
        for index in 0..MAX_GONE as u32 {
            names.set([(base, "ext0"), (base + 2 + index, "veth")].into_iter());
        }
        assert_eq!((get(base).as_deref(), get(base + 1)), (Some("ext0"), Some("eth1".to_owned())));
        names.set([(base, "ext0")].into_iter());
        assert_eq!((get(base).as_deref(), get(base + 1)), (Some("ext0"), None));
        assert_eq!(get(1).as_deref(), Some("lo"));
    }
}
