//! Finds secrets in targets and in the values of fields, however they are nested and encoded.
//!
//! The scanner decodes a value unit by unit and recognises
//!
//! - assignments to a secret name: `token=S`, `user[pass]=S`, `%22pin%22%3A%22S`;
//! - segments of a path after a secret name: `/reset-password/S`;
//! - credentials after a scheme: `Bearer S`;
//! - user information before the `@` of an authority ([`user_info`]): `http://user:S@host`;
//! - JSON Web Tokens: `eyJ….….…`.
//!
//! A target may be nested in a parameter of another one. What is encoded once ends at a separator that is encoded once
//! or not at all.

pub(super) mod glance;
mod user_info;

use std::ops::Range;

use memchr::memchr;

use super::{
    name::{Name, Place},
    part::{MASK, Part},
    scheme,
    unit::Unit,
};

/// Bytes at which a hidden parameter is shown. They separate parameters, which the mask must not join.
const SEPARATORS: &[u8] = b"?#;&";

/// Shortest secret name, `pw`.
const MIN_NAME_LEN: usize = 2;

/// Fewest letters and digits of a path segment that looks like a secret.
const MIN_SEGMENT_LEN: usize = 6;

/// What a value is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// A target or another reference, with parameters after `?`, `&`, `;` and `#`.
    Target,
    /// Any other text. It may contain a reference.
    Text,
}

impl Kind {
    /// Returns what the value of a field is that may contain anything. It is a reference if it begins like one.
    pub(super) fn of(value: &[u8]) -> Self {
        let scheme_len = value.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let is_reference =
            value.starts_with(b"/") || value.get(scheme_len..).is_some_and(|rest| rest.starts_with(b"://"));
        if is_reference { Self::Target } else { Self::Text }
    }

    /// Returns whether a name ends before `byte`.
    fn ends_name(self, byte: u8) -> bool {
        match byte {
            b'\n' | b'\r' | b'#' | b'&' | b'(' | b')' | b',' | b'/' | b':' | b';' | b'<' | b'=' | b'>'
            | b'?' | b'{' | b'}' => true,
            _ => self.is_space(byte),
        }
    }

    fn is_space(self, byte: u8) -> bool {
        matches!(byte, b' ' | b'\t') || (byte == b'+' && self == Self::Target)
    }

    /// Returns where a name is that follows `byte`, which ends the last one.
    fn place_after(self, byte: u8) -> Place {
        match (self, byte) {
            (_, b'#' | b'&' | b'?') | (Self::Target, b';') => Place::Parameter,
            (Self::Target, _) => Place::Nested,
            (Self::Text, _) => Place::Text,
        }
    }
}

/// Splits `value` into parts. `names` are secret, too.
pub(super) fn split<'a>(value: &'a [u8], kind: Kind, names: &[Vec<u8>], part: &mut impl FnMut(Part<'a>)) {
    Scan::new(value, kind, names, part).run();
}

/// What a word means for what follows it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Word {
    /// After an equals sign or a colon, a secret may follow.
    assigns: bool,
    /// After a slash, a secret may follow.
    begins_segment: bool,
}

impl Word {
    /// Returns what `word` means. `names` are secret, too.
    pub(super) fn of(word: &[u8], names: &[Vec<u8>]) -> Self {
        let name = Name::of(word);
        Self {
            assigns: word.len() >= MIN_NAME_LEN
                && (is_secret(&name, Place::Parameter, names) || name.is_bot()),
            begins_segment: name.is_secret_segment(),
        }
    }
}

/// Returns the path segment at `start`, which was encoded up to `depth` times, if it looks like a secret: it has letters and
/// digits and is not short. A number may precede it, as in `/webhooks/4711/S`.
fn random_segment(value: &[u8], mut start: usize, depth: u8) -> Option<Range<usize>> {
    let (mut letters, mut digits, mut end) = (0_usize, 0_usize, value.len());
    let mut has_number = false;
    for (at, unit) in Unit::all(value, start) {
        match unit.byte {
            b'/' if unit.depth <= depth && !has_number && digits > 0 && letters == 0 => {
                (has_number, digits, start) = (true, 0, at.saturating_add(unit.len));
            }
            b'/' | b'?' | b'#' | b'&' | b';' | b' ' | b'"' if unit.depth <= depth => {
                end = at;
                break;
            }
            b'0'..=b'9' => digits = digits.saturating_add(1),
            byte if byte.is_ascii_alphabetic() => letters = letters.saturating_add(1),
            _ => {}
        }
    }
    (letters > 0 && digits > 0 && letters.saturating_add(digits) >= MIN_SEGMENT_LEN).then_some(start..end)
}

fn is_secret(name: &Name, place: Place, names: &[Vec<u8>]) -> bool {
    name.is_secret(place) || names.iter().any(|other| other == name.get())
}

