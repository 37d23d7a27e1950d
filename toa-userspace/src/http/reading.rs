//! Reading a head in one pass.

use super::{
    field_line::{FieldLine, has_control},
    framing::FramingFields,
    host::Hosts,
    memory::{FieldSpans, HeadMemory, Span},
    request_line::{Malformation, RequestLine, Version},
};

/// What one pass over a head finds, besides the places of its fields.
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct Reading {
    pub(super) line: RequestLine,
    /// The position after the empty line, or where to continue to search for it.
    pub(super) end: Result<usize, usize>,
    /// The position of the first line end that is followed by a continuation of its field (obs-fold, RFC 9112 section
    /// 5.2). The request line is not folded.
    pub(super) fold: Option<usize>,
    /// What is wrong with the first field that is malformed.
    pub(super) malformation: Option<Malformation>,
    pub(super) framing: FramingFields,
    pub(super) hosts: Hosts,
    /// Whether there is a byte that is allowed neither in a field nor as part of a line end.
    pub(super) has_control: bool,
    /// Whether there are more fields than allowed.
    pub(super) left_out: bool,
    /// Whether it asks for a tunnel or another protocol.
    pub(super) is_last: bool,
    /// Whether the client may leave out the body.
    pub(super) expects_continue: bool,
}

impl Reading {
    /// Reads a head, which ends with its empty line or anywhere. The places of its fields are in `memory` then.
    pub(super) fn of(bytes: &[u8], max_fields: usize, memory: &mut HeadMemory) -> Self {
        memory.spans.clear();
        let (line_bytes, first_field, is_whole) = next_line(bytes, 0);
        let line = RequestLine::read(line_bytes, is_whole);
        let is_last = line.method == (0..7) && line_bytes.starts_with(b"CONNECT");
        // A line with a version is malformed if it has one.
        let may_have_control = !matches!(line.version, Version::One { .. });
        let mut this = Self {
            line,
            end: Err(bytes.len()),
            fold: None,
            malformation: None,
            framing: FramingFields::default(),
            hosts: Hosts::default(),
            has_control: may_have_control
                && has_control(if is_whole { line_bytes } else { before_cr(line_bytes) }),
            left_out: false,
            is_last,
            expects_continue: false,
        };
        let HeadMemory { spans, lines, .. } = memory;
        let (mut start, mut before) = if is_whole { (first_field, None) } else { return this };
        loop {
            let rest = bytes.get(start..).unwrap_or_default();
            let ((field, place), next) = if let Some((known, len)) = lines.follower(before, rest) {
                (known, start.saturating_add(len))
            } else {
                let (line, next, is_whole) = next_line(bytes, start);
                if !is_whole {
                    // The line is cut and could be anything.
                    if let [] | [b'\r'] = line {
                        this.end = Err(start.saturating_sub(1));
                    }
                    this.has_control |= has_control(before_cr(line));
                    return this;
                }
                if line.is_empty() {
                    this.end = Ok(next);
                    return this;
                }
                (lines.get(line, before), next)
            };
            if let (None, Some(b' ' | b'\t')) = (this.fold, bytes.get(next)) {
                this.fold = Some(next.saturating_sub(1));
            }
            this.add(&field, rest);
            if spans.len() < max_fields {
                spans.push(FieldSpans {
                    name: Span::within(start, 0..field.name_len),
                    value: Span::within(start, field.value_start..field.value_end),
                    place,
                    name_print: field.name_print,
                });
            } else {
                this.left_out = true;
            }
            (start, before) = (next, place);
        }
    }

    /// Takes the field line at the beginning of `bytes` into account.
    fn add(&mut self, field: &FieldLine, bytes: &[u8]) {
        self.malformation = self.malformation.or(field.malformation);
        self.has_control |= field.has_control;
        if field.is_special {
            let (name, value) = field.parts(bytes);
            self.framing.add(name, value, field.has_space);
            self.hosts.add(name, value);
            self.is_last |= name.eq_ignore_ascii_case(b"upgrade");
            self.expects_continue |=
                name.eq_ignore_ascii_case(b"expect") && value.eq_ignore_ascii_case(b"100-continue");
        }
    }
}

/// Returns the line of `bytes` at `at` without its line end, the position after it, and whether it has a line end.
pub(super) fn next_line(bytes: &[u8], at: usize) -> (&[u8], usize, bool) {
    let rest = bytes.get(at..).unwrap_or_default();
    match memchr::memchr(b'\n', rest) {
        Some(end) => {
            let line = rest.get(..end).unwrap_or_default();
            (line.strip_suffix(b"\r").unwrap_or(line), at.saturating_add(end).saturating_add(1), true)
        }
        None => (rest, bytes.len(), false),
    }
}

/// Returns a line that is cut without a CR at its end, which an LF may have followed.
fn before_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Returns the position of the next fold from `start` on.
fn next_fold(head: &[u8], start: usize) -> Option<usize> {
    let behind = head.get(start..)?;
    let found = memchr::memchr_iter(b'\n', behind)
        .find(|at| matches!(behind.get(at.saturating_add(1)), Some(b' ' | b'\t')))?;
    Some(start.saturating_add(found))
}

/// Replaces folds by spaces, beginning with the fold at `first`.
pub(super) fn unfold(head: &mut [u8], first: usize) {
    let mut next = Some(first);
    while let Some(at) = next {
        if let Some(b'\r') = at.checked_sub(1).and_then(|before| head.get(before)) {
            set_space(head, at.saturating_sub(1));
        }
        set_space(head, at);
        let mut tab = at.saturating_add(1);
        while let Some(b' ' | b'\t') = head.get(tab) {
            set_space(head, tab);
            tab = tab.saturating_add(1);
        }
        next = next_fold(head, at);
    }
}

fn set_space(head: &mut [u8], at: usize) {
    if let Some(byte) = head.get_mut(at) {
        *byte = b' ';
    }
}
