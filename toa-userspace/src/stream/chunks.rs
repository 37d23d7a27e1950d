//! Bytes that wait for a hole to be filled.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{assembler::Assembler, position::part};

/// Approximate memory for a chunk in addition to its bytes, in bytes.
const CHUNK_OVERHEAD: usize = 128;

/// Bytes of one segment.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    /// When the segment arrived.
    pub(super) time_ns: u64,
}

/// Chunks by position.
///
/// Invariant: `by_position` holds exactly the positions in `present`, each once.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    present: Assembler,
    by_position: BTreeMap<u64, Chunk>,
    bytes: usize,
}

impl Chunks {
    /// Keeps those of `bytes` that are new. The first of `bytes` is at `position`. Returns how many were new.
    pub(super) fn insert(&mut self, position: u64, bytes: &[u8], time_ns: u64) -> u64 {
        let Self { present, by_position, bytes: held } = self;
        let mut added = 0_usize;
        present.insert(position..position.saturating_add(bytes.len() as u64), |range| {
            let piece = part(bytes, position, range.clone());
            added = added.saturating_add(piece.len());
            by_position.insert(range.start, Chunk { bytes: Bytes::copy_from_slice(piece), time_ns });
        });
        *held = held.saturating_add(added);
        added as u64
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
        let mut discarded = 0_usize;
        while let Some(entry) = self.by_position.first_entry().filter(|entry| *entry.key() < position) {
            let below = usize::try_from(position.saturating_sub(*entry.key())).unwrap_or(usize::MAX);
            let Chunk { mut bytes, time_ns } = entry.remove();
            discarded = discarded.saturating_add(below.min(bytes.len()));
            if below < bytes.len() {
                self.by_position.insert(position, Chunk { bytes: bytes.split_off(below), time_ns });
            }
        }
        self.present.forget_below(position);
        self.bytes = self.bytes.saturating_sub(discarded);
        discarded as u64
    }

    /// Returns the first chunk.
    pub(super) fn first(&self) -> Option<&Chunk> {
        self.by_position.first_key_value().map(|(_, chunk)| chunk)
    }

    /// Returns the position of the first chunk.
    pub(super) fn first_position(&self) -> Option<u64> {
        self.by_position.first_key_value().map(|(position, _)| *position)
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
