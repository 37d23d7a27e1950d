//! A first look at a value, which suffices for most.

use super::{Kind, MIN_NAME_LEN, Word, random_segment};
use crate::{
    byte_class::{any_at, has_any, is_within},
    print::{
        escape::is_plain,
        redact::{content::Content, scheme},
    },
};

/// Returns what `value` contains, where doubtful is what may contain anything that [`super::split`] hides. This is quick, and
/// most values are plain. `look_up` returns what a word means.
pub(crate) fn content(value: &[u8], kind: Kind, look_up: impl Fn(&[u8]) -> Word) -> Content {
    let look_up = |word: &[u8]| if word.len() < MIN_NAME_LEN { Word::default() } else { look_up(word) };
    // The start of the current word, the word before the spaces that end at `spaces_end`, and whether a host may be here.
    let (mut start, mut last_word, mut spaces_end, mut is_authority) = (0, 0..0, 0, false);
    let mut content = Content::Plain;
    let may_contain_secret = any_at(value, is_telling, |at| {
        let next = at.saturating_add(1);
        let byte = value.get(at).copied().unwrap_or_default();
        if !is_plain(byte) {
            content = Content::Harmless;
        }
        match byte {
            // Nothing follows from the name before them.
            b'&' | b',' | b';' | b'(' | b')' => {
                start = next;
                return false;
            }
            b'?' => {
                (start, is_authority) = (next, false);
                return false;
            }
            b'%' | b'@' => return true,
            b'J' | b'"' | b'\\' => {}
            _ if kind.ends_name(byte) => {}
            _ => return false,
        }
        // After spaces, a name goes on until another one begins with a letter or digit.
        let current = value.get(start..at).unwrap_or_default();
        let is_same_name = start == spaces_end && !current.iter().any(u8::is_ascii_alphanumeric);
        let word_start = if is_same_name { last_word.start } else { start };
        let word = value.get(word_start..at).unwrap_or_default();
        let may_be = match byte {
            b'J' => current.ends_with(b"ey"),
            byte if kind.is_space(byte) => scheme::may_be(word),
            b'=' => look_up(word).assigns,
            // In an authority, a password may follow.
            b':' => is_authority || look_up(word).assigns,
            b'/' if kind == Kind::Target => {
                look_up(word).begins_segment && random_segment(value, next, 0).is_some()
            }
            _ => false,
        };
        let is_slash = |byte: &u8| matches!(byte, b'/' | b'\\');
        match byte {
            b'/' | b'\\' => {
                is_authority = at.checked_sub(1).and_then(|at| value.get(at)).is_some_and(is_slash);
            }
            b' ' | b'\t' | b'"' | b'<' | b'>' | b'#' => is_authority = false,
            _ => {}
        }
        if kind.is_space(byte) {
            (last_word, start, spaces_end) = (word_start..at, next, next);
        } else if kind.ends_name(byte) {
            start = next;
        }
        may_be
    });
    if may_contain_secret { Content::Doubtful } else { content }
}

/// Returns whether `value` has nothing but what [`content`] passes over, so that it is plain.
pub(crate) fn is_harmless_word(value: &[u8]) -> bool {
    !has_any(value, is_telling)
}

/// Returns whether [`content`] has to look at a byte: a secret may follow or precede it, it ends a name, or it is to be
/// escaped. It does not matter for some others.
#[inline]
fn is_telling(byte: u8) -> bool {
    let is_letter = is_within(byte | 0x20, b'a', b'z') && byte != b'J';
    !(is_letter || is_within(byte, b'0', b'9') || is_within(byte, b'-', b'.'))
}
