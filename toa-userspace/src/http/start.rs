//! Recognition of request lines, and of other protocols, by their first bytes.

use super::NotHttp;

/// Maximum accepted length of a method, in bytes. The longest registered method has 17 (IANA HTTP method registry).
const MAX_METHOD_BYTES: usize = 32;

/// Methods that count in a search for a request: those of RFC 9110 section 9.3, RFC 5789, RFC 4918, RFC 3253, RFC 4791
/// and RFC 5323, `QUERY` and `PURGE`. If any token counted, the end of a method whose beginning was lost would count
/// too.
const KNOWN_METHODS: [&[u8]; 21] = [
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"DELETE",
    b"CONNECT",
    b"OPTIONS",
    b"TRACE",
    b"PATCH",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"PURGE",
    b"REPORT",
    b"MKCALENDAR",
    b"SEARCH",
    b"QUERY",
];

/// What bytes look like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Start {
    /// A complete request line of HTTP/1, including its line end.
    Request,
    /// Possibly the beginning of one.
    Partial,
    /// Something else.
    Other,
}

/// What precedes a head.
#[derive(Clone, Copy, Debug)]
pub(super) enum Before {
    /// The connection's SYN.
    Syn,
    /// Unknown: the stream was joined here, or its first bytes are missing.
    Unknown,
    /// A request.
    Request,
    /// A request that may have ended HTTP.
    Last(NotHttp),
}

/// What the bytes at the place of a head are.
pub(super) enum Verdict {
    Head { line_is_complete: bool },
    Tls,
    NotHttp(NotHttp),
    Lost,
}

impl Before {
    /// Judges `bytes`, which come next.
    pub(super) fn judge(self, bytes: &[u8]) -> Verdict {
        if let Self::Syn | Self::Unknown = self {
            match client_hello(bytes) {
                Start::Request => return Verdict::Tls,
                Start::Partial => return Verdict::Head { line_is_complete: false },
                // A stream that was joined later may not have its `ClientHello`.
                Start::Other if matches!(self, Self::Unknown) && is_tls_record(bytes) => return Verdict::Tls,
                Start::Other if is_http2(bytes) => return Verdict::NotHttp(NotHttp::Http2),
                Start::Other => {}
            }
        }
        let line = match self {
            // The first bytes may be the rest of a line.
            Before::Unknown => known_request_line(bytes),
            _ => request_line(bytes),
        };
        match (line, self) {
            (Start::Request, _) => Verdict::Head { line_is_complete: true },
            (Start::Partial, _) => Verdict::Head { line_is_complete: false },
            (Start::Other, Before::Syn) => Verdict::NotHttp(NotHttp::Other),
            (Start::Other, Before::Last(reason)) => Verdict::NotHttp(reason),
            (Start::Other, Before::Unknown | Before::Request) => Verdict::Lost,
        }
    }
}

/// Checks whether `bytes` begin with a request line.
///
/// ```text
/// request-line = method SP request-target SP HTTP-version CRLF      RFC 9112 section 3
/// ```
///
/// Spaces may be repeated and the CR may be missing (RFC 9112 sections 2.2 and 3).
fn request_line(bytes: &[u8]) -> Start {
    let method_len = bytes.iter().take_while(|byte| is_token(**byte)).count();
    let Some(rest) = bytes.get(method_len..).filter(|_| method_len <= MAX_METHOD_BYTES) else {
        return Start::Other;
    };
    let Some(rest) = behind_spaces(rest) else {
        return if rest.is_empty() { Start::Partial } else { Start::Other };
    };
    let target_len = rest.iter().take_while(|byte| **byte > b' ' && **byte != 0x7f).count();
    let Some(rest) = rest.get(target_len..).filter(|_| method_len > 0) else {
        return Start::Other;
    };
    let Some(version) = behind_spaces(rest).filter(|_| target_len > 0) else {
        return if rest.is_empty() { Start::Partial } else { Start::Other };
    };
    let fixed = b"HTTP/1.";
    if version.len() < fixed.len() {
        return if fixed.starts_with(version) { Start::Partial } else { Start::Other };
    }
    match version.strip_prefix(fixed) {
        Some([] | [b'0' | b'1'] | [b'0' | b'1', b'\r']) => Start::Partial,
        Some([b'0' | b'1', b'\n', ..] | [b'0' | b'1', b'\r', b'\n', ..]) => Start::Request,
        _ => Start::Other,
    }
}

/// Does the same as [`request_line`], but with known methods only. Used where the place in the stream is not known.
fn known_request_line(bytes: &[u8]) -> Start {
    let method_len = bytes.iter().take(MAX_METHOD_BYTES).take_while(|byte| **byte != b' ').count();
    let method = bytes.get(..method_len).unwrap_or_default();
    let is_known = if method_len == bytes.len() {
        KNOWN_METHODS.iter().any(|known| known.starts_with(method))
    } else {
        KNOWN_METHODS.contains(&method)
    };
    if is_known { request_line(bytes) } else { Start::Other }
}

/// The result of a search.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Search {
    /// A request line.
    Request,
    /// Possibly the beginning of one.
    Partial,
    /// Nothing.
    Nothing,
}

