//! The lines of a head after its request line.

use super::{
    host::is_host,
    request_line::{Malformation, is_token},
};
use crate::byte_class::{has_any, is_within};

/// What a field means for its request.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Role {
    /// Nothing.
    #[default]
    None,
    /// It is a Host, with a valid value or not.
    Host { is_valid: bool },
    /// It says where the body ends.
    Framing,
    /// It asks for another protocol.
    Upgrade,
    /// It asks for a confirmation before the body (RFC 9110 section 10.1.1).
    Continue,
    /// It asks to close the connection after the response (RFC 9112 section 9.6).
    Close,
    /// It asks to keep the connection, which HTTP/1.0 closes otherwise (RFC 9112 section 9.3).
    KeepAlive,
}

/// The word by which a client asks to close the connection.
const CLOSE: &[u8] = b"close";

impl Role {
    /// Returns what a field with this name and value means.
    pub(super) fn of(name: &[u8], value: &[u8]) -> Self {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        if is(b"host") {
            Self::Host { is_valid: is_host(value) }
        } else if is(b"content-length") || is(b"transfer-encoding") {
            Self::Framing
        } else if is(b"upgrade") {
            Self::Upgrade
        } else if is(b"expect") && value.eq_ignore_ascii_case(b"100-continue") {
            Self::Continue
        } else if is(b"connection") {
            let has = |wanted: &[u8]| {
                value.split(|byte| *byte == b',').any(|it| it.trim_ascii().eq_ignore_ascii_case(wanted))
            };
            // nginx takes any value that contains the word for it.
            let closes = value.windows(CLOSE.len()).any(|it| it.eq_ignore_ascii_case(CLOSE));
            if closes {
                Self::Close
            } else if has(b"keep-alive") {
                Self::KeepAlive
            } else {
                Self::None
            }
        } else {
            Self::None
        }
    }
}

/// A field line, as offsets in its bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct FieldLine {
    pub(super) name_len: u32,
    pub(super) value_start: u32,
    pub(super) value_end: u32,
    /// Something of the name that differs for most names, but not with their case.
    pub(super) name_print: u32,
    /// Whether its name and value are all that matters: it has neither a role nor a fault.
    pub(super) is_usual: bool,
    /// Whether there is whitespace between the name and the colon.
    pub(super) has_space: bool,
    pub(super) has_control: bool,
    pub(super) role: Role,
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
        let value = value.trim_ascii_start();
        let value_start = line.len().saturating_sub(value.len());
        let value = value.trim_ascii_end();
        let is_name = !name.is_empty() && name.len() == tokens;
        let malformation = (!is_name || colon.is_none()).then_some(Malformation::Field);
        let (has_control, role) = (has_control(line), Role::of(trimmed, value));
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self {
            name_len: offset(trimmed.len()),
            value_start: offset(value_start),
            value_end: offset(value_start.saturating_add(value.len())),
            name_print: name_print(trimmed),
            is_usual: malformation.is_none() && !has_control && role == Role::None,
            has_space: trimmed.len() < name.len(),
            has_control,
            role,
            malformation,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_that_of_a_name_in_any_case() {
        for (line, role) in [
            ("HOST:\ta:80 ", Role::Host { is_valid: true }),
            ("host: a/b", Role::Host { is_valid: false }),
            ("host:", Role::Host { is_valid: false }),
            ("Content-Length : 3", Role::Framing),
            ("transfer-encoding: chunked", Role::Framing),
            ("Upgrade: h2c", Role::Upgrade),
            ("expect: 100-Continue ", Role::Continue),
            ("expect: nothing", Role::None),
            ("Connection: TE, Close", Role::Close),
            ("Connection: xCLOSEd", Role::Close),
            ("Connection: clos, e", Role::None),
            ("connection: keep-alive", Role::KeepAlive),
            ("connection: upgrade", Role::None),
            ("connection: not-close", Role::Close),
            ("x-host: a", Role::None),
            ("host", Role::Host { is_valid: false }),
        ] {
            let field = FieldLine::read(line.as_bytes());
            assert_eq!((field.role, field.is_usual), (role, role == Role::None), "{line}");
        }
    }
}
