//! Finds user information, wherever it stands: in URLs, and in pairs of a user and a password before a host.

use super::{Part, Scan, Secret, Unit};

/// Bytes at which hidden user information is shown: separators, and the end of an authority.
const AUTHORITY_ENDS: &[u8] = b"/?#;&";

/// What may stand before a colon and an `@` without being a user: schemes and labels of addresses and packages.
const NO_USERS: [&[u8]; 13] = [
    b"acct", b"cid", b"contact", b"email", b"jsr", b"mail", b"mailto", b"npm", b"sip", b"sips", b"tel",
    b"urn", b"xmpp",
];

impl<'a, F: FnMut(Part<'a>)> Scan<'a, '_, F> {
    /// Returns whether the last two bytes are the slashes before an authority: after a scheme, or at the beginning of a
    /// reference without one.
    pub(super) fn begins_authority(&self) -> bool {
        let [_, before, first, second] = self.recent.to_be_bytes();
        matches!((first, second), (b'/' | b'\\', b'/' | b'\\'))
            && matches!(before, 0 | b':' | b'=' | b' ' | b'\t' | b'"' | b'\'' | b'<' | b'(' | b',' | b'[')
    }

    /// Returns the user information of the authority that begins here (RFC 3986 section 3.2.1). An unencoded password
    /// may contain the end of an authority. It is recognised by what would be the port and is no number.
    pub(super) fn user_info(&mut self, depth: u8) -> Option<Secret> {
        let start = self.at;
        let Some(first) = self.at_sign() else {
            return self.cut_user_info(depth);
        };
        let (mut has_colon, mut is_password, mut is_over) = (false, false, false);
        for (at, unit) in Unit::all(self.value, start).take_while(|(at, _)| *at < first) {
            if unit.depth <= depth && ends_word(unit.byte) {
                self.no_password_before = self.no_password_before.max(if is_over { at } else { 0 });
                return None;
            }
            if unit.depth <= depth && self.ends_authority(unit.byte) && !is_over {
                if !is_password || start < self.no_password_before {
                    return None;
                }
                is_over = true;
            }
            is_password |= has_colon && !unit.byte.is_ascii_digit();
            has_colon |= unit.byte == b':' && self.value.get(start) != Some(&b'[');
        }
        let mut end = first;
        for (at, unit) in Unit::all(self.value, first) {
            if unit.byte == b'@' {
                end = at;
            } else if unit.depth <= depth && (ends_word(unit.byte) || self.ends_authority(unit.byte)) {
                break;
            }
        }
        Some(Secret { start, end, shown: AUTHORITY_ENDS })
    }

    /// Returns the user information of an authority that is cut before its `@`. It is recognised by what would be the
    /// port as well.
    fn cut_user_info(&self, depth: u8) -> Option<Secret> {
        let start = self.at;
        let (mut has_colon, mut is_password) = (false, false);
        for (_, unit) in Unit::all(self.value, start) {
            if unit.depth <= depth && (ends_word(unit.byte) || self.ends_authority(unit.byte)) {
                return None;
            }
            is_password |= has_colon && !unit.byte.is_ascii_digit();
            has_colon |= unit.byte == b':' && self.value.get(start) != Some(&b'[');
        }
        is_password.then_some(Secret { start, end: self.value.len(), shown: AUTHORITY_ENDS })
    }

    /// Returns the user and password before an `@` that begin here, without slashes before them: `proxy=user:S@host`.
    pub(super) fn pair(&mut self, depth: u8) -> Option<Secret> {
        let start = self.at;
        let first = self.at_sign()?;
        let colon = Unit::all(self.value, start).find(|(_, unit)| !is_of_user(unit.byte))?;
        let (password, user) = match colon {
            (at, Unit { byte: b':', len, .. }) if at < first => {
                (at.saturating_add(len), self.value.get(start..at)?)
            }
            _ => return None,
        };
        let mut end = None;
        for (at, unit) in Unit::all(self.value, password) {
            let next =
                self.value.get(at.saturating_add(unit.len)..).and_then(Unit::first).map(|next| next.byte);
            match unit.byte {
                b'@' => end = Some((at, at.saturating_add(unit.len))),
                // After a scheme, not a user.
                b'/' | b'\\' if at == password => return None,
                // Base64 ends with equals signs.
                b'=' if matches!(next, Some(b'=' | b'@')) => {}
                // An assignment, to whose value the `@` would belong.
                b'=' | b'?' => break,
                b',' | b';' if unit.depth <= depth => break,
                byte if unit.depth <= depth && (ends_word(byte) || self.ends_authority(byte)) => break,
                _ => {}
            }
        }
        let (end, host) = end.filter(|(at, _)| *at > password)?;
        let is_digest = self.value.get(host..).is_some_and(|host| host.starts_with(b"sha"));
        let is_user = !user.is_empty() && !NO_USERS.iter().any(|other| user.eq_ignore_ascii_case(other));
        (is_user && !is_digest).then_some(Secret { start, end, shown: AUTHORITY_ENDS })
    }

    fn ends_authority(&self, byte: u8) -> bool {
        matches!(byte, b'/' | b'\\' | b'?' | b'#') || (byte == b'&' && self.query_depth.is_some())
    }

    /// Returns the position of the next `@`, encoded or not.
    pub(super) fn at_sign(&mut self) -> Option<usize> {
        if self.next_at_sign.is_some_and(|at| at <= self.at) {
            let found = Unit::all(self.value, self.at).find(|(_, unit)| unit.byte == b'@');
            self.next_at_sign = found.map(|(at, _)| at);
        }
        self.next_at_sign
    }
}

/// Returns whether a byte may be part of the name of a user. Others are rare.
fn is_of_user(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'+' | b'~' | b'$') || byte >= 0x80
}

fn ends_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'"' | b'<' | b'>')
}
