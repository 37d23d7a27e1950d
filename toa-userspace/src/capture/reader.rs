//! Splitting a capture that arrives in pieces into packets.
//!
//! ```text
//! loop { while let Next::Packet(packet) = reader.next_packet()? { … }
//!        if reader.fill(input)? == 0 { break } }
//! reader.end()?
//! ```

use std::{
    io::{self, Read},
    ops::Range,
};

use pcap_parser::{
    BOM_MAGIC, Block, EPB_MAGIC, EnhancedPacketBlock, IDB_MAGIC, LegacyPcapBlock, PcapHeader, SHB_MAGIC,
    SPB_MAGIC, SimplePacketBlock, nom, parse_block_be, parse_block_le, parse_pcap_frame, parse_pcap_frame_be,
    parse_pcap_frame_modified, parse_pcap_header,
};

use super::{
    error::CaptureError,
    limits::MAX_BLOCK_BYTES,
    packet::Packet,
    pcapng::{Interface, Names},
};

/// Least number of bytes to ask for in one read: the capacity of a pipe.
const READ_BYTES: usize = 64 << 10;

/// Bytes of the header of a pcap file.
const FILE_HEADER_LEN: usize = 24;

/// Bytes of the header of a pcap packet: seconds 4, fraction 4, captured length 4, length 4. Kuznetzov's variant has
/// eight more.
const PACKET_HEADER_LEN: usize = 16;
const MODIFIED_HEADER_LEN: usize = 24;

/// Bytes that are needed to know the length of a pcapng block: its type 4, its length 4. The first block of a section
/// has the byte order in the next four bytes.
const BLOCK_HEADER_LEN: usize = 8;
const SECTION_START_LEN: usize = 12;

/// The packet block that [`EPB_MAGIC`] replaced; no program has written it for many years.
const OBSOLETE_PACKET: u32 = 2;

/// The result of looking for a packet.
#[derive(Debug)]
pub enum Next<'a> {
    /// A packet.
    Packet(Packet<'a>),
    /// No complete packet until there is more input.
    NeedMore,
}

/// The format of the file.
#[derive(Debug)]
enum Format {
    /// Not known yet.
    Unknown,
    /// pcap.
    Pcap { header: PcapHeader, interface: Interface },
    /// pcapng, in a section.
    Ng { big_endian: bool, interfaces: Vec<Interface> },
}

/// Reads packets from a capture.
#[derive(Debug)]
pub struct Reader {
    /// Input that was read. The part from `start` on has not been parsed.
    buffer: Vec<u8>,
    start: usize,
    /// Bytes from `start` on that the next step needs.
    needed: usize,
    /// The offset of `start` in the file.
    offset: u64,
    format: Format,
    names: Names,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            needed: 0,
            offset: 0,
            format: Format::Unknown,
            names: Names::default(),
        }
    }
}

impl Reader {
    /// Returns the names of the interfaces. More may be added as the capture is read.
    pub fn names(&self) -> Names {
        self.names.clone()
    }

    /// Reads from `input` once. Returns how many bytes were read, 0 at the end of the input.
    pub fn fill(&mut self, input: &mut impl Read) -> io::Result<usize> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let held = self.buffer.len();
        let room = self.needed.saturating_sub(held).max(READ_BYTES);
        // The buffer grows with the data that arrives, not with the length that a block announces.
        self.buffer.resize(held.saturating_add(room.min(READ_BYTES.max(held))), 0);
        let read = loop {
            match input.read(self.buffer.get_mut(held..).unwrap_or_default()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(held.saturating_add(*read.as_ref().unwrap_or(&0)));
        read
    }

    /// Returns the next packet. After an error there are no more packets.
    pub fn next_packet(&mut self) -> Result<Next<'_>, CaptureError> {
        let Some(found) = self.find_packet()? else {
            return Ok(Next::NeedMore);
        };
        let bytes = self.buffer.get(found.range).unwrap_or_default();
        self.format.packet(found.kind, bytes, found.offset).map(Next::Packet)
    }

    /// Moves past the blocks before the next packet and past the packet itself. Returns `None` if the buffer ends
    /// before that.
    fn find_packet(&mut self) -> Result<Option<PacketBlock>, CaptureError> {
        while let Some(Measured { kind, len }) = self.measure()? {
            let (begin, offset) = (self.start, self.offset);
            let range = begin..begin.saturating_add(len);
            self.start = range.end;
            self.offset = offset.saturating_add(len as u64);
            let bytes = self.buffer.get(range.clone()).unwrap_or_default();
            if self.format.take(kind, bytes, offset, &self.names)? {
                return Ok(Some(PacketBlock { kind, range, offset }));
            }
        }
        Ok(None)
    }

