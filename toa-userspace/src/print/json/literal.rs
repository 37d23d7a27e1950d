//! Values that need no escape.

use crate::print::digits;

/// Appends a name, which needs no escape, as a string.
pub(super) fn put_name(name: Option<&str>, out: &mut Vec<u8>) {
    match name {
        None => put(out, "null"),
        Some(name) => {
            out.push(b'"');
            put(out, name);
            out.push(b'"');
        }
    }
}

/// Appends a number, or `null`.
pub(super) fn put_number(number: Option<u32>, out: &mut Vec<u8>) {
    match number {
        None => put(out, "null"),
        Some(number) => digits::push(number.into(), out),
    }
}

/// Appends `true` or `false`.
pub(super) fn put_bool(value: bool, out: &mut Vec<u8>) {
    put(out, if value { "true" } else { "false" });
}

/// Appends text as it is.
pub(super) fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}
