//! Request lines, read as leniently as any server reads them.
//!
//! ```text
//! request-line = method SP request-target SP HTTP-version CRLF      RFC 9112 section 3
//! ```

use std::ops::Range;

use crate::byte_class::{ByteSet, has_any, is_within};

/// What is wrong with a head. Servers differ in whether they accept it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Malformation {
    /// The method is not a token (RFC 9110 section 9.1).
    Method,
    /// The target is missing, has none of the forms of RFC 9112 section 3.2, or contains spaces or control characters.
    Target,
    /// The version is not that of HTTP/1.
    Version,
    /// A line is not a field: it has no colon, its name is not a token, or it continues a field (RFC 9112 section 5).
    Field,
    /// There is not exactly one valid Host (RFC 9112 section 3.2).
    Host,
    /// A field contains control characters (RFC 9110 section 5.5), or a CR is not part of a line end.
    Control,
    /// The identifier of the stream is not one of a client (RFC 9113 section 5.1.1).
    Stream,
    /// The scheme is missing (RFC 9113 section 8.3.1).
    Scheme,
    /// The header block cannot be decoded (RFC 7541).
    Compression,
}

impl Malformation {
    /// Returns the name used in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Target => "target",
            Self::Version => "version",
            Self::Field => "field",
            Self::Host => "host",
            Self::Control => "control character",
            Self::Stream => "stream",
            Self::Scheme => "scheme",
            Self::Compression => "header compression",
        }
    }
}

/// The version of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Version {
    /// HTTP/0.9: the line has no version (RFC 1945 section 4.1).
    Simple,
    /// HTTP/1.x. The range is that of the digits in the line, `minor` at most 999.
    One { digits: Range<usize>, minor: u16 },
    /// HTTP/2, which has no request line.
    Two,
    /// None, or one that is not HTTP/1.
    Unknown,
}

/// The parts of a request line, as ranges of its bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct RequestLine {
    pub(super) method: Range<usize>,
    pub(super) target: Range<usize>,
    pub(super) version: Version,
    pub(super) malformation: Option<Malformation>,
}

impl RequestLine {
    /// Reads a line without its line end. `is_whole` says whether it is complete.
    pub(super) fn read(line: &[u8], is_whole: bool) -> Self {
        let usual = if is_whole { Self::usual(line) } else { None };
        usual.unwrap_or_else(|| Self::any(line, is_whole))
    }

    /// Reads any line.
    fn any(line: &[u8], is_whole: bool) -> Self {
        let method_len = position(line, |byte| byte == b' ');
        let rest_start = skip_spaces(line, method_len);
        let rest_end = if is_whole { trim_end(line, rest_start) } else { line.len() };
        let rest = line.get(rest_start..rest_end).unwrap_or_default();
        let word = memchr::memrchr(b' ', rest).map_or(0, |space| space.saturating_add(1));
        let word_start = rest_start.saturating_add(word);
        let last_word = line.get(word_start..rest_end).unwrap_or_default();
        let version = if is_whole { last_word.strip_prefix(b"HTTP/") } else { None };
        let is_cut_version = !is_whole && word > 0 && is_cut_version(last_word);
        let target_end = if version.is_some() || is_cut_version {
            trim_end(line.get(..word_start).unwrap_or_default(), rest_start)
        } else {
            rest_end
        };
        let target = rest_start..target_end.max(rest_start);
        let target_bytes = line.get(target.clone()).unwrap_or_default();
        let method = line.get(..method_len).unwrap_or_default();
        let version = match version {
            Some(digits) => minor_version(digits).map_or(Version::Unknown, |minor| Version::One {
                digits: rest_end.saturating_sub(digits.len())..rest_end,
                minor,
            }),
            None if is_whole && method == b"GET" && !target.is_empty() && word == 0 => Version::Simple,
            None => Version::Unknown,
        };
        let malformation = malformation(method, target_bytes, is_whole && version == Version::Unknown);
        Self { method: 0..method_len, target, version, malformation }
    }

