//! Bytes that wait for a hole to be filled.

use std::{collections::BTreeMap, ops::Range};

use bytes::Bytes;

use super::{arrival::Arrival, assembler::Assembler, position::part};

/// Approximate memory for a chunk in addition to its bytes, in bytes.
const CHUNK_OVERHEAD: usize = 128;

/// Bytes of one segment.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    /// The position of the segment's first byte, even if that is in another chunk.
    from: u64,
    /// The segment that they are from.
    pub(super) arrival: Arrival,
    /// Bytes of it that arrived twice with different content.
    pub(super) conflicting: u64,
}

/// The result of an insertion, in bytes.
#[derive(Debug, Default)]
pub(super) struct Inserted {
    /// Bytes at positions that had none.
    pub(super) added: u64,
    /// Bytes that differ from those that were there.
    pub(super) conflicting: u64,
}

/// Chunks by position.
///
/// Invariant: chunks do not overlap, and `present` has exactly their positions.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    present: Assembler,
    by_position: BTreeMap<u64, Chunk>,
    bytes: usize,
}

impl Chunks {
    /// Inserts `bytes`, the first of which is at `position`.
    ///
    /// Where they overlap with what is there, the choice is that of Linux (`tcp_data_queue_ofo` in
    /// `net/ipv4/tcp_input.c`): a segment that covers more than another replaces it, otherwise the bytes of the
    /// earlier position win.
    pub(super) fn insert(&mut self, position: u64, bytes: &[u8], arrival: Arrival) -> Inserted {
        let end = position.saturating_add(bytes.len() as u64);
        let mut inserted = Inserted::default();
        let mut start = position;
        for at in self.overlapping(position..end) {
            let Some(old) = self.by_position.get_mut(&at) else { continue };
            let old_end = at.saturating_add(old.bytes.len() as u64);
            let common = at.max(position)..old_end.min(end);
            let new = part(bytes, position, common.clone());
            let differing = differing(part(&old.bytes, at, common), new);
            inserted.conflicting = inserted.conflicting.saturating_add(differing);
            old.conflicting = old.conflicting.saturating_add(differing);
            if old.from <= position && old_end >= end {
                start = end;
            } else if old.from >= position && old_end <= end {
                self.remove(at);
            } else if old.from <= position {
                start = start.max(old_end);
            } else {
                self.trim(at, end);
            }
        }
        let rest = part(bytes, position, start..end);
        if !rest.is_empty() {
            let (bytes, conflicting) = (Bytes::copy_from_slice(rest), inserted.conflicting);
            self.by_position.insert(start, Chunk { bytes, from: position, arrival, conflicting });
            self.bytes = self.bytes.saturating_add(rest.len());
        }
        self.present.insert(position..end, |range| {
            let added = range.end.saturating_sub(range.start);
            inserted.added = inserted.added.saturating_add(added);
        });
        inserted
    }

    /// Inserts `bytes` into a stream that has not started. What continues the first bytes would have been delivered in
    /// order, so bytes that are there win, and its own win over what came ahead of order.
    pub(super) fn insert_before_start(&mut self, position: u64, bytes: &[u8], arrival: Arrival) -> Inserted {
        let end = position.saturating_add(bytes.len() as u64);
        let Some(front) = self.front().filter(|front| (front.start..=front.end).contains(&position)) else {
            return self.insert(position, bytes, arrival);
        };
        let from = front.end.min(end);
        let mut inserted = Inserted::default();
        for at in self.overlapping(position..end) {
            let Some(old) = self.by_position.get_mut(&at) else { continue };
            let common = at.max(position)..at.saturating_add(old.bytes.len() as u64).min(end);
            let differing = differing(part(&old.bytes, at, common.clone()), part(bytes, position, common));
            old.conflicting = old.conflicting.saturating_add(differing);
            inserted.conflicting = inserted.conflicting.saturating_add(differing);
        }
        let rest = part(bytes, position, from..end);
        if !rest.is_empty() {
            for at in self.overlapping(from..end) {
                let old_end =
                    self.by_position.get(&at).map_or(at, |old| at.saturating_add(old.bytes.len() as u64));
                if old_end <= end { self.remove(at) } else { self.trim(at, end) }
            }
            let (bytes, conflicting) = (Bytes::copy_from_slice(rest), inserted.conflicting);
            self.by_position.insert(from, Chunk { bytes, from, arrival, conflicting });
            self.bytes = self.bytes.saturating_add(rest.len());
        }
        self.present.insert(position..end, |range| {
            let added = range.end.saturating_sub(range.start);
            inserted.added = inserted.added.saturating_add(added);
        });
        inserted
    }

