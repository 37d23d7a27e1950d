//! Remembers what was found out about the lines, names and values of requests. Most requests have the same ones.

use std::cell::RefCell;

/// Longest key that is remembered, in bytes.
pub(crate) const MAX_LEN: usize = 255;

/// Longest key that its print contains as a whole, in bytes.
const PRINT_LEN: usize = 16;

/// Number of sets, a power of two.
const SETS: usize = 512;

/// A line, name or value, and what was found.
#[derive(Clone, Debug, Default)]
struct Slot<T> {
    print: Print,
    /// The key, if it is longer than [`PRINT_LEN`].
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
        let slot = || Slot { print: Print::default(), key: Vec::new(), found: None };
        let set = || Set { slots: [slot(), slot()], is_second_latest: false };
        Self((0..SETS).map(|_| RefCell::new(set())).collect())
    }
}

/// The place of a key in a table, as long as no other key replaces it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Place(u16);

impl Place {
    /// Number of places.
    pub(crate) const COUNT: usize = 2 * SETS;

    /// Returns its number, below [`Self::COUNT`].
    pub(crate) fn number(self) -> usize {
        self.0.into()
    }
}

impl<T: Copy> Memo<T> {
    /// Returns what `find` returned for `key`, or calls it.
    pub(crate) fn get(&self, key: &[u8], find: impl FnOnce() -> T) -> T {
        self.get_placed(key, find).0
    }

    /// Returns what [`Self::get`] returns, and the place of the key. One that is too long to be remembered has none.
    #[inline]
    pub(crate) fn get_placed(&self, key: &[u8], find: impl FnOnce() -> T) -> (T, Option<Place>) {
        let print = Print::of(key);
        let number = print.hash(key);
        let set = self.0.get(number).and_then(|set| set.try_borrow_mut().ok());
        let Some(mut set) = set.filter(|_| key.len() <= MAX_LEN) else { return (find(), None) };
        let Set { slots: [first, second], is_second_latest } = &mut *set;
        // Twice the number of a set, which is below 2^15.
        let place = |is_second| Some(Place((2 * number) as u16 | u16::from(is_second)));
        for (slot, is_second) in [(&*first, false), (&*second, true)] {
            if let Some(found) = slot.found
                && slot.is_of(print, key)
            {
                *is_second_latest = is_second;
                return (found, place(is_second));
            }
        }
        let is_second = !*is_second_latest;
        let slot = if is_second { second } else { first };
        let found = find();
        slot.print = print;
        slot.key.clear();
        if key.len() > PRINT_LEN {
            // At once, so that no longer key needs more.
            slot.key.reserve_exact(MAX_LEN);
            slot.key.extend_from_slice(key);
        }
        slot.found = Some(found);
        (found, place(is_second))
    }
}

impl<T> Slot<T> {
    fn is_of(&self, print: Print, key: &[u8]) -> bool {
        self.print == print && (key.len() <= PRINT_LEN || self.key == key)
    }
}

/// The first and last bytes of a key and its length, which tell most apart, and short ones from all others.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Print {
    first: u64,
    last: u64,
    len: u64,
}

impl Print {
    #[inline]
    fn of(key: &[u8]) -> Self {
        let (first, last) = if let (Some(first), Some(last)) = (key.first_chunk::<8>(), key.last_chunk()) {
            (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
        } else if let (Some(first), Some(last)) = (key.first_chunk::<4>(), key.last_chunk()) {
            (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
        } else {
            (key.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte)), 0)
        };
        Self { first, last, len: key.len() as u64 }
    }

    /// Returns the number of the key's set: by the print, and for long keys by some of the middle.
    #[inline]
    fn hash(self, key: &[u8]) -> usize {
        let middle = if key.len() > PRINT_LEN {
            key.get(key.len() / 2..)
                .and_then(<[u8]>::first_chunk)
                .map_or(0, |bytes| u64::from_le_bytes(*bytes))
        } else {
            0
        };
        // An odd number near 2^64 divided by the golden ratio spreads similar words, most of all to the highest bits.
        let spread = |word: u64| word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let hash = spread(self.first ^ middle.rotate_left(23) ^ self.len) ^ self.last;
        (spread(hash ^ (hash >> 32)) >> (u64::BITS - SETS.ilog2())) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

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

    #[test]
    fn keys_that_are_remembered_have_places_of_their_own() {
        let memo = Memo::default();
        let keys: Vec<_> = (0..20).map(|number| format!("key {number}")).collect();
        let places = |memo: &Memo<()>| -> HashSet<_> {
            keys.iter().map(|key| memo.get_placed(key.as_bytes(), || ()).1.unwrap().number()).collect()
        };
        let first = places(&memo);
        assert_eq!((first.len(), places(&memo)), (keys.len(), first));
        assert_eq!(memo.get_placed(&[b'a'; MAX_LEN + 1], || ()).1, None);
    }
}
