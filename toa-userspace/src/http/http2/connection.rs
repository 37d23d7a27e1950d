//! One direction of an HTTP/2 connection: frame after frame, in any pieces.

use super::{
    super::memory::HeadMemory,
    block::Block,
    connection_errors::ConnectionErrors,
    frame::{FrameHeader, HEADER_BYTES, Kind, PREFACE, is_likely},
    hpack::{
        decoder::{Decoder, Item},
        error::CompressionError,
        table::MAX_TABLE_BYTES,
    },
    payload::{Part, Payload},
};
use crate::{
    ledger::{HttpLedger, add},
    limits::Limits,
};

/// The place in the stream.
#[derive(Debug)]
enum Place {
    /// In the preface, of which this many bytes were read.
    Preface(usize),
    /// In the header of a frame, of which this many bytes were read.
    Header([u8; HEADER_BYTES], usize),
    /// In the payload of a frame.
    Payload(Payload),
    /// Lost.
    Lost,
}

/// The header block that is being sent.
#[derive(Debug)]
enum Open {
    /// None.
    No,
    /// One that may be a request. On a stream that is not new, it is one only if it has pseudo-header fields.
    Head { block: Box<Block>, stream_id: u32, ends_stream: bool, is_new: bool },
    /// One that is decoded for the table alone: the rest of one that is too long.
    Passed { stream_id: u32 },
    /// One of which a part is missing, so that the rest of it cannot be decoded.
    Lost { stream_id: u32 },
}

/// What a connection goes on with.
#[derive(Debug)]
pub(in super::super) enum Step {
    /// More bytes are needed.
    More,
    /// A whole header block of a request.
    Head(Box<Block>),
    /// A header block that is longer than allowed, up to the limit.
    LongHead(Box<Block>),
    /// A header block that cannot be decoded, up to the error. Nothing after it can.
    Undecodable(Option<Box<Block>>),
    /// A frame that no server accepts, or no frame at all.
    Broken,
}

/// Where a gap leaves a connection.
#[derive(Debug)]
pub(in super::super) struct Gap {
    /// The header block in which it is, if that was a request.
    pub(in super::super) block: Option<Box<Block>>,
    /// Whether the place in the stream is lost.
    pub(in super::super) is_lost: bool,
}

/// A connection.
#[derive(Debug)]
pub(in super::super) struct Connection {
    place: Place,
    decoder: Decoder,
    errors: ConnectionErrors,
    open: Open,
    /// The beginning of a field whose end is still to come.
    cut_field: Vec<u8>,
    /// The highest identifier of a stream that has begun. New ones have higher ones (RFC 9113 section 5.1.1).
    last_stream_id: u32,
    /// Whether every stream with a higher one is new. If not, streams may have begun before the connection was joined, or
    /// in what was lost.
    knows_streams: bool,
    /// How many headers of frames were read.
    frames: u64,
    /// Whether every frame must be one that a client may send.
    is_strict: bool,
}

impl Connection {
    /// Returns one that begins with the preface. Streams up to `last_stream_id` were begun otherwise (RFC 7540 section 3.2).
    pub(in super::super) fn new(last_stream_id: u32) -> Self {
        Self {
            place: Place::Preface(0),
            decoder: Decoder::default(),
            errors: ConnectionErrors::new(last_stream_id > 0),
            open: Open::No,
            cut_field: Vec::new(),
            last_stream_id,
            knows_streams: true,
            frames: 0,
            is_strict: false,
        }
    }

    /// Returns one that was joined before a frame.
    pub(in super::super) fn joined() -> Self {
        let mut this = Self::new(0);
        this.lose();
        this.resume();
        this
    }

    /// Returns one that was joined where a frame is only supposed to begin.
    pub(super) fn supposed() -> Self {
        Self { is_strict: true, ..Self::joined() }
    }

    /// Returns how many headers of frames were read.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// Returns whether it is before a frame and not in a header block.
    pub(super) fn is_between_frames(&self) -> bool {
        matches!((&self.place, &self.open), (Place::Header(_, 0), Open::No))
    }

    /// Returns whether it is in the header of a frame, not in a header block, of which enough was read to expect the frame.
    pub(super) fn expects_frame(&self) -> bool {
        let (Place::Header(bytes, len), Open::No) = (&self.place, &self.open) else { return false };
        bytes.get(..*len).is_some_and(is_likely)
    }

    /// Returns whether the client has made an error for which a server closes the connection.
    pub(in super::super) fn has_error(&self) -> bool {
        self.errors.are_seen()
    }

    /// Returns whether its place in the stream is lost.
    pub(in super::super) fn is_lost(&self) -> bool {
        matches!(self.place, Place::Lost)
    }

