//! The names of authentication schemes, and the credentials that follow them (RFC 9110 section 11.4).

use super::unit::Unit;

/// Schemes that are followed by nothing but credentials.
const CERTAIN: [&[u8]; 4] = [b"aws4-hmac-sha256", b"bearer", b"dpop", b"privatetoken"];

/// Schemes that are ordinary words as well (IANA HTTP authentication scheme registry, and common others).
const LIKELY: [&[u8]; 14] = [
    b"apikey",
    b"basic",
    b"concealed",
    b"digest",
    b"gnap",
    b"hawk",
    b"hoba",
    b"key",
    b"mutual",
    b"negotiate",
    b"ntlm",
    b"oauth",
    b"token",
    b"vapid",
];

/// The last characters of all schemes, as [`letter`] gives them.
const LAST_LETTERS: u32 = last_letters(&CERTAIN) | last_letters(&LIKELY);

/// Shortest credential after a likely scheme. `dTpw` is the shortest of `Basic` with a user and a password.
const MIN_LEN: usize = 4;

/// Returns whether `word` is the name of a scheme.
pub(super) fn is_known(word: &[u8]) -> bool {
    is_any(|scheme| scheme.eq_ignore_ascii_case(word))
}

/// Returns whether `text` may end with the name of a scheme.
pub(super) fn may_end(text: &[u8]) -> bool {
    let Some(last) =
        text.last().filter(|last| last.is_ascii_alphanumeric() && LAST_LETTERS & letter(**last) != 0)
    else {
        return false;
    };
    is_any(|scheme| {
        let start = text.len().checked_sub(scheme.len());
        scheme.last().is_some_and(|it| letter(*it) == letter(*last))
            && start.and_then(|start| text.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(scheme))
    })
}

/// Returns where the credentials begin that follow the scheme `name` and a space, if `rest` looks like some. `name` is
/// in lower case and without hyphens.
pub(super) fn credentials(name: &[u8], rest: &[u8]) -> Option<usize> {
    let is_certain = CERTAIN.iter().any(|scheme| eq_without_hyphens(scheme, name));
    if !is_certain && !LIKELY.contains(&name) {
        return None;
    }
    let is_space = |byte| matches!(byte, b' ' | b'\t' | b'+');
    let (start, _) = Unit::all(rest, 0).find(|(_, unit)| !is_space(unit.byte))?;
    (is_certain || looks_random(rest, start)).then_some(start)
}

/// Returns whether the word of `bytes` at `start` looks like a credential and not like a word of a language: it has a
/// digit, a capital after a small letter, or an equals sign. The name and version of a product are none: `Client/4.5`.
fn looks_random(bytes: &[u8], start: usize) -> bool {
    let (mut len, mut was_lower, mut is_random) = (0_usize, false, false);
    let (mut is_version, mut has_dot) = (false, false);
    for (_, unit) in Unit::all(bytes, start) {
        match unit.byte {
            b'=' if len == 0 => return false,
            b'0'..=b'9' | b'=' => is_random = true,
            b'A'..=b'Z' => is_random |= was_lower,
            b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => {}
            _ => break,
        }
        match unit.byte {
            b'/' => (is_version, has_dot) = (true, false),
            b'.' => has_dot = true,
            b'0'..=b'9' => {}
            _ => is_version = false,
        }
        was_lower = unit.byte.is_ascii_lowercase();
        len = len.saturating_add(1);
    }
    is_random && len >= MIN_LEN && !(is_version && has_dot)
}

fn is_any(mut is: impl FnMut(&[u8]) -> bool) -> bool {
    CERTAIN.iter().chain(&LIKELY).any(|scheme| is(scheme))
}

fn eq_without_hyphens(scheme: &[u8], name: &[u8]) -> bool {
    scheme.iter().filter(|byte| **byte != b'-').eq(name)
}

const fn last_letters(schemes: &[&[u8]]) -> u32 {
    let mut letters = 0;
    let mut rest = schemes;
    while let [first, next @ ..] = rest {
        if let [.., last] = first {
            letters |= letter(*last);
        }
        rest = next;
    }
    letters
}

/// Returns the bit of an ASCII letter in any case. Others share these bits.
const fn letter(byte: u8) -> u32 {
    1 << (byte & 0x1f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_told_from_words() {
        for (name, rest, expected) in [
            ("bearer", "abc", Some(0)),
            ("bearer", "  abc", Some(2)),
            ("bearer", "%20abc", Some(3)),
            ("bearer", "", None),
            ("aws4hmacsha256", "Credential=a", Some(0)),
            ("basic", "dTpw", Some(0)),
            ("basic", "dXNlcjpwYXNz", Some(0)),
            ("basic", "Research", None),
            ("basic", "plan", None),
            ("basic", "2.0", None),
            ("basic", "HttpClient/4.5.13", None),
            ("basic", "dXNlcjpw/45", Some(0)),
            ("digest", "username=\"a\"", Some(0)),
            ("token", "Services", None),
            ("token", "=ab12", None),
            ("token", "ab12", Some(0)),
            ("key", "Accounts EMEA2", None),
            ("svg", "ab12", None),
        ] {
            assert_eq!(credentials(name.as_bytes(), rest.as_bytes()), expected, "{name} {rest}");
        }
    }

    #[test]
    fn schemes_are_found_at_the_end_of_a_text() {
        assert!(may_end(b"Bearer") && may_end(b"x=Basic") && may_end(b"AWS4-HMAC-SHA256"));
        assert!(!may_end(b"") && !may_end(b"KHTML,") && !may_end(b"like"));
    }
}
