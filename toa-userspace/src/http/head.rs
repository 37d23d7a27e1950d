//! Request heads. [`super::parser`] finds them in a stream.
//!
//! A head is read as far as it can be: whoever sends an unusual one is to be seen, too. What a server may refuse is
//! marked, and nothing that was sent is left out.

use std::{borrow::Cow, mem, ops::Range};

use super::{
    field_line::FieldLine,
    framing::{Framing, FramingFault},
    memory::{FieldSpans, HeadMemory},
    reading::{Reading, next_line, unfold},
    request_line::{Malformation, RequestLine, Version},
};

pub(crate) use super::known_lines::{MAX_LINE_LEN, Place};

/// A field of a head.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    head: &'a [u8],
    spans: &'a FieldSpans,
}

impl<'a> Field<'a> {
    /// Returns the name, as it was sent. A line without a colon is all name.
    #[inline]
    pub fn name(&self) -> &'a [u8] {
        self.spans.name.get(self.head)
    }

    /// Returns the value, without the whitespace around it.
    #[inline]
    pub fn value(&self) -> &'a [u8] {
        self.spans.value.get(self.head)
    }

    /// Returns where the line is remembered, if it is. Equal places are those of equal lines.
    #[inline]
    pub(crate) fn place(&self) -> Option<Place> {
        self.spans.place
    }

    /// Returns something of the name that differs for most names, but not with their case.
    #[inline]
    pub(crate) fn name_print(&self) -> u32 {
        self.spans.name_print
    }
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
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Certainty {
    /// It was found by searching, after bytes were lost or because the connection was joined. It may be a part of a body.
    pub resynchronized: bool,
    /// Bytes of the connection arrived twice with different content. The server may have read the others.
    pub conflicting: bool,
    /// The connection had ended before, as far as can be told from one side. The server may not have read it.
    pub reopened: bool,
    /// The server may have refused an earlier request or a frame of the connection, and closed it without reading this one.
    pub possibly_unread: bool,
}

/// The name of a field that HTTP/2 sends as a reference to one that was not seen. It is not a token.
pub(crate) const UNKNOWN_NAME: &str = "(unknown)";

/// What only a request of HTTP/2 has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StreamPart {
    /// The identifier of its stream.
    pub id: u32,
    /// How many of its fields refer to what was sent before the connection was joined, or was lost.
    pub unknown_fields: u32,
}

/// The parts of a request of HTTP/2. The ranges are those in `head`.
pub(super) struct Parts {
    pub(super) head: Vec<u8>,
    pub(super) method: Range<usize>,
    pub(super) target: Range<usize>,
    pub(super) fields: Vec<FieldSpans>,
    pub(super) incomplete: Option<Incomplete>,
    pub(super) malformation: Option<Malformation>,
    pub(super) stream: StreamPart,
}

/// A request head, either in place in its segment or collected from several.
#[derive(Clone, Debug)]
pub struct HttpRequest<'a> {
    head: Cow<'a, [u8]>,
    line: RequestLine,
    fields: Vec<FieldSpans>,
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
    /// What only a request of HTTP/2 has.
    pub stream: Option<StreamPart>,
    framing: Framing,
    framing_fault: Option<FramingFault>,
    is_last: bool,
    expects_continue: bool,
}

impl<'a> HttpRequest<'a> {
    /// Reads `head`, which ends with its empty line or anywhere. Folded lines are unfolded: each fold is replaced by
    /// spaces (RFC 9112 section 5.2). Of more than `max_fields` fields, the others are left out.
    pub(crate) fn read(head: impl Into<Cow<'a, [u8]>>, max_fields: usize, memory: &mut HeadMemory) -> Self {
        let head = head.into();
        let found = Reading::of(&head, max_fields, memory);
        Self::new(head, found, max_fields, memory)
    }

    /// Reads the head at the beginning of `bytes`, which ends with its empty line. Without one, `Err` holds the position
    /// at which a search for it should continue.
    pub(super) fn read_first(
        bytes: &'a [u8],
        max_fields: usize,
        memory: &mut HeadMemory,
    ) -> Result<Self, usize> {
        let found = Reading::of(bytes, max_fields, memory);
        let head = bytes.get(..found.end?).unwrap_or(bytes);
        Ok(Self::new(head.into(), found, max_fields, memory))
    }

