//! Sets of byte ranges of a stream. Positions are 64 bits wide and do not wrap. The bytes are kept in `chunks`.

use std::ops::Range;

/// A set of positions, kept as ranges.
///
/// Invariant: the ranges are sorted, none is empty, and no two touch.
#[derive(Debug, Default)]
pub(super) struct Assembler(Vec<Range<u64>>);

impl Assembler {
    /// Returns the number of ranges.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the set is empty.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the lowest range.
    pub(super) fn first(&self) -> Option<Range<u64>> {
        self.0.first().cloned()
    }

    /// Adds `range`, and reports each part of it that is new, in order.
    pub(super) fn insert(&mut self, range: Range<u64>, mut added: impl FnMut(Range<u64>)) {
        if range.is_empty() {
            return;
        }
        let from = self.0.partition_point(|other| other.end < range.start);
        let mut to = from;
        let mut merged = range.clone();
        let mut at = range.start;
        while let Some(other) = self.0.get(to).filter(|other| other.start <= range.end) {
            if at < other.start {
                added(at..other.start);
            }
            at = at.max(other.end);
            merged.start = merged.start.min(other.start);
            merged.end = merged.end.max(other.end);
            to = to.saturating_add(1);
        }
        if at < range.end {
            added(at..range.end);
        }
        match self.0.get_mut(from) {
            Some(first) if to > from => {
                *first = merged;
                self.0.drain(from.saturating_add(1)..to);
            }
            _ => self.0.insert(from, merged),
        }
    }

    /// Returns how many positions of `range` are in the set.
    pub(super) fn covered(&self, range: &Range<u64>) -> u64 {
        let from = self.0.partition_point(|other| other.end <= range.start);
        let touching = self.0.iter().skip(from).take_while(|other| other.start < range.end);
        touching.map(|other| other.end.min(range.end).saturating_sub(other.start.max(range.start))).sum()
    }

    /// Removes everything below `position`.
    pub(super) fn forget_below(&mut self, position: u64) {
        let gone = self.0.partition_point(|other| other.end <= position);
        if gone > 0 {
            self.0.drain(..gone);
        }
        if let Some(first) = self.0.first_mut() {
            first.start = first.start.max(position);
        }
    }

    /// Removes the lowest range.
    pub(super) fn forget_first(&mut self) {
        if !self.0.is_empty() {
            self.0.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits(assembler: &Assembler) -> Vec<bool> {
        (0..128).map(|at| assembler.0.iter().any(|range| range.contains(&at))).collect()
    }

    #[test]
    fn what_was_there_is_not_added_again() {
        // 10        20   25        35
        // [---------)    [---------)
        //      [--------------)         adds 20..25
        let mut assembler = Assembler::default();
        assembler.insert(10..20, |_| ());
        assembler.insert(25..35, |_| ());
        let mut added = Vec::new();
        assembler.insert(15..30, |range| added.push((range.start, range.end)));
        assert_eq!(added, [(20, 25)]);
        assert_eq!(assembler.first(), Some(10..35));
        assert_eq!(assembler.len(), 1);
    }

    fn index(position: u64) -> usize {
        usize::try_from(position).unwrap()
    }

    proptest! {
        #[test]
        fn it_equals_a_bitmap(operations in prop::collection::vec((0u8..3, 0u64..100, 0u64..28), 0..40)) {
            let mut assembler = Assembler::default();
            let mut model = vec![false; 128];
            for (operation, start, len) in operations {
                let range = start..start + len;
                let places = index(range.start)..index(range.end);
                match operation {
                    0 => {
                        let mut added = [false; 128];
                        assembler.insert(range, |part| {
                            assert!(!part.is_empty());
                            added[index(part.start)..index(part.end)].fill(true);
                        });
                        for at in 0..128 {
                            prop_assert_eq!(added[at], places.contains(&at) && !model[at]);
                        }
                        model[places].fill(true);
                    }
                    1 => {
                        let naive = model[places].iter().filter(|there| **there).count() as u64;
                        prop_assert_eq!(assembler.covered(&range), naive);
                    }
                    _ if start % 4 == 0 => {
                        assembler.forget_below(len);
                        model[..index(len)].fill(false);
                    }
                    _ => {}
                }
                prop_assert_eq!(&bits(&assembler), &model);
                prop_assert!(assembler.0.windows(2).all(|pair| pair[0].end < pair[1].start));
                prop_assert!(assembler.0.iter().all(|range| !range.is_empty()));
            }
        }
    }
}
