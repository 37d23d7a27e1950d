//! Responsible for the bytes that wait behind holes. Not responsible for when they go on.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{assembler::Assembler, position::part};

/// Memory that a chunk needs besides its bytes, roughly, in bytes.
const CHUNK_OVERHEAD: usize = 128;

/// Bytes of one segment.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    /// When the segment came.
    pub(super) time_ns: u64,
}

/// Chunks by position.
///
/// Invariant: `by_position` holds exactly the positions that `present` has, each once.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    present: Assembler,
    by_position: BTreeMap<u64, Chunk>,
    bytes: usize,
}

impl Chunks {
    /// Keeps those of `bytes`, which begin at `position`, that are not there yet. Returns how many.
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

    /// Takes out the first chunk if it begins at `position`.
    pub(super) fn take(&mut self, position: u64) -> Option<Chunk> {
        let entry = self.by_position.first_entry().filter(|entry| *entry.key() <= position)?;
        let chunk = entry.remove();
        self.bytes = self.bytes.saturating_sub(chunk.bytes.len());
        self.present.forget_below(position.saturating_add(chunk.bytes.len() as u64));
        Some(chunk)
    }

    /// Discards what lies below `position`. Returns how many bytes.
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

    /// The first chunk.
    pub(super) fn first(&self) -> Option<&Chunk> {
        self.by_position.first_key_value().map(|(_, chunk)| chunk)
    }

    /// Where the first chunk begins.
    pub(super) fn first_position(&self) -> Option<u64> {
        self.by_position.first_key_value().map(|(position, _)| *position)
    }

    /// How many ranges there are, each with a hole before it.
    pub(super) fn ranges(&self) -> usize {
        self.present.len()
    }

    /// Memory, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.bytes.saturating_add(self.by_position.len().saturating_mul(CHUNK_OVERHEAD))
    }
}
