//! Remembers what was found out about the names and values of requests. Most requests have the same ones.

pub(crate) mod fingerprint;
pub(crate) mod seen;

use std::cell::RefCell;

use fingerprint::{Fingerprint, WHOLE_LEN};

/// Longest key that is remembered, in bytes.
const MAX_LEN: usize = 255;

/// Number of sets, a power of two.
const SETS: usize = 512;

/// A name or value, and what was found.
#[derive(Clone, Debug, Default)]
struct Slot<T> {
    print: Fingerprint,
    /// The key, if it is longer than [`WHOLE_LEN`].
    key: Vec<u8>,
    found: Option<T>,
}

/// The places for keys with the same hash. A new key takes the place of the one that was not the latest to be found, so
/// that keys which never repeat do not replace one that does.
#[derive(Clone, Debug, Default)]
struct Set<T> {
    slots: [Slot<T>; 2],
    is_second_latest: bool,
}

/// A table of a fixed size. A key replaces one in its set, so those that clients make up cost hardly more than they did
/// without a table.
#[derive(Clone, Debug)]
pub(crate) struct Memo<T>(Box<[RefCell<Set<T>>]>);

impl<T> Default for Memo<T> {
    fn default() -> Self {
        let slot = || Slot { print: Fingerprint::default(), key: Vec::new(), found: None };
        let set = || Set { slots: [slot(), slot()], is_second_latest: false };
        Self((0..SETS).map(|_| RefCell::new(set())).collect())
    }
}

impl<T: Copy> Memo<T> {
    /// Returns what `find` returned for `key`, or calls it.
    #[inline]
    pub(crate) fn get(&self, key: &[u8], find: impl FnOnce() -> T) -> T {
        let print = Fingerprint::of(key);
        let set = self.0.get(print.hash(key).below(SETS)).and_then(|set| set.try_borrow_mut().ok());
        let Some(mut set) = set.filter(|_| key.len() <= MAX_LEN) else { return find() };
        let Set { slots: [first, second], is_second_latest } = &mut *set;
        for (slot, is_second) in [(&*first, false), (&*second, true)] {
            if let Some(found) = slot.found
                && slot.is_of(print, key)
            {
                *is_second_latest = is_second;
                return found;
            }
        }
        let slot = if *is_second_latest { first } else { second };
        let found = find();
        slot.print = print;
        slot.key.clear();
        if key.len() > WHOLE_LEN {
            // At once, so that no longer key needs more.
            slot.key.reserve_exact(MAX_LEN);
            slot.key.extend_from_slice(key);
        }
        slot.found = Some(found);
        found
    }
}

impl<T> Slot<T> {
    fn is_of(&self, print: Fingerprint, key: &[u8]) -> bool {
        self.print == print && (key.len() <= WHOLE_LEN || self.key == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_looked_into_once_and_never_taken_for_another() {
        let memo = Memo::default();
        // Far more names than slots, among them some that differ only in zeros at their end.
        let names: Vec<Vec<u8>> = (0..4096_usize)
            .map(|number| [number.to_string().into_bytes(), vec![0; number % 40]].concat())
            .chain([vec![], vec![0], vec![0; MAX_LEN], vec![0; MAX_LEN + 1]])
            .collect();
        for _ in 0..2 {
            for (number, name) in names.iter().enumerate() {
                assert_eq!(memo.get(name, || number), number);
                if name.len() <= MAX_LEN {
                    assert_eq!(memo.get(name, || usize::MAX), number);
                }
            }
        }
    }

    #[test]
    fn keys_of_any_length_that_differ_in_one_byte_are_different() {
        for len in 1..=40 {
            let memo = Memo::default();
            let keys: Vec<_> =
                (0..len).map(|at| (0..len).map(|place| u8::from(place == at)).collect()).collect();
            for (number, key) in keys.iter().enumerate() {
                let key: &Vec<u8> = key;
                assert_eq!(memo.get(key, || number), number, "{key:?}");
            }
        }
    }

    #[test]
    fn keys_that_never_repeat_do_not_replace_one_that_does() {
        let memo = Memo::default();
        let mut looks = 0;
        for number in 0..10_000 {
            memo.get(b"accept-language: en-US,en;q=0.5", || looks += 1);
            memo.get(format!("x-request-id: {number:016x}").as_bytes(), || ());
        }
        assert!(looks <= 2, "{looks}");
    }
}
