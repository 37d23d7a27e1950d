//! The latest bytes of a stream, to tell whether bytes that arrive again are the same.

/// Bytes that are remembered at most: the heads of most requests.
const REMEMBERED: usize = 2048;

/// The last bytes of a stream, without holes.
#[derive(Debug)]
pub(super) struct History {
    /// A ring, once it is full.
    bytes: Vec<u8>,
    /// Position of the byte that was first in `bytes`.
    start: u64,
    /// Position after the last byte.
    end: u64,
}

impl History {
    /// Begins at `position`.
    pub(super) fn new(position: u64) -> Self {
        Self { bytes: Vec::new(), start: position, end: position }
    }

    /// Remembers `bytes`, which begin at `position`. Forgets everything if that is not where the last ones ended.
    pub(super) fn record(&mut self, position: u64, bytes: &[u8]) {
        let kept = bytes.len().min(REMEMBERED);
        let skipped = bytes.len().saturating_sub(kept);
        let bytes = bytes.get(skipped..).unwrap_or_default();
        let position = position.saturating_add(skipped as u64);
        if position != self.end {
            self.bytes.clear();
            (self.start, self.end) = (position, position);
        }
        let free = REMEMBERED.saturating_sub(self.bytes.len());
        let (new, over) = bytes.split_at_checked(free).unwrap_or((bytes, &[]));
        self.bytes.extend_from_slice(new);
        self.end = self.end.saturating_add(new.len() as u64);
        let index = self.index(self.end);
        let (before, from) = self.bytes.split_at_mut_checked(index).unwrap_or_default();
        let (first, second) = over.split_at_checked(from.len()).unwrap_or((over, &[]));
        overwrite(from, first);
        overwrite(before, second);
        self.end = self.end.saturating_add(over.len() as u64);
    }

    /// Returns how many of `bytes`, which begin at `position`, differ from what is remembered.
    pub(super) fn differing(&self, position: u64, bytes: &[u8]) -> u64 {
        let oldest = self.end.saturating_sub(self.bytes.len() as u64);
        let skipped = usize::try_from(oldest.saturating_sub(position)).unwrap_or(usize::MAX);
        let from = position.max(oldest);
        if from >= self.end {
            return 0;
        }
        let known = usize::try_from(self.end.saturating_sub(from)).unwrap_or(usize::MAX);
        let (before, after) = self.bytes.split_at_checked(self.index(from)).unwrap_or_default();
        let pairs = after.iter().chain(before).take(known).zip(bytes.iter().skip(skipped));
        pairs.filter(|(known, byte)| known != byte).count() as u64
    }

    /// Returns the index of a position that is remembered, or comes next.
    #[expect(clippy::cast_possible_truncation, reason = "less than the number of bytes")]
    fn index(&self, position: u64) -> usize {
        (position.saturating_sub(self.start) % REMEMBERED as u64) as usize
    }
}

/// Overwrites the first bytes of `to`, which is at least as long as `from`.
fn overwrite(to: &mut [u8], from: &[u8]) {
    if let Some((to, _)) = to.split_at_mut_checked(from.len()) {
        to.copy_from_slice(from);
    }
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
        assert_eq!(differing(1000, &other), 2);
        assert_eq!(differing(1003, &other[3..4]), 1, "a single byte");
        assert_eq!(differing(1000, &bytes[1..17]), 16, "shifted by one");
        assert_eq!(differing(1099, &[99, 0, 7]), 1, "the last one and one after it");
        assert_eq!(differing(1101, b"new"), 0, "after the end");
        assert_eq!(differing(900, &[7; 50]), 0, "before the start");
        assert_eq!(differing(950, &[&[7; 50], &bytes[..]].concat()), 0, "partly before the start");
    }

    #[test]
    fn what_comes_after_a_gap_is_not_mixed_with_what_was_before() {
        let mut history = History::new(0);
        history.record(0, b"before");
        history.record(10, b"after");
        assert_eq!((history.differing(0, b"BEFORE"), history.differing(10, b"AFTER")), (0, 5));
    }

    proptest! {
        #[test]
        fn it_equals_the_last_bytes(
            start in 0_u64..100,
            pieces in prop::collection::vec(1_usize..3000, 1..8),
            from in 0.0..1.0,
            other in prop::collection::vec(any::<u8>(), 1..4000),
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
            let known = bytes.iter().zip(0..).skip(from).zip(&other);
            let expected = known.filter(|((byte, at), other)| *at + REMEMBERED >= total && byte != other).count();
            prop_assert_eq!(history.differing(start + from as u64, &other), expected as u64);
        }
    }
}
