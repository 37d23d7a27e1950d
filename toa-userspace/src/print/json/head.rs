//! The head of a request: method, fields and target, redacted and escaped.

use std::{borrow::Cow, cmp::Ordering, ops::Range};

use crate::{
    http::head::{Field, HttpRequest},
    print::{
        escape::escape_json,
        fields::Fields,
        redact::{FieldRedactor, Part, Redactor},
        target::TargetParts,
        view::View,
    },
};

/// Appends the head of a request. What was written for fields is in `fields`.
pub(super) fn put(view: &View, fields: &mut Fields, request: &HttpRequest<'_>, out: &mut Vec<u8>) {
    let View { redactor, fields: choice } = view;
    out.extend_from_slice(br#","http":{"request":{"method":""#);
    redactor.method(request.method(), &mut |part| put_part(part, out));
    out.extend_from_slice(br#"","header":{"#);
    let start = out.len();
    if !choice.is_everything() || !put_few_fields(request, redactor, fields, out) {
        out.truncate(start);
        put_fields(request, view, out);
    }
    out.extend_from_slice(br#"}}},"url":{"original":""#);
    let start = out.len();
    redactor.target(request.target(), &mut |part| put_part(part, out));
    let TargetParts { path, query } = TargetParts::of(out.get(start..).unwrap_or_default(), start);
    out.extend_from_slice(br#"","path":"#);
    match path {
        None => out.extend_from_slice(b"null"),
        // The root (RFC 9110 section 4.2.3).
        Some(path) if path.is_empty() => out.extend_from_slice(br#""/""#),
        Some(path) => put_again(path, out),
    }
    out.extend_from_slice(br#","query":"#);
    match query {
        None => out.extend_from_slice(b"null"),
        Some(query) => put_again(query, out),
    }
    out.push(b'}');
}

/// Appends a part of a string that is in `out` already, as a string.
fn put_again(part: Range<usize>, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_within(part);
    out.push(b'"');
}

/// Appends a part of a string.
pub(super) fn put_part(part: Part<'_>, out: &mut Vec<u8>) {
    match part {
        Part::Shown(bytes) => escape_json(bytes, out),
        Part::Plain(bytes) => out.extend_from_slice(bytes),
        Part::Hidden(mask) => out.extend_from_slice(mask.as_bytes()),
    }
}

/// Most fields whose names are compared pairwise.
const FEW_FIELDS: usize = 64;

/// Appends the fields of a head: an array of values for each name that is shown, both in the order in which they were
/// received. Returns false if there are many, or if a part of a name is hidden, so that others may be shown alike.
fn put_few_fields(
    request: &HttpRequest<'_>,
    redactor: &Redactor,
    fields: &mut Fields,
    out: &mut Vec<u8>,
) -> bool {
    if request.fields().len() > FEW_FIELDS {
        return false;
    }
    let may_repeat = may_repeat_names(request);
    let begin = out.len();
    for (position, field) in request.fields().enumerate() {
        let is_same = |other: &Field<'_>| {
            other.name_print() == field.name_print() && other.name().eq_ignore_ascii_case(field.name())
        };
        if may_repeat && request.fields().take(position).any(|other| is_same(&other)) {
            continue;
        }
        let start = out.len();
        fields.put(field, out, |out| put_field(redactor, field, out));
        if out.len() == start {
            return false;
        }
        if may_repeat {
            for other in request.fields().skip(position.saturating_add(1)).filter(is_same) {
                out.truncate(out.len().saturating_sub(FIELD_END.len()));
                out.push(b',');
                put_value(&redactor.field(other.name()), other.value(), out);
                out.extend_from_slice(FIELD_END);
            }
        }
    }
    if out.len() > begin {
        // The comma.
        out.pop();
    }
    true
}

/// Returns whether two fields may have the same name. It is false for most heads without such fields.
fn may_repeat_names(request: &HttpRequest<'_>) -> bool {
    let mut seen = 0_u64;
    request.fields().any(|field| {
        // A multiplication spreads the differences to the highest bits.
        let bit = 1 << (field.name_print().wrapping_mul(0x9e37_79b9) >> (u32::BITS - 6));
        let is_seen = seen & bit != 0;
        seen |= bit;
        is_seen
    })
}

/// What follows the last value of a field.
const FIELD_END: &[u8] = b"],";

/// Appends a field with its value, as if another field followed. Appends nothing if a part of the name is hidden.
fn put_field(redactor: &Redactor, field: Field<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    let shown = redactor.field(field.name());
    if put_name(&shown, &field, out) {
        put_value(&shown, field.value(), out);
        out.extend_from_slice(FIELD_END);
    } else {
        out.truncate(start);
    }
}

/// Appends the name of a field and begins its values. Returns false if a part of the name is hidden.
fn put_name(shown: &FieldRedactor<'_>, field: &Field<'_>, out: &mut Vec<u8>) -> bool {
    out.push(b'"');
    let is_whole = if let Some(word) = shown.word() {
        out.extend_from_slice(word);
        true
    } else {
        let name = shown.name();
        put_lower(&name, out);
        *name == *field.name()
    };
    out.extend_from_slice(b"\":[");
    is_whole
}

/// Appends a name as a part of a string, in lower case.
fn put_lower(name: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    escape_json(name, out);
    out.get_mut(start..).unwrap_or_default().make_ascii_lowercase();
}

/// Appends a value as a string.
fn put_value(shown: &FieldRedactor<'_>, value: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    shown.value(value, &mut |part| put_part(part, out));
    out.push(b'"');
}

/// Does the same as [`put_few_fields`] for any head, and for some of its fields.
fn put_fields(request: &HttpRequest<'_>, view: &View, out: &mut Vec<u8>) {
    let View { redactor, fields: choice } = view;
    let chosen = request.fields().filter(|field| choice.contains(field.name()));
    let mut fields: Vec<_> = chosen.enumerate().map(|field| Named::new(field, redactor)).collect();
    // Sorted: comparing names pairwise would be slow for a head with thousands of fields.
    fields.sort_unstable_by(|a, b| compare(&a.name, &b.name).then(a.position.cmp(&b.position)));
    let mut groups: Vec<_> = fields.chunk_by(|a, b| a.name.eq_ignore_ascii_case(&b.name)).collect();
    groups.sort_unstable_by_key(|group| group.first().map(|first| first.position));
    for (number, group) in groups.into_iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        out.push(b'"');
        put_lower(group.first().map(|first| &*first.name).unwrap_or_default(), out);
        out.extend_from_slice(b"\":");
        for (number, named) in group.iter().enumerate() {
            out.push(if number == 0 { b'[' } else { b',' });
            put_value(&redactor.field(named.field.name()), named.field.value(), out);
        }
        out.push(b']');
    }
}

/// A field with its position in the head and its redacted name.
struct Named<'a> {
    position: usize,
    name: Cow<'a, [u8]>,
    field: Field<'a>,
}

impl<'a> Named<'a> {
    fn new((position, field): (usize, Field<'a>), redactor: &'a Redactor) -> Self {
        Self { position, name: redactor.field(field.name()).name(), field }
    }
}

/// Compares names without regard to case.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    a.iter().map(u8::to_ascii_lowercase).cmp(b.iter().map(u8::to_ascii_lowercase))
}
