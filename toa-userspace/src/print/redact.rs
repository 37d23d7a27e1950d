//! Hides secrets in targets and fields.
//!
//! The redactor splits a value into parts that are shown or hidden. Every printer escapes and writes the parts in its
//! own way. What is secret is recognised by the name before it (`name`) or by its form (`value`).

mod content;
mod field;
mod name;
mod part;
mod scheme;
mod unit;
mod value;

use std::borrow::Cow;

use crate::memo::Memo;
pub use part::{MASK, Part};

use content::Content;
use field::{Field, hide, hide_cookies, hide_credentials};
use name::Name;
use value::{Kind, Word};

/// Bytes of the first word of an unknown protocol that are shown: enough for `SSH-2.0-` and the magic numbers of binary
/// protocols, whose names and passwords come later.
const PREVIEW_SHOWN_BYTES: usize = 8;

/// Longest name of a field of which the lower case is remembered, in bytes.
const MAX_WORD_LEN: usize = 31;

/// The rules for what to hide.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    show_secrets: bool,
    /// Further names to hide, normalised as in [`Name`].
    names: Vec<Vec<u8>>,
    /// What is known of names of fields.
    fields: Memo<Known>,
    /// What is known of names in values.
    words: Memo<Word>,
    /// What is known of paths, up to the query, and of other references.
    paths: Memo<Content>,
}

impl Redactor {
    /// Returns a redactor that hides nothing.
    pub fn show_secrets() -> Self {
        Self { show_secrets: true, ..Self::default() }
    }

    /// Also hides the fields and parameters called `name`, in any case.
    #[must_use]
    pub fn with_name(mut self, name: &str) -> Self {
        self.names.push(Name::of(name.as_bytes()).get().to_vec());
        // They may have been found to be harmless.
        Self { show_secrets: self.show_secrets, names: self.names, ..Self::default() }
    }

    /// Splits a method into parts. What stands there may be the end of a body, or lack the space before its target.
    pub fn method<'a>(&self, method: &'a [u8], part: &mut impl FnMut(Part<'a>)) {
        if method.iter().all(u8::is_ascii_uppercase) {
            part(Part::Plain(method));
        } else {
            self.target(method, part);
        }
    }

    /// Returns what is shown of a field called `name`, which is a whole line if that has no colon.
    pub fn field<'r>(&'r self, name: &'r [u8]) -> FieldRedactor<'r> {
        FieldRedactor { redactor: self, name, known: self.known(name) }
    }

    /// Splits a request target into parts. Every `?`, `&`, `;` and `#` is shown, so that its components stay the same.
    pub fn target<'a>(&self, target: &'a [u8], part: &mut impl FnMut(Part<'a>)) {
        if self.show_secrets {
            part(Part::Shown(target));
        } else {
            self.split_target(target, part);
        }
    }

    /// Splits the first bytes of an unknown protocol into parts. Any of them may be part of a password, and no rule can
    /// recognise it. So only the first word is shown, without what is assigned in it, and no more of it than names a
    /// protocol.
    pub fn preview<'a>(&self, preview: &'a [u8], part: &mut impl FnMut(Part<'a>)) {
        let word = preview.iter().take(PREVIEW_SHOWN_BYTES).position(|byte| ends_word(*byte));
        let len = if self.show_secrets { preview.len() } else { word.unwrap_or(PREVIEW_SHOWN_BYTES) };
        match preview.split_at_checked(len) {
            Some((shown, [_, ..])) => {
                part(Part::Shown(shown));
                part(Part::Hidden(MASK));
            }
            _ => part(Part::Shown(preview)),
        }
    }

    fn known(&self, name: &[u8]) -> Known {
        self.fields.get(name, || Known::of(name, &self.names))
    }

    /// Splits a target or another reference.
    fn split_target<'a>(&self, value: &'a [u8], part: &mut impl FnMut(Part<'a>)) {
        // Paths repeat more often than queries, and nothing in a query follows from the path before it.
        let path_len = memchr::memchr(b'?', value).unwrap_or(value.len());
        let (path, query) = value.split_at_checked(path_len).unwrap_or((value, &[]));
        let mut content = self.paths.get(path, || self.content(path, Kind::Target));
        if !query.is_empty() && content != Content::Doubtful {
            content = content.min(self.content(query, Kind::Target));
        }
        self.split(value, Kind::Target, content, part);
    }