    /// Counts the bytes in `range` as if they had arrived twice with different content.
    pub(super) fn doubt(&mut self, range: Range<u64>) {
        for at in self.overlapping(range.clone()) {
            let Some(chunk) = self.by_position.get_mut(&at) else { continue };
            let end = at.saturating_add(chunk.bytes.len() as u64).min(range.end);
            chunk.conflicting = chunk.conflicting.saturating_add(end.saturating_sub(at.max(range.start)));
        }
    }

    /// Returns how many of `bytes`, the first of which is at `position`, differ from what waits.
    pub(super) fn differing(&self, position: u64, bytes: &[u8]) -> u64 {
        let end = position.saturating_add(bytes.len() as u64);
        let overlapping = self.overlapping(position..end).into_iter();
        let counts = overlapping.filter_map(|at| {
            let old = self.by_position.get(&at)?;
            let common = at.max(position)..at.saturating_add(old.bytes.len() as u64).min(end);
            Some(differing(part(&old.bytes, at, common.clone()), part(bytes, position, common)))
        });
        counts.sum()
    }

    /// Returns the positions of the chunks that overlap with `range`.
    fn overlapping(&self, range: Range<u64>) -> Vec<u64> {
        let before = self.by_position.range(..range.start).next_back();
        let before = before.filter(|(at, chunk)| at.saturating_add(chunk.bytes.len() as u64) > range.start);
        before.into_iter().chain(self.by_position.range(range)).map(|(at, _)| *at).collect()
    }

    fn remove(&mut self, at: u64) {
        if let Some(chunk) = self.by_position.remove(&at) {
            self.bytes = self.bytes.saturating_sub(chunk.bytes.len());
        }
    }

    /// Removes the bytes below `from` of the chunk at `at`.
    fn trim(&mut self, at: u64, from: u64) {
        if let Some(mut chunk) = self.by_position.remove(&at) {
            let below = usize::try_from(from.saturating_sub(at)).unwrap_or(usize::MAX).min(chunk.bytes.len());
            chunk.bytes = chunk.bytes.split_off(below);
            self.bytes = self.bytes.saturating_sub(below);
            self.by_position.insert(from, chunk);
        }
    }

    /// Removes and returns the first chunk if it begins at `position`.
    pub(super) fn take(&mut self, position: u64) -> Option<Chunk> {
        let entry = self.by_position.first_entry().filter(|entry| *entry.key() <= position)?;
        let chunk = entry.remove();
        self.bytes = self.bytes.saturating_sub(chunk.bytes.len());
        self.present.forget_below(position.saturating_add(chunk.bytes.len() as u64));
        Some(chunk)
    }

    /// Discards everything below `position`. Returns how many bytes were discarded.
    pub(super) fn discard_below(&mut self, position: u64) -> u64 {
        let before = self.bytes;
        while let Some((at, chunk)) = self.by_position.first_key_value().filter(|(at, _)| **at < position) {
            let (at, end) = (*at, at.saturating_add(chunk.bytes.len() as u64));
            if end <= position { self.remove(at) } else { self.trim(at, position) }
        }
        self.present.forget_below(position);
        before.saturating_sub(self.bytes) as u64
    }

    /// Returns the first chunk.
    pub(super) fn first(&self) -> Option<&Chunk> {
        self.by_position.first_key_value().map(|(_, chunk)| chunk)
    }

    /// Returns the position of the first chunk.
    pub(super) fn first_position(&self) -> Option<u64> {
        self.by_position.first_key_value().map(|(position, _)| *position)
    }

    /// Returns the range of the first bytes, up to the first hole.
    pub(super) fn front(&self) -> Option<Range<u64>> {
        self.present.first()
    }

    /// Returns the number of ranges, each with a hole before it.
    pub(super) fn ranges(&self) -> usize {
        self.present.len()
    }

    /// Returns the memory in use, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.bytes.saturating_add(self.by_position.len().saturating_mul(CHUNK_OVERHEAD))
    }
}

