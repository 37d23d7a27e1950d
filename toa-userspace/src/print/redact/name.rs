//! The names of fields and parameters, and which of them are secret.
//!
//! Names are compared by their letters and digits, in lower case and percent-decoded: `X-Api-Key`, `api_key`, `apiKey`
//! and `api%2Dkey` contain the same. Short words such as `key` and `pin` count as words only, so that `keyword`,
//! `monkey` and `shipping` are not secret. A word ends at other characters, at digits and at a change of case.

mod words;

use super::unit::Unit;
use words::{
    HARMLESS_ENDS, HARMLESS_KEYS, OTHER_WORDS, SECRET_CODES, SECRET_ENDS, SECRET_FIELDS, SECRET_PARAMETERS,
    SECRET_SEGMENTS, SECRET_WORDS, secret_parts,
};

/// Longest name that is examined, in letters and digits. The values of longer names are hidden.
const MAX_LEN: usize = 128;

/// Where a name was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// The name of a field.
    Field,
    /// A parameter of a target, after one of `?&;#`.
    Parameter,
    /// Elsewhere in a target, such as in a path or in JSON.
    Nested,
    /// In a text that is no target. `key` is more often an ordinary word there.
    Text,
}

/// The letters and digits of a name, in lower case, and where its words begin.
pub(super) struct Name {
    letters: [u8; MAX_LEN],
    len: usize,
    /// Bit N is set if a word begins at letter N.
    word_starts: u128,
    last: Class,
    is_too_long: bool,
}

/// The class of the last character. Words end where it changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Class {
    Other,
    Lower,
    /// A capital after a character that is none.
    Upper,
    /// A capital after a capital.
    Acronym,
    Digit,
}

impl Name {
    pub(super) const fn new() -> Self {
        Self { letters: [0; MAX_LEN], len: 0, word_starts: 0, last: Class::Other, is_too_long: false }
    }

