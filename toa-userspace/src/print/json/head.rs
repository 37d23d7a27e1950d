//! The target and fields of a request in JSON. [`crate::print::redact`] decides what is secret.

use std::{
    borrow::Cow,
    cmp::Ordering,
    fmt::{self, Write},
};

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};

use crate::{
    http::head::{Field, HttpRequest},
    print::{
        escape::{Escaped, write_escaped},
        redact::{Part, Redactor},
    },
};

/// Replaces the content of `out` with `target`, redacted and escaped.
pub(super) fn redact_target(redactor: &Redactor, target: &[u8], out: &mut String) {
    out.clear();
    redactor.target(target, &mut |part| push_part(part, out));
}

/// Replaces the content of `out` with the first bytes of an unknown protocol, redacted and escaped.
pub(super) fn redact_preview(redactor: &Redactor, preview: &[u8], out: &mut String) {
    out.clear();
    redactor.preview(preview, &mut |part| push_part(part, out));
}

fn push_part(part: Part<'_>, out: &mut String) {
    // Writing to a `String` cannot fail.
    _ = write_part(part, out);
}

fn write_part(part: Part<'_>, out: &mut impl Write) -> fmt::Result {
    match part {
        Part::Shown(bytes) => write_escaped(bytes, out),
        Part::Hidden(mask) => out.write_str(mask),
    }
}

/// A target and its parts (RFC 9112 section 3.2). Neither redaction nor escaping adds or removes a separator.
#[derive(Debug, Eq, PartialEq, Serialize)]
pub(super) struct Url<'a> {
    original: &'a str,
    /// `None` for targets without a path: `*` and `host:port`.
    path: Option<&'a str>,
    /// `None` without a `?`.
    query: Option<&'a str>,
}

impl<'a> Url<'a> {
    /// Finds the parts of a redacted and escaped target.
    pub(super) fn of(target: &'a str) -> Self {
        let origin = if target.starts_with('/') {
            Some(target)
        } else {
            // absolute-form: scheme and authority, then the same as origin-form. An empty path is the root (RFC 9110
            // section 4.2.3).
            target.split_once("://").filter(|(scheme, _)| is_scheme(scheme)).map(|(_, rest)| {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                rest.get(end..).unwrap_or_default()
            })
        };
        let Some(origin) = origin else {
            return Self { original: target, path: None, query: None };
        };
        let origin = origin.split_once('#').map_or(origin, |(before, _)| before);
        let (path, query) =
            origin.split_once('?').map_or((origin, None), |(path, query)| (path, Some(query)));
        Self { original: target, path: Some(if path.is_empty() { "/" } else { path }), query }
    }
}

/// Returns whether `text` is a scheme (RFC 3986 section 3.1).
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// The method of a request, redacted and escaped.
pub(super) struct Method<'a> {
    request: &'a HttpRequest<'a>,
    redactor: &'a Redactor,
}

impl<'a> Method<'a> {
    pub(super) fn new(request: &'a HttpRequest<'a>, redactor: &'a Redactor) -> Self {
        Self { request, redactor }
    }
}

impl Serialize for Method<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut result = Ok(());
        self.redactor.method(self.request.method(), &mut |part| {
            result = result.and_then(|()| write_part(part, f));
        });
        result
    }
}

/// The fields of a head: an object with an array of values for each name that is shown, both in the order in which they
/// were received.
pub(super) struct Headers<'a> {
    request: &'a HttpRequest<'a>,
    redactor: &'a Redactor,
}

impl<'a> Headers<'a> {
    pub(super) fn new(request: &'a HttpRequest<'a>, redactor: &'a Redactor) -> Self {
        Self { request, redactor }
    }
}

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Sorted: comparing names pairwise would be slow for a head with thousands of fields.
        let mut fields: Vec<_> =
            self.request.fields().enumerate().map(|field| Named::new(field, self.redactor)).collect();
        fields.sort_unstable_by(|a, b| compare(&a.name, &b.name).then(a.position.cmp(&b.position)));
        let mut groups: Vec<_> = fields.chunk_by(|a, b| a.name.eq_ignore_ascii_case(&b.name)).collect();
        groups.sort_unstable_by_key(|group| group.first().map(|first| first.position));
        let mut map = serializer.serialize_map(Some(groups.len()))?;
        for group in groups {
            if let Some(first) = group.first() {
                map.serialize_entry(&Name(&first.name), &Values { group, redactor: self.redactor })?;
            }
        }
        map.end()
    }
}

/// A field with its position in the head and its redacted name.
struct Named<'a> {
    position: usize,
    name: Cow<'a, [u8]>,
    field: Field<'a>,
}

impl<'a> Named<'a> {
    fn new((position, field): (usize, Field<'a>), redactor: &Redactor) -> Self {
        Self { position, name: redactor.name(field.name), field }
    }
}

/// Compares names without regard to case.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    a.iter().map(u8::to_ascii_lowercase).cmp(b.iter().map(u8::to_ascii_lowercase))
}

/// A field's name, in lower case.
struct Name<'a>(&'a [u8]);

impl Serialize for Name<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Lower(f), "{}", Escaped(self.0))
    }
}

/// Writes ASCII letters in lower case.
struct Lower<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Lower<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(|character: char| character.is_ascii_uppercase()) {
            let (before, behind) = rest.split_at_checked(at).unwrap_or((rest, ""));
            self.0.write_str(before)?;
            let mut behind = behind.chars();
            behind.next().map_or(Ok(()), |upper| self.0.write_char(upper.to_ascii_lowercase()))?;
            rest = behind.as_str();
        }
        self.0.write_str(rest)
    }
}

/// The values of all fields with one name.
struct Values<'a> {
    group: &'a [Named<'a>],
    redactor: &'a Redactor,
}

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut values = serializer.serialize_seq(Some(self.group.len()))?;
        for named in self.group {
            values.serialize_element(&Value { field: &named.field, redactor: self.redactor })?;
        }
        values.end()
    }
}

/// A field's value, redacted and escaped.
struct Value<'a> {
    field: &'a Field<'a>,
    redactor: &'a Redactor,
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut result = Ok(());
        self.redactor.value(self.field.name, self.field.value, &mut |part| {
            result = result.and_then(|()| write_part(part, f));
        });
        result
    }
}