/// Returns how many bytes differ.
fn differing(a: &[u8], b: &[u8]) -> u64 {
    if a == b { 0 } else { a.iter().zip(b).filter(|(a, b)| a != b).count() as u64 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use toa_common::seq::Seq;

    fn at_time(time_ns: u64) -> Arrival {
        Arrival { time_ns, ack: Seq(0) }
    }

    fn content(chunks: &Chunks) -> Vec<(u64, &[u8])> {
        chunks.by_position.iter().map(|(at, chunk)| (*at, &chunk.bytes[..])).collect()
    }

    #[test]
    fn overlaps_are_resolved_as_linux_does() {
        let mut chunks = Chunks::default();
        chunks.insert(10, b"aaaa", at_time(1));
        chunks.insert(12, b"bbbb", at_time(2));
        assert_eq!(content(&chunks), [(10, &b"aaaa"[..]), (14, b"bb")], "the earlier position wins");
        chunks.insert(8, b"cccc", at_time(3));
        assert_eq!(content(&chunks), [(8, &b"cccc"[..]), (12, b"aa"), (14, b"bb")]);
        let inserted = chunks.insert(11, b"ddddd", at_time(4));
        let expected = [(8, &b"cccc"[..]), (12, b"aa"), (14, b"dd")];
        assert_eq!(content(&chunks), expected, "one that covers another wins");
        assert_eq!((inserted.added, inserted.conflicting), (0, 5));
        let inserted = chunks.insert(9, b"ccc", at_time(5));
        assert_eq!((inserted.added, inserted.conflicting), (0, 0));
        let inserted = chunks.insert(8, b"eeee", at_time(6));
        assert_eq!((inserted.added, inserted.conflicting), (0, 4));
        assert_eq!(content(&chunks)[0], (8, &b"cccc"[..]), "of two of the same bytes, the first one wins");
    }

    #[test]
    fn a_segment_keeps_its_place_when_part_of_it_is_replaced() {
        // 2345678901  positions
        //   AAAAAA    covers 44 to 50
        // BBBB        wins up to 46
        //     CCCCCC  does not cover A
        //      D      is in A
        let mut chunks = Chunks::default();
        chunks.insert(44, b"AAAAAA", at_time(1));
        chunks.insert(42, b"BBBB", at_time(2));
        chunks.insert(46, b"CCCCCC", at_time(3));
        chunks.insert(45, b"DDD", at_time(4));
        assert_eq!(content(&chunks), [(42, &b"BBBB"[..]), (46, b"AAAA"), (50, b"CC")]);
    }

    #[test]
    fn before_the_start_what_continues_the_first_bytes_is_in_order() {
        let mut chunks = Chunks::default();
        chunks.insert_before_start(10, b"aaaa", at_time(1));
        chunks.insert_before_start(14, b"bbbb", at_time(2));
        let inserted = chunks.insert_before_start(12, b"cccccc", at_time(3));
        assert_eq!(content(&chunks), [(10, &b"aaaa"[..]), (14, b"bbbb")], "what was there wins");
        assert_eq!((inserted.added, inserted.conflicting), (0, 6));
        chunks.insert_before_start(20, b"dd", at_time(4));
        chunks.insert_before_start(23, b"dd", at_time(4));
        let inserted = chunks.insert_before_start(16, b"bbeeeeee", at_time(5));
        let expected = [(10, &b"aaaa"[..]), (14, b"bbbb"), (18, b"eeeeee"), (24, b"d")];
        assert_eq!(content(&chunks), expected, "but not what came ahead of order");
        assert_eq!((inserted.added, inserted.conflicting), (3, 3));
        chunks.insert_before_start(8, b"ff", at_time(6));
        assert_eq!(chunks.by_position.get(&14).map(|chunk| chunk.conflicting), Some(4));
        assert_eq!(chunks.bytes, 17);
    }

    proptest! {
        #[test]
        fn chunks_never_overlap_and_are_what_was_inserted(
            segments in prop::collection::vec((0_u64..60, 1_usize..20, any::<u8>()), 0..30),
            is_started in any::<bool>(),
            discarded in 0_u64..80,
        ) {
            let mut chunks = Chunks::default();
            let mut there = [false; 100];
            for (at, len, byte) in segments {
                let bytes = vec![byte; len];
                let inserted = if is_started {
                    chunks.insert(at, &bytes, at_time(0))
                } else {
                    chunks.insert_before_start(at, &bytes, at_time(0))
                };
                let places = &mut there[usize::try_from(at).unwrap()..][..len];
                prop_assert_eq!(inserted.added, places.iter().filter(|there| !**there).count() as u64);
                places.fill(true);
            }
            chunks.discard_below(discarded);
            there[..usize::try_from(discarded).unwrap()].fill(false);
            let mut found = [false; 100];
            for (at, bytes) in content(&chunks) {
                for place in &mut found[usize::try_from(at).unwrap()..][..bytes.len()] {
                    prop_assert!(!*place, "overlap");
                    *place = true;
                }
            }
            prop_assert_eq!(found, there);
            prop_assert_eq!(chunks.bytes, there.iter().filter(|there| **there).count());
        }
    }
}
