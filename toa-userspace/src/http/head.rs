//! Responsible for the finished form of a request head. Not responsible for finding it in a stream.

use std::borrow::Cow;

use httparse::{EMPTY_HEADER, Error, Header, ParserConfig, Request, Status};

use super::framing::{Framing, FramingFault};

/// How many fields a head may have before the slow way is taken.
const USUAL_FIELDS: usize = 64;

/// How many fields are allowed first on the slow way; doubled as long as a head has more.
const MANY_FIELDS: usize = 256;

/// A part of a head, by the positions of its bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Where `part` lies in `whole`.
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
    /// Its name, as it was sent.
    pub name: &'a [u8],
    /// Its value, without the space around it.
    pub value: &'a [u8],
}

/// A request head: in the segment that it came in, or collected from several.
#[derive(Clone, Debug)]
pub struct HttpRequest<'a> {
    head: Cow<'a, [u8]>,
    method: Span,
    target: Span,
    minor_version: u8,
    fields: Box<[(Span, Span)]>,
    /// When the segment came that completed the head, in nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// Number within the connection, from 1 on.
    pub number: u64,
    /// If bytes of the head are missing, how many bytes the gap has. The fields before it are there.
    pub incomplete: Option<u64>,
    framing: Framing,
    framing_fault: Option<FramingFault>,
}

/// The bytes are no head.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Malformed;

impl<'a> HttpRequest<'a> {
    /// Reads `head`, which ends with its empty line. Lines that are folded are unfolded, as RFC 9112 section 5.2
    /// asks: each break is replaced by spaces.
    pub(crate) fn parse(
        head: impl Into<Cow<'a, [u8]>>,
        time_ns: u64,
        number: u64,
    ) -> Result<Self, Malformed> {
        let mut head = head.into();
        if let Some(first) = next_fold(&head, 0) {
            unfold(head.to_mut(), first);
        }
        // Without a way out, so that the compiler looks at many bytes at a time.
        let parsed = if head.iter().fold(false, |found, byte| found | is_control(*byte)) {
            // No server should take them, but whoever sends them is to be seen.
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

    /// Reads what there is of a head: the lines of `part` that are complete.
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

    /// [`Self::parse`] for heads with very many fields. A field has three bytes at least, so this ends.
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

    /// The method.
    pub fn method(&self) -> &[u8] {
        self.method.get(&self.head)
    }

    /// The request target, as it was sent.
    pub fn target(&self) -> &[u8] {
        self.target.get(&self.head)
    }

    /// The version: 1.0 or 1.1.
    pub fn version(&self) -> &'static str {
        if self.minor_version == 0 { "1.0" } else { "1.1" }
    }

    /// The fields in the order in which they were sent.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = Field<'_>> {
        self.fields
            .iter()
            .map(|(name, value)| Field { name: name.get(&self.head), value: value.get(&self.head) })
    }

    /// The values of the fields called `name`, in any case.
    pub fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s [u8]> {
        self.fields()
            .filter(move |field| field.name.eq_ignore_ascii_case(name.as_bytes()))
            .map(|field| field.value)
    }

    /// How its body is delimited.
    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    /// Why the length of its body can be read in two ways, or in none.
    pub fn framing_fault(&self) -> Option<FramingFault> {
        self.framing_fault
    }

    /// The raw head: start line, fields, empty line; unfolded.
    pub fn raw(&self) -> &[u8] {
        &self.head
    }
}

/// What was read of a head, without the head.
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

/// Whether a byte stands in no field (RFC 9110 section 5.5) and does not separate fields either.
fn is_control(byte: u8) -> bool {
    matches!(byte, 0..=8 | 11 | 12 | 14..=31 | 127)
}

/// Where the next line end is behind which a field goes on (obs-fold of RFC 9112 section 5.2). The request line
/// has none.
fn next_fold(head: &[u8], from: usize) -> Option<usize> {
    let start = if from > 0 { from } else { memchr::memchr(b'\n', head)?.saturating_add(1) };
    let behind = head.get(start..)?;
    let found = memchr::memchr_iter(b'\n', behind)
        .find(|at| matches!(behind.get(at.saturating_add(1)), Some(b' ' | b'\t')))?;
    Some(start.saturating_add(found))
}

/// Puts spaces in the place of folds, the first of which is at `first`.
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

/// Where the head that begins `bytes` ends: behind its first empty line. `from` is where to begin to look, at
/// most where an earlier, shorter look ended. `Err` says where the next look is to begin.
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
