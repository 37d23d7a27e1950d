//! Hides secrets in targets and fields.
//!
//! The redactor splits a value into parts that are shown or hidden. Every printer escapes and writes the parts in its
//! own way.

/// The replacement for a hidden part.
pub const MASK: &str = "•••";

/// The note after a value that was hidden as a whole, or except for its scheme.
const NOTE: &str = " (redacted)";

/// Authentication schemes whose names are shown (IANA HTTP authentication scheme registry, and common others).
const SCHEMES: [&str; 18] = [
    "apikey",
    "aws4-hmac-sha256",
    "basic",
    "bearer",
    "concealed",
    "digest",
    "dpop",
    "gnap",
    "hawk",
    "hoba",
    "key",
    "mutual",
    "negotiate",
    "ntlm",
    "oauth",
    "privatetoken",
    "token",
    "vapid",
];

/// Fields and parameters whose names contain one of these are hidden. Hyphens, underscores and dots are ignored.
const SECRET_PARTS: [&str; 18] = [
    "accesskey",
    "apikey",
    "authkey",
    "authorization",
    "clientassertion",
    "credential",
    "dpop",
    "functionskey",
    "jwt",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "secret",
    "sessionid",
    "signature",
    "subscriptionkey",
    "token",
];

/// Parameters with one of these names are hidden as well.
const SECRET_PARAMETERS: [&str; 9] = ["auth", "key", "otp", "pass", "phpsessid", "pw", "pwd", "sid", "sig"];

/// Fields whose values are targets or references, with parameters of their own.
const TARGET_FIELDS: [&str; 7] =
    ["location", "referer", "xforwardeduri", "xoriginaluri", "xoriginalurl", "xrewriteurl", "xwapprofile"];

/// Longest name that is examined, in bytes. The values of longer names are hidden.
const MAX_NAME_BYTES: usize = 128;

/// Bytes of the first word of an unknown protocol that are shown: enough for `SSH-2.0-` and the magic numbers of binary
/// protocols, whose names and passwords come later.
const PREVIEW_SHOWN_BYTES: usize = 8;

/// A part of a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part<'a> {
    /// Bytes to show.
    Shown(&'a [u8]),
    /// The replacement for hidden bytes.
    Hidden(&'static str),
}

/// The rules for what to hide.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    show_secrets: bool,
    /// Further names to hide, normalised as in [`Name`].
    names: Vec<Vec<u8>>,
}

impl Redactor {
    /// Returns a redactor that hides nothing.
    pub fn show_secrets() -> Self {
        Self { show_secrets: true, names: Vec::new() }
    }

    /// Also hides the fields and parameters called `name`, in any case.
    #[must_use]
    pub fn with_name(mut self, name: &str) -> Self {
        self.names.push(Name::of(name.as_bytes()).get().to_vec());
        self
    }

    /// Splits a request target into parts.
    pub fn target<'a>(&self, target: &'a [u8], part: &mut impl FnMut(Part<'a>)) {
        if self.show_secrets {
            part(Part::Shown(target));
            return;
        }
        let rest = hide_user_info(target, part);
        let parameters = rest.iter().position(|byte| b"?;#".contains(byte)).unwrap_or(rest.len());
        let (path, mut rest) = rest.split_at_checked(parameters).unwrap_or((rest, &[]));
        part(Part::Shown(path));
        // Each turn takes a separator and the parameter that follows it, up to the next separator.
        while let Some((_, behind)) = rest.split_first() {
            let len = behind.iter().position(|byte| b"?&;#".contains(byte)).unwrap_or(behind.len());
            let (parameter, next) = rest.split_at_checked(len.saturating_add(1)).unwrap_or((rest, &[]));
            let name_end = parameter.iter().position(|byte| *byte == b'=').unwrap_or(parameter.len());
            let name = Name::of(parameter.get(1..name_end).unwrap_or_default());
            match parameter.split_at_checked(name_end.saturating_add(1)) {
                Some((shown, [_, ..])) if self.is_secret_parameter(&name) => {
                    part(Part::Shown(shown));
                    part(Part::Hidden(MASK));
                }
                _ => part(Part::Shown(parameter)),
            }
            rest = next;
        }
    }

    /// Splits the first bytes of an unknown protocol into parts. Any of them may be part of a password, and no rule can
    /// recognise it. So only the first word is shown, and no more of it than names a protocol.
    pub fn preview<'a>(&self, preview: &'a [u8], part: &mut impl FnMut(Part<'a>)) {
        let word = preview.iter().take(PREVIEW_SHOWN_BYTES).position(u8::is_ascii_whitespace);
        let len = if self.show_secrets { preview.len() } else { word.unwrap_or(PREVIEW_SHOWN_BYTES) };
        match preview.split_at_checked(len) {
            Some((shown, [_, ..])) => {
                part(Part::Shown(shown));
                part(Part::Hidden(MASK));
            }
            _ => part(Part::Shown(preview)),
        }
    }

