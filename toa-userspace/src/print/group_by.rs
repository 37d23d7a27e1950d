//! What requests are grouped by (`--summary-by`, `--once-by`).

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::{
    digits,
    redact::{Part, Redactor},
    target::TargetParts,
};
use crate::{http::head::HttpRequest, pipeline::connection::Connection, print::escape::escape};

/// Longest value that is kept whole, in bytes. Of a longer one, only the beginning is kept.
const MAX_VALUE_LEN: usize = 256;

/// Ends a value in a key. Escaped text has no control characters.
const END: u8 = 0;

/// In a key, takes the place of a value that is missing.
const ABSENT: u8 = 1;

/// A property of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Dimension {
    /// The real client's address, without its port.
    Client,
    /// The target's path.
    Path,
    /// The values of the fields of this name, which is in lower case.
    Header(String),
}

/// Why a text does not say what to group by.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum GroupByError {
    /// A part is none of the properties.
    #[error("{0:?} is none of client, path and header:NAME")]
    Unknown(String),
    /// A header field has a pattern for a name, or something that no field can have.
    #[error("{0:?} does not name one header field, and patterns are not possible")]
    Name(String),
    /// A property is repeated.
    #[error("{0} is given twice")]
    Repeated(String),
}

/// The properties that requests of a group have in common.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GroupBy(Vec<Dimension>);

impl FromStr for GroupBy {
    type Err = GroupByError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut dimensions = Vec::new();
        for part in text.split(',').map(str::trim) {
            let dimension = match part.split_once(':') {
                None if part.eq_ignore_ascii_case("client") => Dimension::Client,
                None if part.eq_ignore_ascii_case("path") => Dimension::Path,
                Some((kind, name)) if kind.eq_ignore_ascii_case("header") && !name.is_empty() => {
                    if !is_field_name(name) {
                        return Err(GroupByError::Name(part.to_owned()));
                    }
                    Dimension::Header(name.to_ascii_lowercase())
                }
                _ => return Err(GroupByError::Unknown(part.to_owned())),
            };
            if dimensions.contains(&dimension) {
                return Err(GroupByError::Repeated(dimension.to_string()));
            }
            dimensions.push(dimension);
        }
        Ok(Self(dimensions))
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.write_str("client"),
            Self::Path => f.write_str("path"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

impl GroupBy {
    /// Groups by the real client's address.
    pub fn client() -> Self {
        Self(vec![Dimension::Client])
    }

    /// Returns the names of the properties.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(ToString::to_string)
    }

    /// Returns whether all requests of a connection are in one group, which is known before the first.
    pub(super) fn is_of_connections(&self) -> bool {
        self.0.iter().all(|dimension| *dimension == Dimension::Client)
    }

    /// Writes to `key` what tells the group of a request, or of a connection without one, from others: its values,
    /// redacted and escaped.
    pub(super) fn write_key(
        &self,
        connection: &Connection,
        request: Option<&HttpRequest<'_>>,
        redactor: &Redactor,
        key: &mut Vec<u8>,
    ) {
        key.clear();
        for dimension in &self.0 {
            let start = key.len();
            let is_present = match dimension {
                Dimension::Client => put_client(connection, key),
                Dimension::Path => request.is_some_and(|request| put_path(request, redactor, key)),
                Dimension::Header(name) => {
                    request.is_some_and(|request| put_field(request, name, redactor, key))
                }
            };
            if is_present {
                shorten(key, start);
            } else {
                key.push(ABSENT);
            }
            key.push(END);
        }
    }

    /// Returns the values in a key; `None` for what is missing.
    pub(super) fn values(key: &[u8]) -> impl Iterator<Item = Option<&str>> {
        key.split_inclusive(|byte| *byte == END).map(|value| match value {
            [ABSENT, END] => None,
            value => str::from_utf8(value.strip_suffix(&[END]).unwrap_or(value)).ok(),
        })
    }
}

/// Returns a value as tables show it. An empty column could not be told from none.
pub fn shown(value: Option<&str>) -> &str {
    match value {
        None => "-",
        Some("") => r#""""#,
        Some(value) => value,
    }
}

/// Returns whether a text is the name of a header field (RFC 9110 section 5.6.2). `*` may be part of one, but no known one has
/// it: it is meant as a pattern.
fn is_field_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte))
}

fn put_client(connection: &Connection, key: &mut Vec<u8>) -> bool {
    let client = connection.client();
    if let Some(client) = client {
        digits::push_address(client.address, key);
    }
    client.is_some()
}

