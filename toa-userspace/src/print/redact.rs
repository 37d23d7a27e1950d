//! Hides secrets in targets and fields.
//!
//! The redactor splits a value into parts that are shown or hidden. Every printer escapes and writes the parts in its
//! own way. What is secret is recognised by the name before it (`name`) or by its form (`value`).

mod field;
mod name;
mod part;
mod scheme;
mod unit;
mod value;

use std::borrow::Cow;

pub use part::{MASK, Part};

use field::{Field, hide, hide_cookies, hide_credentials};
use name::Name;
use value::Kind;

/// Bytes of the first word of an unknown protocol that are shown: enough for `SSH-2.0-` and the magic numbers of binary
/// protocols, whose names and passwords come later.
const PREVIEW_SHOWN_BYTES: usize = 8;

/// The rules for what to hide.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    show_secrets: bool,
    /// Further names to hide, normalised as in [`Name`].
    names: Vec<Vec<u8>>,
}

impl Redactor {
    /// Returns a redactor that hides nothing.
    pub fn show_secrets() -> Self {
        Self { show_secrets: true, names: Vec::new() }
    }

    /// Also hides the fields and parameters called `name`, in any case.
    #[must_use]
    pub fn with_name(mut self, name: &str) -> Self {
        self.names.push(Name::of(name.as_bytes()).get().to_vec());
        self
    }

    /// Splits a method into parts. What stands there may be the end of a body, or lack the space before its target.
    pub fn method<'a>(&self, method: &'a [u8], part: &mut impl FnMut(Part<'a>)) {
        self.target(method, part);
    }

    /// Returns what is shown of the name of a field, which is a whole line if that has no colon.
    pub fn name<'a>(&self, name: &'a [u8]) -> Cow<'a, [u8]> {
        if self.show_secrets || is_word(name) {
            return Cow::Borrowed(name);
        }
        let mut shown = Vec::new();
        let mut add = |part: Part<'a>| shown.extend_from_slice(part.bytes());
        let word_len = memchr::memchr2(b' ', b'\t', name).unwrap_or(name.len());
        match name.split_at_checked(word_len) {
            Some((word, [_, ..])) if is_word(word) && Field::of(word, &self.names).is_secret() => {
                add(Part::Shown(word));
                add(Part::Shown(b" "));
                add(Part::Hidden(MASK));
            }
            _ => value::split(name, Kind::Target, &self.names, &mut add),
        }
        Cow::Owned(shown)
    }

    /// Splits a request target into parts. Every `?`, `&`, `;` and `#` is shown, so that its components stay the same.
    pub fn target<'a>(&self, target: &'a [u8], part: &mut impl FnMut(Part<'a>)) {
        if self.show_secrets {
            part(Part::Shown(target));
        } else {
            value::split(target, Kind::Target, &self.names, part);
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

    /// Splits a field's value into parts.
    pub fn value<'a>(&self, name: &[u8], value: &'a [u8], part: &mut impl FnMut(Part<'a>)) {
        if self.show_secrets || value.is_empty() {
            part(Part::Shown(value));
            return;
        }
        match Field::of(name, &self.names) {
            Field::Credentials => hide_credentials(value, part),
            Field::Cookies => hide_cookies(value, part),
            Field::Secret => hide(part),
            Field::Reference => value::split(value, Kind::Target, &self.names, part),
            Field::Text => value::split(value, Kind::of(value), &self.names, part),
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
