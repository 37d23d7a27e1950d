//! Escapes bytes that others chose, so that they cannot act on a terminal. [`super::redact`] hides secrets.
//!
//! Printable UTF-8 stays as it is. Everything else is written byte by byte as `\xNN` with two lower-case hexadecimal
//! digits, and a backslash as `\\`. So the original bytes can be recovered from the output.

use std::fmt::{self, Write};

/// Bytes that are displayed escaped.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(self.0, f)
    }
}

/// Appends `bytes` to `out`, escaped.
pub fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    // Writing to a `Vec` cannot fail.
    _ = write_escaped(bytes, &mut VecWriter(out));
}

struct VecWriter<'a>(&'a mut Vec<u8>);

impl Write for VecWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Writes `bytes` to `out`, escaped.
pub fn write_escaped(bytes: &[u8], out: &mut impl Write) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        write_text(chunk.valid(), out)?;
        write_bytes(chunk.invalid(), out)?;
    }
    Ok(())
}

/// Writes `text` to `out`, with one write for each run of characters that need no escape.
fn write_text(text: &str, out: &mut impl Write) -> fmt::Result {
    let mut rest = text;
    while let Some((at, found)) = rest.char_indices().find(|(_, found)| !is_plain(*found)) {
        let end = at.saturating_add(found.len_utf8());
        out.write_str(rest.get(..at).unwrap_or_default())?;
        match found {
            '\\' => out.write_str(r"\\")?,
            _ => write_bytes(rest.get(at..end).unwrap_or_default().as_bytes(), out)?,
        }
        rest = rest.get(end..).unwrap_or_default();
    }
    out.write_str(rest)
}

/// Writes `bytes` to `out`, each as `\xNN`.
fn write_bytes(bytes: &[u8], out: &mut impl Write) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(out, "\\x{byte:02x}"))
}

/// Returns whether a character is printed as it is. Not printed are the backslash, control characters (C0, DEL, C1),
/// and characters that are invisible, look like a space or change how others are shown: with them, two values that
/// differ would look alike.
fn is_plain(character: char) -> bool {
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

    proptest! {
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
}
