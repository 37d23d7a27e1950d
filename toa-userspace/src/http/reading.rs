//! Reading a head in one pass.

use super::{
    field_line::{FieldLine, Role, has_control},
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
    /// Whether it asks to close the connection, and to keep it.
    pub(super) closes: bool,
    pub(super) keeps: bool,
}

impl Reading {
    /// Reads a head, which ends with its empty line or anywhere. The places of its fields are in `memory` then. Its request line
    /// has `line_len` bytes with its end, if that is known.
    pub(super) fn of(
        bytes: &[u8],
        line_len: Option<usize>,
        max_fields: usize,
        memory: &mut HeadMemory,
    ) -> Self {
        memory.spans.clear();
        let (line_bytes, first_field, is_whole) = match line_len {
            Some(len) => (without_end(bytes.get(..len).unwrap_or(bytes)), len, true),
            None => next_line(bytes),
        };
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
            closes: false,
            keeps: false,
        };
        let HeadMemory { spans, lines, .. } = memory;
        let (mut rest, mut trail) = match bytes.get(first_field..) {
            Some(rest) if is_whole => (rest, lines.begin()),
            _ => return this,
        };
        loop {
            let start = bytes.len().wrapping_sub(rest.len());
            let ((field, place), len) = if let Some(known) = lines.follower(&mut trail, rest) {
                known
            } else if let [b'\r', b'\n', ..] = rest {
                this.end = Ok(start.saturating_add(2));
                return this;
            } else {
                let (line, len, is_whole) = next_line(rest);
                if !is_whole {
                    // The line is cut and could be anything.
                    if let [] | [b'\r'] = line {
                        this.end = Err(start.saturating_sub(1));
                    }
                    this.has_control |= has_control(before_cr(line));
                    return this;
                }
                if line.is_empty() {
                    this.end = Ok(start.saturating_add(len));
                    return this;
                }
                (lines.get(line, &mut trail), len)
            };
            let (line, behind) = rest.split_at_checked(len).unwrap_or((rest, &[]));
            if let (None, Some(b' ' | b'\t')) = (this.fold, behind.first()) {
                this.fold = Some(start.saturating_add(len).saturating_sub(1));
            }
            if !field.is_usual {
                this.add(&field, line);
            }
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
            rest = behind;
        }
    }

    /// Takes the line of a field with a role or a fault into account.
    fn add(&mut self, field: &FieldLine, line: &[u8]) {
        self.malformation = self.malformation.or(field.malformation);
        self.has_control |= field.has_control;
        match field.role {
            Role::None => {}
            Role::Host { is_valid } => self.hosts.add(is_valid),
            Role::Framing => {
                let (name, value) = field.parts(line);
                self.framing.add(name, value, field.has_space);
            }
            Role::Upgrade => self.is_last = true,
            Role::Continue => self.expects_continue = true,
            Role::Close => self.closes = true,
            Role::KeepAlive => self.keeps = true,
        }
    }
}

/// Returns the line at the beginning of `bytes` without its line end, its length with it, and whether it has one.
pub(super) fn next_line(bytes: &[u8]) -> (&[u8], usize, bool) {
    match memchr::memchr(b'\n', bytes) {
        Some(end) => {
            let len = end.saturating_add(1);
            (without_end(bytes.get(..len).unwrap_or(bytes)), len, true)
        }
        None => (bytes, bytes.len(), false),
    }
}

/// Returns a line without its end.
pub(super) fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
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