    /// Gives up its place in the stream.
    pub(in super::super) fn lose(&mut self) {
        self.place = Place::Lost;
        self.open = Open::No;
        self.knows_streams = false;
        self.errors.lose();
        self.forget();
    }

    /// Continues before a frame that was found.
    pub(in super::super) fn resume(&mut self) {
        self.place = Place::Header([0; HEADER_BYTES], 0);
    }

    /// Returns the memory that it takes, in bytes.
    pub(in super::super) fn memory(&self) -> usize {
        let block = if let Open::Head { block, .. } = &self.open { block.memory() } else { 0 };
        self.decoder.memory().saturating_add(self.cut_field.capacity()).saturating_add(block)
    }

    /// Returns how many of the next bytes are not needed, whatever they contain.
    pub(in super::super) fn unneeded_bytes(&self) -> u64 {
        match &self.place {
            Place::Payload(payload) if !payload.is_of_block() && !self.errors.need_payload() => {
                payload.left().into()
            }
            _ => 0,
        }
    }

    /// Forgets what was kept of header blocks. Returns the one that was being read, if that was a request.
    pub(in super::super) fn give_up(&mut self) -> Option<Box<Block>> {
        self.forget();
        match std::mem::replace(&mut self.open, Open::No) {
            Open::Head { block, stream_id, is_new, .. } => {
                self.open = Open::Lost { stream_id };
                (is_new || block.begins_stream()).then_some(block)
            }
            Open::Passed { stream_id } | Open::Lost { stream_id } => {
                self.open = Open::Lost { stream_id };
                None
            }
            Open::No => None,
        }
    }

    fn forget(&mut self) {
        self.decoder.forget();
        self.cut_field = Vec::new();
    }

    /// Passes over missing bytes. Within a payload, they count like those that they replace.
    pub(in super::super) fn pass_gap(&mut self, gap_bytes: u64) -> Gap {
        if let Place::Payload(payload) = &mut self.place
            && payload.pass_gap(gap_bytes)
        {
            self.errors.leave_payload();
            let block = if payload.is_of_block() { self.give_up() } else { None };
            return Gap { block, is_lost: false };
        }
        if self.is_lost() {
            return Gap { block: None, is_lost: false };
        }
        let block = self.give_up();
        self.lose();
        Gap { block, is_lost: true }
    }

