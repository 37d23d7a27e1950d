//! Connections whose client was named by a segment that the server discards.

use std::{hash::Hash, num::NonZeroUsize};

use foldhash::quality::RandomState;
use lru::LruCache;
use toa_common::attribution::{Attribution, LearnedFrom};

/// How many connections are remembered.
const MAX_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Such connections. The kernel program verifies no checksum, so it believes the TOA of a segment that turns out to be damaged or
/// forged when it is read here.
#[derive(Debug)]
pub(super) struct DiscardedNames<K: Hash + Eq> {
    connections: LruCache<K, (), RandomState>,
}

impl<K: Hash + Eq> Default for DiscardedNames<K> {
    fn default() -> Self {
        Self { connections: LruCache::with_hasher(MAX_CONNECTIONS, RandomState::default()) }
    }
}

impl<K: Hash + Eq> DiscardedNames<K> {
    /// Notes the client of a discarded segment, unless it was `known` before. A segment without payload that named it is not
    /// seen here.
    pub(super) fn note(&mut self, key: K, named: &Attribution, known: Option<&Attribution>) {
        let is_new = known.is_none_or(|known| known.client() != named.client());
        if is_new && named.is_named() && named.learned_from() == Some(LearnedFrom::Data) {
            self.connections.put(key, ());
        }
    }

    /// Returns whether the client of a connection is doubtful.
    pub(super) fn contains(&self, key: &K) -> bool {
        !self.connections.is_empty() && self.connections.contains(key)
    }
}
