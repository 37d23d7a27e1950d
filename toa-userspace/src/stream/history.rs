//! Hashes of the latest bytes of a stream, to tell whether bytes that arrive again are the same.

/// Bytes of a block.
const BLOCK: usize = 8;
/// Number of blocks that are remembered.
const BLOCKS: usize = 256;

/// The hashes of the last 2 KiB, and the bytes of the last block as far as it is known. Blocks are counted from the first
/// remembered byte, so that a retransmission of a whole head is compared from its first byte on.
#[derive(Debug)]
pub(super) struct History {
    /// Position of the first byte.
    start: u64,
    /// Position after the last one.
    end: u64,
    hashes: [u8; BLOCKS],
    /// The bytes of the block in which `end` lies.
    last: [u8; BLOCK],
}

impl History {
    /// Begins at `position`.
    pub(super) fn new(position: u64) -> Self {
        Self { start: position, end: position, hashes: [0; BLOCKS], last: [0; BLOCK] }
    }

    /// Remembers `bytes`, which begin at `position`. Forgets everything if that is not where the last ones ended.
    pub(super) fn record(&mut self, position: u64, bytes: &[u8]) {
        let skipped = bytes.len().saturating_sub(BLOCK * BLOCKS);
        let mut rest = bytes.get(skipped..).unwrap_or_default();
        let position = position.saturating_add(skipped as u64);
        if position != self.end {
            (self.start, self.end) = (position, position);
        }
        let at = self.offset(self.end);
        if at > 0 {
            let (now, later) = rest.split_at_checked(BLOCK.saturating_sub(at)).unwrap_or((rest, &[]));
            self.fill(at, now);
            if at.saturating_add(now.len()) < BLOCK {
                return;
            }
            let index = self.index(self.end.saturating_sub(1));
            self.hashes.get_mut(index).into_iter().for_each(|place| *place = hash(self.last));
            rest = later;
        }
        let (blocks, part) = rest.as_chunks();
        let index = self.index(self.end);
        // At most two runs, because no more blocks are recorded than are remembered.
        let (before, from) = self.hashes.split_at_mut_checked(index).unwrap_or_default();
        for (place, block) in from.iter_mut().chain(before).zip(blocks) {
            *place = hash(*block);
        }
        self.end = self.end.saturating_add(blocks.as_flattened().len() as u64);
        self.fill(0, part);
    }

    /// Adds bytes of the last block, the first of which is at offset `at`.
    fn fill(&mut self, at: usize, bytes: &[u8]) {
        for (to, from) in self.last.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
        self.end = self.end.saturating_add(bytes.len() as u64);
    }

    /// Returns how many of `bytes`, which begin at `position`, are in blocks that differ from what is remembered.
    pub(super) fn differing(&self, position: u64, bytes: &[u8]) -> u64 {
        let mut differing = 0_u64;
        let oldest = self.end.saturating_sub((BLOCK * BLOCKS) as u64).max(self.start);
        let skipped = usize::try_from(oldest.saturating_sub(position)).unwrap_or(usize::MAX);
        let mut at = position.max(oldest);
        let mut rest = bytes.get(skipped..).unwrap_or_default();
        while !rest.is_empty() && at < self.end {
            let (now, later) =
                rest.split_at_checked(BLOCK.saturating_sub(self.offset(at))).unwrap_or((rest, &[]));
            if self.differs(at, now) {
                differing = differing.saturating_add(now.len() as u64);
            }
            at = at.saturating_add(now.len() as u64);
            rest = later;
        }
        differing
    }

    /// Returns whether `bytes`, which lie in one block, differ. Parts of blocks other than the last are not comparable.
    fn differs(&self, position: u64, bytes: &[u8]) -> bool {
        let offset = self.offset(position);
        let block = position.saturating_sub(offset as u64);
        if self.end.saturating_sub(block) < BLOCK as u64 {
            let known = self.last.iter().take(self.offset(self.end)).skip(offset);
            known.zip(bytes).any(|(known, byte)| known != byte)
        } else if let Some(bytes) = bytes.first_chunk() {
            self.hashes.get(self.index(position)).is_some_and(|known| *known != hash(*bytes))
        } else {
            false
        }
    }

    /// Returns the offset of a position in its block.
    #[expect(clippy::cast_possible_truncation, reason = "less than the length of a block")]
    fn offset(&self, position: u64) -> usize {
        (position.saturating_sub(self.start) % BLOCK as u64) as usize
    }

    /// Returns the index of a position's block.
    #[expect(clippy::cast_possible_truncation, reason = "less than the number of blocks")]
    fn index(&self, position: u64) -> usize {
        (position.saturating_sub(self.start) / BLOCK as u64 % BLOCKS as u64) as usize
    }
}

/// Returns a hash of a block.
fn hash(block: [u8; BLOCK]) -> u8 {
    let [.., last] = u64::from_le_bytes(block).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    last
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_arrives_again_is_compared() {
        let bytes: Vec<u8> = (0..101).collect();
        let mut history = History::new(1000);
        history.record(1000, &bytes[..70]);
        history.record(1070, &bytes[70..]);
        let differing = |position, bytes: &[u8]| history.differing(position, bytes);
        assert_eq!(differing(1000, &bytes), 0);
        let mut other = bytes.clone();
        other[3] ^= 1;
        other[50] ^= 1;
        assert_eq!(differing(1000, &other), 16, "two blocks");
        assert_eq!(differing(1001, &other[1..]), 8, "the first one is not whole");
        assert_eq!(differing(1000, &bytes[1..17]), 16, "shifted by one");
        other = bytes.clone();
        other[100] ^= 1;
        assert_eq!(differing(1097, &other[97..]), 4, "in the last block");
        assert_eq!(differing(1101, b"new"), 0, "after the end");
        assert_eq!(differing(900, &[7; 50]), 0, "before the start");
        assert_eq!(differing(950, &[&[7; 50], &bytes[..]].concat()), 0, "partly before the start");
    }

    proptest! {
        #[test]
        fn equal_bytes_never_differ(
            start in 0_u64..100,
            pieces in prop::collection::vec(1_usize..3000, 1..8),
            from in 0.0..1.0,
            len in 1_usize..4000,
        ) {
            let mut history = History::new(start);
            let total = pieces.iter().sum::<usize>();
            let bytes: Vec<u8> = (0..total).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let mut at = 0;
            for piece in pieces {
                history.record(start + at as u64, &bytes[at..at + piece]);
                at += piece;
            }
            #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a position")]
            let from = (from * total as f64) as usize;
            let again = &bytes[from..(from + len).min(total)];
            prop_assert_eq!(history.differing(start + from as u64, again), 0);
        }
    }
}