    /// Returns the name that `bytes` spell.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut name = Self::new();
        Unit::all(bytes, 0).for_each(|(_, unit)| name.push(unit.byte));
        name
    }

    /// Begins a new name.
    pub(super) fn clear(&mut self) {
        (self.len, self.word_starts, self.last, self.is_too_long) = (0, 0, Class::Other, false);
    }

    /// Appends a character.
    pub(super) fn push(&mut self, byte: u8) {
        let class = match byte {
            b'a'..=b'z' => Class::Lower,
            b'A'..=b'Z' if matches!(self.last, Class::Upper | Class::Acronym) => Class::Acronym,
            b'A'..=b'Z' => Class::Upper,
            b'0'..=b'9' => Class::Digit,
            _ => {
                self.last = Class::Other;
                return;
            }
        };
        let Some(place) = self.letters.get_mut(self.len) else {
            self.is_too_long = true;
            return;
        };
        *place = byte.to_ascii_lowercase();
        match (self.last, class) {
            (Class::Upper, Class::Lower) | (_, Class::Acronym) => {}
            // The last capital begins the next word: `SAMLResponse`.
            (Class::Acronym, Class::Lower) => self.word_starts |= 1 << self.len.saturating_sub(1),
            (last, class) if last == class => {}
            _ => self.word_starts |= 1 << self.len,
        }
        self.len = self.len.saturating_add(1);
        self.last = class;
    }

    /// Returns the letters and digits.
    pub(super) fn get(&self) -> &[u8] {
        self.letters.get(..self.len).unwrap_or_default()
    }

    /// Returns whether the value of this name is secret.
    pub(super) fn is_secret(&self, place: Place) -> bool {
        let is_negotiation = place == Place::Field && self.words().next() == Some(b"accept");
        let may_be_too_long = matches!(place, Place::Field | Place::Parameter);
        (self.is_too_long && may_be_too_long)
            || (!is_negotiation
                && (self.has_secret_part() || self.has_secret_word(place) || self.is_listed(place)))
    }

    /// Returns whether the name is exactly a word of these lists, so that it cannot be a part of a secret.
    pub(super) fn is_secret_word(&self) -> bool {
        let name = self.get();
        let parts = name.first().map_or(&[][..], |first| secret_parts(*first));
        parts.contains(&name)
            || [&SECRET_WORDS[..], &SECRET_ENDS, &SECRET_PARAMETERS, &SECRET_CODES]
                .iter()
                .any(|list| list.contains(&name))
    }

    /// Returns whether a path segment of this name is followed by a secret, if the next one looks like one:
    /// `/reset-password/8f14e45fceea`.
    pub(super) fn is_secret_segment(&self) -> bool {
        self.has_secret_part() || self.words().last().is_some_and(|word| SECRET_SEGMENTS.contains(&word))
    }

    /// Returns whether the name is that of a bot of Telegram, whose token follows it in the path: `/bot1234:S/getMe`.
    pub(super) fn is_bot(&self) -> bool {
        let number = self.get().strip_prefix(b"bot").unwrap_or_default();
        !number.is_empty() && number.iter().all(u8::is_ascii_digit)
    }

    fn has_secret_part(&self) -> bool {
        self.ends().any(|rest| {
            let parts = rest.first().map_or(&[][..], |first| secret_parts(*first));
            // Comparing the second letter first spares most calls.
            parts.iter().any(|part| part.get(1) == rest.get(1) && rest.starts_with(part))
        })
    }

    fn has_secret_word(&self, place: Place) -> bool {
        let name = self.get();
        let may_be_key = place != Place::Text;
        let mut before: &[u8] = b"";
        let mut words = self.words().filter(|word| {
            let is_harmless_key = *word == b"key" && (!may_be_key || HARMLESS_KEYS.contains(&before));
            before = word;
            !is_harmless_key && SECRET_WORDS.contains(word)
        });
        let found = words.next().is_some()
            || (has_secret_end(name) && (may_be_key || !name.ends_with(b"key")))
            || self.ends().any(begins_with_secret_word);
        found && !HARMLESS_ENDS.iter().any(|end| name.ends_with(end))
    }

    fn is_listed(&self, place: Place) -> bool {
        let name = self.get();
        let is_code =
            || SECRET_CODES.iter().any(|code| name.ends_with(code)) || self.words().last() == Some(b"sign");
        let is_exact = match place {
            Place::Field => SECRET_FIELDS.contains(&name.strip_prefix(b"x").unwrap_or(name)),
            Place::Parameter => SECRET_PARAMETERS.contains(&name),
            Place::Nested | Place::Text => return false,
        };
        is_exact || name.ends_with(b"ticket") || is_code()
    }

    /// Returns the name from each letter on.
    fn ends(&self) -> impl Iterator<Item = &[u8]> {
        let name = self.get();
        (0..name.len()).filter_map(|start| name.get(start..))
    }

    fn words(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.get();
        let mut starts = self.word_starts;
        std::iter::from_fn(move || {
            // The bit of this word, which begins at 0.
            starts &= !1;
            let len = rest.len().min(starts.trailing_zeros() as usize);
            let (word, next) = rest.split_at_checked(len).filter(|(word, _)| !word.is_empty())?;
            rest = next;
            starts = starts.checked_shr(u32::try_from(len).unwrap_or(u32::MAX)).unwrap_or(0);
            Some(word)
        })
    }
}

fn has_secret_end(name: &[u8]) -> bool {
    let is_other = || OTHER_WORDS.iter().any(|word| name.ends_with(word));
    let is_harmless_key = || {
        let before = name.strip_suffix(b"key");
        before.is_some_and(|before| HARMLESS_KEYS.iter().any(|word| before.ends_with(word)))
    };
    SECRET_ENDS.iter().any(|end| name.ends_with(end)) && !is_other() && !is_harmless_key()
}

/// Returns whether `letters` begin with a word that is likely to be secret wherever it is. `author` and `authority` are
/// other words than `auth` and `authorize`.
fn begins_with_secret_word(letters: &[u8]) -> bool {
    if let [b'a', b'u', b't', b'h', rest @ ..] = letters {
        return !rest.starts_with(b"or") || rest.starts_with(b"oris") || rest.starts_with(b"oriz");
    }
    letters.starts_with(b"cookie") || letters.starts_with(b"session")
}
