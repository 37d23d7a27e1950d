//! Recognition of request lines, and of other protocols, by their first bytes.

use super::{
    NotHttp,
    proxy::{Beginning, Signature},
    request_line::is_token,
};

/// Maximum accepted length of a method, in bytes. The longest registered method has 17 (IANA HTTP method registry), but
/// servers take any.
const MAX_METHOD_BYTES: usize = 256;

/// Methods of the IANA HTTP method registry, and of proxies, `UPnP` and Outlook. In a search only these count: otherwise
/// the end of a word whose beginning was lost would count, too.
const KNOWN_METHODS: [&[u8]; 52] = [
    b"ACL",
    b"BAN",
    b"BASELINE-CONTROL",
    b"BIND",
    b"CHECKIN",
    b"CHECKOUT",
    b"CONNECT",
    b"COPY",
    b"DELETE",
    b"GET",
    b"HEAD",
    b"LABEL",
    b"LINK",
    b"LOCK",
    b"M-SEARCH",
    b"MERGE",
    b"MKACTIVITY",
    b"MKCALENDAR",
    b"MKCOL",
    b"MKREDIRECTREF",
    b"MKWORKSPACE",
    b"MOVE",
    b"NOTIFY",
    b"OPTIONS",
    b"ORDERPATCH",
    b"PATCH",
    b"POLL",
    b"POST",
    b"PROPFIND",
    b"PROPPATCH",
    b"PURGE",
    b"PUT",
    b"QUERY",
    b"REBIND",
    b"REPORT",
    b"RPC_IN_DATA",
    b"RPC_OUT_DATA",
    b"SEARCH",
    b"SOURCE",
    b"SUBSCRIBE",
    b"TRACE",
    b"UNBAN",
    b"UNBIND",
    b"UNCHECKOUT",
    b"UNLINK",
    b"UNLOCK",
    b"UNSUBSCRIBE",
    b"UPDATE",
    b"UPDATEREDIRECTREF",
    b"VERSION-CONTROL",
    b"BCOPY",
    b"BMOVE",
];

/// What bytes look like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Start {
    /// A complete request line, including its line end.
    Request,
    /// Possibly the beginning of one.
    Partial,
    /// Something else.
    Other,
}

/// What precedes a head.
#[derive(Clone, Copy, Debug)]
pub(super) enum Before {
    /// The start of the connection.
    Start,
    /// Unknown: the stream was joined here, or its first bytes are missing.
    Unknown,
    /// A request.
    Request,
    /// A request that may have ended HTTP.
    Last(NotHttp),
}

/// What the bytes at the place of a head are.
pub(super) enum Verdict {
    /// A head. Its request line has this length with its end, if it is complete.
    Head {
        line_len: Option<usize>,
    },
    Tls,
    Http2,
    NotHttp(NotHttp),
    Lost,
}

impl Before {
    /// Judges `bytes`, which come next. `max_line` is the maximum length of a request line with an unknown method.
    pub(super) fn judge(self, bytes: &[u8], max_line: usize) -> Verdict {
        if let Self::Start | Self::Unknown = self {
            match client_hello(bytes) {
                Start::Request => return Verdict::Tls,
                Start::Partial => return Verdict::Head { line_len: None },
                // A stream that was joined later may not have its `ClientHello`.
                Start::Other if matches!(self, Self::Unknown) && is_tls_record(bytes) => return Verdict::Tls,
                Start::Other if is_http2(bytes) => return Verdict::Http2,
                Start::Other => {}
            }
        }
        if let Self::Last(reason) = self
            && is_http2(bytes)
        {
            // What is in a tunnel is not for this server.
            return if reason == NotHttp::Upgrade { Verdict::Http2 } else { Verdict::NotHttp(reason) };
        }
        let (start, len) = request_line(bytes, max_line);
        match (self, start) {
            (Self::Start | Self::Request | Self::Last(_), Start::Request) => {
                Verdict::Head { line_len: Some(len) }
            }
            (Self::Start | Self::Request | Self::Last(_), Start::Partial) => Verdict::Head { line_len: None },
            (Self::Start, Start::Other) => Verdict::NotHttp(NotHttp::Other),
            (Self::Last(reason), Start::Other) => Verdict::NotHttp(reason),
            // The first bytes of a stream that was joined may be the rest of a line.
            (Self::Unknown, _) | (Self::Request, Start::Other) => Verdict::Lost,
        }
    }
}

