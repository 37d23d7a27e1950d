//! Something of a key that tells it from most others.

/// Longest key that its fingerprint contains as a whole, in bytes.
pub(crate) const WHOLE_LEN: usize = 16;

/// The first and last bytes of a key and its length, which tell most apart, and short ones from all others.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Fingerprint {
    first: u64,
    last: u64,
    len: u64,
}

impl Fingerprint {
    #[inline]
    pub(crate) fn of(key: &[u8]) -> Self {
        let (first, last) = if let (Some(first), Some(last)) = (key.first_chunk::<8>(), key.last_chunk()) {
            (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
        } else if let (Some(first), Some(last)) = (key.first_chunk::<4>(), key.last_chunk()) {
            (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
        } else {
            (key.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte)), 0)
        };
        Self { first, last, len: key.len() as u64 }
    }

    /// Returns a hash: of the fingerprint and, for long keys, of some of the middle.
    #[inline]
    pub(crate) fn hash(self, key: &[u8]) -> Hash {
        let middle = if key.len() > WHOLE_LEN {
            key.get(key.len() / 2..)
                .and_then(<[u8]>::first_chunk)
                .map_or(0, |bytes| u64::from_le_bytes(*bytes))
        } else {
            0
        };
        // An odd number near 2^64 divided by the golden ratio spreads similar words, most of all to the highest bits.
        let spread = |word: u64| word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let hash = spread(self.first ^ middle.rotate_left(23) ^ self.len) ^ self.last;
        Hash(spread(hash ^ (hash >> 32)))
    }
}

/// The hash of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hash(u64);

impl Hash {
    /// Returns a number below `count`, a power of two greater than 1.
    #[inline]
    pub(crate) fn below(self, count: usize) -> usize {
        (self.0 >> (u64::BITS - count.ilog2())) as usize
    }

    /// Returns bits that [`Self::below`] does not use for a `count` of up to 2^16.
    #[inline]
    pub(crate) fn tag(self) -> u16 {
        (self.0 >> 32) as u16
    }
}
