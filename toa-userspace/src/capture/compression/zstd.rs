//! zstd files of one or more frames.
//!
//! The decoder keeps as many decompressed bytes as later ones may refer to, a window, until the end of a frame. If the
//! data ends early or is damaged, an empty last block makes it hand them out.

use std::{
    fmt,
    io::{BufRead as _, Read as _},
};

use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

use super::pending::{Fault, Pending};

/// Longest header of a frame: magic number 4, descriptor 1, window 1, dictionary 4, length of the content 8 (RFC 8878
/// section 3.1.1).
const FRAME_HEADER_LEN: usize = 18;
/// Offset of the descriptor, and its bit for a checksum at the end.
const DESCRIPTOR: usize = 4;
const HAS_CHECKSUM: u8 = 1 << 2;
/// Bytes of that checksum.
const CHECKSUM_LEN: usize = 4;
/// Bytes before the content of a frame to be skipped: magic number 4, length 4.
const SKIPPABLE_HEADER_LEN: usize = 8;
/// Bytes of the header of a block, and the longest block.
const BLOCK_HEADER_LEN: usize = 3;
const MAX_BLOCK_LEN: usize = 128 << 10;
/// An empty last block, and a checksum, which is not checked.
const EMPTY_LAST_BLOCK: [u8; BLOCK_HEADER_LEN + CHECKSUM_LEN] = [1, 0, 0, 0, 0, 0, 0];

/// Decompresses a file.
pub(super) struct Zstd {
    pending: Pending,
    decoder: FrameDecoder,
    state: State,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum State {
    /// A frame, or the end of the file.
    Start,
    /// This many bytes to be skipped.
    Skip(usize),
    /// A block of a frame, which may end with a checksum.
    Block { has_checksum: bool },
    /// Decompressed bytes of a frame that was decoded, then its checksum.
    Drain { has_checksum: bool },
    /// Decompressed bytes of a frame that was not decoded to its end, then the reason.
    Fail(Fault),
}

/// The reason why there is no output.
enum Stop {
    NeedsInput,
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Zstd {
    /// Creates a decoder of `pending`.
    pub(super) fn new(pending: Pending) -> Self {
        Self { pending, decoder: FrameDecoder::new(), state: State::Start }
    }

    /// Returns its input.
    pub(super) fn pending(&mut self) -> &mut Pending {
        &mut self.pending
    }

    /// Reads decompressed bytes into `out`. Returns their number, 0 at the end of the file, or `None` if more input is
    /// needed.
    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<Option<usize>, Fault> {
        loop {
            if let State::Start | State::Skip(_) = self.state {
                if self.pending.rest().is_empty()
                    && self.pending.is_last()
                    && matches!(self.state, State::Start)
                {
                    return Ok(Some(0));
                }
            } else {
                match self.decoder.read(out) {
                    Ok(0) => {}
                    Ok(bytes) => return Ok(Some(bytes)),
                    Err(_) => return Err(Fault::Damaged),
                }
            }
            match self.step() {
                Ok(state) => self.state = state,
                Err(Stop::NeedsInput) => return Ok(None),
                Err(Stop::Fault(fault)) => match self.state {
                    State::Block { .. } => {
                        // What was decoded is handed out first.
                        _ = self.decode(&EMPTY_LAST_BLOCK);
                        self.state = State::Fail(fault);
                    }
                    _ => return Err(fault),
                },
            }
        }
    }

    /// Reads the next part of the file. Returns what follows it.
    fn step(&mut self) -> Result<State, Stop> {
        match self.state {
            State::Start => self.begin(),
            State::Skip(len) => {
                let skipped = len.min(self.pending.rest().len());
                self.pending.consume(skipped);
                match len.saturating_sub(skipped) {
                    0 => Ok(State::Start),
                    left => {
                        self.state = State::Skip(left);
                        Err(self.short())
                    }
                }
            }
            State::Block { has_checksum } => self.block(has_checksum),
            State::Drain { has_checksum: true }
                if self.decoder.get_checksum_from_data() != self.decoder.get_calculated_checksum() =>
            {
                Err(Fault::Damaged.into())
            }
            State::Drain { .. } => Ok(State::Start),
            State::Fail(fault) => Err(fault.into()),
        }
    }

    /// Reads the header of a frame.
    fn begin(&mut self) -> Result<State, Stop> {
        let rest = self.pending.rest();
        if rest.len() < FRAME_HEADER_LEN && !self.pending.is_last() {
            return Err(Stop::NeedsInput);
        }
        let has_checksum = rest.get(DESCRIPTOR).is_some_and(|descriptor| descriptor & HAS_CHECKSUM != 0);
        let mut source = rest;
        let (state, consumed) = match self.decoder.init(&mut source) {
            Ok(()) => (State::Block { has_checksum }, rest.len().saturating_sub(source.len())),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length, ..
            })) => (State::Skip(usize::try_from(length).unwrap_or(usize::MAX)), SKIPPABLE_HEADER_LEN),
            Err(_) if rest.len() < FRAME_HEADER_LEN => return Err(Fault::Truncated.into()),
            Err(_) => return Err(Fault::Damaged.into()),
        };
        self.pending.consume(consumed);
        Ok(state)
    }

    /// Decodes a block, and the checksum after the last one.
    fn block(&mut self, has_checksum: bool) -> Result<State, Stop> {
        let rest = self.pending.rest();
        let Some(&[low, middle, high]) = rest.first_chunk::<BLOCK_HEADER_LEN>() else {
            return Err(self.short());
        };
        let header = usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16;
        let (is_last, is_repeated_byte, len) = (header & 1 == 1, header >> 1 & 3 == 1, header >> 3);
        if len > MAX_BLOCK_LEN {
            return Err(Fault::Damaged.into());
        }
        let end = BLOCK_HEADER_LEN.saturating_add(if is_repeated_byte { 1 } else { len });
        let len = end.saturating_add(if is_last && has_checksum { CHECKSUM_LEN } else { 0 });
        // If the checksum alone is missing, the block is decoded nevertheless.
        let cut = self.pending.is_last().then(|| rest.get(..end)).flatten();
        let Some(block) = rest.get(..len).or(cut) else {
            return Err(self.short());
        };
        let fault = if block.len() < len { Fault::Truncated } else { Fault::Damaged };
        let one = BlockDecodingStrategy::UptoBlocks(1);
        self.decoder.decode_blocks(block, one).map_err(|_| fault)?;
        self.pending.consume(len);
        Ok(if is_last { State::Drain { has_checksum } } else { State::Block { has_checksum } })
    }

    fn decode(&mut self, block: &[u8]) -> Result<bool, FrameDecoderError> {
        self.decoder.decode_blocks(block, BlockDecodingStrategy::UptoBlocks(1))
    }

    /// Returns why there is too little input.
    fn short(&self) -> Stop {
        if self.pending.is_last() { Stop::Fault(Fault::Truncated) } else { Stop::NeedsInput }
    }
}

impl fmt::Debug for Zstd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zstd")
            .field("pending", &self.pending)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
