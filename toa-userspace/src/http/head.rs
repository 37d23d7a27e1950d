//! Parsed request heads. [`super::parser`] finds them in a stream.

use std::borrow::Cow;

use httparse::{EMPTY_HEADER, Error, Header, ParserConfig, Request, Status};

use super::framing::{Framing, FramingFault};

/// Most fields of a head that are parsed on the stack.
const USUAL_FIELDS: usize = 64;

/// Number of fields in the first attempt for larger heads. It is doubled until it suffices.
const MANY_FIELDS: usize = 256;

/// A part of a head, as a range of its bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Returns the range of `part` in `whole`.
    fn of(part: &[u8], whole: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
        let position = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: position(start), end: position(start.wrapping_add(part.len())) }
    }

    fn get(self, whole: &[u8]) -> &[u8] {
        whole.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// A field of a head.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Field<'a> {
    /// The name, as it was sent.
    pub name: &'a [u8],
    /// The value, without the whitespace around it.
    pub value: &'a [u8],
}

/// A request head, either in place in its segment or collected from several.
#[derive(Clone, Debug)]
pub struct HttpRequest<'a> {
    head: Cow<'a, [u8]>,
    method: Span,
    target: Span,
    minor_version: u8,
    fields: Box<[(Span, Span)]>,
    /// When the segment that completed the head arrived, in nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// Number within the connection, counted from 1.
    pub number: u64,
    /// The length of the gap if bytes of the head are missing. The fields before the gap are present.
    pub incomplete: Option<u64>,
    framing: Framing,
    framing_fault: Option<FramingFault>,
}

/// The bytes are not a valid head.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Malformed;

impl<'a> HttpRequest<'a> {
    /// Parses `head`, which ends with its empty line. Folded lines are unfolded: each fold is replaced by spaces (RFC
    /// 9112 section 5.2).
    pub(crate) fn parse(
        head: impl Into<Cow<'a, [u8]>>,
        time_ns: u64,
        number: u64,
    ) -> Result<Self, Malformed> {
        let mut head = head.into();
        if let Some(first) = next_fold(&head, 0) {
            unfold(head.to_mut(), first);
        }
        // No early exit, so that the loop is vectorised.
        let parsed = if head.iter().fold(false, |found, byte| found | is_control(*byte)) {
            // Servers should reject control characters, but the user wants to see who sends them.
            let printable: Vec<u8> =
                head.iter().map(|byte| if is_control(*byte) { b'?' } else { *byte }).collect();
            Self::parse_bytes(&printable)
        } else {
            Self::parse_bytes(&head)
        };
        parsed.map(|parsed| parsed.with(head, time_ns, number))
    }

    fn parse_bytes(head: &[u8]) -> Result<Parsed, Malformed> {
        let mut fields = [EMPTY_HEADER; USUAL_FIELDS];
        match Self::parse_with(head, &mut fields) {
            Ok(parsed) => Ok(parsed),
            Err(Error::TooManyHeaders) => Self::parse_many(head),
            Err(_) => Err(Malformed),
        }
    }

    /// Parses the complete lines of `part`, an incomplete head.
    pub(super) fn parse_incomplete(
        part: &[u8],
        gap_bytes: u64,
        time_ns: u64,
        number: u64,
    ) -> Result<Self, Malformed> {
        let lines_len = memchr::memrchr(b'\n', part).ok_or(Malformed)?.saturating_add(1);
        let head = [part.get(..lines_len).unwrap_or_default(), b"\r\n"].concat();
        Ok(Self { incomplete: Some(gap_bytes), ..Self::parse(head, time_ns, number)? })
    }

    /// Parses heads with very many fields. Terminates because each field has at least three bytes.
    fn parse_many(head: &[u8]) -> Result<Parsed, Malformed> {
        let mut allowed = MANY_FIELDS;
        loop {
            let mut fields = vec![EMPTY_HEADER; allowed];
            match Self::parse_with(head, &mut fields) {
                Ok(parsed) => return Ok(parsed),
                Err(Error::TooManyHeaders) if allowed < head.len() => allowed = allowed.saturating_mul(2),
                Err(_) => return Err(Malformed),
            }
        }
    }

    fn parse_with<'h>(head: &'h [u8], fields: &mut [Header<'h>]) -> Result<Parsed, Error> {
        let mut request = Request::new(fields);
        // A field that the server would ignore must not hide the others.
        let status = ParserConfig::default()
            .allow_multiple_spaces_in_request_line_delimiters(true)
            .ignore_invalid_headers_in_requests(true)
            .parse_request(&mut request, head)?;
        let (Status::Complete(_), Some(method), Some(target), Some(minor_version)) =
            (status, request.method, request.path, request.version)
        else {
            return Err(Error::Status);
        };
        let span = |part: &[u8]| Span::of(part, head);
        let pairs = request.headers.iter().map(|field| (field.name.as_bytes(), field.value));
        let (framing, framing_fault) = Framing::of(minor_version, pairs);
        Ok(Parsed {
            method: span(method.as_bytes()),
            target: span(target.as_bytes()),
            minor_version,
            fields: request
                .headers
                .iter()
                .map(|field| (span(field.name.as_bytes()), span(field.value)))
                .collect(),
            framing,
            framing_fault,
        })
    }

    /// Returns the method.
    pub fn method(&self) -> &[u8] {
        self.method.get(&self.head)
    }

    /// Returns the request target, as it was sent.
    pub fn target(&self) -> &[u8] {
        self.target.get(&self.head)
    }

