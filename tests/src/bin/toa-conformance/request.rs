//! A request as both programs print it.

use std::net::IpAddr;

/// The sender and the receiver of a connection's requests.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Ends {
    pub(crate) client: (IpAddr, u16),
    pub(crate) server: (IpAddr, u16),
}

impl Ends {
    /// Returns the ends, seen from the other side.
    pub(crate) fn reversed(self) -> Self {
        Self { client: self.server, server: self.client }
    }
}

/// A request. Its texts are [`comparable`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Request {
    pub(crate) ends: Ends,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) host: Host,
}

/// The value of a request's first Host field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Host {
    /// The field, if there is one.
    Known(Option<String>),
    /// tshark prints the hosts of a frame's requests without saying whose they are.
    Unknown,
}

impl Request {
    /// Returns whether both are the same request.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        self.ends == other.ends
            && self.method == other.method
            && self.target == other.target
            && (self.host == other.host || [&self.host, &other.host].contains(&&Host::Unknown))
    }

    /// Returns whether they may be the same request, of which a part was read differently.
    pub(crate) fn resembles(&self, other: &Self) -> bool {
        let begins =
            |one: &Self, other: &Self| one.target.starts_with(&other.target) && !other.target.is_empty();
        self.ends == other.ends && (begins(self, other) || begins(other, self))
    }
}

/// Stands for bytes that toa-tc and tshark print differently.
const OTHER: char = '\u{fffd}';

/// Replaces what the programs print differently, however many characters, by one: all but ASCII, and control characters.
/// Replaces an escaped backslash by a backslash.
pub(crate) fn comparable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        let char = match (char, rest.as_str().as_bytes()) {
            ('\\', [b'x', high, low, ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let byte = rest.as_str().get(1..3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
                rest = rest.as_str().get(3..).unwrap_or_default().chars();
                // A space is escaped because a target would end there.
                byte.filter(|byte| *byte == b' ').map_or(OTHER, char::from)
            }
            ('\\', [b'0'..=b'3', b'0'..=b'7', b'0'..=b'7', ..]) => {
                rest = rest.as_str().get(3..).unwrap_or_default().chars();
                OTHER
            }
            ('\\', [b't' | b'r' | b'n' | b'a' | b'b' | b'f' | b'v', ..]) => {
                rest.next();
                OTHER
            }
            ('\\', [b'\\' | b'"', ..]) => rest.next().unwrap_or(char),
            _ if char.is_control() || !char.is_ascii() => OTHER,
            _ => char,
        };
        if char != OTHER || !out.ends_with(OTHER) {
            out.push(char);
        }
    }
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn ends(port: u16) -> Ends {
        Ends { client: ([10, 9, 0, 1].into(), port), server: ([10, 9, 0, 2].into(), 80) }
    }

    pub(crate) fn request(port: u16, target: &str) -> Request {
        Request {
            ends: ends(port),
            method: "GET".to_owned(),
            target: target.to_owned(),
            host: Host::Known(None),
        }
    }

    #[test]
    fn both_ways_to_print_bytes_are_comparable() {
        for (ours, theirs) in [
            (r"/\xcb\xd1\xcb\xf7?q=a", "/\u{fffd}\u{fffd}\u{fffd}\u{fffd}?q=a"),
            (r"/a\x01b\x7f", r"/a\001b\177"),
            (r"/a\x20b", "/a b"),
            (r"/a\\b", r"/a\\b"),
            (r"/a\x09b", r"/a\tb"),
            ("/你好", "/\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(comparable(ours), comparable(theirs), "{ours} {theirs}");
        }
        assert_ne!(comparable("/a"), comparable("/b"));
    }

    #[test]
    fn an_unknown_host_agrees_with_any() {
        let (one, mut other) = (request(7, "/"), request(7, "/"));
        assert!(one.agrees(&other));
        other.host = Host::Known(Some("a".to_owned()));
        assert!(!one.agrees(&other) && one.resembles(&other));
        other.host = Host::Unknown;
        assert!(one.agrees(&other));
        assert!(!one.agrees(&request(8, "/")) && !one.resembles(&request(8, "/")));
        assert!(!request(7, "/a").resembles(&request(7, "/b")) && one.resembles(&request(7, "/b")));
    }
}
