//! Escapes bytes that others chose, so that they cannot act on a terminal. [`super::redact`] hides secrets.
//!
//! Printable UTF-8 stays as it is. Everything else is written byte by byte as `\xNN` with two lower-case hexadecimal
//! digits, and a backslash as `\\`. So the original bytes can be recovered from the output.

use std::{borrow::Cow, fmt};

use super::push_fmt;
use crate::byte_class::{has_any, is_within};

/// Bytes that are displayed escaped.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut escaped = Vec::new();
        escape(self.0, &mut escaped);
        f.write_str(&String::from_utf8_lossy(&escaped))
    }
}

/// Appends `bytes` to `out`, escaped.
pub fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    if has_any(bytes, |byte| !is_plain_byte(byte)) {
        push_escaped(bytes, b"\\", b"\"", out);
    } else {
        out.extend_from_slice(bytes);
    }
}

/// Returns whether a byte is ASCII in which neither [`escape`] nor [`escape_json`] changes anything.
#[inline]
pub fn is_plain(byte: u8) -> bool {
    is_plain_byte(byte) && byte != b'"'
}

/// Appends `bytes` to `out`, escaped, as a part of a string in JSON (RFC 8259 section 7).
pub fn escape_json(bytes: &[u8], out: &mut Vec<u8>) {
    if has_any(bytes, |byte| !is_plain(byte)) {
        push_escaped(bytes, br"\\", br#"\""#, out);
    } else {
        out.extend_from_slice(bytes);
    }
}

/// Appends `bytes` to `out`, escaped, with these forms of a backslash and of a quote.
fn push_escaped(bytes: &[u8], backslash: &[u8], quote: &[u8], out: &mut Vec<u8>) {
    let push_hex = |bytes: &[u8], out: &mut Vec<u8>| {
        for byte in bytes {
            out.extend_from_slice(backslash);
            out.extend_from_slice(&[b'x', hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
    };
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        let is_like_first: fn(&u8) -> bool = match first {
            b'\\' | b'"' => |_| false,
            _ if is_plain_byte(*first) => |byte| is_plain(*byte),
            _ if first.is_ascii() => u8::is_ascii_control,
            _ => |byte| !byte.is_ascii(),
        };
        let len = rest.iter().skip(1).take_while(|byte| is_like_first(byte)).count().saturating_add(1);
        let (run, behind) = rest.split_at_checked(len).unwrap_or((rest, &[]));
        rest = behind;
        match first {
            b'\\' => [backslash; 2].iter().for_each(|half| out.extend_from_slice(half)),
            b'"' => out.extend_from_slice(quote),
            _ if is_plain_byte(*first) => out.extend_from_slice(run),
            _ => {
                for chunk in run.utf8_chunks() {
                    for character in chunk.valid().chars() {
                        let mut encoded = [0; 4];
                        let encoded = character.encode_utf8(&mut encoded).as_bytes();
                        if is_shown(character) {
                            out.extend_from_slice(encoded);
                        } else {
                            push_hex(encoded, out);
                        }
                    }
                    push_hex(chunk.invalid(), out);
                }
            }
        }
    }
}

/// Returns text without what controls a terminal or changes how the rest is shown, such as in names of files and interfaces. A
/// backslash stays, because parts of the text may be escaped already.
pub fn printable(text: &str) -> Cow<'_, str> {
    let is_hidden = |it: char| !is_shown(it) && !matches!(it, '\n' | '\\');
    if !text.contains(is_hidden) {
        return text.into();
    }
    let mut printable = String::new();
    for it in text.chars() {
        if is_hidden(it) { printable.extend(it.escape_default()) } else { printable.push(it) }
    }
    printable.into()
}

/// Returns JSON of the same meaning in which what controls a terminal, or changes how the rest is shown, is escaped. Such
/// characters occur in strings only.
pub fn printable_json(json: String) -> String {
    let is_hidden = |it: char| !is_shown(it) && it != '\\';
    if !json.contains(is_hidden) {
        return json;
    }
    let mut printable = String::new();
    for it in json.chars() {
        if is_hidden(it) {
            for unit in it.encode_utf16(&mut [0; 2]) {
                push_fmt(&mut printable, format_args!("\\u{unit:04x}"));
            }
        } else {
            printable.push(it);
        }
    }
    printable
}

/// Returns a digit below 16 in hexadecimal.
fn hex_digit(digit: u8) -> u8 {
    if digit < 10 { b'0' + digit } else { b'a' - 10 + digit }
}

/// Returns whether a byte is an ASCII character that is printed as it is.
fn is_plain_byte(byte: u8) -> bool {
    is_within(byte, b' ', b'~') && byte != b'\\'
}

/// Returns whether a character is printed as it is. Not printed are the backslash, control characters (C0, DEL, C1),
/// and characters that are invisible, look like a space or change how others are shown: with them, two values that
/// differ would look alike.
fn is_shown(character: char) -> bool {
    !matches!(
        character,
        '\\' | '\0'..='\u{1f}' | '\u{7f}'..='\u{a0}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'
            | '\u{1160}' | '\u{1680}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' | '\u{2800}'
            | '\u{3000}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{13430}'..='\u{1345f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use proptest::prelude::*;

    fn escaped(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        escape(bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_reaches_the_terminal_that_it_acts_on() {
        for (bytes, expected) in [
            (&b"plain text ~"[..], "plain text ~"),
            ("über ☃ •".as_bytes(), "über ☃ •"),
            (b"\x1b[31m\x07\x7f\t", r"\x1b[31m\x07\x7f\x09"),
            (b"a\\x1b", r"a\\x1b"),
            ("\u{85}\u{9b}".as_bytes(), r"\xc2\x85\xc2\x9b"),
            ("\u{202e}\u{2066}\u{200b}".as_bytes(), r"\xe2\x80\xae\xe2\x81\xa6\xe2\x80\x8b"),
            ("a\u{3164}\u{a0}".as_bytes(), r"a\xe3\x85\xa4\xc2\xa0"),
            ("\u{34f}\u{fe0f}\u{2003}".as_bytes(), r"\xcd\x8f\xef\xb8\x8f\xe2\x80\x83"),
            (b"\xff\xc3(", r"\xff\xc3("),
            (b"\xe2\x80", r"\xe2\x80"),
        ] {
            assert_eq!(escaped(bytes), expected);
        }
    }

    #[test]
    fn one_byte_that_needs_an_escape_is_found_anywhere() {
        for len in 1..70 {
            for at in 0..len {
                let mut bytes = vec![b'a'; len];
                assert_eq!(escaped(&bytes), "a".repeat(len));
                for (byte, written) in
                    [(b'\x1f', r"\x1f"), (b'\x7f', r"\x7f"), (b'\\', r"\\"), (b'\xff', r"\xff")]
                {
                    bytes[at] = byte;
                    assert_eq!(
                        escaped(&bytes),
                        ["a".repeat(at).as_str(), written, &"a".repeat(len - at - 1)].concat()
                    );
                }
            }
        }
    }

    /// Escapes character by character.
    fn escaped_simply(bytes: &[u8]) -> String {
        let mut out = String::new();
        for chunk in bytes.utf8_chunks() {
            for character in chunk.valid().chars() {
                let mut encoded = [0; 4];
                match &*character.encode_utf8(&mut encoded) {
                    r"\" => out.push_str(r"\\"),
                    shown if is_shown(character) => out.push_str(shown),
                    hidden => hidden.bytes().for_each(|byte| write!(out, "\\x{byte:02x}").unwrap()),
                }
            }
            chunk.invalid().iter().for_each(|byte| write!(out, "\\x{byte:02x}").unwrap());
        }
        out
    }

    /// Bytes of any kind, with more of those that matter.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let text = "[ -~\"\\\\é☃\u{0}-\u{a0}\u{200b}\u{1f600}]{0,9}".prop_map(String::into_bytes);
        prop::collection::vec(prop_oneof![text, prop::collection::vec(any::<u8>(), 0..5)], 0..9)
            .prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn whole_runs_are_escaped_like_single_characters(bytes in bytes()) {
            let (text, simple) = (escaped(&bytes), escaped_simply(&bytes));
            prop_assert_eq!(&text, &simple);
            let mut json = Vec::new();
            escape_json(&bytes, &mut json);
            let json = format!("\"{}\"", String::from_utf8(json).unwrap());
            prop_assert_eq!(&json, &serde_json::to_string(&text).unwrap());
            let is_kept = text.as_bytes() == bytes && !bytes.contains(&b'"');
            prop_assert_eq!(bytes.iter().all(|byte| is_plain(*byte)), bytes.is_ascii() && is_kept);
        }

        #[test]
        fn what_was_sent_can_be_told(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let text = escaped(&bytes);
            prop_assert!(text.chars().all(|character| !character.is_control()));
            let mut back = Vec::new();
            let mut rest = text.as_bytes();
            while let [first, behind @ ..] = rest {
                rest = match (first, behind) {
                    (b'\\', [b'\\', behind @ ..]) => { back.push(b'\\'); behind }
                    (b'\\', [b'x', high, low, behind @ ..]) => {
                        let digits = [*high, *low];
                        back.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                        behind
                    }
                    (plain, behind) => { back.push(*plain); behind }
                };
            }
            prop_assert_eq!(back, bytes);
        }
    }

    #[test]
    fn text_cannot_control_the_terminal() {
        let sent = "é: \u{1b}[31mred\u{9b}m\tend\nnext \u{202e}pacp.a \\x1b";
        assert_eq!(printable(sent), "é: \\u{1b}[31mred\\u{9b}m\\tend\nnext \\u{202e}pacp.a \\x1b");
        assert!(matches!(printable("plain"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn json_cannot_control_the_terminal_and_means_the_same(value in ".*", more: Vec<char>) {
            let value: String = value.chars().chain(more).collect();
            let json = printable_json(serde_json::to_string(&value)?);
            prop_assert!(!json.contains(|it: char| it != '\\' && !is_shown(it)), "{json:?}");
            prop_assert_eq!(serde_json::from_str::<String>(&json)?, value);
        }
    }
}