    /// Splits a value of the given kind and content.
    fn split<'a>(&self, value: &'a [u8], kind: Kind, content: Content, part: &mut impl FnMut(Part<'a>)) {
        match content {
            Content::Doubtful => value::split(value, kind, &self.names, part),
            Content::Harmless => part(Part::Shown(value)),
            Content::Plain => part(Part::Plain(value)),
        }
    }

    fn content(&self, value: &[u8], kind: Kind) -> Content {
        value::glance::content(value, kind, |word| self.words.get(word, || Word::of(word, &self.names)))
    }
}

/// What is known of a field by its name.
#[derive(Clone, Copy, Debug)]
struct Known {
    field: Field,
    /// The name in lower case and its length, if it is a short word.
    word: [u8; MAX_WORD_LEN],
    word_len: u8,
}

impl Known {
    fn of(name: &[u8], names: &[Vec<u8>]) -> Self {
        let mut known = Self { field: Field::of(name, names), word: [0; MAX_WORD_LEN], word_len: 0 };
        if let Some(word) = known.word.get_mut(..name.len())
            && is_word(name)
        {
            word.copy_from_slice(name);
            word.make_ascii_lowercase();
            known.word_len = u8::try_from(name.len()).unwrap_or(0);
        }
        known
    }
}

/// What is shown of the fields of one name.
#[derive(Clone, Copy, Debug)]
pub struct FieldRedactor<'r> {
    redactor: &'r Redactor,
    name: &'r [u8],
    known: Known,
}

impl<'r> FieldRedactor<'r> {
    /// Returns the name in lower case if it is a short word, of letters, digits and hyphens, as most are.
    pub fn word(&self) -> Option<&[u8]> {
        self.known.word.get(..usize::from(self.known.word_len)).filter(|word| !word.is_empty())
    }

    /// Returns what is shown of the name.
    pub fn name(&self) -> Cow<'r, [u8]> {
        let Self { redactor, name, .. } = *self;
        if redactor.show_secrets || is_word(name) {
            return Cow::Borrowed(name);
        }
        let mut shown = Cow::Borrowed(&[][..]);
        let mut add = |part: Part<'r>| match part {
            Part::Shown(bytes) | Part::Plain(bytes) if shown.is_empty() => shown = Cow::Borrowed(bytes),
            part => shown.to_mut().extend_from_slice(part.bytes()),
        };
        let word_len = memchr::memchr2(b' ', b'\t', name).unwrap_or(name.len());
        match name.split_at_checked(word_len) {
            Some((word, [_, ..])) if is_word(word) && redactor.known(word).field.is_secret() => {
                add(Part::Shown(word));
                add(Part::Shown(b" "));
                add(Part::Hidden(MASK));
            }
            _ => redactor.split_target(name, &mut add),
        }
        shown
    }

    /// Splits a value into parts.
    pub fn value<'a>(&self, value: &'a [u8], part: &mut impl FnMut(Part<'a>)) {
        let Self { redactor, .. } = *self;
        if redactor.show_secrets || value.is_empty() {
            part(Part::Shown(value));
            return;
        }
        match self.known.field {
            Field::Credentials => hide_credentials(value, part),
            Field::Cookies => hide_cookies(value, part),
            Field::Secret => hide(part),
            Field::Reference => redactor.split_target(value, part),
            // As identifiers do, which rarely repeat.
            Field::Text if value::glance::is_harmless_word(value) => part(Part::Plain(value)),
            Field::Text => {
                let kind = Kind::of(value);
                redactor.split(value, kind, redactor.content(value, kind), part);
            }
        }
    }
}

/// Returns whether `name` consists of letters, digits and hyphens, as most names of fields do.
fn is_word(name: &[u8]) -> bool {
    name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

/// Returns whether `byte` ends the first word of a protocol.
fn ends_word(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'=' | b':')
}

#[cfg(test)]
mod tests;
