//! Request heads. [`super::parser`] finds them in a stream.
//!
//! A head is read as far as it can be: whoever sends an unusual one is to be seen, too. What a server may refuse is
//! marked, and nothing that was sent is left out.

use std::borrow::Cow;

use super::{
    framing::{Framing, FramingFault, FramingFields},
    host::Hosts,
    request_line::{Malformation, RequestLine, Version, is_token},
};

/// Capacity for the fields of a usual head.
const USUAL_FIELDS: usize = 16;

/// A part of a head, as a range of its bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn new(start: usize, end: usize) -> Self {
        let position = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: position(start), end: position(end) }
    }

    fn get(self, whole: &[u8]) -> &[u8] {
        whole.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// A field of a head.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Field<'a> {
    /// The name, as it was sent. A line without a colon is all name.
    pub name: &'a [u8],
    /// The value, without the whitespace around it.
    pub value: &'a [u8],
}

/// Why a head is incomplete.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// Bytes are missing.
    Gap,
    /// The connection ended.
    End,
    /// The connection was silent for too long.
    Idle,
    /// There were too many connections, or too much data waited.
    Limit,
    /// The run or the capture ended.
    Finished,
    /// The head is longer than allowed, or has too many fields. What is left out was read to find its end.
    Length,
}

impl Cause {
    /// Returns the name used in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::End => "end",
            Self::Idle => "idle",
            Self::Limit => "limit",
            Self::Finished => "finished",
            Self::Length => "length",
        }
    }
}

/// What is missing of a head.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Incomplete {
    /// Why.
    pub cause: Cause,
    /// The length of the gap after the fields that are present; 0 if the cause is another.
    pub gap_bytes: u64,
}

/// How certain it is that a request was sent, and as it is shown.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Certainty {
    /// It was found by searching, after bytes were lost or because the connection was joined. It may be a part of a body.
    pub resynchronized: bool,
    /// Bytes of the connection arrived twice with different content. The server may have read the others.
    pub conflicting: bool,
    /// The connection had ended before, as far as can be told from one side. The server may not have read it.
    pub reopened: bool,
}

/// A request head, either in place in its segment or collected from several.
#[derive(Clone, Debug)]
pub struct HttpRequest<'a> {
    head: Cow<'a, [u8]>,
    line: RequestLine,
    fields: Vec<(Span, Span)>,
    /// When the segment that completed the head arrived, in nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// Number within the connection, counted from 1.
    pub number: u64,
    /// What is missing, if the head is incomplete.
    pub incomplete: Option<Incomplete>,
    /// What is wrong with the head, if anything.
    pub malformation: Option<Malformation>,
    /// How certain it is.
    pub certainty: Certainty,
    framing: Framing,
    framing_fault: Option<FramingFault>,
    is_last: bool,
}

impl<'a> HttpRequest<'a> {
    /// Reads `head`, which ends with its empty line or anywhere. Folded lines are unfolded: each fold is replaced by
    /// spaces (RFC 9112 section 5.2). Of more than `max_fields` fields, the others are left out.
    pub(crate) fn read(head: impl Into<Cow<'a, [u8]>>, max_fields: usize) -> Self {
        let mut head = head.into();
        let fold = next_fold(&head, 0);
        if let Some(first) = fold {
            unfold(head.to_mut(), first);
        }
        let (line_bytes, mut at, is_whole) = next_line(&head, 0);
        let line = RequestLine::read(line_bytes, is_whole);
        let mut malformation = line.malformation.or(fold.map(|_| Malformation::Field));
        let (mut reading, mut hosts) = (FramingFields::default(), Hosts::default());
        let mut fields = Vec::with_capacity(USUAL_FIELDS);
        let (mut left_out, mut is_last) =
            (false, line.method == (0..7) && line_bytes.starts_with(b"CONNECT"));
        while at < head.len() {
            let start = at;
            let (bytes, next, is_whole) = next_line(&head, start);
            at = next;
            // The end, or a line that is cut and could be anything.
            if bytes.is_empty() || !is_whole {
                break;
            }
            let field = FieldLine::read(bytes);
            malformation = malformation.or(field.malformation);
            let (name, value) = (bytes.get(..field.name_len), bytes.get(field.value_start..field.value_end));
            let (name, value) = (name.unwrap_or_default(), value.unwrap_or_default());
            reading.add(name, value, field.has_space);
            hosts.add(name, value);
            is_last |= name.eq_ignore_ascii_case(b"upgrade");
            if fields.len() < max_fields {
                let at = |offset: usize| start.saturating_add(offset);
                fields.push((
                    Span::new(start, at(field.name_len)),
                    Span::new(at(field.value_start), at(field.value_end)),
                ));
            } else {
                left_out = true;
            }
        }
        // No early exit, so that the loop is vectorised.
        if malformation.is_none() && head.iter().fold(false, |found, byte| found | is_control(*byte)) {
            malformation = Some(Malformation::Control);
        }
        let is_bare = |at: usize| head.get(at.saturating_add(1)).is_some_and(|next| *next != b'\n');
        if malformation.is_none() && memchr::memchr_iter(b'\r', &head).any(is_bare) {
            malformation = Some(Malformation::Control);
        }
        let minor_version = match line.version {
            Version::One { minor, .. } => minor,
            Version::Simple => 0,
            Version::Unknown => 1,
        };
        let (framing, framing_fault) = reading.framing(minor_version);
        if malformation.is_none() && hosts.are_wrong(minor_version) {
            malformation = Some(Malformation::Host);
        }
        Self {
            head,
            line,
            fields,
            time_ns: 0,
            number: 0,
            incomplete: left_out.then_some(Incomplete { cause: Cause::Length, gap_bytes: 0 }),
            malformation,
            certainty: Certainty::default(),
            framing,
            framing_fault,
            is_last,
        }
    }