/// A range of a value that is hidden.
struct Secret {
    start: usize,
    end: usize,
    /// Bytes within it that are shown.
    shown: &'static [u8],
}

/// A scanner of one value.
struct Scan<'a, 'r, F> {
    value: &'a [u8],
    kind: Kind,
    names: &'r [Vec<u8>],
    part: &'r mut F,
    /// Position of the next unit.
    at: usize,
    /// Position of the first byte that was not passed on.
    next_shown: usize,
    /// The last four decoded bytes.
    recent: u32,
    /// Position and length of the last run of letters and digits, in units.
    run: (usize, usize),
    /// The name before the next assignment.
    name: Name,
    place: Place,
    /// A space follows the name, and the next letter begins another.
    is_name_over: bool,
    /// The last decoded byte is a quote, apart from spaces.
    is_quoted: bool,
    /// The next name is that of a host.
    is_authority: bool,
    /// The least depth of a query or fragment that has begun.
    query_depth: Option<u8>,
    /// Position of the next `@`, or an earlier position if it is not known.
    next_at_sign: Option<usize>,
    /// Position before which no password continues after its authority.
    no_password_before: usize,
    /// Position before which no token begins.
    no_token_before: usize,
}

impl<'a, 'r, F: FnMut(Part<'a>)> Scan<'a, 'r, F> {
    fn new(value: &'a [u8], kind: Kind, names: &'r [Vec<u8>], part: &'r mut F) -> Self {
        Self {
            value,
            kind,
            names,
            part,
            at: 0,
            next_shown: 0,
            recent: 0,
            run: (0, 0),
            name: Name::new(),
            place: kind.place_after(b' '),
            is_name_over: false,
            is_quoted: false,
            is_authority: false,
            query_depth: None,
            next_at_sign: Some(0),
            no_password_before: 0,
            no_token_before: 0,
        }
    }

    fn run(mut self) {
        let secret = match (self.kind, self.value.first()) {
            (_, Some(b'<' | b'"')) => None,
            (Kind::Target, _) if self.at_sign().is_some() => self.user_info(0),
            (Kind::Target, _) => None,
            (Kind::Text, _) => self.pair(0),
        };
        if let Some(secret) = secret {
            self.hide(&secret);
        }
        while let Some(unit) = self.value.get(self.at..).and_then(Unit::first) {
            let start = self.at;
            self.at = start.saturating_add(unit.len);
            self.recent = (self.recent << 8) | u32::from(unit.byte);
            match self.secret(unit) {
                Some(secret) => self.hide(&secret),
                None => self.advance(unit, start),
            }
        }
        self.show(self.value.len());
    }

    /// Returns the secret that begins after `unit`, or whose form `unit` reveals.
    fn secret(&mut self, unit: Unit) -> Option<Secret> {
        match unit.byte {
            b'=' if self.is_secret_name(self.place) => Some(self.assigned(self.at, unit.depth)),
            b'=' => self.pair(unit.depth),
            b':' if self.is_secret_key() => Some(self.assigned(self.at, unit.depth)),
            b':' if self.name.is_bot() => self.segment(unit.depth),
            b'/' | b'\\' if self.begins_authority() => {
                self.is_authority = true;
                self.user_info(unit.depth)
            }
            b'/' => {
                let is_authority = std::mem::take(&mut self.is_authority);
                let is_secret = self.kind == Kind::Target && !is_authority && self.name.is_secret_segment();
                if is_secret { self.segment(unit.depth) } else { None }
            }
            b'J' => self.token(),
            byte if self.kind.is_space(byte) => self.credentials(unit.depth),
            _ => None,
        }
    }

    /// Notes what `unit` means for the name of the next assignment.
    fn advance(&mut self, unit: Unit, start: usize) {
        let byte = unit.byte;
        if byte.is_ascii_alphanumeric() {
            if self.is_name_over {
                self.begin_name(b' ');
            }
            self.run = if self.run.1 == 0 { (start, 1) } else { (self.run.0, self.run.1.saturating_add(1)) };
            (self.is_quoted, self.is_name_over) = (false, false);
            self.name.push(byte);
            return;
        }
        self.run = (0, 0);
        if self.kind.is_space(byte) {
            self.is_name_over = true;
            return;
        }
        if matches!(byte, b'?' | b'#') {
            self.query_depth = Some(self.query_depth.map_or(unit.depth, |least| least.min(unit.depth)));
        }
        self.is_quoted = matches!(byte, b'"' | b'\'');
        if self.kind.ends_name(byte) {
            self.begin_name(byte);
        } else {
            self.name.push(byte);
        }
    }

    /// Begins a name after `byte`.
    fn begin_name(&mut self, byte: u8) {
        self.name.clear();
        self.is_name_over = false;
        self.place = self.kind.place_after(byte);
    }

    fn is_secret_name(&self, place: Place) -> bool {
        is_secret(&self.name, place, self.names)
    }

    /// Returns whether the name before a colon is that of a secret and not a scheme or host: `"pin":"S"`, `?token:S`,
    /// `Authorization: S`, `?q=password:S`.
    fn is_secret_key(&self) -> bool {
        if self.is_quoted {
            return self.is_secret_name(Place::Nested);
        }
        let next = self.value.get(self.at..).and_then(Unit::first).map(|unit| unit.byte);
        let is_key = match self.place {
            Place::Parameter => true,
            // Neither a host and port, nor a path such as `/tokens:revoke`.
            Place::Nested if self.query_depth.is_some() && !self.is_authority => true,
            _ => matches!(next, Some(b' ' | b'\t' | b'"' | b'\'')),
        };
        is_key && self.is_secret_name(Place::Text)
    }

    /// Returns the value of a secret name, which begins at `start`. A secret may contain `;`, `?` and `#`, so only `&`
    /// or the end of the path ends it.
    fn assigned(&self, start: usize, depth: u8) -> Secret {
        let ends = |unit: Unit| match unit.byte {
            b'&' => unit.depth <= depth && self.query_depth.is_some(),
            b'?' | b'#' => self.kind == Kind::Target && unit.depth == 0 && self.query_depth != Some(0),
            _ => false,
        };
        Secret { start, end: self.find_from(start, ends), shown: SEPARATORS }
    }

    /// Returns the path segment that begins here, if it looks like a secret.
    fn segment(&self, depth: u8) -> Option<Secret> {
        let Range { start, end } = random_segment(self.value, self.at, depth)?;
        Some(Secret { start, end, shown: b"" })
    }

    /// Returns the credentials after the scheme and space that end here.
    fn credentials(&self, depth: u8) -> Option<Secret> {
        let [_, _, before, _] = self.recent.to_be_bytes();
        if self.kind.is_space(before) {
            return None;
        }
        let rest = self.value.get(self.at..)?;
        let start = scheme::credentials(self.name.get(), rest)?;
        Some(self.assigned(self.at.saturating_add(start), depth))
    }

    /// Returns the JSON Web Token whose `J` is at the current position (RFC 7519 section 3). Each begins with an encoded
    /// `{"`, which is `eyJ`.
    fn token(&mut self) -> Option<Secret> {
        let (start, len) = self.run;
        let [_, e, y, _] = self.recent.to_be_bytes();
        if (len, e, y) != (2, b'e', b'y') || start < self.no_token_before {
            return None;
        }
        let mut has_dot = false;
        let is_over = |unit: Unit| {
            has_dot |= unit.byte == b'.';
            !(unit.byte.is_ascii_alphanumeric() || matches!(unit.byte, b'-' | b'_' | b'.' | b'=' | b'~'))
        };
        let end = self.find_from(self.at, is_over);
        if !has_dot {
            self.no_token_before = end;
        }
        has_dot.then_some(Secret { start, end, shown: b"" })
    }

    /// Returns the position of the first unit from `start` on that `is_end`, or the length of the value.
    fn find_from(&self, start: usize, mut is_end: impl FnMut(Unit) -> bool) -> usize {
        let end = Unit::all(self.value, start).find(|(_, unit)| is_end(*unit));
        end.map_or(self.value.len(), |(at, _)| at)
    }

    /// Passes on what was not hidden before `end`.
    fn show(&mut self, end: usize) {
        match self.value.get(self.next_shown..end) {
            None | Some([]) => {}
            Some(shown) => (self.part)(Part::Shown(shown)),
        }
        self.next_shown = end;
    }

    /// Hides a secret, except for separators and for secret names after them.
    fn hide(&mut self, secret: &Secret) {
        let mut start = secret.start;
        while let Some(rest) = self.value.get(start..secret.end) {
            let len = rest.iter().position(|byte| secret.shown.contains(byte)).unwrap_or(rest.len());
            let piece = rest.get(..len).unwrap_or_default();
            let name_len = if start > secret.start { secret_name_len(piece) } else { 0 };
            self.show(start.saturating_add(name_len));
            if name_len < len {
                (self.part)(Part::Hidden(MASK));
            }
            self.next_shown = start.saturating_add(len);
            start = self.next_shown.saturating_add(1);
        }
        (self.at, self.recent, self.run) = (secret.end, 0, (0, 0));
        self.begin_name(b'=');
    }
}

/// Returns the length of a secret name and the equals sign after it at the beginning of `piece`.
fn secret_name_len(piece: &[u8]) -> usize {
    let len = memchr(b'=', piece).unwrap_or(0);
    let name = Name::of(piece.get(..len).unwrap_or_default());
    if name.is_secret_word() && name.get().len() == len { len.saturating_add(1) } else { 0 }
}
