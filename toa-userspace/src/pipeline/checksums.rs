//! Which segments with a wrong checksum are discarded.

use std::num::NonZeroUsize;

use foldhash::quality::RandomState;
use lru::LruCache;
use toa_common::address::Address;

use crate::segment::checksum::Checksum;

/// How many sources are remembered.
const MAX_SOURCES: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// The sources that compute checksums. A wrong checksum means that a server discards the segment; but in captures that
/// were anonymised, or taken where packets were sent, all of them are wrong. So a source's wrong ones count only once it
/// has sent a right one.
#[derive(Debug)]
pub struct Checksums {
    sources: LruCache<Address, (), RandomState>,
}

impl Default for Checksums {
    fn default() -> Self {
        Self { sources: LruCache::with_hasher(MAX_SOURCES, RandomState::default()) }
    }
}

impl Checksums {
    /// Returns whether a segment of `source` is accepted.
    pub fn accepts(&mut self, source: &Address, checksum: Checksum) -> bool {
        match checksum {
            Checksum::Right => {
                // Usually, all come from the same balancer.
                let is_latest = self.sources.peek_mru().is_some_and(|(latest, ())| latest == source);
                if !is_latest && self.sources.get(source).is_none() {
                    self.sources.put(*source, ());
                }
                true
            }
            Checksum::Wrong => self.sources.peek(source).is_none(),
            Checksum::Refused => false,
            Checksum::Unknown | Checksum::Offloaded => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_checksums_count_only_where_right_ones_are_known() {
        let [a, b] = [1, 2].map(|last| Address::from_ipv4(&[10, 9, 0, last]));
        let mut checksums = Checksums::default();
        for checksum in [Checksum::Wrong, Checksum::Offloaded, Checksum::Unknown, Checksum::Right] {
            assert!(checksums.accepts(&a, checksum));
        }
        assert!(!checksums.accepts(&a, Checksum::Wrong));
        assert!(!checksums.accepts(&b, Checksum::Refused));
        assert!(checksums.accepts(&a, Checksum::Offloaded));
        assert!(checksums.accepts(&b, Checksum::Wrong));
    }
}
