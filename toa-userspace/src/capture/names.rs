//! The names that a capture gives its interfaces.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::limits::{MAX_NAME_BYTES, MAX_NAMES};
use crate::print::escape::Escaped;

/// The number of every interface without a name.
pub(super) const UNNAMED: u32 = u32::MAX;

/// The names of the interfaces, as far as the capture has been read. Clones share the same list. A name is kept once,
/// whatever the number of sections and files with an interface of that name.
#[derive(Clone, Debug, Default)]
pub struct Names(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    /// They are escaped, because the author of the file chose them.
    names: Vec<Arc<str>>,
    numbers: HashMap<Vec<u8>, u32>,
}

impl Names {
    /// Returns the name with this number, escaped.
    pub fn get(&self, number: u32) -> Option<Arc<str>> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.names.get(usize::try_from(number).ok()?).cloned()
    }

    /// Returns the number of a name. The empty name counts as none, and so does a new one if the list is full.
    pub(super) fn number(&self, name: &[u8]) -> u32 {
        let name = name.get(..MAX_NAME_BYTES).unwrap_or(name);
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = table.numbers.get(name) {
            return *number;
        }
        if name.is_empty() || table.names.len() >= MAX_NAMES {
            return UNNAMED;
        }
        let number = u32::try_from(table.names.len()).unwrap_or(UNNAMED);
        table.names.push(Escaped(name).to_string().into());
        table.numbers.insert(name.to_vec(), number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once_and_an_empty_one_is_none() {
        let names = Names::default();
        let numbers = ["eth0", "", "eth1", "eth0"].map(|name| names.number(name.as_bytes()));
        assert_eq!(numbers, [0, UNNAMED, 1, 0]);
        assert_eq!(
            numbers.map(|number| names.get(number)),
            [Some("eth0"), None, Some("eth1"), Some("eth0")].map(|name| name.map(Arc::from))
        );
    }

    #[test]
    fn names_are_bounded_and_escaped() {
        let names = Names::default();
        assert_eq!(&*names.get(names.number(b"\x1b[1m")).unwrap(), r"\x1b[1m");
        assert_eq!(names.get(names.number(&[b'x'; 1000])).unwrap().len(), MAX_NAME_BYTES);
        let numbers: Vec<_> =
            (0..2 * MAX_NAMES).map(|name| names.number(name.to_string().as_bytes())).collect();
        assert_eq!(numbers.iter().filter(|number| **number != UNNAMED).count(), MAX_NAMES - 2);
        // Known names are still found.
        assert_eq!(names.number(b"0"), 2);
    }
}
