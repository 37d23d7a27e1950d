//! Responsible for what a terminal may be sent of bytes that somebody else chose. Not responsible for hiding
//! secrets.
//!
//! Printable UTF-8 stays as it is. Everything else is written byte by byte as `\xNN` with two lower-case
//! digits, and a backslash as `\\`, so that what was sent can be told from what is printed.

/// Adds `bytes` to `out`, escaped.
pub fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.utf8_chunks() {
        escape_text(chunk.valid(), out);
        escape_bytes(chunk.invalid(), out);
    }
}

/// Adds `text` to `out`, in runs of what needs no escape.
fn escape_text(text: &str, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((at, found)) = rest.char_indices().find(|(_, found)| !is_plain(*found)) {
        let end = at.saturating_add(found.len_utf8());
        out.extend_from_slice(rest.get(..at).unwrap_or_default().as_bytes());
        match found {
            '\\' => out.extend_from_slice(br"\\"),
            _ => escape_bytes(rest.get(at..end).unwrap_or_default().as_bytes(), out),
        }
        rest = rest.get(end..).unwrap_or_default();
    }
    out.extend_from_slice(rest.as_bytes());
}

/// Adds `bytes` to `out`, each as `\xNN`.
fn escape_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let digit = |value: u8| if value < 10 { value.wrapping_add(b'0') } else { value.wrapping_add(b'a' - 10) };
    for byte in bytes {
        out.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte & 0x0f)]);
    }
}

/// Whether a character is one to print: not a control character (C0, DEL, C1), nor one that is invisible or
/// changes how others are shown (the format characters of Unicode that terminals and viewers act on).
fn is_plain(character: char) -> bool {
    !matches!(
        character,
        '\\' | '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
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
