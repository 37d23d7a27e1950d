//! Tells whether a key was seen before. Most keys that are new never come again, and storing each of them would push the data of
//! the server on the same machine out of the CPU's caches.

use super::fingerprint::Hash;

/// Number of places, a power of two.
const PLACES: usize = 4096;

/// The tag of the key that came last to each place.
#[derive(Clone, Debug)]
pub(crate) struct Seen(Box<[u16]>);

impl Default for Seen {
    fn default() -> Self {
        Self(vec![0; PLACES].into())
    }
}

impl Seen {
    /// Notes a key and returns whether it was seen before. This is a guess: a key is forgotten when another takes its place, and
    /// one in 65,536 new keys passes for one that was seen.
    #[inline]
    pub(crate) fn note(&mut self, hash: Hash) -> bool {
        let Some(place) = self.0.get_mut(hash.below(PLACES)) else { return false };
        let is_known = *place == hash.tag();
        *place = hash.tag();
        is_known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memo::fingerprint::Fingerprint;

    #[test]
    fn a_key_is_known_from_the_second_time_on() {
        let mut seen = Seen::default();
        let mut note = |key: &str| seen.note(Fingerprint::of(key.as_bytes()).hash(key.as_bytes()));
        let taken = (0..10_000).filter(|number| note(&format!("x-request-id: {number:016x}"))).count();
        assert!(taken <= 2, "{taken}");
        assert!(!note("accept-language: en-US,en;q=0.5"));
        assert!((0..100).all(|_| note("accept-language: en-US,en;q=0.5")));
    }
}