    /// Returns the version, 1.0 or 1.1.
    pub fn version(&self) -> &'static str {
        if self.minor_version == 0 { "1.0" } else { "1.1" }
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

    /// Returns the raw head: request line, fields and empty line, unfolded.
    pub fn raw(&self) -> &[u8] {
        &self.head
    }
}

/// A parsed head without its bytes.
struct Parsed {
    method: Span,
    target: Span,
    minor_version: u8,
    fields: Box<[(Span, Span)]>,
    framing: Framing,
    framing_fault: Option<FramingFault>,
}

impl Parsed {
    fn with(self, head: Cow<'_, [u8]>, time_ns: u64, number: u64) -> HttpRequest<'_> {
        let Self { method, target, minor_version, fields, framing, framing_fault } = self;
        HttpRequest {
            head,
            method,
            target,
            minor_version,
            fields,
            time_ns,
            number,
            incomplete: None,
            framing,
            framing_fault,
        }
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
        for place in head.get_mut(at.saturating_sub(1)..=at).unwrap_or_default() {
            if matches!(place, b'\r' | b'\n') {
                *place = b' ';
            }
        }
        next = next_fold(head, at);
    }
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
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn parts_are_found_in_the_head() {
        let head = "GET /a?b=c HTTP/1.1\r\nHost: x \r\nX-Empty:\r\nhost: y\r\n\r\n";
        let request = HttpRequest::parse(head.as_bytes(), 7, 1).unwrap();
        assert_eq!(
            (request.method(), request.target(), request.version()),
            (&b"GET"[..], &b"/a?b=c"[..], "1.1")
        );
        let fields: Vec<_> = request.fields().map(|field| (field.name, field.value)).collect();
        assert_eq!(fields, [(&b"Host"[..], &b"x"[..]), (b"X-Empty", b""), (b"host", b"y")]);
        assert_eq!(request.values("HOST").collect::<Vec<_>>(), [b"x", b"y"]);
    }

    #[test]
    fn a_head_may_have_thousands_of_fields() {
        let mut head = String::from("GET / HTTP/1.1\r\n");
        for number in 0..5000 {
            write!(head, "x-{number}: {number}\r\n").unwrap();
        }
        head.push_str("\r\n");
        let request = HttpRequest::parse(head.as_bytes(), 0, 1).unwrap();
        assert_eq!(request.fields().len(), 5000);
        assert_eq!(request.fields().last().unwrap().value, b"4999");
    }

    #[test]
    fn a_field_that_servers_ignore_hides_no_other() {
        let head = "GET / HTTP/1.1\r\nhost: x\r\nbad name: 1\r\nx-team: payments\r\n\r\n";
        let request = HttpRequest::parse(head.as_bytes(), 0, 1).unwrap();
        assert_eq!(request.values("x-team").collect::<Vec<_>>(), [b"payments"]);
    }

    #[test]
    fn folded_lines_are_one() {
        for (head, values) in [
            ("GET / HTTP/1.1\r\na: b\r\n c\r\n\td\r\nx: y\r\n\r\n", &["b   c  \td", "y"][..]),
            ("GET / HTTP/1.1\na: b\n \nx: y\n\n", &["b", "y"]),
            ("GET / HTTP/1.1\r\na:\r\n b\r\n\r\n", &["b"]),
            ("GET / HTTP/1.1\r\n a: b\r\nx: y\r\n\r\n", &["y"]),
        ] {
            let request = HttpRequest::parse(head.as_bytes(), 0, 1).unwrap();
            let found: Vec<_> = request.fields().map(|field| str::from_utf8(field.value).unwrap()).collect();
            assert_eq!(found, values, "{head:?}");
            assert_eq!(request.target(), b"/");
        }
    }

    #[test]
    fn control_characters_hide_no_field() {
        let head = b"GET /\x1b[2J HTTP/1.1\r\nx-note: a\x1bb\x7f\0\r\nx-team:\tpayments\r\n\r\n";
        let request = HttpRequest::parse(head, 0, 1).unwrap();
        assert_eq!(request.target(), b"/\x1b[2J");
        assert_eq!(request.values("x-note").collect::<Vec<_>>(), [b"a\x1bb\x7f\0"]);
        assert_eq!(request.values("x-team").collect::<Vec<_>>(), [b"payments"]);
    }

    #[test]
    fn an_incomplete_head_keeps_its_complete_lines() {
        let part = b"GET / HTTP/1.1\r\nhost: x\r\ncookie: a";
        let request = HttpRequest::parse_incomplete(part, 5, 0, 1).unwrap();
        assert_eq!(request.incomplete, Some(5));
        assert_eq!(request.fields().map(|field| field.name.to_vec()).collect::<Vec<_>>(), [b"host"]);
        assert_eq!(HttpRequest::parse_incomplete(b"GET / HT", 5, 0, 1).unwrap_err(), Malformed);
    }

    #[test]
    fn the_end_is_found_wherever_the_bytes_are_cut() {
        for (bytes, expected) in [
            (&b"a\r\n\r\nb"[..], 5),
            (b"a\n\nb", 3),
            (b"a\r\nb\n\r\nc", 7),
            (b"a\n\r\n", 4),
            (b"a\r\nb\r\n\r\n", 8),
        ] {
            assert_eq!(end(bytes, 0), Ok(expected));
            for cut in 0..expected {
                let from = end(&bytes[..cut], 0).unwrap_err();
                assert_eq!(end(bytes, from), Ok(expected), "{} cut at {cut}", bytes.escape_ascii());
            }
        }
    }
}