    /// Reads a whole line that has its parts where nearly every one has them: single spaces, and version 1.1 at its end.
    fn usual(line: &[u8]) -> Option<Self> {
        let before = line.strip_suffix(b" HTTP/1.1")?;
        let (method, target) = before.split_at_checked(before.iter().position(|byte| *byte == b' ')?)?;
        let target = target.get(1..)?;
        let is_usual = *target.first()? != b' ' && *target.last()? != b' ';
        let digits = line.len().saturating_sub(b"1.1".len())..line.len();
        is_usual.then(|| Self {
            method: 0..method.len(),
            target: before.len().saturating_sub(target.len())..before.len(),
            version: Version::One { digits, minor: 1 },
            malformation: malformation(method, target, false),
        })
    }
}

/// Returns what is wrong with a line of which the method and the target are known.
pub(super) fn malformation(method: &[u8], target: &[u8], has_wrong_version: bool) -> Option<Malformation> {
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        return Some(Malformation::Method);
    }
    if has_wrong_version {
        return Some(Malformation::Version);
    }
    let is_odd = |byte: u8| is_within(byte, 0, b' ') || byte == 0x7f;
    let is_usual = target.starts_with(b"/") && !has_any(target, |byte| is_odd(byte) || byte == b'%');
    let is_target = is_usual || (has_form(method, target) && !has_any(target, is_odd));
    (!is_target).then_some(Malformation::Target)
}

/// Returns whether a target has a form of RFC 9112 section 3.2: a path, a URI with a scheme and a host, an asterisk for
/// `OPTIONS`, or a host for `CONNECT`.
fn has_form(method: &[u8], target: &[u8]) -> bool {
    let is_form = match target {
        [b'/', ..] => true,
        b"*" => method == b"OPTIONS",
        _ if method == b"CONNECT" => !target.is_empty(),
        _ => has_host(target),
    };
    is_form && memchr::memchr_iter(b'%', target).all(|at| is_encoded(target.get(at..).unwrap_or_default()))
}

/// Returns whether a target is a URI with a host and without user information, which makes it an error (RFC 9110 section
/// 4.2.4).
fn has_host(target: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', target) else { return false };
    let (_, rest) = target.split_at_checked(colon).unwrap_or_default();
    let Some(rest) = rest.strip_prefix(b"://") else { return false };
    let authority = rest.split(|byte| matches!(byte, b'/' | b'?' | b'#')).next().unwrap_or_default();
    !authority.is_empty() && !authority.contains(&b'@')
}

/// Returns whether bytes begin with an encoded byte (RFC 3986 section 2.1) other than NUL, at which servers would end the
/// path.
fn is_encoded(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', high, low, ..]
        if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() && (*high, *low) != (b'0', b'0'))
}

/// Returns the minor version of `1.x`. nginx takes up to three digits.
fn minor_version(digits: &[u8]) -> Option<u16> {
    let minor = digits.strip_prefix(b"1.").filter(|minor| (1..=3).contains(&minor.len()))?;
    minor.iter().try_fold(0_u16, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| digit.wrapping_sub(b'0'))?;
        Some(number.wrapping_mul(10).wrapping_add(digit.into()))
    })
}

/// Returns whether `word` may be a version whose end is missing.
fn is_cut_version(word: &[u8]) -> bool {
    b"HTTP/1.".starts_with(word) || word.starts_with(b"HTTP/1.")
}

fn position(bytes: &[u8], is_wanted: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| is_wanted(*byte)).unwrap_or(bytes.len())
}

/// Returns the position of the first byte from `at` on that is not a space.
fn skip_spaces(line: &[u8], at: usize) -> usize {
    let rest = line.get(at..).unwrap_or_default();
    at.saturating_add(position(rest, |byte| byte != b' '))
}

/// Returns the end of `line` without trailing spaces, but not before `start`.
fn trim_end(line: &[u8], start: usize) -> usize {
    let last = line.iter().rposition(|byte| *byte != b' ');
    last.map_or(start, |last| last.saturating_add(1)).max(start)
}

/// Returns whether a byte is a `tchar` (RFC 9110 section 5.6.2).
#[inline]
pub(super) fn is_token(byte: u8) -> bool {
    TOKEN.contains(byte)
}

