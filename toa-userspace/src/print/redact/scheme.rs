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

/// The last two characters of all schemes, as [`letter`] gives them: the first of the two by the last.
const ENDS: [u32; 32] = ends(ends([0; 32], &CERTAIN), &LIKELY);

/// Shortest credential after a likely scheme. `dTpw` is the shortest of `Basic` with a user and a password.
const MIN_LEN: usize = 4;

/// Longest word that is compared with the names of schemes, in bytes. Longer ones are rare.
const MAX_WORD_LEN: usize = 32;

/// Returns whether `word` is the name of a scheme.
pub(super) fn is_known(word: &[u8]) -> bool {
    is_any(|scheme| scheme.eq_ignore_ascii_case(word))
}

/// Returns whether `word` may spell the name of a scheme, as it does if its letters and digits are those of the name.
pub(super) fn may_be(word: &[u8]) -> bool {
    if word.len() > MAX_WORD_LEN {
        return true;
    }
    let backwards = || word.iter().rev().filter(|byte| byte.is_ascii_alphanumeric());
    let mut ends = backwards();
    let (Some(last), Some(before)) = (ends.next(), ends.next()) else { return false };
    ENDS.get(usize::from(last & LETTER)).is_some_and(|before_last| before_last & letter(*before) != 0)
        && is_any(|scheme| {
            let name = scheme.iter().rev().filter(|byte| **byte != b'-');
            name.copied().eq(backwards().map(u8::to_ascii_lowercase))
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

const fn ends(known: [u32; 32], schemes: &[&[u8]]) -> [u32; 32] {
    let (mut ends, mut rest) = (known, schemes);
    while let [first, next @ ..] = rest {
        if let [.., before, last] = first
            && let Some((_, [end, ..])) = ends.split_at_mut_checked((*last & LETTER) as usize)
        {
            *end |= letter(*before);
        }
        rest = next;
    }
    ends
}

/// The bits of an ASCII letter that do not depend on its case.
const LETTER: u8 = 0x1f;

/// Returns the bit of an ASCII letter in any case. Others share these bits.
const fn letter(byte: u8) -> u32 {
    1 << (byte & LETTER)
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
    fn schemes_are_found_however_they_are_spelled() {
        for word in ["Bearer", "BASIC", "AWS4-HMAC-SHA256", "Private-Token", "bea\"rer'", &"-".repeat(33)] {
            assert!(may_be(word.as_bytes()), "{word}");
        }
        for word in ["", "r", "like", "bearers", "xbearer", "KHTML"] {
            assert!(!may_be(word.as_bytes()), "{word}");
        }
    }
}