    /// Splits a field's value into parts.
    pub fn value<'a>(&self, name: &[u8], value: &'a [u8], part: &mut impl FnMut(Part<'a>)) {
        let name = Name::of(name);
        if self.show_secrets || value.is_empty() {
            part(Part::Shown(value));
        } else if matches!(name.get(), b"authorization" | b"proxyauthorization") {
            hide_credentials(value, part);
        } else if name.get() == b"cookie" {
            hide_cookies(value, part);
        } else if self.is_secret_field(&name) {
            part(Part::Hidden(MASK));
            part(Part::Hidden(NOTE));
        } else if TARGET_FIELDS.iter().any(|field| field.as_bytes() == name.get()) {
            self.target(value, part);
        } else {
            part(Part::Shown(value));
        }
    }

    fn is_secret_field(&self, name: &Name) -> bool {
        self.names.iter().any(|other| other == name.get()) || name.has_any(&SECRET_PARTS)
    }

    fn is_secret_parameter(&self, name: &Name) -> bool {
        SECRET_PARAMETERS.iter().any(|secret| secret.as_bytes() == name.get()) || self.is_secret_field(name)
    }
}

/// A name in lower case, without hyphens, underscores and dots, with `%NN` decoded.
struct Name {
    bytes: [u8; MAX_NAME_BYTES],
    len: usize,
    is_too_long: bool,
}

impl Name {
    fn of(name: &[u8]) -> Self {
        let mut bytes = [0; MAX_NAME_BYTES];
        let mut len = 0_usize;
        let mut rest = name;
        while let [first, behind @ ..] = rest {
            let (byte, next) = match (first, behind) {
                (b'%', [high, low, next @ ..]) => match (hex(*high), hex(*low)) {
                    (Some(high), Some(low)) => ((high << 4) | low, next),
                    _ => (b'%', behind),
                },
                _ => (*first, behind),
            };
            rest = next;
            if !matches!(byte, b'-' | b'_' | b'.') {
                let Some(place) = bytes.get_mut(len) else {
                    return Self { bytes, len, is_too_long: true };
                };
                *place = byte.to_ascii_lowercase();
                len = len.saturating_add(1);
            }
        }
        Self { bytes, len, is_too_long: false }
    }