/// Appends the path, or for other forms of a target all of it.
fn put_path(request: &HttpRequest<'_>, redactor: &Redactor, key: &mut Vec<u8>) -> bool {
    let start = key.len();
    redactor.target(request.target(), &mut |part| put(part, key));
    if let Some(path) = TargetParts::of(key.get(start..).unwrap_or_default(), start).path {
        key.truncate(path.end);
        key.drain(start..path.start);
        if key.len() == start {
            // The root (RFC 9110 section 4.2.3).
            key.push(b'/');
        }
    }
    true
}

/// Appends the values of the fields of a name, combined as in RFC 9110 section 5.2.
fn put_field(request: &HttpRequest<'_>, name: &str, redactor: &Redactor, key: &mut Vec<u8>) -> bool {
    let mut is_present = false;
    for field in request.fields().filter(|field| field.name().eq_ignore_ascii_case(name.as_bytes())) {
        if is_present {
            key.extend_from_slice(b", ");
        }
        is_present = true;
        redactor.field(field.name()).value(field.value(), &mut |part| put(part, key));
    }
    is_present
}

fn put(part: Part<'_>, key: &mut Vec<u8>) {
    match part {
        Part::Shown(bytes) => escape(bytes, key),
        Part::Plain(bytes) => key.extend_from_slice(bytes),
        Part::Hidden(mask) => key.extend_from_slice(mask.as_bytes()),
    }
}

/// Shortens a long value that begins at `start`.
fn shorten(key: &mut Vec<u8>, start: usize) {
    let end = start.saturating_add(MAX_VALUE_LEN);
    if key.len() > end {
        let is_inside = |at: &usize| key.get(*at).is_some_and(|byte| byte & 0xC0 == 0x80);
        let end = (start..=end).rev().find(|at| !is_inside(at)).unwrap_or(start);
        key.truncate(end);
        key.extend_from_slice("…".as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{print::tests::first_request, segment::tests::segment};

    fn values(by: &str, head: &str) -> Vec<Option<String>> {
        let connection = Connection::new(1, &segment(1, 0, b""));
        let mut key = b"of another request".to_vec();
        let request = first_request(head.as_bytes(), 0);
        by.parse::<GroupBy>().unwrap().write_key(&connection, Some(&request), &Redactor::default(), &mut key);
        GroupBy::values(&key).map(|value| value.map(str::to_owned)).collect()
    }

    #[test]
    fn a_group_has_the_values_that_its_requests_have_in_common() {
        let head = "GET /a/b?c=d HTTP/1.1\r\nHost: a\r\nX-Team: one\r\nx-team: \x1btwo\r\nx-none:\r\n\r\n";
        let by = "Client, path,header:X-Team,header:x-none,header:missing";
        let expected = [Some("120.120.111.111"), Some("/a/b"), Some(r"one, \x1btwo"), Some(""), None]
            .map(|value| value.map(str::to_owned));
        assert_eq!(values(by, head), expected);
        assert_eq!(
            by.parse::<GroupBy>().unwrap().names().collect::<Vec<_>>(),
            ["client", "path", "header:x-team", "header:x-none", "header:missing"]
        );
    }

    #[test]
    fn a_path_is_found_in_every_form_of_a_target() {
        for (target, path) in [
            ("/", "/"),
            ("/a#b", "/a"),
            ("http://a.example", "/"),
            ("http://a.example/b?c", "/b"),
            ("*", "*"),
            ("a.example:443", "a.example:443"),
        ] {
            let head = format!("OPTIONS {target} HTTP/1.1\r\nhost: a\r\n\r\n");
            assert_eq!(values("path", &head), [Some(path.to_owned())], "{target}");
        }
    }

    #[test]
    fn secrets_are_hidden_and_long_values_are_cut_between_characters() {
        let head =
            format!("GET / HTTP/1.1\r\nauthorization: Bearer abc\r\nlong: a{}\r\n\r\n", "é".repeat(200));
        let [Some(secret), Some(long)] = &values("header:authorization,header:long", &head)[..] else {
            panic!()
        };
        assert!(!secret.contains("abc"), "{secret}");
        assert_eq!(*long, format!("a{}…", "é".repeat(127)));
    }

    #[test]
    fn mistakes_are_told() {
        let error = |text: &str| text.parse::<GroupBy>().unwrap_err().to_string();
        assert_eq!(error("team"), r#""team" is none of client, path and header:NAME"#);
        assert_eq!(error("client,"), r#""" is none of client, path and header:NAME"#);
        assert_eq!(error("header:"), r#""header:" is none of client, path and header:NAME"#);
        assert_eq!(error("header:a,header:A"), "header:a is given twice");
        for pattern in ["header:*", "header:x-*", "header:x-[ab]", "header:x team", "header:x-team:"] {
            let expected =
                format!("{pattern:?} does not name one header field, and patterns are not possible");
            assert_eq!(error(pattern), expected);
        }
    }
}