    /// Checks that the file may end here.
    pub fn end(&self) -> Result<(), CaptureError> {
        match self.buffer.len().saturating_sub(self.start) {
            0 if self.offset == 0 => Err(CaptureError::Empty),
            0 => Ok(()),
            bytes => Err(CaptureError::Truncated { bytes }),
        }
    }

    /// Determines the kind and length of what comes next. Returns `None` if it is not completely in the buffer.
    fn measure(&mut self) -> Result<Option<Measured>, CaptureError> {
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        let measured = self.format.measure(rest, self.offset)?;
        let (needed, measured) = match measured {
            Ok(measured) => (measured.len, Some(measured)),
            Err(needed) => (needed, None),
        };
        self.needed = needed;
        Ok(measured.filter(|measured| measured.len <= rest.len()))
    }
}

/// A part of a file, measured.
#[derive(Clone, Copy, Debug)]
struct Measured {
    /// The type of a pcapng block; of pcap, [`FILE_HEADER`] or [`PACKET`].
    kind: u32,
    /// Its length in bytes.
    len: usize,
}

/// A packet block found in the buffer.
struct PacketBlock {
    /// As in [`Measured`].
    kind: u32,
    /// Its range in the buffer.
    range: Range<usize>,
    /// Its offset in the file.
    offset: u64,
}

/// Pseudo block type of the header of a pcap file, a number that pcapng does not assign.
const FILE_HEADER: u32 = 0;
/// Pseudo block type of a packet of a pcap file, a number that pcapng does not assign.
const PACKET: u32 = u32::MAX;

/// Reads the four bytes at `at` in the given byte order.
fn word(bytes: &[u8], at: usize, big_endian: bool) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(if big_endian { u32::from_be_bytes(*word) } else { u32::from_le_bytes(*word) })
}

impl Format {
    /// Measures the first part of `rest`, which is at `offset` of the file. Returns `Err` with the number of bytes
    /// needed if `rest` is too short for that.
    fn measure(&self, rest: &[u8], offset: u64) -> Result<Result<Measured, usize>, CaptureError> {
        let length = |length: u32| CaptureError::Length { offset, length: length.into() };
        if let Self::Pcap { header, .. } = self {
            let header_len =
                if header.is_modified_format() { MODIFIED_HEADER_LEN } else { PACKET_HEADER_LEN };
            let Some(captured) = word(rest, 8, header.is_bigendian()) else {
                return Ok(Err(header_len));
            };
            let len = usize::try_from(captured).unwrap_or(usize::MAX).saturating_add(header_len);
            if len > MAX_BLOCK_BYTES {
                return Err(length(captured));
            }
            return Ok(Ok(Measured { kind: PACKET, len }));
        }
        let Some(kind) = word(rest, 0, matches!(self, Self::Ng { big_endian: true, .. })) else {
            return Ok(Err(BLOCK_HEADER_LEN));
        };
        let big_endian = match self {
            _ if kind == SHB_MAGIC => match word(rest, 8, false) {
                None => return Ok(Err(SECTION_START_LEN)),
                Some(BOM_MAGIC) => false,
                Some(magic) if magic.swap_bytes() == BOM_MAGIC => true,
                Some(_) if matches!(self, Self::Unknown) => return Err(CaptureError::NoCapture),
                Some(_) => return Err(CaptureError::Malformed { offset, kind }),
            },
            Self::Ng { big_endian, .. } => *big_endian,
            _ if is_pcap(rest) => return Ok(Ok(Measured { kind: FILE_HEADER, len: FILE_HEADER_LEN })),
            _ => return Err(CaptureError::NoCapture),
        };
        let Some(block_len) = word(rest, 4, big_endian) else {
            return Ok(Err(BLOCK_HEADER_LEN));
        };
        let len = usize::try_from(block_len).unwrap_or(usize::MAX);
        if !(SECTION_START_LEN..=MAX_BLOCK_BYTES).contains(&len) {
            return Err(length(block_len));
        }
        Ok(Ok(Measured { kind, len }))
    }

