//! What the lines of a connection have in common, kept from one line to the next.

use toa_common::attribution::Attribution;

use crate::pipeline::connection::Connection;

/// Number of connections that are kept, a power of two.
const SLOTS: usize = 1024;

/// Parts of lines of recent connections. A connection replaces the one in its slot.
#[derive(Debug, Default)]
pub(super) struct Recent<T> {
    slots: Vec<Slot<T>>,
}

#[derive(Debug, Default)]
struct Slot<T> {
    of: Option<Traits>,
    parts: T,
}

/// What the parts depend on.
#[derive(Debug, PartialEq)]
struct Traits {
    id: u64,
    interface_index: u32,
    attribution: Attribution,
    has_proxy: bool,
    is_sender_watched: bool,
}

impl Traits {
    fn of(connection: &Connection) -> Self {
        Self {
            id: connection.id,
            interface_index: connection.interface_index,
            attribution: connection.attribution,
            has_proxy: connection.proxy.is_some(),
            is_sender_watched: connection.is_sender_watched,
        }
    }
}

impl<T: Default> Recent<T> {
    /// Returns the parts of a connection, which `write` writes anew unless they are known.
    pub(super) fn get(&mut self, connection: &Connection, write: impl FnOnce(&mut T)) -> Option<&T> {
        let traits = Traits::of(connection);
        let index = connection.id as usize & (SLOTS - 1);
        if self.slots.len() <= index {
            self.slots.resize_with(index.saturating_add(1), Slot::default);
        }
        let slot = self.slots.get_mut(index)?;
        if slot.of.as_ref() != Some(&traits) {
            write(&mut slot.parts);
            slot.of = Some(traits);
        }
        Some(&slot.parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::tests::segment;

    #[test]
    fn parts_are_written_anew_only_when_something_they_depend_on_has_changed() {
        let mut recent = Recent::default();
        let mut get =
            |connection: &Connection, now: u32| *recent.get(connection, |part| *part = now).unwrap();
        let mut connection = Connection::new(1, &segment(1, 0, b""));
        let other = Connection::new(2, &segment(1, 0, b""));
        let same_slot = Connection::new(1 + SLOTS as u64, &segment(1, 0, b""));
        assert_eq!([get(&connection, 1), get(&other, 2), get(&connection, 3), get(&other, 4)], [1, 2, 1, 2]);
        assert_eq!([get(&same_slot, 5), get(&connection, 6), get(&connection, 7)], [5, 6, 6]);
        connection.interface_index += 1;
        assert_eq!([get(&connection, 8), get(&connection, 9)], [8, 8]);
        connection.attribution.port_be += 1;
        assert_eq!(get(&connection, 10), 10);
        connection.is_sender_watched = true;
        assert_eq!(get(&connection, 11), 11);
        connection.last_ns += 1;
        assert_eq!(get(&connection, 12), 11);
    }
}