/// Checks whether `bytes` begin with a request line, where one is to be expected: any method with a version of HTTP, or a
/// known method and any rest of the line that does not name another protocol, because its client is to be seen even if
/// the server refuses the line. Also returns the length of the line with its end.
#[inline(always)]
fn request_line(bytes: &[u8], max_line: usize) -> (Start, usize) {
    let end = memchr::memchr(b'\n', bytes);
    let len = end.map_or(bytes.len(), |end| end.saturating_add(1));
    (start_of_line(bytes, end, max_line), len)
}

/// Does the same for a line that ends at `end`, if it does.
fn start_of_line(bytes: &[u8], end: Option<usize>, max_line: usize) -> Start {
    let method_len =
        bytes.iter().take(MAX_METHOD_BYTES.saturating_add(1)).take_while(|byte| is_token(**byte)).count();
    if method_len == 0 || method_len > MAX_METHOD_BYTES {
        return Start::Other;
    }
    let (method, rest) = bytes.split_at_checked(method_len).unwrap_or((bytes, &[]));
    if rest.first() == Some(&b' ') && end.is_some_and(|end| is_usual(bytes, end)) {
        return Start::Request;
    }
    let is_known = KNOWN_METHODS.contains(&method);
    match rest.first() {
        None => return Start::Partial,
        Some(b' ') => {}
        Some(b'\r' | b'\n') if is_known => {}
        Some(_) => return Start::Other,
    }
    let Some(end) = end else {
        let is_text = || !rest.iter().any(|byte| matches!(byte, 0..=8 | 11 | 12 | 14..=31 | 127));
        return if is_known || (bytes.len() <= max_line && is_text()) {
            Start::Partial
        } else {
            Start::Other
        };
    };
    let line = bytes.get(method_len..end).unwrap_or_default().trim_ascii_end();
    match protocol(line) {
        Some(b"HTTP") => Start::Request,
        None if is_known => Start::Request,
        _ => Start::Other,
    }
}

/// Returns whether the line that ends at `end` ends like nearly every request line, so that the method does not matter.
fn is_usual(bytes: &[u8], end: usize) -> bool {
    bytes.get(..end).is_some_and(|line| line.ends_with(b" HTTP/1.1\r"))
}

/// Returns the name of the protocol in a last word like `HTTP/1.1`.
fn protocol(line: &[u8]) -> Option<&[u8]> {
    let word = line.rsplit(|byte| *byte == b' ').next()?;
    let slash = memchr::memchr(b'/', word)?;
    let (name, version) = word.split_at_checked(slash)?;
    let is_version = matches!(version, [b'/', b'0'..=b'9', ..]);
    (is_version && !name.is_empty() && name.iter().all(u8::is_ascii_uppercase)).then_some(name)
}

/// Checks whether `bytes`, a line or the beginning of one, are a request line where nothing says that there is one: a
/// known method, a plausible target and a version of HTTP/1. An incomplete one may have at most `max_line` bytes.
pub(super) fn certain_request_line(bytes: &[u8], max_line: usize) -> Start {
    let method_len = bytes.iter().take(MAX_METHOD_BYTES).take_while(|byte| **byte != b' ').count();
    let (method, rest) = bytes.split_at_checked(method_len).unwrap_or((bytes, &[]));
    if rest.is_empty() {
        let is_possible = KNOWN_METHODS.iter().any(|known| known.starts_with(method));
        return if is_possible && !method.is_empty() { Start::Partial } else { Start::Other };
    }
    if !KNOWN_METHODS.contains(&method) {
        return Start::Other;
    }
    let rest = rest.get(1..).unwrap_or_default();
    let target_len = rest.iter().take_while(|byte| **byte > b' ' && **byte != 0x7f).count();
    let (target, rest) = rest.split_at_checked(target_len).unwrap_or((rest, &[]));
    if !is_target(method, target) {
        return Start::Other;
    }
    let limited = |start| if bytes.len() > max_line { Start::Other } else { start };
    let [b' ', version @ ..] = rest else {
        return if rest.is_empty() { limited(Start::Partial) } else { Start::Other };
    };
    let fixed = b"HTTP/1.";
    match version.strip_prefix(fixed) {
        None if version.len() < fixed.len() && fixed.starts_with(version) => limited(Start::Partial),
        Some([] | [b'0'..=b'9'] | [b'0'..=b'9', b'\r']) => limited(Start::Partial),
        Some([b'0'..=b'9', b'\n', ..] | [b'0'..=b'9', b'\r', b'\n', ..]) => Start::Request,
        _ => Start::Other,
    }
}

/// Returns whether a target, or the beginning of one, has one of the forms of RFC 9112 section 3.2.
fn is_target(method: &[u8], target: &[u8]) -> bool {
    let schemes = [&b"http://"[..], b"https://"];
    match target {
        [] | [b'/', ..] => true,
        _ if method == b"CONNECT" => {
            target.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(byte))
        }
        b"*" => method == b"OPTIONS",
        _ => schemes.iter().any(|scheme| scheme.starts_with(target) || target.starts_with(scheme)),
    }
}

