//! The lines of a head after its request line.

use super::request_line::{Malformation, is_token};
use crate::byte_class::{has_any, is_within};

/// The fields on which the meaning of the request depends.
const SPECIAL: [&[u8]; 5] = [b"content-length", b"expect", b"host", b"transfer-encoding", b"upgrade"];

/// A field line, as offsets in its bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct FieldLine {
    pub(super) name_len: u32,
    pub(super) value_start: u32,
    pub(super) value_end: u32,
    /// Something of the name that differs for most names, but not with their case.
    pub(super) name_print: u32,
    /// Whether there is whitespace between the name and the colon.
    pub(super) has_space: bool,
    pub(super) has_control: bool,
    /// Whether it is one of [`SPECIAL`].
    pub(super) is_special: bool,
    pub(super) malformation: Option<Malformation>,
}

impl FieldLine {
    /// Reads a line without its line end.
    pub(super) fn read(line: &[u8]) -> Self {
        let tokens = line.iter().take_while(|byte| is_token(**byte)).count();
        let colon = match line.get(tokens) {
            Some(b':') => Some(tokens),
            _ => memchr::memchr(b':', line),
        };
        let name = line.get(..colon.unwrap_or(line.len())).unwrap_or_default();
        let trimmed = name.trim_ascii_end();
        let value = colon.and_then(|colon| line.get(colon.saturating_add(1)..)).unwrap_or_default();
        let value_start = line.len().saturating_sub(value.trim_ascii_start().len());
        let value_end = line.trim_ascii_end().len().max(value_start);
        let is_name = !name.is_empty() && name.len() == tokens;
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self {
            name_len: offset(trimmed.len()),
            value_start: offset(value_start),
            value_end: offset(value_end),
            name_print: name_print(trimmed),
            has_space: trimmed.len() < name.len(),
            has_control: has_control(line),
            is_special: SPECIAL.iter().any(|special| trimmed.eq_ignore_ascii_case(special)),
            malformation: (!is_name || colon.is_none()).then_some(Malformation::Field),
        }
    }

    /// Returns the name and value of `line`, from which it was read and which more may follow.
    pub(super) fn parts<'l>(&self, line: &'l [u8]) -> (&'l [u8], &'l [u8]) {
        let name = line.get(..self.name_len as usize).unwrap_or_default();
        (name, line.get(self.value_start as usize..self.value_end as usize).unwrap_or_default())
    }
}

/// Returns whether a line without its end has a byte that is allowed neither in a field (RFC 9110 section 5.5) nor as part
/// of a line end, or a CR, which is not part of one then.
pub(super) fn has_control(line: &[u8]) -> bool {
    has_any(line, |byte| (is_within(byte, 0, 0x1f) && byte != b'\t') || byte == 0x7f)
}

/// Returns the [`FieldLine::name_print`] of a name.
pub(super) fn name_print(name: &[u8]) -> u32 {
    let lower = |byte: Option<&u8>| byte.map_or(0, |byte| byte | 0x20);
    u32::from_le_bytes([
        // The lowest bits of the length.
        name.len() as u8,
        lower(name.first()),
        lower(name.get(name.len() / 2)),
        lower(name.last()),
    ])
}
