//! Request bodies as the kernel reads them, so that it need not copy them.
//!
//! User space knows the length of a body only once it has read the head, and on a fast path the body is in the ring by
//! then. So the kernel reads the framing itself (RFC 9112 section 6), as far as it is plain: a Content-Length, or a chunked
//! coding whose sizes it follows from one to the next. Of a packet that was merged from several segments, it copies only the
//! head, and of one with chunk sizes only the headers, each with its [`Position`] in the body. User space believes the kernel
//! only if its own parser was at the same place. Everything that is not plain is copied.

use crate::verifier::{less, load, masked, nonzero, same, store};

/// How much of a head the kernel reads, in bytes.
pub const HEAD_BYTES: usize = 1024;

/// Room for a head, with room after it for a word at any position.
pub type HeadBuffer = [u8; HEAD_BYTES + 16];

/// The most digits of a Content-Length that are read, so that a body fits into a window: see
/// [`crate::bypass::Bypass::MAX_BYTES`].
const MAX_DECIMAL_DIGITS: u32 = 9;

/// The most digits of a chunk size that are read, likewise.
const MAX_HEX_DIGITS: u64 = 7;

/// The states of a [`Position`], one byte.
pub mod states {
    /// Nothing is known.
    pub const UNKNOWN: u8 = 0;
    /// At the end of a body of known length.
    pub const LENGTH: u8 = 1;
    /// At the end of a chunked body.
    pub const END: u8 = 2;
    /// In the size of a chunk.
    pub const SIZE: u8 = 3;
    /// After the CR behind the size of a chunk.
    pub const SIZE_CR: u8 = 4;
    /// After the last chunk's line, before the empty line.
    pub const TRAILER: u8 = 5;
    /// After the CR of that empty line.
    pub const TRAILER_CR: u8 = 6;
}

/// A position in a body. 8 bytes:
///
/// ```text
///  0 size                  4 state              5 digits               6 unused
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct Position {
    /// The size of the chunk, as far as it was read.
    pub size: u32,
    /// One of [`states`].
    pub state: u8,
    /// The digits of the size that were read.
    pub digits: u8,
    #[doc(hidden)]
    pub _unused: u16,
}

impl Position {
    /// The beginning of a chunk's size.
    pub const CHUNK: Self = Self { size: 0, state: states::SIZE, digits: 0, _unused: 0 };
    /// The end of a body of known length.
    pub const LENGTH: Self = Self { state: states::LENGTH, ..Self::CHUNK };
    /// The end of a chunked body.
    pub const END: Self = Self { state: states::END, ..Self::CHUNK };

    /// Writes another position field by field, which keeps it out of the kernel program's stack.
    #[inline(always)]
    pub fn set(&mut self, other: &Self) {
        store(&mut self.size, other.size);
        store(&mut self.state, other.state);
        store(&mut self.digits, other.digits);
    }

    /// Reads one byte that is not chunk data. Returns how many bytes after it are data of a chunk, with the line end after
    /// them. Becomes unknown at a byte that is not plain.
    #[inline(always)]
    pub fn step(&mut self, byte: u8) -> u32 {
        let (state, byte) = (u64::from(load(&self.state)), u64::from(byte));
        let (size, digits) = (u64::from(load(&self.size)), u64::from(load(&self.digits)));
        let (is_digit, digit) = hex_digit(byte);
        let [is_size, is_size_cr, is_trailer, is_trailer_cr] =
            [states::SIZE, states::SIZE_CR, states::TRAILER, states::TRAILER_CR]
                .map(|it| same(state, u64::from(it)));
        let (is_cr, is_lf) = (same(byte, u64::from(b'\r')), same(byte, u64::from(b'\n')));
        let has_size = nonzero(size);
        // Each is 1 for the step that is taken, and at most one is.
        let reads_digit = is_size & is_digit & less(digits, MAX_HEX_DIGITS);
        let ends_size = is_size & is_cr & nonzero(digits);
        let begins_chunk = is_size_cr & is_lf & has_size;
        let begins_trailer = is_size_cr & is_lf & (has_size ^ 1);
        let ends_trailer = is_trailer & is_cr;
        let ends = is_trailer_cr & is_lf;
        let next = (reads_digit | begins_chunk).wrapping_mul(u64::from(states::SIZE))
            | ends_size.wrapping_mul(u64::from(states::SIZE_CR))
            | begins_trailer.wrapping_mul(u64::from(states::TRAILER))
            | ends_trailer.wrapping_mul(u64::from(states::TRAILER_CR))
            | ends.wrapping_mul(u64::from(states::END));
        let larger = (size << 4) | digit;
        store(&mut self.size, (reads_digit.wrapping_mul(larger) | ends_size.wrapping_mul(size)) as u32);
        let more = digits.wrapping_add(1);
        store(&mut self.digits, (reads_digit.wrapping_mul(more) | ends_size.wrapping_mul(digits)) as u8);
        store(&mut self.state, next as u8);
        begins_chunk.wrapping_mul(size.wrapping_add(2)) as u32
    }
}

