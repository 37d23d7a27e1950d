//! Splitting a capture that arrives in pieces into packets.
//!
//! ```text
//! loop { while let Next::Packet(packet) = reader.next_packet()? { … }
//!        if reader.fill(input)? == 0 { break } }
//! reader.end()?
//! ```

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use super::{
    block::{Content, Found, Measured},
    compression::Decoder,
    error::CaptureError,
    format::Format,
    input::read_once,
    names::Names,
    packet::Packet,
};

/// Least number of bytes to ask for in one read: the capacity of a pipe.
const READ_BYTES: usize = 64 << 10;

/// The result of looking for a packet.
#[derive(Debug)]
pub enum Next<'a> {
    /// A packet.
    Packet(Packet<'a>),
    /// No complete packet until there is more input.
    NeedMore,
}

/// Reads packets from a capture.
#[derive(Debug, Default)]
pub struct Reader {
    /// Input that was read, up to `end`, and room for more. The part from `start` on has not been parsed.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes from `start` on that the next step needs.
    needed: usize,
    /// The offset of `start` in the file, after decompression.
    offset: u64,
    /// Decompresses the file, if it is compressed.
    decoder: Option<Decoder>,
    format: Format,
    names: Names,
    /// Whether packets of the file can be read, according to its header or to one of its interfaces.
    is_supported: bool,
    /// The number of packets that were skipped, by link type.
    skipped: BTreeMap<u16, u64>,
}

impl Reader {
    /// Creates a reader that adds the names of interfaces to `names`.
    pub fn new(names: Names) -> Self {
        Self { names, ..Self::default() }
    }

    /// Returns the names of the interfaces. More may be added as the capture is read.
    pub fn names(&self) -> Names {
        self.names.clone()
    }

    /// Returns the numbers of the unsupported link types that packets had, and how many packets.
    pub fn skipped(&self) -> &BTreeMap<u16, u64> {
        &self.skipped
    }

    /// Returns whether [`Self::fill`] has something to add without reading from its input.
    pub fn is_ready(&self) -> bool {
        self.decoder.as_ref().is_some_and(|decoder| !decoder.needs_input())
    }

    /// Reads from `input` at most once. Returns how many bytes were read, 0 at the end of the input.
    pub fn fill(&mut self, input: &mut impl Read) -> io::Result<usize> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end = self.end.saturating_sub(self.start);
        self.start = 0;
        let room = self.needed.saturating_sub(self.end).max(READ_BYTES);
        // The buffer grows with the data that arrives, not with the length that a block announces.
        let len = self.end.saturating_add(room.min(READ_BYTES.max(self.end)));
        if self.buffer.len() < len {
            self.buffer.resize(len, 0);
        }
        let free = self.buffer.get_mut(self.end..len).unwrap_or_default();
        let read = match &mut self.decoder {
            Some(decoder) => decoder.read(input, free),
            None => read_once(input, free).map(Some),
        };
        let bytes = read.as_ref().ok().copied().flatten().unwrap_or(0);
        self.end = self.end.saturating_add(bytes);
        let is_first = self.decoder.is_none() && self.offset == 0 && matches!(self.format, Format::Unknown);
        if is_first && let Some(decoder) = Decoder::new(self.held()) {
            self.decoder = Some(decoder);
            self.end = 0;
        }
        // Compressed bytes were read that are not enough for any others.
        read.map(|read| read.unwrap_or(1))
    }

    /// Returns the input that has not been parsed.
    fn held(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Returns the next packet. After an error there are no more packets.
    pub fn next_packet(&mut self) -> Result<Next<'_>, CaptureError> {
        let Some((begin, found)) = self.find_packet()? else {
            return Ok(Next::NeedMore);
        };
        let Found { time_ns, interface, link, bytes, wire_len, comment } = found;
        let block = self.buffer.get(begin..).unwrap_or_default();
        let bytes = block.get(bytes).unwrap_or_default();
        let comment = comment.and_then(|comment| str::from_utf8(block.get(comment)?).ok());
        Ok(Next::Packet(Packet { time_ns, interface, link, bytes, wire_len, comment }))
    }

    /// Moves past the blocks before the next packet and past the packet itself. Returns where its block begins in the
    /// buffer, or `None` if the buffer ends before that.
    fn find_packet(&mut self) -> Result<Option<(usize, Found)>, CaptureError> {
        while let Some(Measured { kind, len }) = self.measure()? {
            let (begin, offset) = (self.start, self.offset);
            self.start = begin.saturating_add(len);
            self.offset = offset.saturating_add(len as u64);
            let bytes = self.buffer.get(begin..self.start).unwrap_or_default();
            match self.format.take(kind, bytes, offset, &self.names)? {
                Content::Packet(found) => {
                    self.is_supported = true;
                    return Ok(Some((begin, found)));
                }
                Content::Unsupported(link_type) => {
                    let count = self.skipped.entry(link_type).or_default();
                    *count = count.saturating_add(1);
                }
                Content::Interface(is_supported) => self.is_supported |= is_supported,
                Content::Other => {}
            }
        }
        Ok(None)
    }

    /// Checks that the file may end here, and that some of its packets could be read.
    pub fn end(&self) -> Result<(), CaptureError> {
        let rest = self.held();
        match rest.len() {
            0 if self.offset == 0 => return Err(CaptureError::Empty),
            0 => {}
            _ if matches!(self.format, Format::Unknown) => return Err(Format::cut_header(rest)),
            bytes => return Err(CaptureError::Truncated { bytes }),
        }
        match self.skipped.first_key_value() {
            Some((number, _)) if !self.is_supported => Err(CaptureError::LinkType { number: *number }),
            _ => Ok(()),
        }
    }

    /// Determines the kind and length of what comes next. Returns `None` if it is not completely in the buffer.
    fn measure(&mut self) -> Result<Option<Measured>, CaptureError> {
        let rest = self.held();
        let (measured, held) = (self.format.measure(rest, self.offset)?, rest.len());
        let (needed, measured) = match measured {
            Ok(measured) => (measured.len, Some(measured)),
            Err(needed) => (needed, None),
        };
        self.needed = needed;
        Ok(measured.filter(|measured| measured.len <= held))
    }
}