const TOKEN: ByteSet =
    ByteSet::of(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn usual_lines_are_read_like_any_others(line in "(GET|P\"T)?[ ]{0,2}[/a?%0 \t\x7f]{0,8}[ ]{0,2}HTTP/1.1") {
            let line = line.as_bytes();
            if let Some(usual) = RequestLine::usual(line) {
                prop_assert_eq!(usual, RequestLine::any(line, true));
            }
        }
    }

    fn read(line: &str) -> (&str, &str, Option<&str>, Option<Malformation>) {
        let RequestLine { method, target, version, malformation } = RequestLine::read(line.as_bytes(), true);
        let version = match version {
            Version::One { digits, .. } => Some(&line[digits]),
            Version::Simple => Some("0.9"),
            Version::Two | Version::Unknown => None,
        };
        (&line[method], &line[target], version, malformation)
    }

    #[test]
    fn lines_are_read_as_servers_read_them() {
        for (line, expected) in [
            ("GET /a?b=c HTTP/1.1", ("GET", "/a?b=c", Some("1.1"), None)),
            ("GET  /a   HTTP/1.0  ", ("GET", "/a", Some("1.0"), None)),
            ("M-SEARCH /a HTTP/1.9", ("M-SEARCH", "/a", Some("1.9"), None)),
            ("GET / HTTP/1.10", ("GET", "/", Some("1.10"), None)),
            ("GET / HTTP/1.100", ("GET", "/", Some("1.100"), None)),
            ("GET / HTTP/1.1\t", ("GET", "/", None, Some(Malformation::Version))),
            ("GET /", ("GET", "/", Some("0.9"), None)),
            ("GET /a b HTTP/1.1", ("GET", "/a b", Some("1.1"), Some(Malformation::Target))),
            ("GET /a\tb HTTP/1.1", ("GET", "/a\tb", Some("1.1"), Some(Malformation::Target))),
            ("GET HTTP/1.1", ("GET", "", Some("1.1"), Some(Malformation::Target))),
            ("GET a HTTP/1.1", ("GET", "a", Some("1.1"), Some(Malformation::Target))),
            ("GET http://a HTTP/1.1", ("GET", "http://a", Some("1.1"), None)),
            ("GET http:/a HTTP/1.1", ("GET", "http:/a", Some("1.1"), Some(Malformation::Target))),
            ("GET http://me@a/ HTTP/1.1", ("GET", "http://me@a/", Some("1.1"), Some(Malformation::Target))),
            ("GET a:80 HTTP/1.1", ("GET", "a:80", Some("1.1"), Some(Malformation::Target))),
            ("CONNECT a:80 HTTP/1.1", ("CONNECT", "a:80", Some("1.1"), None)),
            ("OPTIONS * HTTP/1.1", ("OPTIONS", "*", Some("1.1"), None)),
            ("GET * HTTP/1.1", ("GET", "*", Some("1.1"), Some(Malformation::Target))),
            ("GET /%41%zz HTTP/1.1", ("GET", "/%41%zz", Some("1.1"), Some(Malformation::Target))),
            ("GET /%00 HTTP/1.1", ("GET", "/%00", Some("1.1"), Some(Malformation::Target))),
            ("GET /%4 HTTP/1.1", ("GET", "/%4", Some("1.1"), Some(Malformation::Target))),
            ("GET", ("GET", "", None, Some(Malformation::Version))),
            ("GET /a HTTP/1.0.8", ("GET", "/a", None, Some(Malformation::Version))),
            ("GET /a HTTP/2.0", ("GET", "/a", None, Some(Malformation::Version))),
            ("GET /a http/1.1", ("GET", "/a http/1.1", None, Some(Malformation::Version))),
            ("POST /", ("POST", "/", None, Some(Malformation::Version))),
            ("G\"ET / HTTP/1.1", ("G\"ET", "/", Some("1.1"), Some(Malformation::Method))),
            (" / HTTP/1.1", ("", "/", Some("1.1"), Some(Malformation::Method))),
        ] {
            assert_eq!(read(line), expected, "{line:?}");
        }
    }

    #[test]
    fn a_line_that_is_cut_has_no_version() {
        for line in ["GET /a HTTP/1.1", "GET /a HT", "GET /a ", "GET /a"] {
            let read = RequestLine::read(line.as_bytes(), false);
            assert_eq!(
                (read.target, read.version, read.malformation),
                (4..6, Version::Unknown, None),
                "{line}"
            );
        }
    }
}