    fn new(mut head: Cow<'a, [u8]>, mut found: Reading, max_fields: usize, memory: &mut HeadMemory) -> Self {
        let fold = found.fold;
        if let Some(first) = fold {
            unfold(head.to_mut(), first);
            found = Reading::of(&head, max_fields, memory);
        }
        let Reading { line, framing, hosts, left_out, is_last, expects_continue, .. } = found;
        let folded = fold.map(|_| Malformation::Field);
        let mut malformation = line.malformation.or(folded).or(found.malformation);
        if malformation.is_none() && found.has_control {
            malformation = Some(Malformation::Control);
        }
        let minor_version = match line.version {
            Version::One { minor, .. } => minor,
            Version::Simple => 0,
            Version::Two | Version::Unknown => 1,
        };
        let (framing, framing_fault) = framing.framing(minor_version);
        if malformation.is_none() && hosts.are_wrong(minor_version) {
            malformation = Some(Malformation::Host);
        }
        Self {
            head,
            line,
            fields: mem::take(&mut memory.spans),
            time_ns: 0,
            number: 0,
            incomplete: left_out.then_some(Incomplete { cause: Cause::Length, gap_bytes: 0 }),
            malformation,
            certainty: Certainty::default(),
            stream: None,
            framing,
            framing_fault,
            is_last,
            expects_continue,
        }
    }

    /// Puts a request of HTTP/2 together.
    pub(super) fn from_parts(parts: Parts) -> Self {
        let Parts { head, method, target, fields, incomplete, malformation, stream } = parts;
        Self {
            head: head.into(),
            line: RequestLine { method, target, version: Version::Two, malformation: None },
            fields,
            time_ns: 0,
            number: 0,
            incomplete,
            malformation,
            certainty: Certainty::default(),
            stream: Some(stream),
            framing: Framing::Length(0),
            framing_fault: None,
            is_last: false,
            expects_continue: false,
        }
    }

    /// Gives back the memory that was taken to read it.
    pub(super) fn give_back(self, memory: &mut HeadMemory) {
        memory.spans = self.fields;
    }

    /// Reads `part`, an incomplete head. Returns `None` if it does not even have a method and a target.
    pub(super) fn read_incomplete(
        part: &'a [u8],
        incomplete: Incomplete,
        max_fields: usize,
        memory: &mut HeadMemory,
    ) -> Option<Self> {
        let mut request = Self::read(part, max_fields, memory);
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
            Version::Two => Some("2"),
            Version::Unknown => None,
        }
    }

    /// Returns the fields in the order in which they were sent.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = Field<'_>> {
        self.fields.iter().map(|spans| Field { head: &self.head, spans })
    }

    /// Returns the values of the fields called `name`, which is compared without regard to case.
    pub fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s [u8]> {
        self.fields()
            .filter(move |field| field.name().eq_ignore_ascii_case(name.as_bytes()))
            .map(|field| field.value())
    }

    /// Returns how the body is delimited.
    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    /// Returns why the length of the body is ambiguous or unknown, if it is.
    pub fn framing_fault(&self) -> Option<FramingFault> {
        self.framing_fault
    }

    /// Returns whether a server may refuse it, and read nothing after it: it is malformed, ambiguous or too long. In HTTP/2,
    /// a server refuses its stream alone.
    pub(super) fn may_be_refused(&self) -> bool {
        let is_doubtful = self.malformation.is_some()
            || self.framing_fault.is_some()
            || self.incomplete.is_some_and(|it| it.cause == Cause::Length);
        is_doubtful && self.stream.is_none()
    }

    /// Returns whether it asks for a tunnel or another protocol, so that what follows may not be HTTP.
    pub(super) fn may_end_http(&self) -> bool {
        self.is_last
    }

    /// Returns whether the client may leave out the body (RFC 9110 section 10.1.1).
    pub(super) fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Returns the raw head: request line, fields and empty line, unfolded. That of HTTP/2 is written in the same way.
    pub fn raw(&self) -> &[u8] {
        &self.head
    }
}

/// Returns whether the first `len` bytes, a request line with its end, have no version and no field follows: a request of
/// HTTP/0.9, or a line at which a server stops reading.
pub(super) fn is_lone_line(bytes: &[u8], len: usize) -> bool {
    let line = bytes.get(..len.saturating_sub(1)).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.ends_with(b"HTTP/1.1") || matches!(RequestLine::read(line, true).version, Version::One { .. }) {
        return false;
    }
    let (next, _, _) = next_line(bytes, len);
    next.is_empty() || FieldLine::read(next).malformation.is_some()
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