    fn get(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn has_any(&self, parts: &[&str]) -> bool {
        let name = self.get();
        self.is_too_long
            || parts.iter().any(|part| name.windows(part.len()).any(|window| window == part.as_bytes()))
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Hides the user information before the `@` of an authority (RFC 3986 section 3.2.1). Returns the rest of the target.
fn hide_user_info<'a>(target: &'a [u8], part: &mut impl FnMut(Part<'a>)) -> &'a [u8] {
    let start = match target {
        [b'/', b'/', ..] => 2,
        [b'/', ..] => return target,
        _ => target.windows(3).position(|window| window == b"://").map_or(0, |at| at.saturating_add(3)),
    };
    let (scheme, authority) = target.split_at_checked(start).unwrap_or((&[], target));
    let end = authority.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(authority.len());
    let at = authority.get(..end).and_then(|authority| authority.iter().rposition(|byte| *byte == b'@'));
    match at.and_then(|at| authority.get(at..)) {
        Some(rest) => {
            part(Part::Shown(scheme));
            part(Part::Hidden(MASK));
            rest
        }
        None => target,
    }
}

/// Hides credentials, but not the name of a known scheme before them (RFC 9110 section 11.4).
fn hide_credentials<'a>(value: &'a [u8], part: &mut impl FnMut(Part<'a>)) {
    let space = value.iter().position(|byte| *byte == b' ').unwrap_or(0);
    let (scheme, _) = value.split_at_checked(space).unwrap_or((&[], value));
    if SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known.as_bytes())) {
        part(Part::Shown(scheme));
        part(Part::Shown(b" "));
    }
    part(Part::Hidden(MASK));
    part(Part::Hidden(NOTE));
}

/// Hides the values of cookies (RFC 6265 section 4.2.1), and cookies without a name as a whole.
fn hide_cookies<'a>(value: &'a [u8], part: &mut impl FnMut(Part<'a>)) {
    for (number, cookie) in value.split(|byte| *byte == b';').enumerate() {
        if number > 0 {
            part(Part::Shown(b"; "));
        }
        let cookie = cookie.trim_ascii();
        if let Some(end) = cookie.iter().position(|byte| *byte == b'=') {
            part(Part::Shown(cookie.get(..=end).unwrap_or_default()));
        }
        if !cookie.is_empty() {
            part(Part::Hidden(MASK));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(cut: impl FnOnce(&mut dyn FnMut(Part<'_>))) -> String {
        let mut text = Vec::new();
        cut(&mut |part| match part {
            Part::Shown(bytes) => text.extend_from_slice(bytes),
            Part::Hidden(mask) => text.extend_from_slice(mask.as_bytes()),
        });
        String::from_utf8(text).unwrap()
    }

    fn target(redactor: &Redactor, target: &str) -> String {
        shown(|part| redactor.target(target.as_bytes(), &mut |piece| part(piece)))
    }

    fn value(redactor: &Redactor, name: &str, value: &str) -> String {
        shown(|part| redactor.value(name.as_bytes(), value.as_bytes(), &mut |piece| part(piece)))
    }

    #[test]
    fn secret_fields_are_hidden() {
        let redactor = Redactor::default().with_name("X-Team-Pin");
        for (name, sent, expected) in [
            ("Authorization", "Bearer abc.def", "Bearer ••• (redacted)"),
            ("proxy-authorization", "basic dXNlcjpwYXNz", "basic ••• (redacted)"),
            ("authorization", "hunter2", "••• (redacted)"),
            ("authorization", "hunter2 and more", "••• (redacted)"),
            ("authorization", "", ""),
            ("Cookie", "sid=abc; lang=en;x", "sid=•••; lang=•••; •••"),
            ("cookie", "a=b=c", "a=•••"),
            ("X-API-Key", "abc", "••• (redacted)"),
            ("x_apikey", "abc", "••• (redacted)"),
            ("x-csrf-token", "abc", "••• (redacted)"),
            ("x-client-secret", "abc", "••• (redacted)"),
            ("x-amz-security-token", "abc", "••• (redacted)"),
            ("x-team-pin", "1234", "••• (redacted)"),
            ("X-Auth-Key", "abc", "••• (redacted)"),
            (&"x".repeat(129), "abc", "••• (redacted)"),
            ("x-team", "payments", "payments"),
            ("host", "key", "key"),
            ("Referer", "https://u:p@a/b?token=abc&x=1", "https://•••@a/b?token=•••&x=1"),
        ] {
            assert_eq!(value(&redactor, name, sent), expected, "{name}");
        }
    }

    #[test]
    fn secret_parameters_are_hidden() {
        let redactor = Redactor::default().with_name("pin");
        for (sent, expected) in [
            ("/orders?id=7", "/orders?id=7"),
            ("/a?token=abc", "/a?token=•••"),
            ("/a?x=1&Access_Token=abc&y=2#f", "/a?x=1&Access_Token=•••&y=2#f"),
            ("/a?api-key=abc;sig=1", "/a?api-key=•••;sig=•••"),
            ("/a?%74oken=abc", "/a?%74oken=•••"),
            ("/a?token=a?b=c", "/a?token=•••?b=c"),
            ("/a?X-Amz-Signature=abc&X-Amz-Date=1", "/a?X-Amz-Signature=•••&X-Amz-Date=1"),
            ("/a?keys=1&monkey=2&key=3", "/a?keys=1&monkey=2&key=•••"),
            ("/a;jsessionid=abc/b", "/a;jsessionid=•••"),
            ("/a?token=", "/a?token="),
            ("/a?token", "/a?token"),
            ("/a?&&=1&", "/a?&&=1&"),
            ("/a#access_token=abc", "/a#access_token=•••"),
            ("/a?pin=1", "/a?pin=•••"),
            ("http://user:pass@host/p@q?a=b", "http://•••@host/p@q?a=b"),
            ("user:pass@host:443", "•••@host:443"),
            ("host:443", "host:443"),
            ("*", "*"),
        ] {
            assert_eq!(target(&redactor, sent), expected);
        }
    }

    #[test]
    fn little_is_shown_of_what_is_not_known() {
        for (sent, expected) in [
            ("SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0-•••"),
            ("AUTH hunter2\r\n", "AUTH•••"),
            ("*2\r\n$4\r\nAUTH\r\n$7\r\nhunter2\r\n", "*2•••"),
            ("\x10\x1e\0\x04MQTT\x04\0user", "\x10\x1e\0\x04MQTT•••"),
            ("\r\nhunter2", "•••"),
            ("12345678", "12345678"),
            ("a b", "a•••"),
            ("", ""),
        ] {
            let shown_of = |redactor: &Redactor| {
                shown(|part| redactor.preview(sent.as_bytes(), &mut |piece| part(piece)))
            };
            assert_eq!(shown_of(&Redactor::default()), expected, "{sent:?}");
            assert_eq!(shown_of(&Redactor::show_secrets()), sent);
        }
    }

    #[test]
    fn secrets_are_shown_on_demand() {
        let redactor = Redactor::show_secrets();
        assert_eq!(value(&redactor, "authorization", "Bearer abc"), "Bearer abc");
        assert_eq!(target(&redactor, "/a?token=abc"), "/a?token=abc");
    }
}
