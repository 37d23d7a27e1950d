//! An interface that is wanted by its name.

use crate::live::host::{interfaces, links::Link};

/// An interface that is wanted by its name. It stays the same interface if it is renamed. If it is removed, the next one
/// that has its first or its last name takes its place.
#[derive(Debug)]
pub(super) struct Slot {
    first_name: String,
    last_name: String,
    /// Its index, while it exists.
    pub(super) index: Option<u32>,
}

impl Slot {
    pub(super) fn new(name: &str) -> Self {
        Self { first_name: name.to_owned(), last_name: name.to_owned(), index: None }
    }

    /// Finds the interface among `links`. Alternative names count, too.
    pub(super) fn fill(&mut self, links: &[Link]) {
        let find = |index: u32| links.iter().find(|link| link.index == index);
        let named = |name: &str| find(interfaces::interface_index(name)?);
        let link =
            self.index.and_then(find).or_else(|| named(&self.first_name)).or_else(|| named(&self.last_name));
        self.index = link.map(|link| link.index);
        if let Some(link) = link {
            self.last_name.clone_from(&link.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::host::links;

    #[test]
    fn an_interface_keeps_its_place_when_it_is_renamed() {
        let mut slot = Slot::new("lo");
        slot.fill(&links::list().unwrap());
        assert_eq!(slot.index, Some(1));
        let renamed = Link { index: 1, name: "lo1".to_owned(), ..Link::default() };
        slot.fill(&[renamed]);
        assert_eq!((slot.index, slot.last_name.as_str()), (Some(1), "lo1"));
        slot.fill(&[]);
        assert_eq!(slot.index, None);
        slot.fill(&links::list().unwrap());
        assert_eq!((slot.index, slot.last_name.as_str()), (Some(1), "lo"));
    }
}