    /// Reads `part`, an incomplete head. Returns `None` if it does not even have a method and a target.
    pub(super) fn read_incomplete(part: &'a [u8], incomplete: Incomplete, max_fields: usize) -> Option<Self> {
        let mut request = Self::read(part, max_fields);
        request.incomplete = Some(incomplete);
        // What is not there yet cannot be wrong.
        let may_follow = match request.malformation {
            Some(Malformation::Target | Malformation::Version) => !part.contains(&b'\n'),
            Some(Malformation::Host) => request.values("host").next().is_none(),
            _ => false,
        };
        if may_follow {
            request.malformation = None;
        }
        (!request.target().is_empty()).then_some(request)
    }

    /// Returns the method.
    pub fn method(&self) -> &[u8] {
        self.head.get(self.line.method.clone()).unwrap_or_default()
    }

    /// Returns the request target, as it was sent.
    pub fn target(&self) -> &[u8] {
        self.head.get(self.line.target.clone()).unwrap_or_default()
    }

    /// Returns the version, such as `1.1`, or `None` if there is none that is known.
    pub fn version(&self) -> Option<&str> {
        match &self.line.version {
            Version::One { digits, .. } => str::from_utf8(self.head.get(digits.clone())?).ok(),
            Version::Simple => Some("0.9"),
            Version::Unknown => None,
        }
    }

    /// Returns the fields in the order in which they were sent.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = Field<'_>> {
        self.fields
            .iter()
            .map(|(name, value)| Field { name: name.get(&self.head), value: value.get(&self.head) })
    }

    /// Returns the values of the fields called `name`, which is compared without regard to case.
    pub fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s [u8]> {
        self.fields()
            .filter(move |field| field.name.eq_ignore_ascii_case(name.as_bytes()))
            .map(|field| field.value)
    }

    /// Returns how the body is delimited.
    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    /// Returns why the length of the body is ambiguous or unknown, if it is.
    pub fn framing_fault(&self) -> Option<FramingFault> {
        self.framing_fault
    }

    /// Returns whether it asks for a tunnel or another protocol, so that what follows may not be HTTP.
    pub(super) fn may_end_http(&self) -> bool {
        self.is_last
    }

    /// Returns whether the client may leave out the body (RFC 9110 section 10.1.1).
    pub(super) fn expects_continue(&self) -> bool {
        self.values("expect").any(|value| value.eq_ignore_ascii_case(b"100-continue"))
    }

    /// Returns the raw head: request line, fields and empty line, unfolded.
    pub fn raw(&self) -> &[u8] {
        &self.head
    }
}

/// A field line, as offsets in its bytes.
pub(super) struct FieldLine {
    name_len: usize,
    value_start: usize,
    value_end: usize,
    /// Whether there is whitespace between the name and the colon.
    has_space: bool,
    pub(super) malformation: Option<Malformation>,
}

