//! The decoder of a connection's header blocks (RFC 7541 sections 3 and 6).

use super::{
    error::CompressionError,
    huffman, integer,
    static_table::ENTRIES,
    table::{DEFAULT_MAX_BYTES, DynamicTable, ENTRY_BYTES, Entry, Reference},
};

/// A string up to this length is always read, in bytes: a longer one does not fit into a table of the usual size, however
/// it is coded.
const READ_BYTES: usize = 16 << 10;

/// What a header block contains.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) enum Item<'a> {
    /// A field. The name is `None` if it is that of an entry that was not seen.
    Field { name: Option<&'a [u8]>, value: &'a [u8] },
    /// A field that refers to an entry that was not seen.
    Unknown,
    /// A field that is too long to be read.
    TooLong,
    /// The client announces a table larger than servers allow unless they say so. Its size is in bytes.
    LargeTable(usize),
}

/// A string, as a range of bytes.
#[derive(Clone, Copy)]
struct Text {
    start: usize,
    len: usize,
    is_huffman: bool,
}

/// A string in the bytes that have arrived.
enum Located {
    /// Its end is missing.
    Cut,
    /// It is too long to be read. Its end may be missing.
    Long(Text),
    /// All of it is there.
    Whole(Text),
}

/// The part of a field that is too long, which is passed over.
#[derive(Clone, Copy, Debug)]
struct Skip {
    /// How many bytes of the current string are left.
    left: usize,
    /// Whether that is the name, and the value follows.
    has_value: bool,
}

/// The decoder.
#[derive(Debug, Default)]
pub(in super::super) struct Decoder {
    table: DynamicTable,
    skip: Option<Skip>,
}

impl Decoder {
    /// Returns that of a connection of which nothing is known.
    pub(in super::super) fn joined() -> Self {
        Self { table: DynamicTable::unknown(), skip: None }
    }

    /// Forgets everything: a part of the client's blocks is missing.
    pub(in super::super) fn forget(&mut self) {
        *self = Self::joined();
    }

    /// Returns whether it is in a field that is too long.
    pub(in super::super) fn is_within(&self) -> bool {
        self.skip.is_some()
    }

    /// Returns the memory that it takes, in bytes.
    pub(in super::super) fn memory(&self) -> usize {
        self.table.memory()
    }

    /// Decodes the next bytes of a block and returns how many of them. What is left is the beginning of a field: the rest of it
    /// is to be added. Strings up to `max_bytes` bytes are read. `memory` is for decoding them.
    pub(in super::super) fn decode(
        &mut self,
        bytes: &[u8],
        max_bytes: usize,
        memory: &mut Vec<u8>,
        item: &mut impl FnMut(Item<'_>),
    ) -> Result<usize, CompressionError> {
        let max_bytes = max_bytes.max(READ_BYTES);
        let mut at = 0_usize;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let read = match self.skip {
                Some(skip) => self.pass(skip, rest, item)?,
                None => self.representation(rest, max_bytes, memory, item)?,
            };
            if read == 0 {
                return Ok(at);
            }
            at = at.saturating_add(read);
        }
    }