/// Returns whether a byte is a hexadecimal digit, as 0 or 1, and its value, or 0.
#[inline(always)]
fn hex_digit(byte: u64) -> (u64, u64) {
    let decimal = byte.wrapping_sub(u64::from(b'0')) & 0xFF;
    let letter = (byte | 0x20).wrapping_sub(u64::from(b'a')) & 0xFF;
    let (is_decimal, is_letter) = (less(decimal, 10), less(letter, 6));
    let value = is_decimal.wrapping_mul(decimal) | is_letter.wrapping_mul(letter.wrapping_add(10));
    (is_decimal | is_letter, value)
}

/// Places for lines of a head, of which all but the last are read.
const MAX_LINES: u32 = 64;

/// How many bytes and lines are read before it is asked whether there are more. Each question is a branch, after which the
/// verifier follows all the rest.
const PART_BYTES: u32 = 256;
const PART_LINES: u32 = 8;

/// What the kernel reads in a head: where its end and the fields are that determine the body's length. Offsets from the
/// beginning of the head; 0 for what was not found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Head {
    /// The first byte after the head.
    pub end: u32,
    /// The length of the body, if it has one.
    pub body_bytes: u32,
    /// The value of Content-Length.
    length: u32,
    /// The value of Transfer-Encoding.
    coding: u32,
    /// How many lines begin in what was read, the first one aside.
    count: u32,
    /// Where these lines begin.
    lines: [u16; MAX_LINES as usize],
}