impl FieldLine {
    /// Reads a line without its line end.
    pub(super) fn read(line: &[u8]) -> Self {
        let colon = memchr::memchr(b':', line);
        let name = line.get(..colon.unwrap_or(line.len())).unwrap_or_default();
        let trimmed = name.trim_ascii_end();
        let value = colon.and_then(|colon| line.get(colon.saturating_add(1)..)).unwrap_or_default();
        let value_start = line.len().saturating_sub(value.trim_ascii_start().len());
        let value_end = line.trim_ascii_end().len().max(value_start);
        let is_name = !name.is_empty() && name.iter().all(|byte| is_token(*byte));
        Self {
            name_len: trimmed.len(),
            value_start,
            value_end,
            has_space: trimmed.len() < name.len(),
            malformation: (!is_name || colon.is_none()).then_some(Malformation::Field),
        }
    }

    /// Returns the name and value of `line`, from which it was read.
    pub(super) fn parts<'l>(&self, line: &'l [u8]) -> (&'l [u8], &'l [u8]) {
        let name = line.get(..self.name_len).unwrap_or_default();
        (name, line.get(self.value_start..self.value_end).unwrap_or_default())
    }

    /// Returns whether there is whitespace between the name and the colon.
    pub(super) fn has_space(&self) -> bool {
        self.has_space
    }
}

/// Returns the line of `bytes` at `at` without its line end, the position after it, and whether it has a line end.
fn next_line(bytes: &[u8], at: usize) -> (&[u8], usize, bool) {
    let rest = bytes.get(at..).unwrap_or_default();
    match memchr::memchr(b'\n', rest) {
        Some(end) => {
            let line = rest.get(..end).unwrap_or_default();
            (line.strip_suffix(b"\r").unwrap_or(line), at.saturating_add(end).saturating_add(1), true)
        }
        None => (rest, bytes.len(), false),
    }
}

/// Returns whether a byte is allowed neither in a field (RFC 9110 section 5.5) nor as part of a line end.
fn is_control(byte: u8) -> bool {
    matches!(byte, 0..=8 | 11 | 12 | 14..=31 | 127)
}

/// Returns the position of the next line end that is followed by a continuation of its field (obs-fold, RFC 9112
/// section 5.2). The request line is not folded.
fn next_fold(head: &[u8], from: usize) -> Option<usize> {
    let start = if from > 0 { from } else { memchr::memchr(b'\n', head)?.saturating_add(1) };
    let behind = head.get(start..)?;
    let found = memchr::memchr_iter(b'\n', behind)
        .find(|at| matches!(behind.get(at.saturating_add(1)), Some(b' ' | b'\t')))?;
    Some(start.saturating_add(found))
}

/// Replaces folds by spaces, beginning with the fold at `first`.
fn unfold(head: &mut [u8], first: usize) {
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

/// Returns the length of the request line at the beginning of `bytes` if it has no version and no field follows: a
/// request of HTTP/0.9, or a line at which a server stops reading.
pub(super) fn lone_line(bytes: &[u8]) -> Option<usize> {
    let (line_bytes, end, is_whole) = next_line(bytes, 0);
    let has_no_version = || !matches!(RequestLine::read(line_bytes, true).version, Version::One { .. });
    if !is_whole || line_bytes.ends_with(b"HTTP/1.1") || !has_no_version() {
        return None;
    }
    let (next, _, _) = next_line(bytes, end);
    let is_field = !next.is_empty() && FieldLine::read(next).malformation.is_none();
    (!is_field).then_some(end)
}

/// Returns where the head at the beginning of `bytes` ends: after its first empty line. The search starts at `from`,
/// which must not be after the position returned by an earlier search of fewer bytes. `Err` holds the position at which
/// the next search should start.
pub(super) fn end(bytes: &[u8], from: usize) -> Result<usize, usize> {
    let mut at = from;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr(b'\n', rest)) {
        let line_end = at.saturating_add(found);
        at = line_end.saturating_add(1);
        match bytes.get(at..).unwrap_or_default() {
            [b'\n', ..] => return Ok(at.saturating_add(1)),
            [b'\r', b'\n', ..] => return Ok(at.saturating_add(2)),
            [] | [b'\r'] => return Err(line_end),
            _ => {}
        }
    }
    Err(bytes.len())
}

#[cfg(test)]
mod tests;