    /// Decodes what comes first in `bytes`. Returns its length, or 0 if its end is missing.
    fn representation(
        &mut self,
        bytes: &[u8],
        max_bytes: usize,
        memory: &mut Vec<u8>,
        item: &mut impl FnMut(Item<'_>),
    ) -> Result<usize, CompressionError> {
        match bytes {
            [] => Ok(0),
            [0x80..=0xff, ..] => {
                let Some((index, read)) = integer::read(bytes, 7)? else { return Ok(0) };
                match self.look_up(index)? {
                    Reference::Known(name, value) => item(Item::Field { name, value }),
                    Reference::Unknown => item(Item::Unknown),
                    Reference::None => return Err(CompressionError),
                }
                Ok(read)
            }
            [0x40..=0x7f, ..] => self.literal(bytes, 6, max_bytes, memory, item),
            [0x20..=0x3f, ..] => {
                let Some((size, read)) = integer::read(bytes, 5)? else { return Ok(0) };
                let size = size as usize;
                self.table.resize(size);
                if size > DEFAULT_MAX_BYTES {
                    item(Item::LargeTable(size));
                }
                Ok(read)
            }
            _ => self.literal(bytes, 4, max_bytes, memory, item),
        }
    }

    /// Decodes a literal field. With an index of six bits, it becomes an entry.
    fn literal(
        &mut self,
        bytes: &[u8],
        prefix_bits: u32,
        max_bytes: usize,
        memory: &mut Vec<u8>,
        item: &mut impl FnMut(Item<'_>),
    ) -> Result<usize, CompressionError> {
        let is_entry = prefix_bits == 6;
        let Some((index, mut at)) = integer::read(bytes, prefix_bits)? else { return Ok(0) };
        let mut name_text = None;
        if index == 0 {
            match locate(bytes, at, max_bytes)? {
                Located::Cut => return Ok(0),
                Located::Long(name) => {
                    if is_entry {
                        self.table.refuse(name.least_bytes().saturating_add(ENTRY_BYTES));
                    }
                    self.skip = Some(Skip { left: name.len, has_value: true });
                    return Ok(name.start);
                }
                Located::Whole(name) => {
                    at = name.end();
                    name_text = Some(name);
                }
            }
        }
        let value = match locate(bytes, at, max_bytes)? {
            Located::Cut => return Ok(0),
            Located::Long(value) => {
                if is_entry {
                    let name_bytes = name_text.map_or(0, Text::least_bytes);
                    let least = value.least_bytes().saturating_add(name_bytes).saturating_add(ENTRY_BYTES);
                    self.table.refuse(least);
                }
                self.skip = Some(Skip { left: value.len, has_value: false });
                return Ok(value.start);
            }
            Located::Whole(value) => value,
        };
        memory.clear();
        let mut name_len = 0;
        if let Some(name) = name_text {
            name.decode(bytes, memory)?;
            name_len = memory.len();
        }
        value.decode(bytes, memory)?;
        let (literal_name, value_bytes) = memory.split_at_checked(name_len).unwrap_or_default();
        let name = match name_text {
            Some(_) => Some(literal_name),
            None => match self.look_up(index)? {
                Reference::Known(name, _) => name,
                Reference::Unknown => None,
                Reference::None => return Err(CompressionError),
            },
        };
        item(Item::Field { name, value: value_bytes });
        if is_entry {
            let entry = Entry::new(name, value_bytes);
            self.table.insert(entry);
        }
        Ok(value.end())
    }

    /// Passes over the next bytes of a field that is too long. Returns how many.
    fn pass(
        &mut self,
        skip: Skip,
        bytes: &[u8],
        item: &mut impl FnMut(Item<'_>),
    ) -> Result<usize, CompressionError> {
        let passed = skip.left.min(bytes.len());
        let left = skip.left.saturating_sub(passed);
        if left > 0 || !skip.has_value {
            self.skip = (left > 0).then_some(Skip { left, ..skip });
            if left == 0 {
                item(Item::TooLong);
            }
            return Ok(passed);
        }
        // However short it is, the field is left out.
        self.skip = Some(Skip { left, ..skip });
        match locate(bytes, passed, 0)? {
            Located::Cut => Ok(passed),
            Located::Long(value) | Located::Whole(value) => {
                self.skip = Some(Skip { left: value.len, has_value: false });
                if value.len == 0 {
                    self.skip = None;
                    item(Item::TooLong);
                }
                Ok(value.start)
            }
        }
    }

    /// Returns what an index refers to (RFC 7541 section 2.3.3).
    fn look_up(&self, index: u32) -> Result<Reference<'_>, CompressionError> {
        let position = (index as usize).checked_sub(1).ok_or(CompressionError)?;
        Ok(match ENTRIES.get(position) {
            Some((name, value)) => Reference::Known(Some(name.as_bytes()), value.as_bytes()),
            None => self.table.get(position.saturating_sub(ENTRIES.len())),
        })
    }
}

impl Text {
    fn end(self) -> usize {
        self.start.saturating_add(self.len)
    }

    /// Returns the least number of bytes that it stands for.
    fn least_bytes(self) -> usize {
        if self.is_huffman { huffman::least_decoded_bytes(self.len) } else { self.len }
    }

    /// Appends it to `out`.
    fn decode(self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
        let coded = bytes.get(self.start..self.end()).unwrap_or_default();
        if self.is_huffman {
            return huffman::decode(coded, out);
        }
        out.extend_from_slice(coded);
        Ok(())
    }
}

/// Locates the string at `at` (RFC 7541 section 5.2).
fn locate(bytes: &[u8], at: usize, max_bytes: usize) -> Result<Located, CompressionError> {
    let coded = bytes.get(at..).unwrap_or_default();
    let Some((len, read)) = integer::read(coded, 7)? else { return Ok(Located::Cut) };
    let is_huffman = coded.first().is_some_and(|first| first & 0x80 != 0);
    let text = Text { start: at.saturating_add(read), len: len as usize, is_huffman };
    Ok(if text.len > max_bytes {
        Located::Long(text)
    } else if text.end() > bytes.len() {
        Located::Cut
    } else {
        Located::Whole(text)
    })
}

#[cfg(test)]
mod tests;