/// Searches for a certain request line at the start of each line in `bytes`. Returns its position and whether it is
/// complete. An incomplete line counts only up to `max_line` bytes. If there is none, the position is the end of `bytes`.
pub(super) fn find(bytes: &[u8], max_line: usize) -> (usize, Start) {
    let mut at = 0_usize;
    while let Some(candidate) = bytes.get(at..).filter(|candidate| !candidate.is_empty()) {
        match certain_request_line(candidate, max_line) {
            Start::Other => {}
            start => return (at, start),
        }
        let line = memchr::memchr(b'\n', candidate).map_or(candidate.len(), |end| end.saturating_add(1));
        at = at.saturating_add(line);
    }
    (bytes.len(), Start::Other)
}

/// Returns whether bytes look like the start of a request, as far as they go.
pub fn is_request_start(bytes: &[u8]) -> bool {
    let lines = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let bytes = bytes.get(lines..).unwrap_or_default();
    certain_request_line(bytes, usize::MAX) != Start::Other
}

/// Returns whether bytes look like the first ones of a client, as far as they go: a request with any method, HTTP/2, a PROXY
/// protocol header or a `ClientHello`. Cold: it is asked about a connection's first packets only.
#[cold]
pub fn is_client_start(bytes: &[u8]) -> bool {
    is_request_start(bytes)
        || request_line(bytes, 0).0 == Start::Request
        || is_http2(bytes)
        || client_hello(bytes) == Start::Request
        || matches!(Signature::default().read(bytes), Beginning::Header { .. })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn line(bytes: &[u8]) -> Start {
        request_line(bytes, 8192).0
    }

    #[test]
    fn a_request_line_is_partial_until_its_end() {
        for text in
            ["GET /a?b HTTP/1.1\r\n", "M-SEARCH * HTTP/1.0\n", "ANY  http://a/  HTTP/1.1\r\n", "GET /ä b\r\n"]
        {
            for len in 1..text.len() {
                assert_eq!(line(&text.as_bytes()[..len]), Start::Partial, "{len} of {text}");
            }
            assert_eq!(line(text.as_bytes()), Start::Request, "{text}");
        }
    }

    #[test]
    fn what_a_server_may_refuse_is_a_request_line_as_well() {
        for text in [
            &b"GET /a HTTP/1.2\r\n"[..],
            b"GET /a HTTP/1.1 \r\n",
            b"GET /a b\x01c HTTP/1.1\r\n",
            b"GET /a HTTP/1.0.8\r\n",
            b"GET /\r\n",
            b"POST\r\n",
            b"FOO /a HTTP/1.1\r\n",
            b"GET / HTTP/2\r\n",
            b"GET /a\x80\xff HTTP/1.1\r\n",
        ] {
            assert_eq!(line(text), Start::Request, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn other_protocols_are_told_at_once() {
        for bytes in [
            &b"\x16\x03\x01"[..],
            b" GET / HTTP/1.1",
            b"FOO /a\r\n",
            b"*1\r\n$4\r\nPING",
            b"PING\r\n",
            b"EHLO mail.example\r\n",
            b"SSH-2.0-x\r\n",
            b"OPTIONS sip:x SIP/2.0\r\n",
            b"DESCRIBE rtsp://x RTSP/1.0\r\n",
            b"\x10\x0e\0\x04MQTT",
            b"FOO \x01\x02",
            &[b'A'; 300],
        ] {
            assert_eq!(line(bytes), Start::Other, "{}", bytes.escape_ascii());
        }
        assert!(is_http2(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    }

    #[test]
    fn a_search_believes_in_certain_lines_only() {
        let certain = |bytes: &str| certain_request_line(bytes.as_bytes(), 8192);
        for text in [
            "DELETE / HTTP/1.1\r\n",
            "OPTIONS * HTTP/1.1\n",
            "GET http://a/ HTTP/1.0\r\n",
            "CONNECT a:1 HTTP/1.1\r\n",
        ] {
            for len in 1..text.len() {
                assert_eq!(certain(&text[..len]), Start::Partial, "{len} of {text}");
            }
            assert_eq!(certain(text), Start::Request);
        }
        for text in [
            "LETE / HTTP/1.1\r\n",
            "DEL /",
            "GET a HTTP/1.1\r\n",
            "GET /\r\n",
            "GET / b HTTP/1.1\r\n",
            "GET / HTTP/2.0\r\n",
            "GET * HTTP/1.1\r\n",
        ] {
            assert_eq!(certain(text), Start::Other, "{text}");
        }
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