    /// Reads the next bytes. Returns how many, and counts them.
    pub(in super::super) fn read(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        ledger: &mut HttpLedger,
        memory: &mut HeadMemory,
    ) -> (usize, Step) {
        let mut at = 0_usize;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let (read, step) = match &mut self.place {
                Place::Payload(payload) if payload.left() == 0 => (0, Some(self.end_frame())),
                _ if rest.is_empty() => return (at, Step::More),
                Place::Preface(before) => {
                    let left = PREFACE.get(*before..).unwrap_or_default();
                    let read = left.len().min(rest.len());
                    let is_preface = left.get(..read) == rest.get(..read);
                    *before = before.saturating_add(read);
                    if *before == PREFACE.len() {
                        self.place = Place::Header([0; HEADER_BYTES], 0);
                    }
                    add(&mut ledger.head_bytes, read as u64);
                    (read, (!is_preface).then_some(Step::Broken))
                }
                Place::Header(kept, len) => {
                    let read = HEADER_BYTES.saturating_sub(*len).min(rest.len());
                    for (place, byte) in kept.iter_mut().skip(*len).zip(rest) {
                        *place = *byte;
                    }
                    *len = len.saturating_add(read);
                    let header = (*len == HEADER_BYTES).then(|| FrameHeader::read(*kept));
                    add(&mut ledger.head_bytes, read as u64);
                    (read, header.and_then(|header| self.begin_frame(header, ledger)))
                }
                Place::Payload(_) => self.payload(rest, limits, ledger, memory),
                Place::Lost => {
                    add(&mut ledger.resync_bytes, rest.len() as u64);
                    (rest.len(), None)
                }
            };
            at = at.saturating_add(read);
            match step {
                None | Some(Step::More) => {}
                Some(step) => return (at, step),
            }
        }
    }

    /// Begins the payload of a frame.
    fn begin_frame(&mut self, header: FrameHeader, ledger: &mut HttpLedger) -> Option<Step> {
        self.frames = self.frames.saturating_add(1);
        let FrameHeader { kind, stream_id, .. } = header;
        let is_next = match self.open {
            Open::No => kind != Kind::Continuation,
            Open::Head { stream_id: open, .. }
            | Open::Passed { stream_id: open }
            | Open::Lost { stream_id: open } => kind == Kind::Continuation && stream_id == open,
        };
        // A client pushes nothing (RFC 9113 section 8.4), but its block would change the table.
        if !is_next || kind == Kind::PushPromise || (self.is_strict && !header.is_plausible()) {
            return Some(Step::Broken);
        }
        self.errors.begin_frame(header, self.knows_streams && stream_id > self.last_stream_id);
        add(&mut ledger.empty_frames, header.is_idle().into());
        add(&mut ledger.reset_streams, (kind == Kind::ResetStream).into());
        let Some(payload) = Payload::of(header) else { return Some(Step::Broken) };
        if kind == Kind::Headers {
            let is_new = stream_id > self.last_stream_id;
            let of_client = stream_id & 1 == 1;
            if of_client {
                self.last_stream_id = self.last_stream_id.max(stream_id);
            }
            let block = Box::new(Block::new(stream_id, is_new && of_client));
            self.open = Open::Head { block, stream_id, ends_stream: header.ends_stream(), is_new };
        }
        self.place = Place::Payload(payload);
        None
    }

    /// Reads a part of a payload that is not empty.
    fn payload(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        ledger: &mut HttpLedger,
        memory: &mut HeadMemory,
    ) -> (usize, Option<Step>) {
        let Place::Payload(payload) = &mut self.place else { return (0, None) };
        let header = payload.header();
        let is_data = header.kind == Kind::Data;
        let part = payload.take(bytes);
        let read = part.bytes().len();
        self.errors.payload(header, part.bytes());
        add(if is_data { &mut ledger.body_bytes } else { &mut ledger.head_bytes }, read as u64);
        let step = match part {
            Part::Block(fragment) => self.fragment(fragment, limits, ledger, memory),
            Part::Other(_) => None,
            Part::Broken(_) => Some(Step::Broken),
        };
        (read, step)
    }

    /// Decodes the next bytes of a header block.
    fn fragment(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        ledger: &mut HttpLedger,
        memory: &mut HeadMemory,
    ) -> Option<Step> {
        let Self { decoder, errors, open, cut_field, .. } = self;
        if let Open::Lost { .. } = open {
            return None;
        }
        let mut add_item = |item: Item<'_>| {
            if let Item::LargeTable(bytes) = item {
                errors.enlarge_table();
                add(&mut ledger.large_tables, (bytes > MAX_TABLE_BYTES).into());
            }
            if let Open::Head { block, .. } = open {
                block.add(item, limits);
            }
        };
        let decoded = &mut memory.decoded;
        let result = if cut_field.is_empty() {
            decoder.decode(bytes, limits.head_bytes, decoded, &mut add_item).map(|read| {
                cut_field.extend_from_slice(bytes.get(read..).unwrap_or_default());
            })
        } else {
            cut_field.extend_from_slice(bytes);
            decoder.decode(cut_field, limits.head_bytes, decoded, &mut add_item).map(|read| {
                cut_field.drain(..read.min(cut_field.len()));
            })
        };
        if cut_field.is_empty() {
            *cut_field = Vec::new();
        }
        if result == Err(CompressionError) {
            return Some(Step::Undecodable(self.take_block()));
        }
        if let Open::Head { block, stream_id, .. } = &self.open
            && block.is_left_out()
        {
            let stream_id = *stream_id;
            let block = self.take_block();
            self.open = Open::Passed { stream_id };
            return block.map(Step::LongHead);
        }
        None
    }

    /// Ends the payload of a frame.
    fn end_frame(&mut self) -> Step {
        let ends_headers = match &self.place {
            Place::Payload(payload) => payload.ends_block(),
            _ => false,
        };
        self.place = Place::Header([0; HEADER_BYTES], 0);
        if !ends_headers {
            return Step::More;
        }
        if !self.cut_field.is_empty() || self.decoder.is_within() {
            return Step::Undecodable(self.take_block());
        }
        self.take_block().map_or(Step::More, Step::Head)
    }

    /// Ends a header block. Returns it if it is a request, and not the trailer section of a stream that may have begun before:
    /// that has no pseudo-header fields, and ends its stream (RFC 9113 section 8.1).
    fn take_block(&mut self) -> Option<Box<Block>> {
        let open = std::mem::replace(&mut self.open, Open::No);
        let Open::Head { block, stream_id, ends_stream, is_new } = open else { return None };
        let begins_stream = block.begins_stream();
        if !is_new {
            // Streams are not used twice, and none begins after one with a higher identifier (RFC 9113 section 5.1.1).
            if begins_stream {
                self.errors.note();
            }
            return begins_stream.then_some(block);
        }
        self.knows_streams |= begins_stream && stream_id & 1 == 1;
        (self.knows_streams || (block.has_unknown() && !ends_stream)).then_some(block)
    }
}