    /// Takes over what a block says about the file. Returns whether the block is a packet.
    fn take(&mut self, kind: u32, bytes: &[u8], offset: u64, names: &Names) -> Result<bool, CaptureError> {
        let malformed = || CaptureError::Malformed { offset, kind };
        match (kind, self) {
            (PACKET, Self::Pcap { .. }) | (EPB_MAGIC | SPB_MAGIC, Self::Ng { .. }) => Ok(true),
            (FILE_HEADER, format @ Self::Unknown) => {
                let (_, header) = parse_pcap_header(bytes).map_err(|_| CaptureError::NoCapture)?;
                // The upper half describes checksums at the end of frames, which are not used here.
                let interface = Interface::only((header.network.0.cast_unsigned() & 0xffff) as u16);
                interface.link()?;
                *format = Self::Pcap { header, interface };
                Ok(false)
            }
            (SHB_MAGIC, format) => match parse_block_le(bytes) {
                Ok((_, Block::SectionHeader(header))) if header.major_version == 1 => {
                    *format = Self::Ng { big_endian: header.big_endian(), interfaces: Vec::new() };
                    Ok(false)
                }
                _ => Err(malformed()),
            },
            (IDB_MAGIC, Self::Ng { big_endian, interfaces }) => {
                let Some(Block::InterfaceDescription(block)) = parse(bytes, *big_endian) else {
                    return Err(malformed());
                };
                interfaces.push(Interface::read(&block, *big_endian, names)?.ok_or_else(malformed)?);
                Ok(false)
            }
            (OBSOLETE_PACKET, Self::Ng { .. }) => Err(malformed()),
            // Names, statistics, secrets and custom blocks.
            _ => Ok(false),
        }
    }

    /// Reads a packet of either format.
    fn packet<'a>(&self, kind: u32, bytes: &'a [u8], offset: u64) -> Result<Packet<'a>, CaptureError> {
        let malformed = || CaptureError::Malformed { offset, kind };
        let (big_endian, interfaces) = match self {
            Self::Pcap { header, interface } => {
                return pcap_packet(header, interface, bytes).ok_or_else(malformed)?;
            }
            Self::Ng { big_endian, interfaces } => (*big_endian, interfaces),
            Self::Unknown => return Err(malformed()),
        };
        let interface = |number: u32| {
            let found = usize::try_from(number).ok().and_then(|at| interfaces.get(at));
            found.ok_or(CaptureError::NoInterface { offset, interface: number })
        };
        match parse(bytes, big_endian) {
            Some(Block::EnhancedPacket(EnhancedPacketBlock {
                if_id,
                ts_high,
                ts_low,
                caplen,
                origlen,
                data,
                ..
            })) => {
                let interface = interface(if_id)?;
                Ok(Packet {
                    time_ns: interface.time_ns(ts_high, ts_low),
                    interface: interface.number,
                    link: interface.link()?,
                    bytes: first(data, caplen),
                    wire_len: origlen.max(caplen),
                })
            }
            Some(Block::SimplePacket(SimplePacketBlock { origlen, data, .. })) => {
                let interface = interface(0)?;
                Ok(Packet {
                    time_ns: 0,
                    interface: interface.number,
                    link: interface.link()?,
                    bytes: first(data, interface.captured(origlen)),
                    wire_len: origlen,
                })
            }
            _ => Err(malformed()),
        }
    }
}

/// Returns the first `len` bytes. Padding follows them in a block.
fn first(data: &[u8], len: u32) -> &[u8] {
    usize::try_from(len).ok().and_then(|len| data.get(..len)).unwrap_or(data)
}

/// Parses a complete block.
fn parse(bytes: &[u8], big_endian: bool) -> Option<Block<'_>> {
    let parsed = if big_endian { parse_block_be(bytes) } else { parse_block_le(bytes) };
    parsed.ok().map(|(_, block)| block)
}

/// Returns whether `rest` begins like a pcap file.
fn is_pcap(rest: &[u8]) -> bool {
    !matches!(parse_pcap_header(rest), Err(nom::Err::Error(_)))
}

/// Reads a packet of a pcap file.
fn pcap_packet<'a>(
    header: &PcapHeader,
    interface: &Interface,
    bytes: &'a [u8],
) -> Option<Result<Packet<'a>, CaptureError>> {
    let parsed = if header.is_modified_format() {
        parse_pcap_frame_modified(bytes)
    } else if header.is_bigendian() {
        parse_pcap_frame_be(bytes)
    } else {
        parse_pcap_frame(bytes)
    };
    let LegacyPcapBlock { ts_sec, ts_usec, caplen, origlen, data } = parsed.ok()?.1;
    let fraction_ns =
        if header.is_nanosecond_precision() { ts_usec.into() } else { u64::from(ts_usec) * 1000 };
    Some(interface.link().map(|link| Packet {
        time_ns: u64::from(ts_sec) * 1_000_000_000 + fraction_ns,
        interface: interface.number,
        link,
        bytes: data,
        wire_len: origlen.max(caplen),
    }))
}
