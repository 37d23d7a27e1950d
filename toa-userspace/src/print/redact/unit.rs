//! Percent-decoding, unit by unit (RFC 3986 section 2.1).

/// Depth from which encodings are not told apart.
const MAX_DEPTH: u8 = 4;

/// A byte of a value and how it was encoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Unit {
    /// The decoded byte.
    pub(super) byte: u8,
    /// How often it was encoded: 0 for `=`, 1 for `%3D`, 2 for `%253D`.
    pub(super) depth: u8,
    /// Its length before decoding.
    pub(super) len: usize,
}

impl Unit {
    /// Returns the first unit of `bytes`.
    pub(super) fn first(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [b'%', digits @ ..] => Some(Self::encoded(digits)),
            [byte, ..] => Some(Self { byte: *byte, depth: 0, len: 1 }),
            [] => None,
        }
    }

    /// Returns each unit of `bytes` from position `from`, with its position.
    pub(super) fn all(bytes: &[u8], from: usize) -> impl Iterator<Item = (usize, Self)> {
        let mut at = from;
        std::iter::from_fn(move || {
            let unit = Self::first(bytes.get(at..)?)?;
            let start = at;
            at = at.saturating_add(unit.len);
            Some((start, unit))
        })
    }

    fn encoded(digits: &[u8]) -> Self {
        let (mut digits, mut depth, mut len) = (digits, 1_u8, 3_usize);
        // `%25` is an encoded `%`. Two digits that follow belong to it.
        while let [b'2', b'5', next @ ..] = digits
            && let [high, low, ..] = next
            && high.is_ascii_hexdigit()
            && low.is_ascii_hexdigit()
        {
            (digits, depth, len) = (next, depth.saturating_add(1).min(MAX_DEPTH), len.saturating_add(2));
        }
        match digits {
            [high, low, ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => Self { byte: (high << 4) | low, depth, len },
                _ => Self { byte: b'%', depth: 0, len: 1 },
            },
            _ => Self { byte: b'%', depth: 0, len: 1 },
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_decoded_however_often_they_were_encoded() {
        for (text, byte, depth, len) in [
            ("=", b'=', 0, 1),
            ("%3D", b'=', 1, 3),
            ("%3dx", b'=', 1, 3),
            ("%253D", b'=', 2, 5),
            ("%25252525253D", b'=', MAX_DEPTH, 13),
            ("%25", b'%', 1, 3),
            ("%25x0", b'%', 1, 3),
            ("%2525", b'%', 2, 5),
            ("%252", b'%', 1, 3),
            ("%", b'%', 0, 1),
            ("%3", b'%', 0, 1),
            ("%zz", b'%', 0, 1),
        ] {
            assert_eq!(Unit::first(text.as_bytes()), Some(Unit { byte, depth, len }), "{text}");
        }
        assert_eq!(Unit::first(b""), None);
    }

    #[test]
    fn units_have_their_positions() {
        let units: Vec<_> = Unit::all(b"ab%3Dc", 1).map(|(at, unit)| (at, unit.byte)).collect();
        assert_eq!(units, [(1, b'b'), (2, b'='), (5, b'c')]);
    }
}