/// A word with `byte` in each place.
const fn repeated(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Returns a word whose bytes have their highest bit set where those of `word` are line feeds, and no other bits.
#[inline(always)]
fn line_feeds(word: u64) -> u64 {
    let low = repeated(0x7F);
    let differences = word ^ repeated(b'\n');
    !(((differences & low).wrapping_add(low)) | differences | low)
}

/// Reads the word at `at` of a head.
#[inline(always)]
fn word(head: &HeadBuffer, at: u32) -> u64 {
    crate::verifier::word::<{ HEAD_BYTES as u32 - 1 }, { HEAD_BYTES + 16 }>(head, at)
}

/// Returns the word that 8 bytes are in memory, in lower case where they are letters.
const fn lower(bytes: [u8; 8]) -> u64 {
    u64::from_le_bytes(bytes) | repeated(0x20)
}

/// A mask for the first 7 bytes of a word.
const FIRST_7: u64 = (1 << 56) - 1;

impl Head {
    /// Reads the head in the first `len` bytes of `buffer`, which begin with a request line. Afterwards [`Self::end`] is its
    /// end, or 0 if it is not plain or not complete.
    ///
    /// Without branches but the loops' ends: the verifier would follow every combination.
    #[inline(always)]
    pub fn read(&mut self, buffer: &mut HeadBuffer, len: u32) {
        // What is left of an earlier head in the last word is none of this one's.
        if len < HEAD_BYTES as u32
            && let Some(rest) = buffer.get_mut(masked::<{ HEAD_BYTES as u32 - 1 }>(len)..)
            && let Some(rest) = rest.first_chunk_mut::<8>()
        {
            for byte in rest {
                store(byte, 0);
            }
        }
        store(&mut self.end, 0);
        store(&mut self.body_bytes, 0);
        store(&mut self.count, 0);
        // Until they are needed: where the first line that is not noted begins at the earliest. In memory, because the
        // verifier would take each value in a register for another state.
        store(&mut self.length, 0);
        let mut at = 0;
        while at < HEAD_BYTES as u32 && at < len {
            let until = at.wrapping_add(PART_BYTES);
            while at < until {
                // Of an earlier head, there may be lines behind this one.
                let is_inside = less(u64::from(at), u64::from(len));
                let line = self.find_lines(word(buffer, at).to_le().wrapping_mul(is_inside), at);
                let missed = load(&self.length);
                store(&mut self.length, missed | (same(u64::from(missed), 0).wrapping_mul(line)) as u32);
                at = at.wrapping_add(8);
            }
        }
        let missed = u64::from(load(&self.length));
        let (mut end, mut length, mut coding, mut fields) = (0, 0, 0, 0);
        let mut is_head = 1;
        let count = load(&self.count);
        let mut number = 0;
        while number < MAX_LINES && number < count {
            let until = number.wrapping_add(PART_LINES);
            while number < until {
                is_head &= less(u64::from(number), u64::from(count));
                let line = self.line(number);
                let first = word(buffer, line).to_le();
                let ends_with_cr = same(first & 0xFFFF, 0x0A0D);
                let ends = ends_with_cr | same(first & 0xFF, 0x0A);
                let first = first | repeated(0x20);
                let second = word(buffer, line.wrapping_add(8)).to_le() | repeated(0x20);
                let is_length =
                    nonzero((first ^ lower(*b"content-")) | ((second ^ lower(*b"length: ")) & FIRST_7)) ^ 1;
                let is_coding = nonzero((first ^ lower(*b"transfer")) | (second ^ lower(*b"-encodin"))) ^ 1;
                let is_expectation = nonzero((first ^ lower(*b"expect: ")) & FIRST_7) ^ 1;
                let line = u64::from(line);
                end |= (is_head & ends).wrapping_mul(line.wrapping_add(1).wrapping_add(ends_with_cr));
                is_head &= ends ^ 1;
                length |= (is_head & is_length).wrapping_mul(line.wrapping_add(15));
                coding |= (is_head & is_coding).wrapping_mul(line.wrapping_add(18));
                // What only user space can judge counts twice.
                fields += is_head & (is_length | is_coding);
                fields += (is_head & is_expectation) << 1;
                number = number.wrapping_add(1);
            }
        }
        if fields <= 1 && end <= u64::from(len) && (missed == 0 || end < missed) {
            store(&mut self.end, end as u32);
            store(&mut self.length, length as u32);
            store(&mut self.coding, coding as u32);
        }
    }

    /// Returns where a line begins.
    #[inline(always)]
    fn line(&self, number: u32) -> u32 {
        self.lines.get(masked::<{ MAX_LINES - 1 }>(number)).map_or(0, |line| u32::from(load(line)))
    }

    /// Notes where lines begin after the first two line feeds in the word at `at`, as long as there is room. Returns 0, or
    /// where the first one that is not noted begins at the earliest.
    #[inline(always)]
    fn find_lines(&mut self, word: u64, at: u32) -> u64 {
        let feeds = line_feeds(word);
        let behind = feeds & feeds.wrapping_sub(1);
        let mut is_missed = nonzero(behind & behind.wrapping_sub(1));
        for feeds in [feeds, behind] {
            let count = load(&self.count);
            let line = at.wrapping_add(place(feeds & feeds.wrapping_neg())).wrapping_add(1);
            if let Some(place) = self.lines.get_mut(masked::<{ MAX_LINES - 1 }>(count)) {
                store(place, line as u16);
            }
            let is_line = nonzero(feeds);
            // The last place is overwritten again and again, and never read.
            let is_noted = is_line & less(u64::from(count), u64::from(MAX_LINES - 1));
            is_missed |= is_line ^ is_noted;
            store(&mut self.count, count.wrapping_add(is_noted as u32));
        }
        is_missed.wrapping_mul(u64::from(at.wrapping_add(1)))
    }

    /// Writes where the head's body begins to `position`, or its end and [`Self::body_bytes`]. Leaves an unknown position if
    /// there is no body, or one that is not plain.
    #[inline(always)]
    pub fn body(&mut self, buffer: &HeadBuffer, position: &mut Position) {
        store(&mut position.state, states::UNKNOWN);
        let (length, coding) = (load(&self.length), load(&self.coding));
        if length != 0 {
            let at = length.wrapping_add(u32::from(byte(buffer, length) == b' '));
            let (mut bytes, mut digits) = (0_u32, 0);
            while digits <= MAX_DECIMAL_DIGITS {
                let next = byte(buffer, at.wrapping_add(digits));
                let digit = u32::from(next).wrapping_sub(u32::from(b'0'));
                if digit > 9 {
                    if digits != 0 && next == b'\r' {
                        store(&mut self.body_bytes, bytes);
                        position.set(&Position::LENGTH);
                    }
                    break;
                }
                bytes = bytes.wrapping_mul(10).wrapping_add(digit);
                digits = digits.wrapping_add(1);
            }
        } else if coding != 0 {
            // After the colon, which is the last byte but one of "-encoding:".
            let at = coding.wrapping_add(u32::from(byte(buffer, coding) == b' '));
            let value = word(buffer, at).to_le() | repeated(0x20);
            if byte(buffer, coding.wrapping_sub(1)) == b':' && value == lower(*b"chunked\r") {
                position.set(&Position::CHUNK);
            }
        }
    }
}

/// Returns the place of the byte of which the highest bit is set: the only bit of the word.
#[inline(always)]
fn place(bit: u64) -> u32 {
    // Shifts the byte with the place's number to the top. Comparisons would be branches, with as many paths to verify.
    ((bit >> 7).wrapping_mul(0x0001_0203_0405_0607) >> 56) as u32
}

/// Returns the byte at `at` of a head.
#[inline(always)]
fn byte(head: &HeadBuffer, at: u32) -> u8 {
    let at = masked::<{ HEAD_BYTES as u32 - 1 }>(at);
    head.get(at).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
