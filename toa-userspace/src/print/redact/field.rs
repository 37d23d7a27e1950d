//! What a field is, and the values of fields that contain nothing but secrets.

use super::{
    name::{Name, Place},
    part::{MASK, Part},
    scheme,
};
use crate::http::head::UNKNOWN_NAME;

/// The note after a value that was hidden as a whole, or except for its scheme.
const NOTE: &str = " (redacted)";

/// Fields whose values are targets or other references, with parameters of their own.
const REFERENCES: [&[u8]; 19] = [
    b"contentlocation",
    b"destination",
    b"host",
    b"link",
    b"location",
    b"origin",
    b"referer",
    b"referrer",
    b"soapaction",
    b"xforwardedhost",
    b"xforwardeduri",
    b"xforwardedurl",
    b"xoriginalhost",
    b"xoriginaluri",
    b"xoriginalurl",
    b"xrequesturi",
    b"xrequesturl",
    b"xrewriteurl",
    b"xwapprofile",
];

/// What a field's value is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Field {
    /// Credentials after their scheme.
    Credentials,
    /// Names and values of cookies.
    Cookies,
    /// A secret.
    Secret,
    /// A target or another reference.
    Reference,
    /// Any text.
    Text,
}

impl Field {
    /// Returns what the field called `name` contains. `names` are secret, too, and so is what has an unknown name: it may be
    /// one of those.
    pub(super) fn of(name: &[u8], names: &[Vec<u8>]) -> Self {
        if name == UNKNOWN_NAME.as_bytes() {
            return Self::Secret;
        }
        let name = Name::of(name);
        let letters = name.get();
        if matches!(letters, b"authorization" | b"proxyauthorization") {
            Self::Credentials
        } else if letters.ends_with(b"cookie") || letters == b"cookie2" {
            Self::Cookies
        } else if name.is_secret(Place::Field) || names.iter().any(|other| other == letters) {
            Self::Secret
        } else if REFERENCES.contains(&letters) {
            Self::Reference
        } else {
            Self::Text
        }
    }

    /// Returns whether all of the value is secret, perhaps except for names in it.
    pub(super) fn is_secret(self) -> bool {
        matches!(self, Self::Credentials | Self::Cookies | Self::Secret)
    }
}

/// Hides a value as a whole.
pub(super) fn hide<'a>(part: &mut impl FnMut(Part<'a>)) {
    part(Part::Hidden(MASK));
    part(Part::Hidden(NOTE));
}

/// Hides credentials, but not the name of a known scheme before them (RFC 9110 section 11.4).
pub(super) fn hide_credentials<'a>(value: &'a [u8], part: &mut impl FnMut(Part<'a>)) {
    let space = memchr::memchr(b' ', value).unwrap_or(0);
    let (scheme, _) = value.split_at_checked(space).unwrap_or((&[], value));
    if scheme::is_known(scheme) {
        part(Part::Shown(scheme));
        part(Part::Shown(b" "));
    }
    hide(part);
}

/// Hides the values of cookies (RFC 6265 section 4.2.1), and cookies without a name as a whole. What has nothing but
/// equals signs after the first of them may be base64 without a name.
pub(super) fn hide_cookies<'a>(value: &'a [u8], part: &mut impl FnMut(Part<'a>)) {
    for (number, cookie) in cookies(value).enumerate() {
        if number > 0 {
            part(Part::Shown(b"; "));
        }
        let cookie = cookie.trim_ascii();
        let name_len = memchr::memchr(b'=', cookie).map_or(0, |at| at.saturating_add(1));
        if let Some((name, value)) = cookie.split_at_checked(name_len)
            && value.iter().any(|byte| *byte != b'=')
        {
            part(Part::Shown(name));
        }
        if !cookie.is_empty() {
            part(Part::Hidden(MASK));
        }
    }
}

/// Splits a value at semicolons that are not quoted.
fn cookies(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    value.split(move |byte| {
        is_quoted ^= *byte == b'"';
        *byte == b';' && !is_quoted
    })
}