impl From<Start> for Search {
    fn from(start: Start) -> Self {
        match start {
            Start::Request => Self::Request,
            Start::Partial => Self::Partial,
            Start::Other => Self::Nothing,
        }
    }
}

/// Checks whether `bytes`, a line or the beginning of one, are a request line. An incomplete one may have at most
/// `max_bytes`.
pub(super) fn continues(bytes: &[u8], max_bytes: usize) -> Search {
    match known_request_line(bytes).into() {
        Search::Partial if bytes.len() > max_bytes => Search::Nothing,
        search => search,
    }
}

/// Searches for a request line at the start of each line in `bytes`. Returns its position and whether it is complete. An
/// incomplete line counts only up to `max_bytes`. If there is none, the position is the end of `bytes`.
pub(super) fn find(bytes: &[u8], max_bytes: usize) -> (usize, Search) {
    let mut at = 0_usize;
    while let Some(candidate) = bytes.get(at..).filter(|candidate| !candidate.is_empty()) {
        match continues(candidate, max_bytes) {
            Search::Nothing => {}
            search => return (at, search),
        }
        let line = memchr::memchr(b'\n', candidate).map_or(candidate.len(), |end| end.saturating_add(1));
        at = at.saturating_add(line);
    }
    (bytes.len(), Search::Nothing)
}

/// Returns whether bytes look like the start of a request, as far as they go.
pub fn is_request_start(bytes: &[u8]) -> bool {
    let lines = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    known_request_line(bytes.get(lines..).unwrap_or_default()) != Start::Other
}

/// Checks whether `bytes` begin with a TLS handshake record with a `ClientHello` (RFC 8446 sections 5.1 and 4).
fn client_hello(bytes: &[u8]) -> Start {
    match bytes {
        [0x16, 0x03, _, _, _, 0x01, ..] => Start::Request,
        [0x16] | [0x16, 0x03] | [0x16, 0x03, _] | [0x16, 0x03, _, _] | [0x16, 0x03, _, _, _] => {
            Start::Partial
        }
        _ => Start::Other,
    }
}

/// Returns whether bytes begin like a TLS record after the `ClientHello`: type, version and length (RFC 8446 section
/// 5.1, RFC 5246 section 6.2.3).
fn is_tls_record(bytes: &[u8]) -> bool {
    matches!(bytes, [20..=23, 3, 1..=4, high, low, ..]
        if matches!(u16::from_be_bytes([*high, *low]), 1..=0x4800))
}

/// Returns whether bytes begin like the preface of HTTP/2 (RFC 9113 section 3.4). The part that resembles a request
/// line is enough.
fn is_http2(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PRI * HTTP/2")
}

/// Returns the bytes after one or more spaces, or `None` if there is no space.
fn behind_spaces(bytes: &[u8]) -> Option<&[u8]> {
    let spaces = bytes.iter().take_while(|byte| **byte == b' ').count();
    bytes.get(spaces..).filter(|_| spaces > 0)
}

/// Returns whether a byte is a `tchar` (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_line_is_partial_until_its_end() {
        for line in ["GET /a?b HTTP/1.1\r\n", "M-SEARCH * HTTP/1.0\n", "GET  http://a/  HTTP/1.1\r\n"] {
            for len in 0..line.len() {
                assert_eq!(request_line(&line.as_bytes()[..len]), Start::Partial, "{len} of {line}");
            }
            assert_eq!(request_line(line.as_bytes()), Start::Request);
        }
    }

    #[test]
    fn other_protocols_are_told_at_once() {
        for bytes in [
            &b"\x16\x03\x01"[..],
            b" GET / HTTP/1.1",
            b"GET\r\n",
            b"GET /a\r\n",
            b"GET / HTTP/2",
            b"GET / HTTX",
            b"*1\r\n$4\r\nPING",
            b"SSH-2.0-x\r\n",
            b"GET / HTTP/1.1x",
            b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(request_line(bytes), Start::Other, "{}", bytes.escape_ascii());
        }
        assert!(is_http2(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    }

    #[test]
    fn a_search_believes_in_known_methods_only() {
        assert_eq!(known_request_line(b"LETE / HTTP/1.1\r\n"), Start::Other);
        assert_eq!(known_request_line(b"DELETE / HTTP/1.1\r\n"), Start::Request);
        assert_eq!(known_request_line(b"DEL"), Start::Partial);
        assert_eq!(known_request_line(b"DEL /"), Start::Other);
    }

    #[test]
    fn a_client_hello_needs_six_bytes() {
        let hello = [0x16, 3, 1, 2, 0, 1, 0];
        assert!((1..6).all(|len| client_hello(&hello[..len]) == Start::Partial));
        assert_eq!(client_hello(&hello), Start::Request);
        assert_eq!(client_hello(&[0x16, 3, 1, 2, 0, 2]), Start::Other);
        assert!(is_tls_record(&[0x17, 3, 3, 0x40, 0, 9]) && !is_tls_record(&[0x17, 3, 3, 0x48, 1, 9]));
    }
}
