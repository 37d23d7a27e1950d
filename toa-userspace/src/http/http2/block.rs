//! A header block that is being decoded, and the request that it is (RFC 9113 section 8.3).

use super::{
    super::{
        field_line::{has_control, name_print},
        head::{HttpRequest, Incomplete, Parts, StreamPart, UNKNOWN_NAME},
        host::{Hosts, is_host},
        known_lines::Trail,
        memory::{FieldSpans, HeadMemory, Span},
        request_line::{self, Malformation, is_token},
    },
    binary,
    hpack::decoder::Item,
};
use crate::limits::Limits;

/// What stands for a method or target that is unknown.
const UNKNOWN: &[u8] = UNKNOWN_NAME.as_bytes();

/// What stands for a method or target that is not there, or empty. It is not a token.
const NONE: &[u8] = b"(none)";

/// What each field takes besides its name and value in the text of a head: the colon, the space and the line end.
const LINE_BYTES: usize = 4;

/// Fields of the connection, which HTTP/2 does not have (RFC 9113 section 8.2.2).
const OF_CONNECTION: [&[u8]; 5] =
    [b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"];

/// A header block that may be a request.
#[derive(Debug, Default)]
pub(in super::super) struct Block {
    stream_id: u32,
    method: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    authority: Option<Vec<u8>>,
    has_scheme: bool,
    /// The fields as lines.
    lines: Vec<u8>,
    spans: Vec<FieldSpans>,
    /// Bytes of the list, counted as lines.
    bytes: usize,
    hosts: Hosts,
    unknown_fields: u32,
    /// Whether a field other than a pseudo-header field was seen.
    has_regular: bool,
    is_left_out: bool,
    malformation: Option<Malformation>,
}

impl Block {
    /// Begins the block of a stream. `is_possible` says whether a client may begin that.
    pub(super) fn new(stream_id: u32, is_possible: bool) -> Self {
        let malformation = (!is_possible).then_some(Malformation::Stream);
        Self { stream_id, malformation, ..Self::default() }
    }

    /// Adds what was decoded. Nothing is added after what was left out, however the block is cut into pieces.
    pub(super) fn add(&mut self, item: Item<'_>, limits: &Limits) {
        if self.is_left_out {
            return;
        }
        match item {
            Item::Field { name: Some(name), value } => self.field(name, value, limits),
            Item::Field { name: None, value } => {
                self.unknown_fields = self.unknown_fields.saturating_add(1);
                self.push(UNKNOWN, value, limits);
            }
            Item::Unknown => {
                self.unknown_fields = self.unknown_fields.saturating_add(1);
                self.push(UNKNOWN, b"", limits);
            }
            Item::TooLong => self.is_left_out = true,
            Item::LargeTable(_) => {}
        }
    }

    /// Returns whether a field was left out because the block is too long.
    pub(super) fn is_left_out(&self) -> bool {
        self.is_left_out
    }

    /// Returns the memory that it takes, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.bytes.saturating_add(self.spans.capacity().saturating_mul(size_of::<FieldSpans>()))
    }

    /// Returns whether a server may refuse it.
    pub(super) fn is_malformed(&self) -> bool {
        self.malformation().is_some()
    }

    /// Returns whether it is certainly a request, if it is not malformed.
    pub(super) fn is_certain(&self) -> bool {
        self.method.is_some() && self.has_scheme
    }

    /// Returns whether it has a pseudo-header field, so that it begins its stream.
    pub(super) fn begins_stream(&self) -> bool {
        self.method.is_some() || self.target.is_some() || self.authority.is_some() || self.has_scheme
    }

    /// Returns whether a field is unknown, which may be a pseudo-header field.
    pub(super) fn has_unknown(&self) -> bool {
        self.unknown_fields > 0
    }

    fn field(&mut self, name: &[u8], value: &[u8], limits: &Limits) {
        if name.first() == Some(&b':') {
            return self.pseudo_field(name, value, limits);
        }
        self.has_regular = true;
        let is_name =
            !name.is_empty() && name.iter().all(|byte| is_token(*byte) && !byte.is_ascii_uppercase());
        let is_misplaced = OF_CONNECTION.contains(&name) || (name == b"te" && value != b"trailers");
        if !is_name || is_misplaced {
            self.note(Malformation::Field);
        }
        let binary = binary::to_text(name, value);
        let value = binary.as_deref().unwrap_or(value);
        if has_control(value) || value.trim_ascii().len() < value.len() {
            self.note(Malformation::Control);
        }
        if name.eq_ignore_ascii_case(b"host") && self.authority.as_deref() != Some(value) {
            self.hosts.add(is_host(value));
        }
        self.push(name, value, limits);
    }

    fn pseudo_field(&mut self, name: &[u8], value: &[u8], limits: &Limits) {
        if self.has_regular {
            self.note(Malformation::Field);
        }
        let part = match name {
            b":method" => &mut self.method,
            b":path" => &mut self.target,
            b":authority" => &mut self.authority,
            b":scheme" if !self.has_scheme && matches!(value, b"http" | b"https") => {
                self.has_scheme = true;
                return;
            }
            _ => {
                // Such as that of a WebSocket (RFC 8441 section 4).
                if name != b":protocol" && name != b":scheme" {
                    self.note(Malformation::Field);
                }
                self.has_scheme |= name == b":scheme";
                return self.push(name, value, limits);
            }
        };
        if part.is_some() {
            self.note(Malformation::Field);
            return self.push(name, value, limits);
        }
        let bytes = self.bytes.saturating_add(value.len()).saturating_add(LINE_BYTES);
        if bytes > limits.head_bytes {
            self.is_left_out = true;
            return;
        }
        self.bytes = bytes;
        *part = Some(value.to_vec());
        if name == b":authority" {
            self.hosts.add(is_host(value));
        }
    }

    /// Adds a line, unless that would be too much.
    fn push(&mut self, name: &[u8], value: &[u8], limits: &Limits) {
        let bytes =
            self.bytes.saturating_add(name.len()).saturating_add(value.len()).saturating_add(LINE_BYTES);
        if bytes > limits.head_bytes || self.spans.len() >= limits.fields {
            self.is_left_out = true;
            return;
        }
        self.bytes = bytes;
        let start = self.lines.len();
        self.lines.extend_from_slice(name);
        let name = Span::new(start, self.lines.len());
        self.lines.extend_from_slice(b": ");
        let start = self.lines.len();
        self.lines.extend_from_slice(value);
        self.spans.push(FieldSpans {
            name,
            value: Span::new(start, self.lines.len()),
            place: None,
            name_print: 0,
        });
        self.lines.extend_from_slice(b"\r\n");
    }

    fn note(&mut self, malformation: Malformation) {
        self.malformation = self.malformation.or(Some(malformation));
    }

    /// Returns what a server may refuse. What is unknown cannot be wrong.
    fn malformation(&self) -> Option<Malformation> {
        let is_connect = self.method.as_deref() == Some(b"CONNECT");
        let line = match (&self.method, &self.target) {
            (Some(method), Some(target)) => request_line::malformation(method, target, false),
            (Some(_), None) if is_connect && self.authority.is_some() => None,
            _ if self.unknown_fields > 0 => None,
            (None, _) => Some(Malformation::Method),
            (_, None) => Some(Malformation::Target),
        };
        let is_hostless = self.unknown_fields == 0 && self.hosts.are_wrong(1);
        let host = (is_hostless || self.hosts.are_wrong(0)).then_some(Malformation::Host);
        let is_schemeless = !self.has_scheme && !is_connect && self.unknown_fields == 0;
        let scheme = is_schemeless.then_some(Malformation::Scheme);
        line.or(self.malformation).or(scheme).or(host)
    }

    /// Returns the request, or `None` if that does not even have a method and a target. `error` is what ended the block too
    /// early.
    pub(in super::super) fn into_request(
        self,
        incomplete: Option<Incomplete>,
        error: Option<Malformation>,
        memory: &mut HeadMemory,
    ) -> Option<HttpRequest<'static>> {
        let mut malformation = error.or_else(|| self.malformation());
        // What is not there yet cannot be wrong.
        let may_follow = matches!(malformation, Some(Malformation::Host | Malformation::Scheme));
        if incomplete.is_some() && error.is_none() && may_follow {
            malformation = None;
        }
        let Self { stream_id, method, target, authority, lines, mut spans, unknown_fields, .. } = self;
        let unknown = (unknown_fields > 0).then_some(UNKNOWN);
        let is_connect = method.as_deref() == Some(b"CONNECT");
        let target = match (&target, &authority) {
            (Some(target), _) => Some(&target[..]),
            (None, Some(authority)) if is_connect => Some(&authority[..]),
            (None, _) => unknown,
        };
        let method = method.as_deref().or(unknown);
        // A whole request is printed whatever it lacks, as are all others that a server refuses.
        let is_whole = incomplete.is_none() && error.is_none();
        if !is_whole && target.is_none_or(<[u8]>::is_empty) {
            return None;
        }
        let is_there = |part: &&[u8]| !part.is_empty();
        let method = method.filter(is_there).unwrap_or(NONE);
        let target = target.filter(is_there).unwrap_or(NONE);
        let mut head = Vec::with_capacity(self.bytes.saturating_add(64));
        head.extend_from_slice(method);
        head.push(b' ');
        let target_start = head.len();
        head.extend_from_slice(target);
        let target = target_start..head.len();
        head.extend_from_slice(b" HTTP/2\r\n");
        let mut fields = Vec::with_capacity(spans.len().saturating_add(1));
        if let Some(authority) = authority {
            let start = head.len();
            head.extend_from_slice(b"host: ");
            let value =
                Span::new(start.saturating_add(6), start.saturating_add(6).saturating_add(authority.len()));
            let name = Span::new(start, start.saturating_add(4));
            head.extend_from_slice(&authority);
            head.extend_from_slice(b"\r\n");
            fields.push(FieldSpans { name, value, place: None, name_print: 0 });
        }
        let before = head.len();
        head.extend_from_slice(&lines);
        head.extend_from_slice(b"\r\n");
        for span in &mut spans {
            (span.name, span.value) = (span.name.after(before), span.value.after(before));
        }
        fields.append(&mut spans);
        let mut trail = Trail::default();
        for field in &mut fields {
            let line = field.name.to(field.value).get(&head);
            let (read, place) = memory.lines.get(line, &mut trail);
            // Two different fields may have the same line if they are malformed.
            if read.parts(line) == (field.name.get(&head), field.value.get(&head)) {
                (field.place, field.name_print) = (place, read.name_print);
            } else {
                field.name_print = name_print(field.name.get(&head));
            }
        }
        let method = 0..method.len();
        let stream = StreamPart { id: stream_id, unknown_fields };
        Some(HttpRequest::from_parts(Parts {
            head,
            method,
            target,
            fields,
            incomplete,
            malformation,
            stream,
        }))
    }
}
